"""A record that rotted is made anew from its name and from the rest of the vault, so that it stops nobody (S1, W3)."""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward import durable
from modelward.domain.codec import pretty
from modelward.domain.digest import Digest
from modelward.domain.errors import VaultUnreadable
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, snapshot_id
from modelward.domain.store import Owner
from modelward.testing import corrupt
from modelward.vault.index import listed
from modelward.vault.remade import Clues, created_at, origin
from modelward.vault.sealed import sealed
from tests.models import add_model, make_model
from tests.places import BEGIN
from tests.recorder import RecordingOs
from tests.vault.conftest import Shelf

MODEL, OTHER = make_model(), make_model("other", b"x")


def rewrite(path: Path, old: bytes, new: bytes) -> None:
    """Change what the file says."""
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(old, new))


def link(path: Path) -> None:
    """A link in the place of the file."""
    path.unlink()
    path.symlink_to("/etc/hostname")


def another(path: Path) -> Path:
    """The other record in the folder."""
    return next(other for other in path.parent.iterdir() if other != path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "bit in the model's name": lambda path: rewrite(path, b"llama3", b"llama2"),
    "bit in the owner": lambda path: rewrite(path, b"1000", b"1001"),
    "bit in the size": lambda path: corrupt.flip_bit(path, path.read_bytes().index(b'"size": ') + 8, 0),
    "cut short": lambda path: corrupt.truncate(path, 70),
    "emptied": corrupt.empty,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a link": link,
    "another record": lambda path: rewrite(path, path.read_bytes(), another(path).read_bytes()),
}


def record_of(shelf: Shelf, snapshot: Snapshot) -> Path:
    """The record's file."""
    return shelf.path("modelward", "snapshots", f"{snapshot.id}.json")


def actions(shelf: Shelf) -> list[str]:
    """What the audit log has."""
    return [entry.action for entry in shelf.open().audit_entries()]


@pytest.fixture
def two(shelf: Shelf) -> tuple[Snapshot, Snapshot]:
    """A vault with a version of each of two models, the newer one last."""
    with shelf.create().writing("backup") as writer:
        first = add_model(writer, MODEL)
    shelf.clock.advance(minutes=1)
    with shelf.open().writing("backup") as writer:
        return first, add_model(writer, OTHER)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_made_anew(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], damage: Callable[[Path], object]
) -> None:
    """Every verb sees the version at once; the next writer puts the record in place, and keeps what lay there (R1)."""
    path = record_of(shelf, two[0])
    good = path.read_bytes()
    damage(path)
    (found,) = shelf.open().damaged_records()
    assert (found.path, found.model) == (f"modelward/snapshots/{path.name}", MODEL.name)
    assert [one.id for one in shelf.open().snapshots()] == [two[1].id, two[0].id]
    content = shelf.open().content(shelf.open().snapshots()[1])
    assert content.manifest.raw == MODEL.manifest.raw
    with shelf.open().writing("backup"):
        pass
    assert shelf.open().damaged_records() == ()
    anew = msgspec.structs.replace(shelf.open().snapshots()[1], owner=two[0].owner, store=two[0].store)
    assert sealed(anew) == good
    assert shelf.open().snapshots()[1].id == path.stem
    assert [name.startswith(path.name) for name in shelf.names("modelward", "quarantine")] == [True]
    assert actions(shelf) == ["remake record"]


