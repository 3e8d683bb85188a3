"""What a vault gives is proved against the digest that named it, and reading changes nothing."""

import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BlobMissing, DamageError, HashMismatch, NotARegularFile, ReadFailed, VaultUnreadable
from modelward.domain.receipt import LedgerChange
from modelward.domain.snapshot import KnownStore, Protected, Snapshot
from modelward.domain.store import Owner, StoreIdentity
from modelward.testing import corrupt, fingerprint
from modelward.vault.local import LocalVault
from tests.descriptors import open_now
from tests.kinds import KINDS, put
from tests.models import Model, add_model, digest_of, make_model
from tests.places import BEGIN
from tests.vault.conftest import Shelf

MODEL = make_model()


@pytest.fixture
def snapshot(shelf: Shelf) -> Snapshot:
    """A vault with one snapshot of a model with large weights."""
    with shelf.create().writing("backup") as writer:
        return add_model(writer, MODEL)


def again(shelf: Shelf, model: Model = MODEL) -> Snapshot:
    """A minute later, another record."""
    shelf.clock.advance(minutes=1)
    with shelf.open().writing("backup") as writer:
        return add_model(writer, model)


def list_of(shelf: Shelf, snapshot: Snapshot) -> Path:
    """The file of the weights' chunk list."""
    return shelf.object(shelf.open().content(snapshot).wrapper.chunk_lists[MODEL.largest].digest)


# Records.


def test_records_come_the_newest_first(shelf: Shelf, snapshot: Snapshot) -> None:
    """Whatever their files are called."""
    others = [again(shelf, make_model(name, b"x")) for name in ("b", "a")]
    assert shelf.open().snapshots() == (others[1], others[0], snapshot)


@pytest.mark.parametrize("data", [b"", bytes(300), b"{}", b"not json", b'{"version":1,"id":5}'])
@pytest.mark.parametrize("place", ["snapshots", "trash"])
def test_a_damaged_record_is_named(shelf: Shelf, snapshot: Snapshot, place: str, data: bytes) -> None:
    """With what to do; the others are safe, and are read again once that is done."""
    other = again(shelf, make_model("other", b"x"))
    shelf.path("modelward", place, "bad.json").write_bytes(data)
    vault = shelf.open()
    with pytest.raises(VaultUnreadable) as caught:
        _ = vault.snapshots() if place == "snapshots" else vault.trashed()
    assert caught.value.thing.startswith(str(shelf.path("modelward", place)))
    assert "move" in caught.value.next_step
    shelf.path("modelward", place, "bad.json").rename(shelf.root.parent / "away")
    assert shelf.open().snapshots() == (other, snapshot)


def test_a_record_under_the_name_of_another_is_not_believed(shelf: Shelf, snapshot: Snapshot) -> None:
    """It is well formed, and says something else than its id: no version is given under a wrong name (S1)."""
    path = shelf.path("modelward", "snapshots", f"{snapshot.id}.json")
    renamed = path.rename(path.with_name(path.name.replace("2026", "2027")))
    with pytest.raises(VaultUnreadable, match="its name is not that of the version it describes") as caught:
        shelf.open().snapshots()
    assert caught.value.thing == str(renamed)
    assert caught.value.next_step == f"rename that file to {path.name}"
    renamed.rename(path)
    assert shelf.open().snapshots() == (snapshot,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_no_file(shelf: Shelf, snapshot: Snapshot, kind: str) -> None:
    """A typed error with exit code 5, at once (T1)."""
    put(kind, shelf.path("modelward", "snapshots", f"{snapshot.id}-2.json"), shelf.root.parent / "secret")
    with pytest.raises(VaultUnreadable):
        shelf.open().snapshots()


# Contents.


def test_a_snapshot_gives_what_was_put_in(shelf: Shelf, snapshot: Snapshot) -> None:
    """The manifest's exact bytes, and a wrapper that names all of it."""
    content = shelf.open().content(snapshot)
    assert content.snapshot == snapshot
    assert content.manifest.raw == MODEL.manifest.raw
    named = {item.digest: item.size for item in content.wrapper.blobs}
    assert named == {blob: len(data) for blob, data in MODEL.blobs.items()}
    assert set(content.wrapper.chunk_lists) == {MODEL.largest}


@pytest.mark.parametrize("part", ["wrapper", "manifest"])
@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: corrupt.flip_bit(path, 20, 1), HashMismatch),
        (lambda path: corrupt.truncate(path, 20), HashMismatch),
        (corrupt.empty, HashMismatch),
        (corrupt.delete, BlobMissing),
    ],
    ids=["bit", "cut", "empty", "gone"],
)
def test_damaged_contents_are_never_given(
    shelf: Shelf, snapshot: Snapshot, part: str, damage: Callable[[Path], object], error: type[DamageError]
) -> None:
    """Every small object is hashed whenever it is read (R2)."""
    damage(shelf.object(getattr(snapshot, part)))
    with pytest.raises(error) as caught:
        shelf.open().content(snapshot)
    assert caught.value.thing == str(shelf.object(getattr(snapshot, part)))


