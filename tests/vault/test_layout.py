"""A folder becomes a vault whole or not at all, and only a vault of this format is opened."""

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from modelward import durable
from modelward.domain.chunks import CHUNK
from modelward.domain.codec import pretty
from modelward.domain.errors import StorageError, VaultMissing, VaultNewer, VaultUnreadable, WriteFailed
from modelward.domain.snapshot import VaultInfo
from modelward.testing import FakeStore, corrupt, fingerprint
from modelward.vault.sealed import sealed
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.kinds import KINDS, put
from tests.models import add_model, make_model
from tests.privileges import public_folder, unprivileged
from tests.vault.conftest import Shelf

FOLDERS = [
    "blobs",
    "blobs/sha256",
    "modelward",
    "modelward/quarantine",
    "modelward/snapshots",
    "modelward/staging",
    "modelward/trash",
]


def test_a_new_vault_is_laid_out_as_the_format_says(shelf: Shelf) -> None:
    """Folders for the owner alone, the OCI marker, and which vault this is, in which format."""
    vault = shelf.create()
    found = fingerprint(shelf.root)
    assert sorted(path for path, entry in found.items() if entry.kind == "folder") == [".", *FOLDERS]
    assert {entry.mode for entry in found.values() if entry.kind == "folder"} == {0o700}
    assert sorted(path for path, entry in found.items() if entry.kind == "file") == [
        "modelward/vault.copy.json",
        "modelward/vault.json",
        "oci-layout",
    ]
    assert json.loads(shelf.path("oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    info = json.loads(shelf.path("modelward", "vault.json").read_text())
    assert info.pop("seal")
    assert info == {"id": vault.info.id, "format": 1, "chunk_size": CHUNK}
    assert shelf.path("modelward", "vault.copy.json").read_text() == shelf.path("modelward", "vault.json").read_text()
    assert re.fullmatch("[0-9a-f]{32}", info["id"])


def test_a_vault_is_opened_as_the_same_one(shelf: Shelf) -> None:
    """Its id lasts, and opening changes nothing."""
    made = shelf.create().info
    before = fingerprint(shelf.root)
    assert shelf.open().info == made
    assert fingerprint(shelf.root) == before


def test_two_vaults_are_two(tmp_path: Path) -> None:
    """Each has an id of its own."""
    assert Shelf(tmp_path / "a").create().info.id != Shelf(tmp_path / "b").create().info.id


def test_what_a_killed_run_left_half_made_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any call, it is no vault yet and says so; the next run finishes it (W1)."""
    total = count_calls(monkeypatch, lambda: Shelf(tmp_path / "probe").create())
    assert total > 20
    for at in range(1, total + 1):
        shelf = Shelf(tmp_path / f"at{at}")
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                shelf.create()
        if not any(path.exists() for path in shelf.both("vault.json")):
            with pytest.raises(VaultMissing):
                shelf.open()
        shelf.create()
        with shelf.open().writing("backup") as writer:
            add_model(writer, make_model("llama3", b"small"))
        assert len(shelf.open().snapshots()) == 1
        assert shelf.names("modelward", "staging") == []


class Later(VaultInfo, frozen=True, kw_only=True):
    """A description by a program that does not exist yet."""

    made_by: str = "a later version"


# What is no vault.


def test_nothing_there_is_no_vault(shelf: Shelf) -> None:
    """The error says how to make one."""
    with pytest.raises(VaultMissing) as caught:
        shelf.open()
    assert caught.value.thing == str(shelf.root)
    assert "modelward backup" in caught.value.next_step


@pytest.mark.parametrize("content", ["notes.txt", "ollama", "folder"])
def test_a_folder_with_other_things_is_no_vault(shelf: Shelf, content: str) -> None:
    """It is refused by name, and nothing in it is changed."""
    shelf.root.mkdir()
    match content:
        case "notes.txt":
            shelf.path("notes.txt").write_bytes(b"mine")
        case "folder":
            shelf.path("photos").mkdir()
        case _:
            FakeStore(shelf.root).add_model("llama3", b"x")
    before = fingerprint(shelf.root)
    with pytest.raises(VaultMissing):
        shelf.open()
    with pytest.raises(VaultUnreadable, match="other things") as caught:
        shelf.create()
    assert "--vault" in caught.value.next_step
    assert fingerprint(shelf.root) == before


def test_an_image_layout_of_somebody_else_is_no_vault(shelf: Shelf) -> None:
    """Its index would be replaced by ours, and its images could not be found any more: refused."""
    shelf.path("blobs", "sha256").mkdir(parents=True)
    shelf.path("oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    shelf.path("index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    before = fingerprint(shelf.root)
    with pytest.raises(VaultUnreadable):
        shelf.create()
    assert fingerprint(shelf.root) == before


@pytest.mark.parametrize("kind", ["file", "FIFO", "socket", "device"])
def test_what_is_no_folder_is_no_vault(shelf: Shelf, kind: str) -> None:
    """A typed error with exit code 5, at once."""
    if kind == "file":
        shelf.root.write_bytes(b"")
    else:
        put(kind, shelf.root, shelf.root)
    with pytest.raises(VaultUnreadable):
        shelf.open()


OFTEN_EMPTY = [name for name in FOLDERS if name.rpartition("/")[2] in ("quarantine", "staging", "trash")]


@pytest.mark.parametrize("folder", OFTEN_EMPTY)
def test_an_empty_folder_that_a_copy_left_out(shelf: Shelf, folder: str) -> None:
    """A vault that came through git or an object store, which know no empty folders, opens all the same."""
    shelf.create()
    shelf.path(folder).rmdir()
    shelf.open()
    assert shelf.path(folder).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("folder", "how"),
    [(name, "missing") for name in FOLDERS if name not in ("modelward", *OFTEN_EMPTY)]
    + [(name, "symlink to a folder") for name in FOLDERS if name != "modelward"],
)
def test_a_vault_that_lacks_a_folder(shelf: Shelf, folder: str, how: str) -> None:
    """Named, with what to do; a link in its place is not followed (T1)."""
    shelf.create()
    if folder == "blobs":
        shelf.path("blobs", "sha256").rmdir()
    shelf.path(folder).rmdir()
    if how != "missing":
        put(how, shelf.path(folder), shelf.root)
    with pytest.raises(VaultUnreadable) as caught:
        shelf.open()
    assert caught.value.thing == str(shelf.path(folder))
    assert "bring the folder back" in caught.value.next_step


# Formats and damage.


@pytest.mark.parametrize("change", [{"format": 2}, {"format": 99}, {"chunk_size": 4 * CHUNK}, {"chunk_size": 0}])
def test_a_newer_format_is_left_alone(shelf: Shelf, change: dict[str, int]) -> None:
    """The error names both formats and what to install; not a byte is changed."""
    info = msgspec.structs.replace(shelf.create().info, **change)
    for path in shelf.both("vault.json"):
        path.write_bytes(sealed(info))
    before = fingerprint(shelf.root)
    with pytest.raises(VaultNewer, match="reads up to 1") as caught:
        shelf.open()
    assert "newer Modelward" in caught.value.next_step
    assert caught.value.exit_code == 5
    assert fingerprint(shelf.root) == before


def test_a_further_key_is_no_newer_format(shelf: Shelf) -> None:
    """A later version may add to the description without a new format."""
    made = shelf.create().info
    for path in shelf.both("vault.json"):
        path.write_bytes(sealed(Later(id=made.id, format=made.format, chunk_size=made.chunk_size)))
    assert shelf.open().info == made


def test_a_description_without_a_seal_is_an_older_one(shelf: Shelf) -> None:
    """It is read, and the next session that writes gives it a seal and a copy."""
    made = shelf.create().info
    info, copy = shelf.both("vault.json")
    info.write_text(pretty(made))
    copy.unlink()
    with shelf.open().writing("backup"):
        pass
    assert info.read_bytes() == copy.read_bytes() == sealed(made)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", [corrupt.delete, corrupt.empty, lambda path: corrupt.flip_bit(path, 60, 3)])
def test_one_of_two_descriptions_is_enough(shelf: Shelf, which: int, damage: Callable[[Path], object]) -> None:
    """The vault opens as the same one, and the next session that writes makes the other anew."""
    made = shelf.create().info
    damage(shelf.both("vault.json")[which])
    assert shelf.open().info == made
    with shelf.open().writing("backup"):
        pass
    assert [path.read_bytes() for path in shelf.both("vault.json")] == [sealed(made)] * 2


@pytest.mark.parametrize("data", [b"", bytes(90), b"{", b"[]", b'{"id":"x"}', b'{"id":1,"format":1,"chunk_size":2}'])
def test_a_damaged_description_says_how_to_mend_it(shelf: Shelf, data: bytes) -> None:
    """Doing what the next step says makes the vault readable again."""
    vault = shelf.create()
    with vault.writing("backup") as writer:
        add_model(writer, make_model())
    info, copy = shelf.both("vault.json")
    info.write_bytes(data)
    copy.write_bytes(data)
    with pytest.raises(VaultUnreadable) as caught:
        shelf.open()
    assert caught.value.thing == str(info)
    advice = re.fullmatch(r"write (\{.*\}) into it", caught.value.next_step)
    assert advice
    info.write_text(advice[1])
    assert len(shelf.open().snapshots()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_description_that_is_no_file(shelf: Shelf, kind: str) -> None:
    """A typed error with exit code 5, at once."""
    shelf.create()
    for path in shelf.both("vault.json"):
        path.unlink()
    put(kind, shelf.path("modelward", "vault.json"), shelf.root / "secret")
    with pytest.raises(VaultUnreadable):
        shelf.open()


def test_a_vault_whose_description_was_deleted_keeps_its_snapshots(shelf: Shelf) -> None:
    """It is half made, as it were: the next backup makes it a vault again."""
    with shelf.create().writing("backup") as writer:
        snapshot = add_model(writer, make_model())
    for path in shelf.both("vault.json"):
        path.unlink()
    with pytest.raises(VaultMissing):
        shelf.open()
    shelf.create()
    assert shelf.open().snapshots() == (snapshot,)


# Rights.


def test_a_folder_that_takes_no_vault() -> None:
    """A typed error with exit code 5 that says who may."""
    with public_folder() as base:
        (base / "closed").mkdir()
        (base / "closed").chmod(0o555)
        with unprivileged(), pytest.raises(StorageError) as caught:
            Shelf(base / "closed").create()
        (base / "closed").chmod(0o700)
    assert "as the user that owns it" in caught.value.next_step


def test_a_vault_that_may_not_be_entered() -> None:
    """The same for opening one of another user."""
    with public_folder() as base:
        Shelf(base / "vault").create()
        (base / "vault").chmod(0)
        with unprivileged(), pytest.raises(VaultUnreadable) as caught:
            Shelf(base / "vault").open()
        (base / "vault").chmod(0o700)
    assert "as the user that owns it" in caught.value.next_step


def test_a_vault_that_may_be_read_only() -> None:
    """Everything that reads works, what writes says who may; not a byte is changed."""
    model = make_model()
    with public_folder() as base:
        shelf = Shelf(base / "vault")
        with shelf.create().writing("backup") as writer:
            add_model(writer, model)
        open_to_readers(shelf.root)
        before = fingerprint(shelf.root)
        with unprivileged():
            vault = shelf.open()
            (snapshot,) = vault.snapshots()
            assert vault.content(snapshot).manifest == model.manifest
            assert vault.chunk_list(model.largest) is not None
            assert (vault.trashed(), vault.protected().released, vault.known_store("/store")) == ((), (), None)
            with pytest.raises(WriteFailed) as caught, vault.writing("backup"):
                pass
        assert "as the user that owns it" in caught.value.next_step
        assert fingerprint(shelf.root) == before


def open_to_readers(root: Path) -> None:
    """Let everybody read it, and nobody write to it."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if stat.S_ISDIR(path.stat().st_mode) else 0o444)
