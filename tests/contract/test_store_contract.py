"""What every store promises, whatever runtime it belongs to."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import BadManifest, BlobMissing, DiskFull, Locked, ModelwardError, NotARegularFile
from modelward.domain.finding import ManifestDamaged, Orphan
from modelward.domain.name import ModelName
from modelward.domain.store import Owner
from modelward.ports import Store, StoreWriter
from modelward.stores.ollama import OllamaStore
from modelward.stores.ollama_writer import StoreLimits
from modelward.testing import FakeStore, FrozenClock, fingerprint
from tests.models import pattern
from tests.places import BEGIN

WEIGHTS = pattern(2 * CHUNK + 5)
LLAMA = ModelName.parse("llama3")


@dataclass(frozen=True)
class Ground:
    """A store with one model on a disk, and a way to open it as a new process does."""

    root: Path
    clock: FrozenClock
    open: Callable[[], Store]
    blob: Digest
    raw: bytes

    @property
    def file(self) -> Path:
        """The weights' file."""
        return self.root / self.open().blob_path(self.blob)


def ollama(root: Path) -> Ground:
    """An Ollama store."""
    clock, limits = FrozenClock(BEGIN), StoreLimits(lock_wait=0, reserve=0)
    info = FakeStore(root).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    return Ground(
        root=root,
        clock=clock,
        open=lambda: OllamaStore.open(root, clock=clock, limits=limits),
        blob=Digest(info.layers[0]),
        raw=info.raw,
    )


@pytest.fixture(params=[ollama])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """Each kind of store in turn."""
    return cast("Callable[[Path], Ground]", request.param)(tmp_path / "models")


def place(writer: StoreWriter, blob: Digest, data: bytes) -> None:
    """Put bytes under a blob's name, chunk by chunk."""
    staged = writer.stage(len(data))
    try:
        for offset in range(0, len(data), CHUNK):
            part = data[offset : offset + CHUNK]
            staged.write_at(memoryview(bytearray(part.ljust(CHUNK))), len(part), offset)
        writer.publish_blob(staged, blob)
    finally:
        staged.discard()


def read(store: Store, blob: Digest) -> bytes:
    """A blob's bytes."""
    fd = store.open_blob(blob)
    try:
        return os.pread(fd, 1 << 26, 0)
    finally:
        os.close(fd)


# Reading.


def test_the_inventory_is_all_that_there_is(ground: Ground) -> None:
    """Each model with its manifest, each blob with its entry; a healthy store has no findings."""
    found = ground.open().inventory()
    assert set(found.models) == {LLAMA}
    assert found.models[LLAMA].manifest.raw == ground.raw
    assert {blob.digest for blob in found.models[LLAMA].manifest.blobs} == set(found.blobs)
    assert found.blobs[ground.blob].file.size == len(WEIGHTS)
    assert (found.odd, found.findings) == ({}, ())


def test_blobs_and_manifests_are_read_as_they_are_now(ground: Ground) -> None:
    """A path of a blob is relative to the store's folder."""
    store = ground.open()
    assert read(store, ground.blob) == WEIGHTS
    assert store.read_manifest(LLAMA).raw == ground.raw
    ground.file.write_bytes(b"changed")
    assert read(store, ground.blob) == b"changed"


def test_what_is_missing_is_an_error_of_ours(ground: Ground) -> None:
    """BlobMissing for a blob, and for a model whose manifest is not there."""
    with pytest.raises(BlobMissing):
        ground.open().open_blob(Digest("0" * 64))
    for name in ("other", "llama3:other", "host/ns/model"):
        with pytest.raises(BlobMissing):
            ground.open().read_manifest(ModelName.parse(name))


def test_damage_is_found_and_never_raised(ground: Ground) -> None:
    """A damaged manifest is a finding of the inventory, its blobs are orphans, and only its own reading fails."""
    manifest = next(path for path in ground.root.rglob("*") if path.is_file() and path.read_bytes() == ground.raw)
    manifest.write_bytes(b"")
    found = ground.open().inventory()
    assert found.models == {}
    assert {type(finding) for finding in found.findings} == {ManifestDamaged, Orphan}
    with pytest.raises(BadManifest):
        ground.open().read_manifest(LLAMA)


def test_what_is_no_plain_file_is_odd(ground: Ground) -> None:
    """It is no blob, and is not opened (T1)."""
    ground.file.unlink()
    ground.file.symlink_to("elsewhere")
    store = ground.open()
    assert store.inventory().odd == {ground.blob: "symlink"}
    with pytest.raises(NotARegularFile):
        store.open_blob(ground.blob)


def test_a_store_is_known_by_its_folder(ground: Ground) -> None:
    """Path and identity, however it was opened (I1); the owner is that of the blobs."""
    store, found = ground.open(), ground.root.stat()
    assert store.path == store.identity().path == str(ground.root)
    assert (store.identity().inode, store.identity().device) == (found.st_ino, found.st_dev)
    assert store.default_owner() == Owner(found.st_uid, found.st_gid, 0o644)


def test_reading_changes_nothing(ground: Ground) -> None:
    """Not even a folder for our own things is made."""
    before = fingerprint(ground.root)
    store = ground.open()
    store.inventory()
    store.read_manifest(LLAMA)
    read(store, ground.blob)
    assert fingerprint(ground.root) == before


# Writing.


def test_a_placed_blob_is_the_blob(ground: Ground) -> None:
    """Exact bytes under its name, new or in the place of damaged ones, which are kept (R1)."""
    ground.file.unlink()
    for damage in (b"", b"rotten"):
        ground.file.write_bytes(damage)
        ground.clock.advance(minutes=1)
        with ground.open().writing() as writer:
            place(writer, ground.blob, WEIGHTS)
        assert read(ground.open(), ground.blob) == WEIGHTS
    kept = [path for path in ground.root.rglob("*") if path.is_file() and path.read_bytes() == b"rotten"]
    assert len(kept) == 1
    assert ground.open().inventory().findings == ()