def test_an_object_that_grew_past_any_limit_is_not_read(shelf: Shelf, snapshot: Snapshot) -> None:
    """A terabyte under a manifest's name costs one look (T2)."""
    path = shelf.object(snapshot.manifest)
    path.chmod(0o600)
    os.truncate(path, 1 << 40)
    with pytest.raises(ReadFailed, match="more than"):
        shelf.open().content(snapshot)


def test_the_chunk_list_is_that_of_the_blob(shelf: Shelf, snapshot: Snapshot) -> None:
    """A blob of one chunk at most has none, nor has one that the vault does not know."""
    vault = shelf.open()
    found = vault.chunk_list(MODEL.largest)
    assert found is not None
    assert (found.blob, found.size, len(found)) == (MODEL.largest, 2 * CHUNK + 5, 3)
    assert vault.chunk_list(digest_of(b"c")) is None
    assert vault.chunk_list(snapshot.wrapper) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: corrupt.flip_bit(path, 70, 1),
        corrupt.empty,
        corrupt.delete,
        lambda path: corrupt.extend(path, b"x"),
    ],
    ids=["bit", "empty", "gone", "longer"],
)
def test_a_damaged_chunk_list_is_none(shelf: Shelf, snapshot: Snapshot, damage: Callable[[Path], object]) -> None:
    """Never one whose bytes were not proved: it would call good chunks bad."""
    damage(list_of(shelf, snapshot))
    assert shelf.open().chunk_list(MODEL.largest) is None


def test_a_damaged_wrapper_takes_its_chunk_lists_only(shelf: Shelf, snapshot: Snapshot) -> None:
    """Those of other snapshots are found all the same."""
    other = make_model("other", os.urandom(CHUNK + 1))
    again(shelf, other)
    corrupt.flip_bit(shelf.object(snapshot.wrapper), 5, 1)
    vault = shelf.open()
    assert vault.chunk_list(other.largest) is not None
    assert vault.chunk_list(MODEL.largest) is None


# Objects.


def test_every_object_is_listed_by_its_entry(shelf: Shelf, snapshot: Snapshot) -> None:
    """Blobs, manifest, wrapper, chunk list and the empty config; nothing is opened."""
    objects = shelf.open().objects()
    named = shelf.open().content(snapshot).wrapper.objects
    assert set(objects) == {item.digest for item in named} | {snapshot.wrapper}
    found = shelf.object(MODEL.largest).stat()
    entry = objects[MODEL.largest]
    assert (entry.file.inode, entry.file.size, entry.file.ctime_ns) == (found.st_ino, found.st_size, found.st_ctime_ns)
    assert entry.owner == Owner(found.st_uid, found.st_gid, 0o400)


@pytest.mark.usefixtures("snapshot")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_no_object(shelf: Shelf, kind: str) -> None:
    """Nor can it be opened (T1)."""
    digest = Digest("0" * 64)
    put(kind, shelf.object(digest), shelf.root.parent / "secret")
    vault = shelf.open()
    assert digest not in vault.objects()
    assert not vault.holds(digest, 0)
    with pytest.raises(NotARegularFile):
        vault.open_blob(digest)


