"""Read blobs at the disk's speed: direct I/O, bounded reused buffers, SHA-256 and chunk hashes in one pass.

The only module that reads blobs in bulk. Several workers each take the next chunk, read it into a buffer of
their own, hash it with BLAKE3 (which releases the interpreter's lock) and, where a copy is made, write it; one
more thread runs SHA-256 over the buffers in order where the whole has to be proved. Memory is the buffers.
"""

import errno
import fcntl
import hashlib
import mmap
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from blake3 import blake3

from modelward.domain.chunks import CHUNK, ChunkList, count
from modelward.domain.errors import Interrupted
from modelward.domain.reading import Checked, ReadMode
from modelward.domain.receipt import FileId
from modelward.ports import Clock, Progress

_O_DIRECT = getattr(os, "O_DIRECT", 0)
_F_NOCACHE = getattr(fcntl, "F_NOCACHE", None)
_PAGE = 4096
_HASH = 32
_PIECE = CHUNK // 2  # of what is in memory already: a chunk and its hash's state are more than a core's cache holds

Fill = Callable[[memoryview, int, int], int]


class Sink(Protocol):
    """Where a copy goes: takes ``length`` bytes of a page-aligned buffer at a chunk's offset, from any thread."""

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write it all or raise one of our errors."""


@contextmanager
def signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait while threads start: raised inside ``Thread.start`` they break the new thread.

    Threads that start here never get these signals: they are the main thread's business.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Pace:
    """Hold readers to a number of bytes a second; no rate, no waiting."""

    def __init__(self, clock: Clock, bytes_per_second: int = 0) -> None:
        self._clock, self._rate = clock, bytes_per_second
        self._lock, self._due = threading.Lock(), 0.0

    def take(self, length: int) -> None:
        """Wait until ``length`` more bytes are allowed."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            start = max(self._due, now)
            self._due = start + length / self._rate
        self._clock.sleep(start - now)


@dataclass(slots=True)
class Reading:
    """How to read: shared by all reads of one command.

    ``spare`` buffers more than threads keep these from waiting for SHA-256. ``deadline`` is a monotonic time in
    seconds after which no further chunk is begun; ``stop`` ends every read at the next chunk with Interrupted.
    """

    clock: Clock
    progress: Progress
    pace: Pace
    mode: ReadMode = ReadMode.DIRECT
    threads: int = 0
    spare: int = 4
    deadline: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def workers(self) -> int:
        """Threads for one blob: one a core from the cache; from a disk more, so that requests queue up."""
        cores = os.cpu_count() or 1
        return self.threads or (cores if self.mode is ReadMode.CACHED else max(4, cores))

    def through_cache(self) -> "Reading":
        """The same reading, through the page cache."""
        return replace(self, mode=ReadMode.CACHED)

    def from_disk(self) -> "Reading":
        """The same reading, past the page cache."""
        return replace(self, mode=ReadMode.DIRECT)

    def late(self) -> bool:
        """Whether the time is up; raises Interrupted when the command was told to stop."""
        if self.stop.is_set():
            raise Interrupted("stopped", next_step="run the same command again: it goes on where it was")
        return self.deadline is not None and self.clock.monotonic() >= self.deadline


class BlobFile:
    """An open blob that is read in the chosen mode; it says in ``mode`` which one it came to be (V1)."""

    def __init__(self, fd: int, mode: ReadMode) -> None:
        self.fd = fd
        self.mode = mode
        if mode is not ReadMode.DIRECT:
            _clear_direct(fd)
        elif not _set_direct(fd):
            self.mode = ReadMode.DROPPED

    def fill(self, view: memoryview, offset: int, length: int) -> int:
        """Read up to ``length`` bytes at a page-aligned ``offset``; fewer only at the end of the file."""
        want = _up(length) if self.mode is ReadMode.DIRECT else length
        if self.mode is ReadMode.DROPPED:
            _drop_pages(self.fd, offset, length)
        got = 0
        while got < length:
            step = self._read(view[got:want], offset + got)
            got += step
            if not step or (step % _PAGE and self.mode is ReadMode.DIRECT):
                break
        return min(got, length)

    def _read(self, view: memoryview, offset: int) -> int:
        try:
            return os.preadv(self.fd, [view], offset)
        except OSError as error:
            if error.errno != errno.EINVAL or self.mode is not ReadMode.DIRECT:
                raise
            # A file system may take the flag and refuse the read: go on without it, and say so.
            _clear_direct(self.fd)
            self.mode = ReadMode.DROPPED
            _drop_pages(self.fd, offset, len(view))
            return os.preadv(self.fd, [view], offset)


def file_id(fd: int) -> FileId:
    """The identity of an open file."""
    return id_of(os.fstat(fd))


