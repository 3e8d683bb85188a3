"""Writing into an Ollama store: all of ours in one folder, nothing lost, and the owner's rights given back."""

import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BlobMissing,
    DiskFull,
    Locked,
    ModelwardError,
    NotARegularFile,
    StorageError,
    WriteFailed,
)
from modelward.domain.name import ModelName
from modelward.domain.store import Owner
from modelward.ports import StoreWriter
from modelward.stores.ollama import OllamaStore
from modelward.stores.ollama_writer import StoreLimits
from modelward.testing import FakeStore, FrozenClock, fingerprint
from tests.faults.scripted import ScriptedOs, count_calls
from tests.kinds import KINDS, at_most, put
from tests.places import BEGIN
from tests.privileges import unprivileged
from tests.recorder import RecordingOs

GOOD, BAD = b"good weights", b"rotten bytes"
LLAMA = ModelName.parse("llama3")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def fake(tmp_path: Path) -> FakeStore:
    """An empty store."""
    return FakeStore(tmp_path / "models")


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still."""
    return FrozenClock(BEGIN)


@pytest.fixture(autouse=True)
def _never_for_ever() -> Iterator[None]:
    """No call of these tests may hang."""
    with at_most(30):
        yield


def opened(fake: FakeStore, clock: FrozenClock, *, reserve: int = 0) -> OllamaStore:
    """The store as a new process opens it."""
    return OllamaStore.open(fake.root, clock=clock, limits=StoreLimits(lock_wait=0, reserve=reserve))


def place(writer: StoreWriter, data: bytes, blob: Digest) -> None:
    """Put bytes under a blob's name, as the healer does."""
    staged = writer.stage(len(data))
    try:
        staged.write_at(memoryview(data), len(data), 0)
        writer.publish_blob(staged, blob)
    finally:
        staged.discard()


def below(root: Path, kept: str) -> dict[str, bytes]:
    """What lies in one of our folders, by name."""
    return {path.name: path.read_bytes() for path in (root / ".modelward" / kept).iterdir() if path.is_file()}