@pytest.mark.usefixtures("snapshot")
@pytest.mark.parametrize(
    "name",
    [
        "notes",
        "x" * 63,
        "z" * 64,
        "A" * 64,
    ],
)
def test_a_stray_file_among_the_objects_is_passed_over(shelf: Shelf, name: str) -> None:
    """It is no object, whatever it is called."""
    before = set(shelf.open().objects())
    shelf.object(name).write_bytes(b"stray")
    assert set(shelf.open().objects()) == before


def test_an_object_that_goes_while_the_folder_is_read(
    shelf: Shelf, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verify may run beside a prune: what is gone is not listed, and that is all."""
    real = durable.Folder.names

    def names(folder: durable.Folder) -> list[str]:
        found = real(folder)
        shelf.object(snapshot.manifest).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(durable.Folder, "names", names)
    assert snapshot.manifest not in shelf.open().objects()


def test_a_missing_object_cannot_be_opened(shelf: Shelf, snapshot: Snapshot) -> None:
    """BlobMissing, named by its path."""
    shelf.object(snapshot.manifest).unlink()
    with pytest.raises(BlobMissing) as caught:
        shelf.open().open_blob(snapshot.manifest)
    assert caught.value.thing == str(shelf.path(shelf.open().blob_path(snapshot.manifest)))


def test_an_open_object_is_read_from_its_start(shelf: Shelf, snapshot: Snapshot) -> None:
    """The descriptor is the caller's."""
    fd = shelf.open().open_blob(snapshot.manifest)
    assert os.read(fd, 1 << 20) == MODEL.manifest.raw
    os.close(fd)


# What the vault vouches for (W3).


def forget_receipts(shelf: Shelf) -> None:
    """Somebody deletes the receipts."""
    shelf.path("modelward", "receipts", "vault.json").unlink()


def touch(shelf: Shelf) -> None:
    """Something changes the file, or says that it did."""
    os.utime(shelf.object(MODEL.largest), ns=(1, 1))


def shorten(shelf: Shelf) -> None:
    """The file loses its end."""
    corrupt.truncate(shelf.object(MODEL.largest), 5)


def lose(shelf: Shelf) -> None:
    """The file is gone."""
    shelf.object(MODEL.largest).unlink()


def find_damaged(shelf: Shelf) -> None:
    """A verify found it bad."""
    shelf.ledgers().update("vault", LedgerChange(dropped=frozenset({MODEL.largest.hex})))


def nothing(_: Shelf) -> None:
    """Nothing happens."""


@pytest.mark.usefixtures("snapshot")
@pytest.mark.parametrize(
    ("event", "intact", "holds"),
    [
        (nothing, True, True),
        (touch, False, True),
        (shorten, False, False),
        (lose, False, False),
        (forget_receipts, False, False),
        (find_damaged, False, False),
    ],
)
def test_what_the_vault_vouches_for(shelf: Shelf, event: Callable[[Shelf], None], *, intact: bool, holds: bool) -> None:
    """Intact: this very file was proved. Held: it was good when it was last read."""
    event(shelf)
    vault, size = shelf.open(), 2 * CHUNK + 5
    assert (vault.intact(MODEL.largest, size), vault.holds(MODEL.largest, size)) == (intact, holds)
    assert not vault.intact(MODEL.largest, size - 1)
    assert not vault.holds(MODEL.largest, size - 1)


def test_an_object_of_a_run_that_left_no_receipt_is_not_believed(shelf: Shelf) -> None:
    """A name proves nothing (W3)."""
    shelf.create()
    shelf.object(MODEL.largest).write_bytes(MODEL.blobs[MODEL.largest])
    assert not shelf.open().intact(MODEL.largest, 2 * CHUNK + 5)


def test_a_vault_on_a_disk_that_is_gone(shelf: Shelf, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question has a typed error for an answer."""
    vault = shelf.open()

    def gone(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    questions: tuple[Callable[[], object], ...] = (
        vault.snapshots,
        vault.trashed,
        vault.objects,
        vault.protected,
        lambda: vault.content(snapshot),
        lambda: vault.open_blob(snapshot.manifest),
        lambda: vault.intact(snapshot.manifest, 1),
        lambda: vault.holds(snapshot.manifest, 1),
    )
    for name in ("open", "stat", "listdir", "scandir"):
        monkeypatch.setattr(f"modelward.durable.os.{name}", gone)
    for question in questions:
        with pytest.raises((DamageError, VaultUnreadable)):
            question()


# Small facts.


def test_where_the_vault_lies(shelf: Shelf, snapshot: Snapshot) -> None:
    """The folder, links resolved, and its mount; objects by their relative paths."""
    (shelf.root.parent / "link").symlink_to("vault")
    vault = Shelf(shelf.root.parent / "link").open()
    assert vault.path == vault.identity.path == str(shelf.root)
    assert (vault.identity.inode, vault.identity.device) == (shelf.root.stat().st_ino, shelf.root.stat().st_dev)
    assert shelf.path(vault.blob_path(snapshot.wrapper)) == shelf.object(snapshot.wrapper)


@pytest.mark.usefixtures("snapshot")
def test_a_store_is_known_by_its_path(shelf: Shelf) -> None:
    """What was recorded comes back; a damaged record is none, and the store is asked for anew (I1)."""
    known = KnownStore(identity=StoreIdentity(path="/a", inode=1, device=2, mount_point="/"), recorded_at=BEGIN)
    with shelf.open().writing("backup") as writer:
        writer.know_store(known)
    assert shelf.open().known_store("/a") == known
    assert shelf.open().known_store("/b") is None
    (path,) = shelf.path("modelward", "receipts").glob("*-identity.json")
    corrupt.empty(path)
    assert shelf.open().known_store("/a") is None


@pytest.mark.usefixtures("snapshot")
def test_released_models_are_kept(shelf: Shelf) -> None:
    """A damaged list is an error with what to do: nothing is protected or released by accident (G3)."""
    assert shelf.open().protected() == Protected()
    with shelf.open().writing("release") as writer:
        writer.protect(Protected(released=(MODEL.name,)))
    assert shelf.open().protected().released == (MODEL.name,)
    path, copy = shelf.both("protection.json")
    path.write_bytes(b'{"released":["../../x"]}')
    assert shelf.open().protected().released == (MODEL.name,)
    copy.write_bytes(b"")
    with pytest.raises(VaultUnreadable) as caught:
        shelf.open().protected()
    assert caught.value.thing == str(path)
    assert "remove that file and protection.copy.json" in caught.value.next_step
    path.unlink()
    copy.unlink()
    assert shelf.open().protected() == Protected()


def test_reading_changes_nothing(shelf: Shelf, snapshot: Snapshot) -> None:
    """Not a file, not a mode, not a time of change."""
    before, changed = fingerprint(shelf.root), changes(shelf.root)
    ask_everything(shelf.open(), snapshot)
    assert fingerprint(shelf.root) == before
    assert changes(shelf.root) == changed


def test_a_vault_that_is_let_go_leaves_nothing_open(shelf: Shelf, snapshot: Snapshot) -> None:
    """At once, without Python's collector: a guard opens one for every job."""
    before = open_now()
    gc.disable()
    try:
        vault = shelf.open()
        ask_everything(vault, snapshot)
        vault.damaged_records()
        vault.audit("test")
        with vault.writing("backup") as writer:
            writer.make_newest(snapshot)
        del vault, writer
        assert not open_now(collected=False) - before
    finally:
        gc.enable()


def ask_everything(vault: LocalVault, snapshot: Snapshot) -> None:
    """Every question of the port."""
    vault.snapshots()
    vault.trashed()
    vault.content(snapshot)
    vault.chunk_list(MODEL.largest)
    vault.objects()
    vault.intact(MODEL.largest, 1)
    vault.holds(MODEL.largest, 1)
    vault.known_store("/store")
    vault.protected()
    os.close(vault.open_blob(MODEL.largest))


def changes(root: Path) -> dict[Path, int]:
    """When each file last changed."""
    return {path: path.lstat().st_ctime_ns for path in root.rglob("*")}