def id_of(stat: os.stat_result) -> FileId:
    """The identity in a stat result."""
    return FileId(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def check_chunks(fd: int, expected: ChunkList, reading: Reading, *, first: int = 0, last: int | None = None) -> Checked:
    """Compare the chunks ``first`` (to before ``last``) of an open file with a chunk list.

    Every difference is read a second time past the page cache before it is called bad (V1).
    """
    before = file_id(fd)
    file = BlobFile(fd, reading.mode)
    pass_ = _Pass(reading, file.fill, expected.size, expected=expected, first=first, last=last)
    pass_.run()
    bad, unstable = _confirm(fd, expected, pass_.wrong, reading)
    return Checked(
        file=before,
        mode=file.mode,
        next_chunk=pass_.next_chunk,
        bytes_read=pass_.bytes_read,
        bad=tuple(sorted(bad)),
        unstable=tuple(sorted(unstable)),
        unreadable=pass_.unreadable,
        changed=file_id(fd) != before,
    )


def hash_whole(fd: int, size: int, reading: Reading, *, sink: Sink | None = None, chunks: bool = False) -> Checked:
    """SHA-256 of the first ``size`` bytes, and on demand the chunk hashes and a copy, all in one read."""
    before = file_id(fd)
    file = BlobFile(fd, reading.mode)
    if size <= CHUNK:
        return _hash_small(file, before, size, reading, sink)
    pass_ = _Pass(reading, file.fill, size, sink=sink, chunks=chunks, sha=True)
    pass_.run()
    return Checked(
        file=before,
        mode=file.mode,
        next_chunk=pass_.next_chunk,
        bytes_read=pass_.bytes_read,
        sha256=pass_.sha256,
        hashes=bytes(pass_.hashes),
        unreadable=pass_.unreadable,
        changed=file_id(fd) != before,
    )


def copy_checked(  # noqa: PLR0913 - what, from where, to where, and how
    fill: Fill,
    expected: ChunkList,
    sink: Sink,
    reading: Reading,
    *,
    only: tuple[int, ...] | None = None,
    group: int = 1,
) -> tuple[int, ...]:
    """Copy chunks that match the chunk list into ``sink``; returns the indices that did not match.

    ``only`` gives the chunks to copy, in order; all of them without it. ``group`` lets up to so many neighbours be
    read at once, where a read has a price of its own.
    """
    pass_ = _Pass(reading, fill, expected.size, expected=expected, sink=sink, only=only, group=group)
    pass_.run()
    return tuple(sorted({*pass_.wrong, *pass_.unreadable, *pass_.left}))


def copy_whole(fill: Fill, size: int, sink: Sink, reading: Reading, *, group: int = 1) -> str:
    """Copy ``size`` bytes that have no chunk list into ``sink``; returns their SHA-256, empty when some lacked."""
    pass_ = _Pass(reading, fill, size, sink=sink, sha=True, group=group)
    pass_.run()
    return pass_.sha256


def suspect_chunks(fd: int, size: int, reading: Reading) -> tuple[int, ...]:
    """Chunks that look lost: behind the end of the file, unreadable, or with a run of zeros as long as a page.

    Data of a model seldom holds 4,096 zero bytes in a row; what a crash of a file system leaves behind does.
    """
    file, buffer = BlobFile(fd, reading.mode), _BUFFERS.take()
    view, zeros, found = memoryview(buffer), bytes(_PAGE), []
    try:
        for index in range(count(size)):
            reading.late()
            length = min(CHUNK, size - index * CHUNK)
            reading.pace.take(length)
            if _looks_lost(file, view, index * CHUNK, length) or buffer.find(zeros, 0, length) >= 0:
                found.append(index)
    finally:
        view.release()
        _BUFFERS.give(buffer)
    return tuple(found)


def _looks_lost(file: BlobFile, view: memoryview, offset: int, length: int) -> bool:
    try:
        return file.fill(view, offset, length) < length
    except OSError:
        return True


class _Buffers:
    """Page-aligned buffers of one size, made once and used again until they are released."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: deque[mmap.mmap] = deque()

    def take(self) -> mmap.mmap:
        try:
            return self._free.pop()
        except IndexError:
            return mmap.mmap(-1, self._size)

    def give(self, buffer: mmap.mmap) -> None:
        self._free.append(buffer)

    def release(self) -> None:
        with suppress(IndexError):
            while True:
                self._free.pop().close()


_BUFFERS = _Buffers(CHUNK)
_GROUPS: dict[int, _Buffers] = {1: _BUFFERS}


def release_buffers() -> None:
    """Give the memory of all buffers that are not in use back to the system; they are made anew when needed."""
    for buffers in tuple(_GROUPS.values()):
        buffers.release()


class _Runs(Sequence[tuple[int, int]]):
    """Neighbouring chunks that are read at once: index of the first, and how many; none is kept in memory."""

    def __init__(self, first: int, last: int, group: int) -> None:
        self._first, self._last, self._group = first, last, group

    def __len__(self) -> int:
        return (max(0, self._last - self._first) + self._group - 1) // self._group

    def __getitem__(self, number: Any) -> Any:  # noqa: ANN401 - a number; slices are not asked for
        start = self._first + number * self._group
        return start, min(self._group, self._last - start)


def _joined(indices: Sequence[int], group: int) -> list[tuple[int, int]]:
    """Chunks in any order as runs of neighbours, at most ``group`` of them."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and sum(runs[-1]) == index and runs[-1][1] < group:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((index, 1))
    return runs


class _Pass:
    """One pass over one blob's chunks with several workers.

    A worker takes a buffer before it takes the next index, so the lowest index under way always has a buffer
    and the SHA-256 thread, which needs them in order, can never wait for one that cannot come.
    """

    def __init__(  # noqa: PLR0913 - one call site each above; a parameter object would only rename them
        self,
        reading: Reading,
        fill: Fill,
        size: int,
        *,
        expected: ChunkList | None = None,
        sink: Sink | None = None,
        chunks: bool = False,
        sha: bool = False,
        first: int = 0,
        last: int | None = None,
        only: tuple[int, ...] | None = None,
        group: int = 1,
    ) -> None:
        self.reading, self.fill, self.size = reading, fill, size
        self.expected, self.sink = expected, sink
        self._last = count(size) if last is None else last
        self._runs = _joined(only, group) if only is not None else _Runs(first, self._last, group)
        self._buffers = _GROUPS.setdefault(group, _Buffers(group * CHUNK))
        self.hashes = bytearray(count(size) * _HASH if chunks else 0)
        self.wrong: dict[int, bytes] = {}
        self.unreadable: dict[int, str] = {}
        self.bytes_read = 0
        self.sha256 = ""
        self._sha = sha
        self._in_pieces = group == 1 and not (chunks or sha or sink) and reading.mode is ReadMode.CACHED
        self._ready: dict[int, tuple[mmap.mmap, int]] = {}
        self._taken = 0
        self._lock = threading.Condition()
        self._error: BaseException | None = None
        workers = min(reading.workers(), len(self._runs)) or 1
        self._workers = workers
        # Of small buffers a few more than workers, so that these need not wait for the hash; of large ones, one.
        self._slots = threading.Semaphore(workers + ((reading.spare if group == 1 else 1) if sha else 0))

    @property
    def next_chunk(self) -> int:
        """The first chunk that was not begun; all before it are done once ``run`` returned."""
        return int(self._runs[self._taken][0]) if self._taken < len(self._runs) else self._last

    @property
    def left(self) -> Iterator[int]:
        """The chunks that were not begun."""
        for number in range(self._taken, len(self._runs)):
            first, many = self._runs[number]
            yield from range(first, first + many)

    def run(self) -> None:
        """Read it all, or up to the deadline; raises the first error that any worker met."""
        threads = [threading.Thread(target=self._guarded, args=(self._work,)) for _ in range(self._workers)]
        if self._sha:
            threads.append(threading.Thread(target=self._guarded, args=(self._hash_in_order,)))
        try:
            with signals_held():
                for thread in threads:
                    thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:
            self._fail(error)
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            raise
        if self._error is not None:
            raise self._error

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            self._lock.notify_all()
        for _ in range(self._workers):
            self._slots.release()

    def _work(self) -> None:
        while True:
            self._slots.acquire()
            number = self._claim()
            if number is None:
                self._slots.release()
                return
            buffer = self._buffers.take()
            length = self._run(number, buffer)
            if not self._sha:
                self._free(buffer)
                continue
            with self._lock:
                self._ready[number] = (buffer, length)
                self._lock.notify_all()

    def _claim(self) -> int | None:
        with self._lock:
            if self._error is not None or self._taken >= len(self._runs) or self.reading.late():
                return None
            self._taken += 1
            return self._taken - 1

    def _run(self, number: int, buffer: mmap.mmap) -> int:
        """Read, hash and pass on the chunks of one run; returns their length, -1 where they could not all be read."""
        first, many = self._runs[number]
        offset = first * CHUNK
        length = min(many * CHUNK, self.size - offset)
        self.reading.pace.take(length)
        view = memoryview(buffer)
        if self._in_pieces and self.expected is not None:
            return self._compare(first, view[:_PIECE], offset, length)
        got = self._read(first, many, view, offset, length)
        for index in range(first, first + many):
            start = (index - first) * CHUNK
            self._chunk(index, view[start : start + CHUNK], min(CHUNK, length - start), whole=got - start)
        self.reading.progress.advance(length)
        return length if got == length else -1

    def _compare(self, index: int, view: memoryview, offset: int, length: int) -> int:
        """Compare one chunk piece by piece, each hashed while it lies in the core's own cache."""
        hasher, got = blake3(), 0
        while got < length:
            step = self._read(index, 1, view, offset + got, min(_PIECE, length - got))
            if step <= 0:
                break
            hasher.update(view[:step])
            got += step
        self._judge(index, hasher.digest() if got == length else b"")
        self.reading.progress.advance(length)
        return got

    def _chunk(self, index: int, view: memoryview, length: int, *, whole: int) -> None:
        """Hash and pass on one chunk, of which ``whole`` bytes or more are there."""
        if whole < length:
            self._judge(index, b"")
        elif self._good(index, view[:length]) and self.sink is not None:
            self.sink.write_at(view, length, index * CHUNK)

    def _read(self, first: int, many: int, view: memoryview, offset: int, length: int) -> int:
        try:
            got = self.fill(view[: many * CHUNK], offset, length)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "EIO")
            with self._lock:
                self.unreadable |= dict.fromkeys(range(first, first + many), name)
            return -1
        with self._lock:
            self.bytes_read += got
        return got

    def _good(self, index: int, view: memoryview) -> bool:
        if self.expected is None and not self.hashes:
            return True
        digest = blake3(view).digest()
        if self.hashes:
            self.hashes[index * _HASH : (index + 1) * _HASH] = digest
        return self._judge(index, digest)

    def _judge(self, index: int, digest: bytes) -> bool:
        """Whether a chunk has the hash that it should have; b"" stands for one that could not be read whole."""
        if digest and (self.expected is None or self.expected[index] == digest):
            return True
        with self._lock:
            if index not in self.unreadable:
                self.wrong[index] = digest
        return False

    def _hash_in_order(self) -> None:
        sha = hashlib.sha256()
        for number in range(len(self._runs)):
            with self._lock:
                while number not in self._ready and self._error is None and not self._ended_before(number):
                    self._lock.wait(0.5)
                if number not in self._ready:
                    return
                buffer, length = self._ready.pop(number)
            if length >= 0:
                sha.update(memoryview(buffer)[:length])
            self._free(buffer)
        if not self.unreadable and not self.wrong:
            self.sha256 = sha.hexdigest()

    def _ended_before(self, number: int) -> bool:
        """Whether the deadline came before this run was begun."""
        return self.reading.deadline is not None and self.reading.late() and self._taken <= number

    def _free(self, buffer: mmap.mmap) -> None:
        self._buffers.give(buffer)
        self._slots.release()


