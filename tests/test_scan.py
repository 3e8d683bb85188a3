"""One pass over a blob: exact hashes in every mode, damage seen twice, memory bounded, nothing left behind."""

import errno
import hashlib
import mmap
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward import scan
from modelward.domain.chunks import CHUNK, ChunkList, count
from modelward.domain.digest import Digest
from modelward.domain.errors import DiskFull, Interrupted, SourceFailed
from modelward.domain.reading import ReadMode
from modelward.scan import BlobFile, Pace, Reading, check_chunks, copy_checked, copy_whole, file_id, hash_whole
from modelward.testing import FrozenClock, corrupt
from tests.disks import mounted
from tests.places import BEGIN, Notes

SIZES = (0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7)
SIX = 5 * CHUNK + 4097
Read = Callable[[int, Sequence[memoryview], int], int]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Whatever happens, every thread has ended when the call comes back."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def blob(tmp_path: Path) -> Iterator["Blob"]:
    """A file of six chunks, the last one short."""
    blob = Blob(tmp_path / "blob", SIX)
    yield blob
    blob.close()


class Blob:
    """A file of random bytes, open for reading, with its chunk list."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.data = path, random.Random(size).randbytes(size)
        path.write_bytes(self.data)
        self.fd = os.open(path, os.O_RDONLY)
        self.list = ChunkList(blob=Digest("0" * 64), size=size, hashes=hashes_of(self.data))

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


class Copy:
    """A sink that keeps what it is given, and where."""

    def __init__(self, size: int) -> None:
        self.data, self.offsets = bytearray(size), list[int]()

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Keep it."""
        self.data[offset : offset + length] = view[:length]
        self.offsets.append(offset)


def hashes_of(data: bytes) -> bytes:
    """The chunks' hashes, by the plainest code."""
    return b"".join(blake3(data[at : at + CHUNK]).digest() for at in range(0, len(data), CHUNK))


def reading(mode: ReadMode = ReadMode.DIRECT, threads: int = 2, *, rate: int = 0) -> Reading:
    """How to read, on a clock that stands still."""
    clock = FrozenClock(BEGIN)
    return Reading(clock=clock, progress=Notes(), pace=Pace(clock, rate), mode=mode, threads=threads)


def lies(monkeypatch: pytest.MonkeyPatch, lie: Callable[[int, memoryview, int], int]) -> None:
    """Let every read of the system pass through ``lie``: bytes read, the buffer, the offset; what it returns counts."""
    real = os.preadv

    def preadv(fd: int, views: Sequence[memoryview], offset: int) -> int:
        return lie(real(fd, views, offset), views[0], offset)

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)


# Hashes.


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ReadMode)
@pytest.mark.parametrize("size", SIZES)
def test_hashes_are_those_of_the_standard_tools(tmp_path: Path, size: int, mode: ReadMode, threads: int) -> None:
    """SHA-256 of the whole and BLAKE3 of each chunk, at every border, in every mode, by any number of threads.

    A blob of one chunk at most has no chunk list: its SHA-256 says as much.
    """
    blob = Blob(tmp_path / "blob", size)
    copy, how = Copy(size), reading(mode, threads)
    checked = hash_whole(blob.fd, size, how, sink=copy, chunks=True)
    assert checked.sha256 == hashlib.sha256(blob.data).hexdigest()
    assert checked.hashes == (hashes_of(blob.data) if size > CHUNK else b"")
    assert copy.data == blob.data
    assert (checked.bytes_read, checked.next_chunk, checked.changed) == (size, count(size), False)
    assert checked.file == file_id(blob.fd)
    assert isinstance(how.progress, Notes)
    assert how.progress.done == size
    blob.close()