def test_what_only_another_version_knows_comes_from_it(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """Store and owner are in no hash: the nearest record of the model has them."""
    shelf.clock.advance(minutes=1)
    with shelf.open().writing("rollback") as writer:
        newest = writer.make_newest(two[0])
    record_of(shelf, newest).write_bytes(b"")
    assert shelf.open().snapshots()[0] == newest


def test_the_owner_comes_from_the_kept_manifest(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """Where no other version is on record; else it is the owner of the vault's folder."""
    record_of(shelf, two[0]).write_bytes(b"")
    top = shelf.path("modelward", "snapshots").stat()
    assert shelf.open().snapshots()[1].owner == Owner(top.st_uid, top.st_gid, 0o644)
    shelf.open().keep_manifests([(MODEL.name, MODEL.manifest.raw, Owner(7, 8, 0o640))])
    assert shelf.open().snapshots()[1].owner == Owner(7, 8, 0o640)


@pytest.mark.parametrize("index", ["sound", "lost"])
def test_the_index_is_not_needed_where_the_name_is_known(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], index: str
) -> None:
    """An emptied record is known by the index, one that only lacks its end by its own words."""
    if index == "lost":
        shelf.path("index.json").unlink()
    corrupt.truncate(record_of(shelf, two[0]), 200)
    assert shelf.open().snapshots()[1].model == MODEL.name


def test_the_audit_log_knows_the_model_too(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """It names the version beside its model: that is enough where record and index say nothing."""
    for snapshot in reversed(two):
        shelf.open().audit("backup", model=snapshot.model, snapshot=snapshot.id)
    shelf.open().audit("verify")
    shelf.path("index.json").unlink()
    record_of(shelf, two[0]).write_bytes(b"")
    assert shelf.open().snapshots()[1].model == MODEL.name


def test_what_nothing_tells_is_refused(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """Record and index both empty, and the model's name stands nowhere else: the file is named, and what to do."""
    shelf.path("index.json").unlink()
    record_of(shelf, two[0]).write_bytes(b"")
    with pytest.raises(VaultUnreadable, match="nothing tells which version it was") as caught:
        shelf.open().snapshots()
    assert caught.value.thing == str(record_of(shelf, two[0]))
    assert "move that file away" in caught.value.next_step
    with pytest.raises(VaultUnreadable), shelf.open().writing("prune"):
        pytest.fail("nothing is dropped while a version is not known")


def test_a_record_whose_wrapper_is_lost_too_is_refused(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """What it named is known by the wrapper alone."""
    record_of(shelf, two[0]).write_bytes(b"")
    corrupt.flip_bit(shelf.object(two[0].wrapper), 20, 1)
    with pytest.raises(VaultUnreadable, match="a record of the vault is damaged"):
        shelf.open().snapshots()


def test_a_link_in_the_place_of_a_record_in_the_trash(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """It is not followed, and the version does not count as forgotten long ago."""
    with shelf.open().writing("forget") as writer:
        writer.forget([two[0]])
    shelf.open().audit("forget", model=MODEL.name, snapshot=two[0].id)
    (trashed,) = shelf.open().trashed()
    link(shelf.path("modelward", "trash", f"{two[0].id}.json"))
    (found,) = shelf.open().trashed()
    assert found.forgotten_at >= trashed.forgotten_at


def test_a_rotted_record_in_the_trash_that_vanishes_meanwhile(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as forgotten just now."""
    with shelf.open().writing("forget") as writer:
        writer.forget([two[0]])
    rewrite(shelf.path("modelward", "trash", f"{two[0].id}.json"), b"llama3", b"llama2")
    vault = shelf.open()
    monkeypatch.setattr(vault.layout.trash, "stat", lambda _: None)
    assert [found.forgotten_at for found in vault.trashed()] == [shelf.clock.now()]


def test_a_record_in_the_trash(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """It stays in the trash, from when its file was last written: nothing is dropped too soon."""
    with shelf.open().writing("forget") as writer:
        writer.forget([two[0]])
    (trashed,) = shelf.open().trashed()
    path = shelf.path("modelward", "trash", f"{two[0].id}.json")
    rewrite(path, b"llama3", b"llama2")
    (found,) = shelf.open().trashed()
    assert found.snapshot.id == trashed.snapshot.id
    assert found.forgotten_at >= trashed.forgotten_at
    with shelf.open().writing("prune"):
        pass
    assert msgspec.json.decode(path.read_bytes())["snapshot"]["model"] == str(MODEL.name)
    assert shelf.open().damaged_records() == ()
    assert shelf.open().snapshots() == (two[1],)


def test_a_record_of_an_older_program_has_no_seal(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """It is read as it was."""
    path = record_of(shelf, two[0])
    path.chmod(0o600)
    path.write_text(pretty(two[0]))
    assert shelf.open().snapshots() == (two[1], two[0])
    assert shelf.open().damaged_records() == ()


def test_a_record_that_another_process_forgets_meanwhile(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no damage: it is not there any more."""
    vault = shelf.open()
    names = vault.layout.snapshots.names()
    monkeypatch.setattr(vault.layout.snapshots, "names", lambda: names)
    record_of(shelf, two[0]).unlink()
    assert vault.snapshots() == (two[1],)


class Failing(RecordingOs):
    """Opens of one record end in an error, the first ``times`` of them."""

    def __init__(self, record: Path, code: int, times: int) -> None:
        super().__init__()
        self.record, self.code, self.times = record.name, code, times

    def open(self, path: str, flags: int, *more: int, **keys: int) -> int:
        """As the system's, but for the record."""
        if path == self.record and self.times:
            self.times -= 1
            raise OSError(self.code, os.strerror(self.code))
        return os.open(path, flags, *more, **keys)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_an_error_that_is_gone_at_the_second_look_is_none(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """V1: nothing is made anew for it."""
    vault = shelf.open()
    monkeypatch.setattr(durable, "os", Failing(record_of(shelf, two[0]), code, 1))
    assert vault.damaged_records() == ()
    assert vault.snapshots() == (two[1], two[0])


def test_a_record_that_the_disk_does_not_give_is_made_anew(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sector that cannot be read is rot."""
    vault = shelf.open()
    monkeypatch.setattr(durable, "os", Failing(record_of(shelf, two[0]), errno.EIO, 99))
    assert [found.reason for found in vault.damaged_records()] == ["input/output error (EIO)"]
    assert [snapshot.id for snapshot in vault.snapshots()] == [two[1].id, two[0].id]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
def test_a_record_that_may_not_be_read_is_no_rot(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """That says nothing of what stands in it: the error names it, and it is left as it is."""
    vault = shelf.open()
    monkeypatch.setattr(durable, "os", Failing(record_of(shelf, two[0]), code, 99))
    with pytest.raises(VaultUnreadable, match="cannot be read") as caught:
        vault.snapshots()
    assert caught.value.thing == str(record_of(shelf, two[0]))


# Guessing, without a disk.

NAMES = st.builds("m{}".format, st.integers(0, 40)).map(ModelName.parse)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex).map(Digest)


@given(
    st.lists(NAMES, min_size=1, max_size=5, unique=True),
    st.lists(DIGESTS, min_size=1, max_size=9, unique=True),
    st.data(),
)
def test_the_right_pair_is_found_among_many(
    models: list[ModelName], objects: list[Digest], data: st.DataObject
) -> None:
    """Whatever else there is; and none is made up where the right one is not among them."""
    model, wrapper = data.draw(st.sampled_from(models)), data.draw(st.sampled_from(objects))
    identity = snapshot_id(BEGIN, model, wrapper)
    left = pretty({"model": str(model)}).encode()
    clues = Clues(others=(), kept={}, listed={}, objects=objects, owner=Owner(0, 0, 0))
    assert origin(identity, left, clues) == (model, wrapper)
    without = replace(clues, objects=[one for one in objects if one != wrapper])
    assert origin(identity, left, without) is None


@pytest.mark.parametrize("name", ["", "bad", "2026-01-01", "20261399T000000Z-0", "20260105T120000Z"])
def test_what_is_no_id(name: str) -> None:
    """No version has it."""
    clues = Clues(others=(), kept={}, listed={}, objects=(Digest("0" * 64),), owner=Owner(0, 0, 0))
    assert origin(name, b'"model": "llama3"', clues) is None


def test_an_id_tells_when() -> None:
    """To the second."""
    at = BEGIN + timedelta(microseconds=5)
    assert created_at(snapshot_id(at, MODEL.name, Digest("0" * 64))) == BEGIN.replace(microsecond=0)


@given(st.randoms(use_true_random=False))
def test_no_index_makes_it_fail(rng: random.Random) -> None:
    """Whatever stands in it."""
    index = rng.randbytes(rng.randint(0, 200))
    clues = Clues(others=(), kept={}, listed=listed(index), objects=(), owner=Owner(0, 0, 0))
    assert origin(snapshot_id(BEGIN, MODEL.name, Digest("0" * 64)), b"", clues) is None


class Opening(RecordingOs):
    """Keeps which names were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open(self, path: str, flags: int, *more: int, **keys: int) -> int:
        """As the system's."""
        self.opened.append(path)
        return os.open(path, flags, *more, **keys)


def test_a_session_reads_each_record_once(
    shelf: Shelf, two: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else changes any while it holds the lock; what it changes itself is read again, in it and behind it."""
    vault, system = shelf.open(), Opening()
    monkeypatch.setattr(durable, "os", system)
    with vault.writing("test"):
        assert [vault.snapshots() for _ in range(3)] == [tuple(reversed(two))] * 3
    assert [system.opened.count(record_of(shelf, snapshot).name) for snapshot in two] == [1, 1]
    assert vault.snapshots() == tuple(reversed(two))
    with vault.writing("test") as writer:
        writer.forget([two[0]])
        assert vault.snapshots() == (two[1],)
        writer.undelete(two[0])
        again = writer.make_newest(two[0])
        assert {snapshot.id for snapshot in vault.snapshots()} == {again.id, *(snapshot.id for snapshot in two)}


def test_after_a_session_that_failed_records_are_read_anew(shelf: Shelf, two: tuple[Snapshot, Snapshot]) -> None:
    """What another process does next is seen."""
    vault = shelf.open()
    with pytest.raises(KeyError), vault.writing("test"):
        raise KeyError
    with shelf.open().writing("test") as writer:
        writer.forget([two[0]])
    assert vault.snapshots() == (two[1],)