def inside(folder: Path) -> list[str]:
    """The names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def rotten(fake: FakeStore) -> Digest:
    """A blob of the store whose file holds other bytes."""
    blob = fake.add_blob(GOOD)
    fake.blob_path(blob).write_bytes(BAD)
    return Digest(blob)


# Blobs.


def test_a_new_blob_is_there_as_the_runtime_wants_it(fake: FakeStore, clock: FrozenClock) -> None:
    """Exact bytes, mode 0644 whatever the umask says, and a fresh mtime that the start-up prune spares (R3, R5)."""
    blob = Digest(fake.add_blob(GOOD))
    fake.delete_blob(blob.hex)
    began, umask = time.time() - 2, os.umask(0o077)
    try:
        with opened(fake, clock).writing() as writer:
            place(writer, GOOD, blob)
    finally:
        os.umask(umask)
    found = fake.blob_path(blob.hex).stat()
    assert fake.blob_path(blob.hex).read_bytes() == GOOD
    assert stat.S_IMODE(found.st_mode) == 0o644
    assert found.st_mtime >= began


def test_nothing_of_ours_lies_in_the_runtimes_folders(fake: FakeStore, clock: FrozenClock) -> None:
    """While a file is staged and afterwards: all of it is below .modelward, three levels deep at most (G1)."""
    blob = rotten(fake)
    before = fingerprint(fake.root, ignore=".modelward")
    with opened(fake, clock).writing() as writer:
        staged = writer.stage(100)
        staged.write_at(memoryview(bytes(100)), 100, 0)
        assert fingerprint(fake.root, ignore=".modelward") == before
        assert len(below(fake.root, "staging")) == 1
        staged.discard()
        place(writer, GOOD, blob)
        writer.put_manifest(LLAMA, b"{}", None)
    assert inside(fake.root) == [".modelward", "blobs", "manifests"]
    assert inside(fake.root / "blobs") == [f"sha256-{blob.hex}"]
    assert [path.name for path in (fake.root / "manifests").glob("*/*/*/*")] == ["latest"]
    assert inside(fake.root / ".modelward") == ["lock", "quarantine", "staging"]
    assert stat.S_IMODE((fake.root / ".modelward").stat().st_mode) == 0o700


def test_what_stood_under_the_name_is_kept(fake: FakeStore, clock: FrozenClock) -> None:
    """The same file, by its inode, lies in quarantine; a reader that has it open goes on reading (R1)."""
    blob = rotten(fake)
    inode = fake.blob_path(blob.hex).stat().st_ino
    with fake.blob_path(blob.hex).open("rb") as reader:
        with opened(fake, clock).writing() as writer:
            place(writer, GOOD, blob)
        assert reader.read() == BAD
    (kept,) = (fake.root / ".modelward" / "quarantine").iterdir()
    assert (kept.read_bytes(), kept.stat().st_ino) == (BAD, inode)
    assert kept.name == f"sha256-{blob.hex}.20260105T120000Z"
    assert fake.blob_path(blob.hex).read_bytes() == GOOD


def test_two_repairs_in_one_second_keep_both(fake: FakeStore, clock: FrozenClock) -> None:
    """Each of the replaced files can be looked at (R1)."""
    blob = rotten(fake)
    with opened(fake, clock).writing() as writer:
        place(writer, GOOD, blob)
        fake.blob_path(blob.hex).write_bytes(b"rotten again")
        place(writer, GOOD, blob)
    assert sorted(below(fake.root, "quarantine").values()) == [b"rotten again", BAD]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_replaced_and_kept(fake: FakeStore, clock: FrozenClock, kind: str) -> None:
    """A link is set aside itself, and what it leads to is not touched; a folder moves with what is in it."""
    blob, secret = Digest(fake.add_blob(GOOD)), fake.root.parent / "secret"
    fake.delete_blob(blob.hex)
    put(kind, fake.blob_path(blob.hex), secret)
    with opened(fake, clock).writing() as writer:
        with pytest.raises(NotARegularFile if kind != "folder" else ModelwardError):
            writer.open_for_patch(blob)
        place(writer, GOOD, blob)
    assert fake.blob_path(blob.hex).read_bytes() == GOOD
    assert not fake.blob_path(blob.hex).is_symlink()
    assert len(inside(fake.root / ".modelward" / "quarantine")) == 1
    assert kind != "symlink" or secret.read_bytes() == b"secret"


def test_a_file_that_was_staged_elsewhere_is_refused(fake: FakeStore, clock: FrozenClock) -> None:
    """Only a file beside the store's blobs can take a name there in one step."""

    class Foreign:
        """Looks like a staged file."""

        fd = -1
        have: frozenset[int] = frozenset()

        def write_at(self, view: memoryview, length: int, offset: int) -> None:
            """Take it."""

        def clone_from(self, fd: int) -> bool:
            """Say no."""
            return fd < 0

        def discard(self) -> None:
            """Do nothing."""

        drop = discard

    with opened(fake, clock).writing() as writer, pytest.raises(WriteFailed):
        writer.publish_blob(Foreign(), Digest("0" * 64))


def test_a_copy_that_will_not_fit_does_not_begin(fake: FakeStore, clock: FrozenClock) -> None:
    """The first write asks for all of the room, with the reserve (D1)."""
    with opened(fake, clock).writing() as writer:
        staged = writer.stage(1 << 42)
        with pytest.raises(DiskFull) as caught:
            staged.write_at(memoryview(bytes(10)), 10, 0)
        staged.discard()
        assert below(fake.root, "staging") == {}
    assert caught.value.next_step


# Patching in place.