def _hash_small(file: BlobFile, before: FileId, size: int, reading: Reading, sink: Sink | None) -> Checked:
    """Hash a blob of one chunk at most without any thread: there may be thousands of them."""
    reading.late()
    reading.pace.take(size)
    buffer = _BUFFERS.take()
    view, digest, unreadable = memoryview(buffer), "", {}
    try:
        got = file.fill(view, 0, size) if size else 0
        if got == size:
            digest = hashlib.sha256(view[:size]).hexdigest()
            if sink is not None:
                sink.write_at(view, size, 0)
    except OSError as error:
        unreadable[0] = errno.errorcode.get(error.errno or 0, "EIO")
    finally:
        view.release()
        _BUFFERS.give(buffer)
    reading.progress.advance(size)
    return Checked(
        file=before,
        mode=file.mode,
        next_chunk=count(size),
        bytes_read=size,
        sha256=digest,
        unreadable=unreadable,
        changed=file_id(file.fd) != before,
    )


def _confirm(fd: int, expected: ChunkList, wrong: dict[int, bytes], reading: Reading) -> tuple[list[int], list[int]]:
    """Read each wrong chunk once more from the disk: bad when both reads agree, unstable when they differ."""
    bad: list[int] = []
    unstable: list[int] = []
    if not wrong:
        return bad, unstable
    file, buffer = BlobFile(fd, ReadMode.DIRECT), _BUFFERS.take()
    view = memoryview(buffer)
    for index, first in wrong.items():
        reading.late()
        length = min(CHUNK, expected.size - index * CHUNK)
        try:
            got = file.fill(view, index * CHUNK, length)
        except OSError:
            got = -1
        second = blake3(view[:got]).digest() if got == length else b""
        (bad if second == first else unstable).append(index)
    view.release()
    _BUFFERS.give(buffer)
    return bad, unstable


def _set_direct(fd: int) -> bool:
    if not _O_DIRECT:
        return _F_NOCACHE is not None and fcntl.fcntl(fd, _F_NOCACHE, 1) != -1
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | _O_DIRECT)
    except OSError:
        return False
    return True


def _clear_direct(fd: int) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & _O_DIRECT:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~_O_DIRECT)


def _drop_pages(fd: int, offset: int, length: int) -> None:
    """Ask the kernel to forget clean pages; those that a process has mapped stay."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def _up(length: int) -> int:
    return -(-length // _PAGE) * _PAGE
