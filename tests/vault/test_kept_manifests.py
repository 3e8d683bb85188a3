"""Manifests are kept whole or not at all, whatever dies, rots or is full (G2)."""

import errno
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward import durable
from modelward.domain.codec import decode, encode
from modelward.domain.errors import Locked, ModelwardError, StorageError
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KeptManifest
from modelward.domain.store import Owner
from modelward.durable import Folder, locked
from modelward.testing import FrozenClock
from modelward.vault.kept_manifests import KeptManifests, file_of
from tests.domain.strategies_domain import names as model_names
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.kinds import KINDS, put
from tests.models import OWNER, make_model
from tests.places import BEGIN
from tests.vault.conftest import Shelf

OLD, NEW = make_model(), make_model("llama3", b"new")
NAME = OLD.name


@pytest.fixture
def vault(shelf: Shelf) -> Shelf:
    """An empty vault that has kept one manifest."""
    shelf.create()
    shelf.open().keep_manifests([(NAME, OLD.manifest.raw, OWNER)])
    return shelf


def file_in(shelf: Shelf) -> Path:
    """The file of the kept manifest."""
    return shelf.path("modelward", "manifests", file_of(NAME))


def kept_in(shelf: Shelf) -> bytes | None:
    """What a new process finds."""
    kept = shelf.open().kept_manifests().get(NAME)
    return kept.manifest if kept is not None else None


@given(raw=st.binary(max_size=300), uid=st.integers(0, 9), at=st.datetimes(timezones=st.just(BEGIN.tzinfo)))
def test_any_bytes_survive_the_way_into_text_and_back(raw: bytes, uid: int, at: "object") -> None:
    """A manifest is bytes and no text, and its record is JSON."""
    kept = KeptManifest(model=NAME, manifest=raw, owner=Owner(uid, 1, 0o644), seen_at=at)  # type: ignore[arg-type]
    assert decode(encode(kept), KeptManifest) == kept


@given(names=st.sets(model_names(), min_size=1, max_size=5))
def test_every_name_has_a_file_of_its_own(names: set[ModelName]) -> None:
    """However long or strange a name is: another one never takes its place."""
    with tempfile.TemporaryDirectory() as base:
        keeper = KeptManifests(Folder.open(Path(base)), FrozenClock(BEGIN))
        keeper.keep([(name, OLD.manifest.raw, OWNER) for name in names])
        assert keeper.all().keys() == names
        assert len(list(Path(base, "manifests").glob("*.json"))) == len(names)


def test_nobody_else_may_read_them(vault: Shelf) -> None:
    """As everything of ours in a vault."""
    assert stat.S_IMODE(file_in(vault).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_in(vault).parent.stat().st_mode) == 0o700


def test_killed_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old manifest or the new one is there, never none; the next one leaves nothing behind."""
    probe = Shelf(tmp_path / "probe")
    probe.create()
    probe.open().keep_manifests([(NAME, OLD.manifest.raw, OWNER)])
    total = count_calls(monkeypatch, lambda: probe.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)]))
    assert total > 4
    for at in range(1, total + 1):
        shelf = Shelf(tmp_path / f"at{at}")
        shelf.create()
        shelf.open().keep_manifests([(NAME, OLD.manifest.raw, OWNER)])
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                shelf.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])
        assert kept_in(shelf) in (OLD.manifest.raw, NEW.manifest.raw)
        shelf.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])
        assert kept_in(shelf) == NEW.manifest.raw
        assert shelf.names("modelward", "manifests") == sorted([file_of(NAME), "lock"])


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing_is_said(vault: Shelf, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """A typed error with a next step; the manifest that was kept stays."""
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", ScriptedOs(1, error=error, sticky=True))
        with pytest.raises(StorageError) as caught:
            vault.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])
    assert caught.value.next_step
    assert kept_in(vault) == OLD.manifest.raw


@pytest.mark.parametrize("data", [b"", b"{", b"[]", bytes(100), b'{"model":"x"}'])
def test_a_damaged_one_is_none(vault: Shelf, data: bytes) -> None:
    """As if the model had not been seen yet; the next one takes its place."""
    file_in(vault).write_bytes(data)
    assert kept_in(vault) is None
    vault.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])
    assert kept_in(vault) == NEW.manifest.raw


def test_one_under_the_name_of_another_model_is_none(vault: Shelf) -> None:
    """A file that somebody moved or copied stands for nothing."""
    file_in(vault).rename(file_in(vault).with_name("0" * 32 + ".json"))
    assert vault.open().kept_manifests() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_manifest_that_is_no_file(vault: Shelf, kind: str) -> None:
    """None, at once, and a link is neither followed nor written through (T1)."""
    file_in(vault).unlink()
    put(kind, file_in(vault), vault.path("secret"))
    assert kept_in(vault) is None
    try:
        vault.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])
    except ModelwardError as error:
        assert kind == "folder"
        assert error.next_step
    else:
        assert kept_in(vault) == NEW.manifest.raw
    if kind == "symlink":
        assert vault.path("secret").read_bytes() == b"secret"


def test_a_lock_that_is_never_given_back(vault: Shelf) -> None:
    """The wait ends with the holder's name (L1)."""
    folder = Folder.open(vault.path("modelward", "manifests"))
    with (
        locked(folder, "lock", holder="somebody", clock=FrozenClock(BEGIN), wait=0),
        pytest.raises(Locked, match="somebody"),
    ):
        vault.open().keep_manifests([(NAME, NEW.manifest.raw, OWNER)])


def test_a_writer_of_the_vault_sweeps_nothing_of_them(vault: Shelf) -> None:
    """They are no leftovers."""
    with vault.open().writing("prune"):
        pass
    assert kept_in(vault) == OLD.manifest.raw


def test_keeping_many_lists_the_folder_once(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work grows with the number of models, not with its square: one look at the folder and one flush of it."""
    names = [ModelName.parse(f"model{number}") for number in range(40)]
    asked: list[tuple[str, str]] = []
    for what in ("names", "sync"):
        real = getattr(Folder, what)

        def spy(folder: Folder, real: Callable[[Folder], object] = real, what: str = what) -> object:
            asked.append((what, folder.path))
            return real(folder)

        monkeypatch.setattr(Folder, what, spy)
    vault.open().keep_manifests([(name, NEW.manifest.raw, OWNER) for name in names])
    folder = str(vault.path("modelward", "manifests"))
    assert (asked.count(("names", folder)), asked.count(("sync", folder))) == (1, 1)
    kept = vault.open().kept_manifests()
    assert {kept[name].manifest for name in names} == {NEW.manifest.raw}