def test_a_patch_keeps_the_old_bytes_first(
    fake: FakeStore, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The undo record is durable before the first byte changes, and the inode stays: a mapped file heals (R1, R3)."""
    data = os.urandom(3 * CHUNK + 100)
    blob = Digest(fake.add_blob(data))
    inode = fake.blob_path(blob.hex).stat().st_ino
    spans = (Span(CHUNK, CHUNK), Span(3 * CHUNK, 100))
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        with opened(fake, clock).writing() as writer:
            fd = writer.open_for_patch(blob)
            writer.keep_undo(blob, fd, spans)
            kept = system.calls[:]
            writer.patch(fd, CHUNK, memoryview(bytes(CHUNK)))
            writer.sync(fd)
            os.close(fd)
    assert kept[-3:] == ["fsync staged", f"rename sha256-{blob.hex}.20260105T120000Z.undo", "fsync quarantine"]
    assert system.calls[len(kept) :] == [f"pwrite sha256-{blob.hex}", f"fsync sha256-{blob.hex}"]
    assert fake.blob_path(blob.hex).read_bytes() == data[:CHUNK] + bytes(CHUNK) + data[2 * CHUNK :]
    assert fake.blob_path(blob.hex).stat().st_ino == inode
    assert undone(fake, blob) == (len(data), {CHUNK: data[CHUNK : 2 * CHUNK], 3 * CHUNK: data[3 * CHUNK :]})


def undone(fake: FakeStore, blob: Digest) -> tuple[int, Mapping[int, bytes]]:
    """What the one undo record says: the file's size and the old bytes by offset (64 KiB of header, then bytes)."""
    (record,) = (data for name, data in below(fake.root, "quarantine").items() if name.endswith(".undo"))
    header = json.loads(record[: 1 << 16].rstrip(b"\0"))
    assert header["blob"] == str(blob)
    at, parts = 1 << 16, {}
    for offset, length in header["spans"]:
        parts[offset] = record[at : at + length]
        at += length
    assert at == len(record)
    return header["size"], parts


@pytest.mark.parametrize("size", [0, CHUNK + 5, 2 * CHUNK])
def test_an_undo_record_of_a_truncated_file(fake: FakeStore, clock: FrozenClock, size: int) -> None:
    """It says how long the file was and keeps what there was of the spans."""
    blob, data = Digest(fake.add_blob(GOOD)), os.urandom(size)
    fake.blob_path(blob.hex).write_bytes(data)
    with opened(fake, clock).writing() as writer:
        fd = writer.open_for_patch(blob)
        writer.keep_undo(blob, fd, (Span(CHUNK, 2 * CHUNK),))
        os.close(fd)
    assert undone(fake, blob) == (size, {CHUNK: data[CHUNK:]} if size > CHUNK else {})


def test_an_undo_record_of_many_spans(fake: FakeStore, clock: FrozenClock) -> None:
    """Damage all over a large blob can be undone as well (R3)."""
    data = os.urandom(4096)
    blob = Digest(fake.add_blob(data))
    with opened(fake, clock).writing() as writer:
        fd = writer.open_for_patch(blob)
        writer.keep_undo(blob, fd, tuple(Span(2 * n, 1) for n in range(1500)))
        os.close(fd)
    assert undone(fake, blob)[1] == {2 * n: data[2 * n : 2 * n + 1] for n in range(1500)}


def test_two_patches_in_one_second_keep_both(fake: FakeStore, clock: FrozenClock) -> None:
    """The second undo record does not take the place of the first (R1)."""
    blob = Digest(fake.add_blob(GOOD))
    with opened(fake, clock).writing() as writer:
        fd = writer.open_for_patch(blob)
        for _ in range(2):
            writer.keep_undo(blob, fd, (Span(0, len(GOOD)),))
            writer.patch(fd, 0, memoryview(BAD))
        os.close(fd)
    assert {data[1 << 16 :] for data in below(fake.root, "quarantine").values()} == {GOOD, BAD}


def test_a_missing_blob_cannot_be_patched(fake: FakeStore, clock: FrozenClock) -> None:
    """There is nothing to write over."""
    with opened(fake, clock).writing() as writer, pytest.raises(BlobMissing):
        writer.open_for_patch(Digest("0" * 64))


# Manifests.


@pytest.mark.parametrize("raw", [b'{"schemaVersion":2}', b'{ "schemaVersion" : 2 }\n\n', b""])
def test_a_manifest_comes_back_byte_by_byte(fake: FakeStore, clock: FrozenClock, raw: bytes) -> None:
    """With the folders that its name needs, readable by the runtime (R3)."""
    name = ModelName.parse("localhost:5000/team/model:v1")
    with opened(fake, clock).writing() as writer:
        writer.put_manifest(name, raw, None)
    path = fake.manifest_path("localhost:5000/team/model:v1")
    assert path.read_bytes() == raw
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    folders = [folder for folder in path.parents if folder.is_relative_to(fake.root / "manifests")]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o755}