@pytest.mark.parametrize("mode", ReadMode)
@pytest.mark.parametrize("size", [1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_a_file_shorter_than_its_blob_has_no_hash(tmp_path: Path, size: int, mode: ReadMode) -> None:
    """Bytes that are not there prove nothing."""
    blob = Blob(tmp_path / "blob", size)
    corrupt.truncate(blob.path, size - 1)
    assert hash_whole(blob.fd, size, reading(mode)).sha256 == ""
    assert copy_whole(BlobFile(blob.fd, mode).fill, size, Copy(size), reading(mode)) == ""
    blob.close()


@pytest.mark.parametrize("size", [5, 2 * CHUNK + 5])
def test_a_file_longer_than_its_blob_is_read_up_to_its_size(tmp_path: Path, size: int) -> None:
    """What is behind the blob's end does not belong to it; the caller sees the file's size."""
    blob = Blob(tmp_path / "blob", size)
    corrupt.extend(blob.path, b"more")
    assert hash_whole(blob.fd, size, reading()).sha256 == hashlib.sha256(blob.data).hexdigest()
    blob.close()


def test_the_mode_that_was_used_is_said(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may refuse O_DIRECT at once, or take it and refuse the read: pages are dropped instead (V1)."""
    wanted = hashlib.sha256(blob.data).hexdigest()
    refused: list[int] = []

    def refuse(got: int, _: memoryview, offset: int) -> int:
        if not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return got

    with monkeypatch.context() as patch:
        lies(patch, refuse)
        checked = hash_whole(blob.fd, SIX, reading(threads=1))
        assert (checked.mode, checked.sha256) == (ReadMode.DROPPED, wanted)
    with monkeypatch.context() as patch:
        patch.setattr("modelward.scan._set_direct", lambda _: False)
        checked = hash_whole(blob.fd, SIX, reading())
        assert (checked.mode, checked.sha256) == (ReadMode.DROPPED, wanted)
    assert hash_whole(blob.fd, SIX, reading(ReadMode.CACHED)).mode is ReadMode.CACHED


def test_one_descriptor_is_read_in_one_mode_after_the_other(blob: Blob) -> None:
    """Past the page cache first, then through it: the flag of the first read must not stand in the second's way."""
    for mode in (ReadMode.DIRECT, ReadMode.CACHED, ReadMode.DROPPED, ReadMode.DIRECT):
        assert hash_whole(blob.fd, SIX, reading(mode)).sha256 == hashlib.sha256(blob.data).hexdigest()


# Chunk lists.


@pytest.mark.parametrize("mode", ReadMode)
def test_exactly_the_damaged_chunks_are_found(tmp_path: Path, mode: ReadMode) -> None:
    """One bit, anywhere in any set of chunks: these chunks are bad and no others."""
    blob = Blob(tmp_path / "blob", SIX)

    @settings(max_examples=25, deadline=None)
    @given(damage=st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 4096), st.integers(0, 7))))
    def run(damage: dict[int, tuple[int, int]]) -> None:
        blob.path.write_bytes(blob.data)
        for index, (place, bit) in damage.items():
            corrupt.flip_bit(blob.path, index * CHUNK + place, bit)
        with blob.path.open("rb", buffering=0) as file:
            checked = check_chunks(file.fileno(), blob.list, reading(mode))
        assert checked.bad == tuple(sorted(damage))
        assert (checked.unstable, checked.unreadable, checked.next_chunk) == ((), {}, 6)

    run()
    blob.close()


@pytest.mark.parametrize("mode", ReadMode)
@pytest.mark.parametrize(
    ("size", "bad"),
    [
        (0, (0, 1, 2, 3, 4, 5)),
        (1, (0, 1, 2, 3, 4, 5)),
        (2 * CHUNK, (2, 3, 4, 5)),
        (2 * CHUNK + 4096, (2, 3, 4, 5)),
        (SIX - 1, (5,)),
    ],
)
def test_chunks_behind_the_end_of_the_file_are_bad(blob: Blob, size: int, bad: tuple[int, ...], mode: ReadMode) -> None:
    """A truncated file: the chunk that it ends in, and all that lack."""
    corrupt.truncate(blob.path, size)
    checked = check_chunks(blob.fd, blob.list, reading(mode))
    assert (checked.bad, checked.unstable) == (bad, ())