def test_a_patched_blob_is_the_same_file(ground: Ground) -> None:
    """Whoever has it open or mapped sees the good bytes; what they replaced is kept first (R1, R3)."""
    rotten = WEIGHTS[:CHUNK] + bytes(CHUNK) + WEIGHTS[2 * CHUNK :]
    ground.file.write_bytes(rotten)
    inode = ground.file.stat().st_ino
    with ground.open().writing() as writer:
        fd = writer.open_for_patch(ground.blob)
        writer.keep_undo(ground.blob, fd, (Span(CHUNK, CHUNK),))
        writer.patch(fd, CHUNK, memoryview(WEIGHTS)[CHUNK : 2 * CHUNK])
        writer.sync(fd)
        os.close(fd)
    assert (ground.file.read_bytes(), ground.file.stat().st_ino) == (WEIGHTS, inode)
    others = [path for path in ground.root.rglob("*") if path.is_file() and path != ground.file]
    assert any(path.read_bytes().endswith(bytes(CHUNK)) for path in others)


def test_a_manifest_comes_back_as_it_was(ground: Ground) -> None:
    """Byte by byte, last of all; the model is served again."""
    found = ground.open().inventory().models[LLAMA]
    manifest = next(path for path in ground.root.rglob("*") if path.is_file() and path.read_bytes() == ground.raw)
    manifest.unlink()
    assert ground.open().inventory().models == {}
    with ground.open().writing() as writer:
        writer.put_manifest(LLAMA, ground.raw, found.owner)
    assert ground.open().inventory().models[LLAMA] == found


def test_nothing_staged_is_seen_or_left(ground: Ground) -> None:
    """A staged file is no blob, whatever becomes of it (G1, W1)."""
    before = ground.open().inventory()
    with ground.open().writing() as writer:
        staged = writer.stage(100)
        staged.write_at(memoryview(bytes(100)), 100, 0)
        assert ground.open().inventory() == before
        staged.discard()
        staged.discard()
        writer.stage(100)
    with ground.open().writing():
        pass
    assert ground.open().inventory() == before
    assert not [path for path in ground.root.rglob("*") if path.is_file() and path.stat().st_size == 100]


def test_a_copy_that_will_not_fit_does_not_begin(ground: Ground) -> None:
    """DiskFull at the first write, and the store is as before (D1)."""
    with ground.open().writing() as writer:
        staged = writer.stage(1 << 42)
        with pytest.raises(DiskFull) as caught:
            staged.write_at(memoryview(bytes(5)), 5, 0)
        staged.discard()
    assert caught.value.next_step


def test_what_was_set_aside_goes_with_a_later_proof(ground: Ground) -> None:
    """And never before (R1); the freed bytes are counted."""
    ground.file.write_bytes(b"rotten")
    at = int(BEGIN.timestamp())
    with ground.open().writing() as writer:
        place(writer, ground.blob, WEIGHTS)
        assert writer.release_quarantine({}) == 0
        assert writer.release_quarantine({ground.blob.hex: at}) == 0
        assert writer.release_quarantine({ground.blob.hex: at + 1}) == len(b"rotten")
        assert writer.release_quarantine({ground.blob.hex: at + 1}) == 0


def test_owner_and_mode_are_given_back(ground: Ground) -> None:
    """Without a byte being touched (R5)."""
    ground.file.chmod(0o700)
    with ground.open().writing() as writer:
        writer.fix_owner(ground.blob, ground.open().default_owner())
    assert ground.open().inventory().blobs[ground.blob].owner == ground.open().default_owner()
    assert read(ground.open(), ground.blob) == WEIGHTS


def test_one_writer_at_a_time(ground: Ground) -> None:
    """The second one is told so with a next step; the right is given back by every way out (L1)."""
    with ground.open().writing(), pytest.raises(Locked) as caught, ground.open().writing():
        pass
    assert caught.value.next_step
    with pytest.raises(ModelwardError), ground.open().writing() as writer:
        writer.open_for_patch(Digest("0" * 64))
    with ground.open().writing():
        pass


# Aside and back, and space.


def test_a_file_goes_aside_and_comes_back(ground: Ground) -> None:
    """With its bytes, so that a download may take its place; never over one that did (R1, R4)."""
    before = ground.file.read_bytes()
    with ground.open().writing() as writer:
        aside = writer.set_aside(ground.blob)
        assert not ground.file.exists()
        writer.put_back(ground.blob, aside)
        assert ground.file.read_bytes() == before
        aside = writer.set_aside(ground.blob)
        ground.file.write_bytes(b"new")
        writer.put_back(ground.blob, aside)
    assert ground.file.read_bytes() == b"new"


def test_space_is_asked_for_before(ground: Ground) -> None:
    """More than the disk has raises DiskFull (D1)."""
    with ground.open().writing() as writer:
        writer.require_space({ground.blob: 1})
        with pytest.raises(DiskFull):
            writer.require_space({ground.blob: 1 << 60})
    space = ground.open().space()
    assert 0 < space.free <= space.total


def test_reclaimed_files_are_gone(ground: Ground) -> None:
    """Those that were named, and nothing else."""
    partial = ground.file.parent / "sha256-x-partial"
    partial.write_bytes(b"x" * 100)
    other = ground.file.parent / "sha256-y-partial"
    other.write_bytes(b"y")
    with ground.open().writing() as writer:
        assert writer.reclaim([ground.blob], [partial.name], 0) > 0
    assert not ground.file.exists()
    assert not partial.exists()
    assert other.exists()