@pytest.mark.parametrize(("mode", "given"), [(0o640, 0o640), (0o600, 0o600), (0o000, 0o644), (0o200, 0o644)])
def test_a_manifest_gets_the_mode_that_it_had(fake: FakeStore, clock: FrozenClock, mode: int, given: int) -> None:
    """Unless nobody could read it then (R5)."""
    with opened(fake, clock).writing() as writer:
        writer.put_manifest(LLAMA, b"{}", Owner(0, 0, mode))
    assert stat.S_IMODE(fake.manifest_path("llama3").stat().st_mode) == given


def test_a_manifest_is_durable_before_it_has_its_name(
    fake: FakeStore, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ollama itself writes manifests in place without an fsync; ours is whole or not there (W1)."""
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        with opened(fake, clock).writing() as writer:
            done = len(system.calls)
            writer.put_manifest(LLAMA, b"{}", None)
    calls = [call for call in system.calls[done:] if call.split()[0] in ("pwrite", "fsync", "rename", "link")]
    assert calls[-4:] == ["pwrite staged", "fsync staged", "rename latest", "fsync llama3"]


def test_the_manifest_that_stood_there_is_kept(fake: FakeStore, clock: FrozenClock) -> None:
    """Damaged or not: its bytes lie in quarantine (R1)."""
    fake.add_manifest("llama3", b"damaged")
    with opened(fake, clock).writing() as writer:
        writer.put_manifest(LLAMA, b"{}", None)
    assert list(below(fake.root, "quarantine").values()) == [b"damaged"]
    assert fake.manifest_path("llama3").read_bytes() == b"{}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_replaces_what_is_no_file(fake: FakeStore, clock: FrozenClock, kind: str) -> None:
    """What stood there is kept, whatever it is; a link is not written through."""
    path, secret = fake.add_manifest("llama3", b""), fake.root.parent / "secret"
    path.unlink()
    put(kind, path, secret)
    with opened(fake, clock).writing() as writer:
        writer.put_manifest(LLAMA, b"{}", None)
    assert path.read_bytes() == b"{}"
    assert len(inside(fake.root / ".modelward" / "quarantine")) == 1
    assert kind != "symlink" or secret.read_bytes() == b"secret"


@pytest.mark.parametrize("name", ["LLAMA3", "llama3:LATEST", "Library/llama3", "Registry.Ollama.AI/library/llama3"])
def test_a_twin_is_never_made(fake: FakeStore, clock: FrozenClock, name: str) -> None:
    """Two names that differ in case only are one file elsewhere: refused, with what to do (T1)."""
    fake.add_manifest("llama3", b"{}")
    before = fingerprint(fake.root / "manifests")
    with opened(fake, clock).writing() as writer, pytest.raises(WriteFailed, match="in case only") as caught:
        writer.put_manifest(ModelName.parse(name), b"{}", None)
    assert caught.value.next_step
    assert fingerprint(fake.root / "manifests") == before


def test_a_name_that_is_there_is_no_twin(fake: FakeStore, clock: FrozenClock) -> None:
    """Where two twins are served already, each can be given back."""
    for name in ("llama3", "Llama3"):
        fake.add_manifest(name, b"damaged")
    with opened(fake, clock).writing() as writer:
        writer.put_manifest(ModelName.parse("Llama3"), b"{}", None)
    assert fake.manifest_path("Llama3").read_bytes() == b"{}"
    assert fake.manifest_path("llama3").read_bytes() == b"damaged"


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_no_manifest_is_put_behind_a_link(fake: FakeStore, clock: FrozenClock, depth: int) -> None:
    """A folder of the name that is a link leads out of the store: refused, and nothing is written there (T1)."""
    outside = fake.root.parent / "outside"
    (outside / "inner").mkdir(parents=True)
    path = fake.root.joinpath("manifests", *LLAMA.parts[:depth])
    if depth == 0:
        path.rmdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside)
    with opened(fake, clock).writing() as writer, pytest.raises(NotARegularFile):
        writer.put_manifest(LLAMA, b"{}", None)
    assert inside(outside) == ["inner"]


# Owners (R5).


@as_root
def test_everything_belongs_to_the_owner_of_the_blobs(fake: FakeStore, clock: FrozenClock) -> None:
    """Root repairs the store of the service's user: blobs, manifests, folders and what is kept are that user's."""
    blob = rotten(fake)
    for path in (fake.root, *fake.root.rglob("*")):
        os.chown(path, 1234, 1234)
    with opened(fake, clock).writing() as writer:
        place(writer, GOOD, blob)
        writer.put_manifest(LLAMA, b"{}", Owner(0, 0, 0o600))
        fd = writer.open_for_patch(blob)
        os.close(fd)
    found = {path: (path.lstat().st_uid, path.lstat().st_gid) for path in fake.root.rglob("*") if path.name != "lock"}
    assert {path for path, owner in found.items() if owner != (1234, 1234)} == set()


@as_root
def test_a_store_without_a_blobs_folder_belongs_to_its_owner(fake: FakeStore, clock: FrozenClock) -> None:
    """The folder is made, and is the user's whose store it is."""
    (fake.root / "blobs").rmdir()
    os.chown(fake.root, 1234, 1235)
    with opened(fake, clock).writing() as writer:
        place(writer, GOOD, Digest("0" * 64))
    for path in (fake.root / "blobs", fake.blob_path("0" * 64)):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
    assert stat.S_IMODE((fake.root / "blobs").stat().st_mode) == 0o755


@as_root
def test_a_wrong_owner_is_mended(fake: FakeStore, clock: FrozenClock) -> None:
    """Owner, group and mode, and not a byte."""
    blob = fake.add_blob(GOOD)
    fake.blob_path(blob).chmod(0)
    with opened(fake, clock).writing() as writer:
        writer.fix_owner(Digest(blob), Owner(1234, 1235, 0o640))
    found = fake.blob_path(blob).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 1235, 0o640)
    assert fake.blob_path(blob).read_bytes() == GOOD