def test_what_is_behind_the_blobs_end_is_no_damage_of_its_chunks(blob: Blob) -> None:
    """An oversized file: the caller sees its size, the chunks are good."""
    corrupt.extend(blob.path, os.urandom(2 * CHUNK))
    assert check_chunks(blob.fd, blob.list, reading()).bad == ()


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 1), (2, 4), (5, 6), (6, 6)])
def test_a_part_is_checked(blob: Blob, first: int, last: int) -> None:
    """Only the chunks asked for are read and judged."""
    corrupt.garble(blob.path, 0, SIX, seed=1)
    how = reading()
    checked = check_chunks(blob.fd, blob.list, how, first=first, last=last)
    assert checked.bad == tuple(range(first, last))
    assert checked.next_chunk == last
    assert checked.bytes_read == min(SIX, last * CHUNK) - min(SIX, first * CHUNK)


# Copies.


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("mode", ReadMode)
def test_good_chunks_are_copied_and_bad_ones_named(blob: Blob, mode: ReadMode, threads: int) -> None:
    """What does not match the chunk list never reaches the sink (R2)."""
    corrupt.flip_bit(blob.path, CHUNK, 3)
    corrupt.flip_bit(blob.path, SIX - 1, 3)
    copy = Copy(SIX)
    bad = copy_checked(BlobFile(blob.fd, mode).fill, blob.list, copy, reading(mode, threads))
    assert bad == (1, 5)
    assert sorted(copy.offsets) == [0, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]
    wanted = bytearray(blob.data)
    wanted[CHUNK : 2 * CHUNK] = bytes(CHUNK)
    wanted[5 * CHUNK :] = bytes(4097)
    assert copy.data == wanted


@pytest.mark.parametrize("only", [(), (0,), (5, 2), (4, 1, 3)])
def test_only_the_chunks_asked_for_are_copied(blob: Blob, only: tuple[int, ...]) -> None:
    """In the order asked for, and nothing else is read: only damaged chunks travel (R2)."""
    copy, how = Copy(SIX), reading(threads=1)
    assert copy_checked(BlobFile(blob.fd, ReadMode.CACHED).fill, blob.list, copy, how, only=only) == ()
    assert copy.offsets == [index * CHUNK for index in only]
    assert isinstance(how.progress, Notes)
    assert how.progress.done == sum(min(CHUNK, SIX - offset) for offset in copy.offsets)


def test_a_copy_without_a_chunk_list_is_proved_by_its_hash(blob: Blob) -> None:
    """The SHA-256 of what was copied, in order, whatever the order of the workers."""
    copy = Copy(SIX)
    whole = copy_whole(BlobFile(blob.fd, ReadMode.CACHED).fill, SIX, copy, reading(threads=4))
    assert whole == hashlib.sha256(copy.data).hexdigest() == hashlib.sha256(blob.data).hexdigest()


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_the_sink_ends_the_copy(blob: Blob, threads: int) -> None:
    """A full disk in the middle: its error comes out, and nobody waits for what does not come."""

    class Full(Copy):
        def write_at(self, view: memoryview, length: int, offset: int) -> None:
            """Take three chunks."""
            if len(self.offsets) == 3:
                raise DiskFull("full")
            super().write_at(view, length, offset)

    for _ in range(3):
        with pytest.raises(DiskFull):
            hash_whole(blob.fd, SIX, reading(threads=threads), sink=Full(SIX), chunks=True)
        with pytest.raises(DiskFull):
            copy_checked(BlobFile(blob.fd, ReadMode.CACHED).fill, blob.list, Full(SIX), reading(threads=threads))


def test_an_error_wakes_those_who_wait_for_a_buffer(tmp_path: Path) -> None:
    """One worker holds the first chunk and fails; the other has filled every buffer that there is."""
    blob, filled = Blob(tmp_path / "blob", 20 * CHUNK), threading.Event()

    class Stuck(Copy):
        def write_at(self, view: memoryview, length: int, offset: int) -> None:
            """Fail on the first chunk once nothing else can be read."""
            if offset == 0:
                filled.wait(10)
                raise DiskFull("full")
            super().write_at(view, length, offset)
            if len(self.offsets) == 5:
                filled.set()

    with pytest.raises(DiskFull):
        hash_whole(blob.fd, 20 * CHUNK, reading(threads=2), sink=Stuck(20 * CHUNK))
    blob.close()