def test_the_owner_may_give_itself_the_right_to_read(fake: FakeStore, clock: FrozenClock) -> None:
    """A blob of mode 0 is mended without root: whoever owns a file may change its mode (R5)."""
    blob = fake.add_blob(GOOD)
    fake.blob_path(blob).chmod(0)
    store = opened(fake, clock)
    with unprivileged(fake.root), store.writing() as writer:
        writer.fix_owner(Digest(blob), store.default_owner())
    assert stat.S_IMODE(fake.blob_path(blob).stat().st_mode) == 0o644


# Quarantine.


def test_what_was_replaced_is_kept_until_a_later_proof(fake: FakeStore, clock: FrozenClock) -> None:
    """A proof of the same second or before says nothing of what was set aside then; a later one does (R1)."""
    blob, now = rotten(fake), int(BEGIN.timestamp())
    with opened(fake, clock).writing() as writer:
        place(writer, GOOD, blob)
        for proved in ({}, {blob.hex: now - 60}, {blob.hex: now}, {"0" * 64: now + 60}):
            assert writer.release_quarantine(proved) == 0
        assert list(below(fake.root, "quarantine").values()) == [BAD]
        assert writer.release_quarantine({blob.hex: now + 1}) == len(BAD)
    assert below(fake.root, "quarantine") == {}
    assert fake.blob_path(blob.hex).read_bytes() == GOOD


def test_undo_records_and_manifests_go_with_later_proofs(fake: FakeStore, clock: FrozenClock) -> None:
    """An undo record with its own blob's, a manifest with any: it has no bytes to prove."""
    blob, now = Digest(fake.add_blob(GOOD)), int(BEGIN.timestamp())
    fake.add_manifest("llama3", b"damaged")
    with opened(fake, clock).writing() as writer:
        fd = writer.open_for_patch(blob)
        writer.keep_undo(blob, fd, (Span(0, 5),))
        os.close(fd)
        writer.put_manifest(LLAMA, b"{}", None)
        writer.release_quarantine({"0" * 64: now + 60})
        assert [name for name in below(fake.root, "quarantine") if not name.endswith(".undo")] == []
        assert len(below(fake.root, "quarantine")) == 1
        writer.release_quarantine({blob.hex: now + 60})
    assert below(fake.root, "quarantine") == {}


def test_what_somebody_else_put_into_quarantine_stays(fake: FakeStore, clock: FrozenClock) -> None:
    """A name that is not of ours has no date: it is left alone."""
    with opened(fake, clock).writing() as writer:
        (fake.root / ".modelward" / "quarantine" / "notes.txt").write_bytes(b"mine")
        assert writer.release_quarantine({"0" * 64: int(BEGIN.timestamp()) + 60}) == 0
    assert below(fake.root, "quarantine") == {"notes.txt": b"mine"}


def test_a_folder_in_quarantine_does_not_keep_prune_from_working(fake: FakeStore, clock: FrozenClock) -> None:
    """A folder that stood under a blob's name was set aside with what is in it: the rest is freed all the same."""
    blob, other = Digest(fake.add_blob(GOOD)), rotten_second(fake)
    fake.delete_blob(blob.hex)
    (fake.blob_path(blob.hex) / "inner").mkdir(parents=True)
    with opened(fake, clock).writing() as writer:
        place(writer, GOOD, blob)
        place(writer, b"second", other)
        freed = writer.release_quarantine(dict.fromkeys((blob.hex, other.hex), int(BEGIN.timestamp()) + 60))
    assert freed >= len(BAD)
    assert below(fake.root, "quarantine") == {}


def rotten_second(fake: FakeStore) -> Digest:
    """Another blob with other bytes."""
    blob = fake.add_blob(b"second")
    fake.blob_path(blob).write_bytes(BAD)
    return Digest(blob)


# Locks, and what a killed writer leaves.


def test_a_second_writer_is_refused(fake: FakeStore, clock: FrozenClock) -> None:
    """Named, with what to do; reading goes on (L1)."""
    with opened(fake, clock).writing():
        with pytest.raises(Locked) as caught, opened(fake, clock).writing():
            pass
        assert f"pid {os.getpid()}" in caught.value.what
        assert caught.value.next_step
        assert opened(fake, clock).inventory().models == {}
    with opened(fake, clock).writing():
        pass


def test_what_a_killed_writer_left_in_staging_goes(fake: FakeStore, clock: FrozenClock) -> None:
    """Swept when the next one begins, and never while somebody holds the lock."""
    with opened(fake, clock).writing() as writer:
        writer.stage(10)
        with pytest.raises(Locked), opened(fake, clock).writing():
            pass
        assert len(below(fake.root, "staging")) == 1
    with opened(fake, clock).writing():
        assert below(fake.root, "staging") == {}


def patched(writer: StoreWriter, blob: Digest) -> None:
    """Keep the old bytes, write new ones over them."""
    fd = writer.open_for_patch(blob)
    try:
        writer.keep_undo(blob, fd, (Span(0, len(BAD)),))
        writer.patch(fd, 0, memoryview(GOOD))
        writer.sync(fd)
    finally:
        os.close(fd)


WORKS: dict[str, Callable[[StoreWriter, Digest], None]] = {
    "blob": lambda writer, blob: place(writer, GOOD, blob),
    "manifest": lambda writer, _blob: writer.put_manifest(LLAMA, b"{}", None),
    "undo": patched,
}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_failure_at_any_point_loses_nothing(
    tmp_path: Path,
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[StoreWriter, Digest], None],
    error: int,
) -> None:
    """A typed error with a next step or the work done, no staged file, and the old or the new bytes in place (W1)."""

    def attempt(base: Path) -> None:
        fake = FakeStore(base)
        with opened(fake, clock).writing() as writer:
            work(writer, Digest(next(base.glob("blobs/*")).name[7:]))

    total = count_calls(monkeypatch, lambda: attempt(prepared(tmp_path / "probe")))
    for at in range(1, total + 1):
        base = prepared(tmp_path / f"at{at}")
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at, error=error))
            try:
                attempt(base)
            except StorageError as problem:
                assert problem.next_step
        blob = next(base.glob("blobs/*"))
        manifest = base / "manifests" / Path(*LLAMA.parts)
        assert blob.read_bytes() in (GOOD, BAD)
        assert manifest.read_bytes() in (b"{}", b"damaged")
        if blob.read_bytes() == GOOD:
            assert any(BAD in data for data in below(base, "quarantine").values())
        if manifest.read_bytes() == b"{}":
            assert b"damaged" in below(base, "quarantine").values()
        assert not (base / ".modelward" / "staging").exists() or below(base, "staging") == {}


def prepared(base: Path) -> Path:
    """A store with one rotten blob and one damaged manifest."""
    fake = FakeStore(base)
    rotten(fake)
    fake.add_manifest("llama3", b"damaged")
    return base