def test_an_error_of_the_feed_ends_the_copy(blob: Blob) -> None:
    """One of our own errors is no unreadable chunk: it comes out as it is."""

    def fill(_view: memoryview, _offset: int, _length: int) -> int:
        raise SourceFailed("gone")

    with pytest.raises(SourceFailed):
        copy_checked(fill, blob.list, Copy(SIX), reading())


# Time, and being stopped.


def test_a_deadline_ends_the_read_and_the_next_one_goes_on(blob: Blob) -> None:
    """No further chunk is begun, those before ``next_chunk`` are done; from there a second run finds the rest."""
    corrupt.flip_bit(blob.path, CHUNK, 0)
    corrupt.flip_bit(blob.path, 4 * CHUNK, 0)
    how = reading(threads=1, rate=CHUNK)
    how.deadline = 1.5
    first = check_chunks(blob.fd, blob.list, how)
    assert 1 < first.next_chunk < 4
    assert first.bad == (1,)
    assert first.bytes_read == first.next_chunk * CHUNK
    how.deadline = None
    second = check_chunks(blob.fd, blob.list, how, first=first.next_chunk)
    assert second.bad == (4,)
    assert second.next_chunk == 6
    assert first.bytes_read + second.bytes_read == SIX


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_a_hash_cut_off_by_the_deadline_is_no_hash(blob: Blob, threads: int) -> None:
    """The threads agree on where it ended, and nothing is claimed of the whole."""
    how = reading(threads=threads, rate=CHUNK)
    how.deadline = 0.5
    checked = hash_whole(blob.fd, SIX, how, chunks=True)
    assert checked.sha256 == ""
    assert 0 < checked.next_chunk < 6
    assert checked.bytes_read == checked.next_chunk * CHUNK


def test_a_copy_cut_off_by_the_deadline_is_not_whole(blob: Blob) -> None:
    """Chunks that were never begun are among those that did not come."""
    how = reading(threads=1)
    how.deadline = -1
    assert copy_checked(BlobFile(blob.fd, ReadMode.CACHED).fill, blob.list, Copy(SIX), how) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("size", [10, SIX])
def test_a_stop_ends_every_read(tmp_path: Path, size: int, threads: int) -> None:
    """Ctrl-C is asked for between two chunks: Interrupted, with the way to go on."""
    blob = Blob(tmp_path / "blob", size)
    how = reading(threads=threads)
    how.stop.set()
    works: tuple[Callable[[], object], ...] = (
        lambda: hash_whole(blob.fd, size, how),
        lambda: check_chunks(blob.fd, blob.list, how),
        lambda: copy_checked(BlobFile(blob.fd, ReadMode.CACHED).fill, blob.list, Copy(size), how),
        lambda: copy_whole(BlobFile(blob.fd, ReadMode.CACHED).fill, size, Copy(size), how),
    )
    for work in works:
        with pytest.raises(Interrupted, match="stopped") as caught:
            work()
        assert "same command" in caught.value.next_step
    blob.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_a_stop_in_the_middle_ends_a_running_read(blob: Blob, threads: int) -> None:
    """The chunks under way are finished, no other is begun."""
    how = reading(threads=threads)

    class Stopping(Notes):
        def advance(self, count: int) -> None:
            """Somebody presses Ctrl-C after the first chunk."""
            super().advance(count)
            how.stop.set()

    how.progress = Stopping()
    with pytest.raises(Interrupted):
        hash_whole(blob.fd, SIX, how)
    assert how.progress.done <= threads * CHUNK


@pytest.mark.parametrize("threads", [1, 4])
def test_an_interrupt_of_the_waiting_thread_ends_the_read(
    blob: Blob, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Whatever it is that wakes the caller's thread: the workers end first, then it comes out."""
    real, woken = threading.Thread.join, list[threading.Thread]()

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        woken.append(thread)
        if len(woken) == 1:
            raise KeyboardInterrupt
        real(thread, timeout)

    monkeypatch.setattr("modelward.scan.threading.Thread.join", join)
    with pytest.raises(KeyboardInterrupt):
        hash_whole(blob.fd, SIX, reading(threads=threads))
    assert len(woken) == threads + 2, "each worker and the one that hashes were waited for"


@pytest.mark.parametrize("threads", [1, 4])
def test_the_rate_is_held(blob: Blob, threads: int) -> None:
    """Six chunks at two a second take what all but one of them take: the first one need not wait."""
    how = reading(threads=threads, rate=2 * CHUNK)
    check_chunks(blob.fd, blob.list, how)
    assert how.clock.monotonic() >= (SIX - CHUNK) / (2 * CHUNK)
    if threads == 1:
        assert how.clock.monotonic() == pytest.approx(2.5)


def test_small_blobs_count_in_the_rate(tmp_path: Path) -> None:
    """Thousands of small files are a load as well."""
    blob, how = Blob(tmp_path / "blob", 1000), reading(rate=1000)
    for _ in range(5):
        hash_whole(blob.fd, 1000, how)
    assert how.clock.monotonic() == pytest.approx(4)
    blob.close()


def test_without_a_rate_nobody_waits(blob: Blob) -> None:
    """The clock stands still."""
    how = reading()
    check_chunks(blob.fd, blob.list, how)
    assert how.clock.monotonic() == 0


# Disks that err (V1).


def test_a_lie_told_once_is_an_unstable_read(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reads of the same bytes differ: memory, bus or cable, and never a verdict on the file."""
    told: list[int] = []

    def once(got: int, view: memoryview, offset: int) -> int:
        if offset == 2 * CHUNK and not told:
            told.append(offset)
            view[100] ^= 1
        return got

    lies(monkeypatch, once)
    checked = check_chunks(blob.fd, blob.list, reading())
    assert (checked.bad, checked.unstable) == ((), (2,))


def test_a_lie_that_changes_is_unstable_and_a_steady_one_is_bad(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage is declared only after a second read agrees."""
    told: list[int] = []

    def lie(got: int, view: memoryview, offset: int) -> int:
        if offset == CHUNK:
            view[0] ^= 1
        if offset == 3 * CHUNK:
            told.append(offset)
            view[0] ^= len(told)
        return got

    lies(monkeypatch, lie)
    checked = check_chunks(blob.fd, blob.list, reading())
    assert (checked.bad, checked.unstable) == ((1,), (3,))


def test_a_read_that_fails_the_second_time_is_unstable(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong bytes first and an error then are no agreement."""
    corrupt.flip_bit(blob.path, 0, 0)
    seen: list[int] = []

    def fail(got: int, _: memoryview, offset: int) -> int:
        seen.append(offset)
        if seen.count(0) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return got

    lies(monkeypatch, fail)
    checked = check_chunks(blob.fd, blob.list, reading())
    assert (checked.bad, checked.unstable) == ((), (0,))


@pytest.mark.parametrize("error", [errno.EIO, errno.ENODATA, errno.ESTALE], ids=errno.errorcode.get)
def test_a_chunk_that_the_disk_cannot_give_is_unreadable(
    blob: Blob, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Named with the system's word for it; the other chunks are judged, and the whole has no hash."""
    corrupt.flip_bit(blob.path, 5 * CHUNK, 0)

    def fail(got: int, _: memoryview, offset: int) -> int:
        if offset // CHUNK == 3:
            raise OSError(error, os.strerror(error))
        return got

    lies(monkeypatch, fail)
    checked = check_chunks(blob.fd, blob.list, reading())
    assert checked.unreadable == {3: errno.errorcode[error]}
    assert (checked.bad, checked.next_chunk) == ((5,), 6)
    whole = hash_whole(blob.fd, SIX, reading(), chunks=True)
    assert (whole.sha256, whole.unreadable) == ("", {3: errno.errorcode[error]})
    copy = Copy(SIX)
    assert copy_checked(BlobFile(blob.fd, ReadMode.DIRECT).fill, blob.list, copy, reading()) == (3, 5)


def test_a_small_blob_that_the_disk_cannot_give_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a file of one chunk."""
    blob = Blob(tmp_path / "blob", 100)

    def fail(_got: int, _view: memoryview, _offset: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    lies(monkeypatch, fail)
    checked = hash_whole(blob.fd, 100, reading())
    assert (checked.sha256, checked.unreadable) == ("", {0: "EIO"})
    blob.close()


def test_a_read_that_gives_a_part_is_gone_on_with(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may read less than it was asked for, at a page's border past the cache and anywhere in it."""
    real = os.preadv

    def preadv(fd: int, views: Sequence[memoryview], offset: int) -> int:
        return real(fd, [views[0][: min(len(views[0]), 8192)]], offset)

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    for mode in ReadMode:
        assert check_chunks(blob.fd, blob.list, reading(mode)).bad == ()


@pytest.mark.parametrize("size", [100, SIX])
def test_a_file_that_changes_while_it_is_read_is_said_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """No verdict on such a file: the caller looks again."""
    blob = Blob(tmp_path / "blob", size)

    def grow(got: int, _view: memoryview, _offset: int) -> int:
        corrupt.extend(blob.path, b"x")
        return got

    assert not hash_whole(blob.fd, size, reading()).changed
    lies(monkeypatch, grow)
    assert hash_whole(blob.fd, size, reading()).changed
    if size > CHUNK:
        assert check_chunks(blob.fd, blob.list, reading()).changed
    blob.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount loop devices")
def test_rot_below_the_page_cache_is_seen(tmp_path: Path) -> None:
    """A runtime has the file mapped, its pages are good, the disk below is not: only a direct read sees it (V1).

    The disk is a loop device, and the rot is written into the file that it lies in.
    """
    mark = os.urandom(4096)
    with mounted("ext4", tmp_path, "disk") as point:
        path = point / "blob"
        path.write_bytes(bytes(2 * CHUNK) + mark + bytes(CHUNK))
        os.sync()
        data = path.read_bytes()
        expected = ChunkList(blob=Digest("0" * 64), size=len(data), hashes=hashes_of(data))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == data, "now all pages are there"
            rot(tmp_path / "disk.img", mark)
            found = {mode: check_one(path, expected, mode) for mode in ReadMode}
    if found[ReadMode.DIRECT][0] is not ReadMode.DIRECT:
        pytest.skip("this file system refuses O_DIRECT")
    assert found[ReadMode.DIRECT] == (ReadMode.DIRECT, (2,))
    assert found[ReadMode.CACHED] == (ReadMode.CACHED, ()), "the page cache does hide it"


def rot(disk: Path, mark: bytes) -> None:
    """Flip one bit of the page with these bytes, where it lies on the disk."""
    with disk.open("r+b") as file, mmap.mmap(file.fileno(), 0) as image:
        at = image.find(mark)
        assert at >= 0
        image[at] ^= 1
        image.flush()


def check_one(path: Path, expected: ChunkList, mode: ReadMode) -> tuple[ReadMode, tuple[int, ...]]:
    """The mode that it came to be and the chunks that were bad."""
    with path.open("rb", buffering=0) as file:
        checked = check_chunks(file.fileno(), expected, reading(mode))
    return checked.mode, checked.bad


# Memory.


def test_buffers_are_used_again(blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are made, whatever is read, and however often."""
    made: list[int] = []
    real = mmap.mmap

    def count_buffers(fd: int, length: int) -> mmap.mmap:
        made.append(length)
        return real(fd, length)

    pool = scan._Buffers(CHUNK)  # noqa: SLF001 - as in a new process
    monkeypatch.setattr(scan, "_BUFFERS", pool)
    monkeypatch.setattr(scan, "_GROUPS", {1: pool})
    monkeypatch.setattr("modelward.scan.mmap.mmap", count_buffers)
    for _ in range(5):
        hash_whole(blob.fd, SIX, reading(threads=2), chunks=True)
        check_chunks(blob.fd, blob.list, reading(threads=2))
        hash_whole(blob.fd, 10, reading())
    assert made
    assert len(made) <= 2 + 4, "one a worker, and four that wait for the SHA-256"


SCAN = """
import os, resource, sys
from blake3 import blake3
from modelward.bootstrap import SystemClock
from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.reading import ReadMode
from modelward.scan import Pace, Reading, check_chunks, hash_whole

class Silent:
    def begin(self, label, total): pass
    def advance(self, count): pass
    def say(self, event, **keys): pass

fd, size, clock = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), SystemClock()
zeros = blake3(bytes(CHUNK)).digest()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for mode in (ReadMode.CACHED, ReadMode.DIRECT):
    how = Reading(clock=clock, progress=Silent(), pace=Pace(clock), mode=mode)
    hash_whole(fd, size, how, chunks=True)
    checked = check_chunks(fd, ChunkList(blob=Digest("0" * 64), size=size, hashes=zeros * (size // CHUNK)), how)
    assert checked.bad == () and checked.bytes_read == size
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_the_buffers(tmp_path: Path) -> None:
    """Four passes over 200 MiB grow the process by less than 12 MiB: a few buffers, used again and again."""
    path, size = tmp_path / "sparse", 200 * CHUNK
    with path.open("wb") as file:
        file.truncate(size)
    command = [sys.executable, "-c", SCAN, str(path), str(size)]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 12 * CHUNK


@pytest.mark.parametrize("group", [1, 2, 4, 7])
@pytest.mark.parametrize("short", [None, 0, 2 * CHUNK + 5, 5 * CHUNK])
def test_neighbours_that_are_read_at_once_come_out_the_same(group: int, short: int | None) -> None:
    """One read for several chunks: the same copy, the same verdicts, also where the bytes end early."""
    data = os.urandom(6 * CHUNK + 99)
    hashes = b"".join(blake3(data[at : at + CHUNK]).digest() for at in range(0, len(data), CHUNK))
    chunk_list = ChunkList(blob=Digest(hashlib.sha256(data).hexdigest()), size=len(data), hashes=hashes)
    damaged = bytearray(data if short is None else data[:short])
    if short is None:
        damaged[4 * CHUNK] ^= 1
    sizes: list[int] = []

    def fill(view: memoryview, offset: int, length: int) -> int:
        sizes.append(length)
        part = damaged[offset : offset + length]
        view[: len(part)] = part
        return len(part)

    copy = bytearray(len(data))

    class Sink:
        def write_at(self, view: memoryview, length: int, offset: int) -> None:
            """Take it."""
            copy[offset : offset + length] = view[:length]

    failed = copy_checked(fill, chunk_list, Sink(), reading(), group=group)
    whole = 7 if short is None else short // CHUNK
    assert failed == ((4,) if short is None else tuple(range(whole, 7)))
    for index in set(range(7)) - set(failed):
        assert copy[index * CHUNK : (index + 1) * CHUNK] == data[index * CHUNK : (index + 1) * CHUNK]
    assert max(sizes) <= group * CHUNK
    assert len(sizes) == -(-7 // group)
    sha = copy_whole(fill, len(data), Sink(), reading(), group=group)
    assert sha == ("" if short is not None else hashlib.sha256(damaged).hexdigest())
    assert copy_checked(fill, chunk_list, Sink(), reading(), only=(5, 0, 1), group=group) == tuple(
        index for index in (0, 1, 5) if index in failed
    )


def test_buffers_are_few_where_few_are_wanted_and_go_when_they_are_released(
    blob: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frugal reader makes one buffer a thread and its spare ones; released, none of them is kept."""
    made: list[mmap.mmap] = []

    def counted(number: int, size: int) -> mmap.mmap:
        made.append(mmap.mmap(number, size))
        return made[-1]

    scan.release_buffers()
    monkeypatch.setattr(scan, "mmap", SimpleNamespace(mmap=counted))
    frugal = reading(threads=2)
    frugal.spare = 1
    checked = hash_whole(blob.fd, SIX, frugal, chunks=True)
    assert checked.sha256 == hashlib.sha256(blob.data).hexdigest()
    assert 1 <= len(made) <= 3
    scan.release_buffers()
    assert all(buffer.closed for buffer in made)
