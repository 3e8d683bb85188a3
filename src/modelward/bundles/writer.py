"""Write a bundle: into a file that gets its name when it is whole, or to standard output."""

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from statistics import median
from typing import NamedTuple, Protocol

from blake3 import blake3

from modelward.bundles.format import Codec, ordered
from modelward.bundles.reader import Stream, read_record
from modelward.domain.bundle import CHECK, END_SIZE, RAW, RECORD_SIZE, BundleHeader, Method, Record, Written
from modelward.domain.chunks import CHUNK, ChunkList, chunk_span, count
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadBundle,
    BadSetting,
    BlobMissing,
    HashMismatch,
    Locked,
    NotARegularFile,
    WriteFailed,
)
from modelward.domain.wrapper import Object
from modelward.durable import (
    Folder,
    cut,
    kind_of,
    lock_file,
    move,
    move_new,
    reading_errors,
    require_space,
    sync_file,
    write_in_place,
    writing_errors,
)
from modelward.scan import Reading

PARTIAL = ".partial"
_STDOUT = 1
_FILE_MODE = 0o644
_HEAD = 4  # a model's file begins with its vocabulary and the like: these chunks are always tried
_SAMPLES = 5
_GAIN = 0.03
_SOON = 8 << 20
_HEAL = "run: modelward verify and modelward verify --vault-copy, then the command again"


class Holder(Protocol):
    """A store or vault that the blobs are read from."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading; the caller closes it."""

    def blob_path(self, blob: Digest) -> str:
        """What to call it in messages."""


class _Job(NamedTuple):
    """What is written: the header, where its blobs are read, how each is stored."""

    header: BundleHeader
    holder: Holder
    methods: Sequence[Method]
    reading: Reading

    @property
    def estimate(self) -> int:
        """About how large the bundle will be, in bytes."""
        return len(self.header.raw) + sum(method.estimate for method in self.methods) + END_SIZE


class _Place(NamedTuple):
    """How far a bundle is written: bytes, and the blob and chunk that come next."""

    offset: int = 0
    blob: int = 0
    chunk: int = 0


def _method(codec: Codec, blob: Object, holder: Holder) -> Method:
    chunks = count(blob.size)
    room = blob.size + chunks * RECORD_SIZE
    if chunks <= _HEAD:
        return Method(pays=True, estimate=room)
    step = max(1, (chunks - _HEAD) // _SAMPLES)
    with _opened(holder, blob.digest) as fd:
        gains = []
        for index in range(_HEAD, chunks, step)[:_SAMPLES]:
            data = _read(fd, index, blob, holder)
            gains.append(1 - len(codec.compress(data)) / len(data))
    pays = median(gains) >= _GAIN
    spared = int((blob.size - _HEAD * CHUNK) * max(0, min(gains))) if pays else 0
    return Method(pays=pays, estimate=room - spared)


class _Bundle:
    """What a file and a pipe have in common."""

    def plan(self, header: BundleHeader, holder: Holder) -> tuple[Method, ...]:
        """Try a few chunks of each large blob, and choose how each is stored."""
        codec = Codec()
        return tuple(_method(codec, blob, holder) for blob in header.blobs)


class BundleFile(_Bundle):
    """A bundle's file: written beside its place as ``FILE.partial``, gone on with there, named when it is whole."""

    def __init__(self, path: str, *, reserve: int = 0, force: bool = False) -> None:
        """``reserve`` bytes stay free on the disk (D1); ``force`` replaces a file that has the name."""
        real = Path(path).expanduser().resolve()
        self.path = str(real)
        self._name, self._parent = real.name, real.parent
        self._reserve, self._force = reserve, force

    def require_free(self) -> None:
        """Raise BadSetting where a file has the name and may not be replaced."""
        folder = self._folder()
        found = folder.stat(self._name or ".")
        folder.close()
        if found is None:
            return
        if not S_ISREG(found.st_mode):
            what = f"a {kind_of(found.st_mode)}, not a plain file"
            raise NotARegularFile(what, thing=self.path, next_step="name a file")
        if not self._force:
            raise self._taken()

    def write(self, header: BundleHeader, holder: Holder, methods: Sequence[Method], reading: Reading) -> Written:
        """Write the bundle, or go on with what an earlier run left of the very same one."""
        job = _Job(header, holder, methods, reading)
        folder = self._folder()
        name = self._name + PARTIAL
        with _locked_file(folder, name) as fd:
            place = _resume(fd, job.header)
            cut(folder, name, place.offset)
            require_space(folder, max(0, job.estimate - place.offset), self._reserve)
            end = self._fill(fd, f"{folder.path}/{name}", job, place)
            self.require_free()
            self._publish(folder, name)
        folder.close()
        return Written(size=end, resumed=place.offset)

    def _publish(self, folder: Folder, name: str) -> None:
        """Only with ``force`` may what came under the name meanwhile be replaced."""
        try:
            (move if self._force else move_new)(folder, name, folder, self._name)
        except FileExistsError as error:
            raise self._taken() from error

    def _folder(self) -> Folder:
        try:
            return Folder.open(self._parent)
        except BlobMissing as error:
            what, again = "no such folder", "make it, or name another"
            raise BadSetting(what, thing=str(self._parent), next_step=again) from error

    def _taken(self) -> BadSetting:
        return BadSetting("there is a file of this name", thing=self.path, next_step="add --force to replace it")

    def _fill(self, fd: int, path: str, job: _Job, place: _Place) -> int:
        offset = begun = place.offset
        for part in _parts(job, place):
            write_in_place(fd, path, offset, memoryview(part))
            offset += len(part)
            if offset - begun > _SOON:
                _begin_writing(fd, begun, offset - begun)
                begun = offset
        with writing_errors(path):
            os.fchmod(fd, _FILE_MODE)
        sync_file(fd, path)
        return offset


class BundleOutput(_Bundle):
    """Standard output as a place for a bundle."""

    path = "-"

    def require_free(self) -> None:
        """Raise BadSetting where a person would have to look at it."""
        if os.isatty(_STDOUT):
            raise BadSetting(
                "a bundle is not for a terminal", thing="standard output", next_step="name a file, or a pipe"
            )

    def write(self, header: BundleHeader, holder: Holder, methods: Sequence[Method], reading: Reading) -> Written:
        """Write the bundle from its beginning."""
        size = 0
        for part in _parts(_Job(header, holder, methods, reading), _Place()):
            with writing_errors("standard output"):
                try:
                    _write_all(_STDOUT, part)
                except BrokenPipeError as error:
                    what, again = "the reader of the pipe went away", "see why it ended, then run both again"
                    raise WriteFailed(what, thing="standard output", next_step=again) from error
            size += len(part)
        return Written(size=size)


def _begin_writing(fd: int, offset: int, length: int) -> None:
    """Let the disk begin now with what was written, so that the fsync in the end finds little left to wait for.

    Linux starts to write dirty pages that it is asked to forget (mm/fadvise.c), and forgets those that are clean.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


def _parts(job: _Job, place: _Place) -> Iterator[bytes]:
    """The bundle's bytes from ``place`` on, piece by piece, every one of them proved."""
    codec = Codec()
    if not place.offset:
        yield job.header.raw
    for number in range(place.blob, len(job.header.blobs)):
        yield from _blob(job, codec, number, place.chunk if number == place.blob else 0)
    yield job.header.end


def _blob(job: _Job, codec: Codec, number: int, first: int) -> Iterator[bytes]:
    blob, expected, method = job.header.blobs[number], job.header.chunk_lists[number], job.methods[number]
    chunks = count(blob.size)
    with _opened(job.holder, blob.digest) as fd:

        def make(index: int) -> tuple[bytes, bytes]:
            job.reading.pace.take(chunk_span(index, blob.size).length)
            data, proof = _proved(fd, index, blob, expected, job.holder)
            return codec.pack(data, proof, attempt=method.pays or index < _HEAD)

        if not chunks and sha256().hexdigest() != blob.digest.hex:
            raise _rotten(blob, job.holder)
        indices = _unless_stopped(range(first, chunks), job.reading)
        made = map(make, indices) if chunks <= 1 else ordered(make, indices, _workers(job.reading))
        for index, (record, stored) in zip(range(first, chunks), made, strict=True):
            yield record
            yield stored
            job.reading.progress.advance(chunk_span(index, blob.size).length)


def _unless_stopped(indices: range, reading: Reading) -> Iterator[int]:
    for index in indices:
        reading.late()
        yield index


def _workers(reading: Reading) -> int:
    """One a core: the work is hashing and compressing; reading comes from the page cache."""
    return max(2, reading.through_cache().workers())


def _proved(fd: int, index: int, blob: Object, expected: ChunkList | None, holder: Holder) -> tuple[bytes, bytes]:
    """A chunk and its BLAKE3; one that is wrong is read once more past the page cache before it is called bad (V1)."""
    for attempt in (1, 2):
        data = _read(fd, index, blob, holder)
        proof = blake3(data).digest()
        right = sha256(data).hexdigest() == blob.digest.hex if expected is None else proof == expected[index]
        if right:
            return data, proof
        if attempt == 1 and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, index * CHUNK, CHUNK, os.POSIX_FADV_DONTNEED)
    raise _rotten(blob, holder)


def _rotten(blob: Object, holder: Holder) -> HashMismatch:
    return HashMismatch("the bytes are not those of its name", thing=holder.blob_path(blob.digest), next_step=_HEAL)


def _read(fd: int, index: int, blob: Object, holder: Holder) -> bytes:
    span, path = chunk_span(index, blob.size), holder.blob_path(blob.digest)
    with reading_errors(path):
        data = os.pread(fd, span.length, span.offset)
    if len(data) != span.length:
        raise HashMismatch("shorter than it should be", thing=path, next_step=_HEAL)
    return data


@contextmanager
def _opened(holder: Holder, blob: Digest) -> Iterator[int]:
    fd = holder.open_blob(blob)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _locked_file(folder: Folder, name: str) -> Iterator[int]:
    """The partial file, made or opened, and nobody else's meanwhile (L1)."""
    fd, path = lock_file(folder, name), f"{folder.path}/{name}"
    try:
        with writing_errors(path):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Locked("another export writes it", thing=path, next_step="wait until it has finished") from error
        _require_own(folder, name, fd)
        yield fd
    finally:
        os.close(fd)


def _require_own(folder: Folder, name: str, fd: int) -> None:
    """What was locked is still the partial file and nothing else: an export that just finished has named it."""
    ours, found, path = os.fstat(fd), folder.stat(name), f"{folder.path}/{name}"
    if not S_ISREG(ours.st_mode):
        raise NotARegularFile("not a plain file", thing=path, next_step="move it away")
    if found is None or not os.path.samestat(ours, found):
        raise Locked("another export has just finished it", thing=path, next_step="run the command again")
    if ours.st_nlink > 1:
        # Killed between its two names: writing on here would write into the finished bundle.
        raise NotARegularFile("it has a second name", thing=path, next_step="remove it, then run the command again")


def _resume(fd: int, header: BundleHeader) -> _Place:
    """How far an earlier run came with this very bundle: every record that it left is proved again."""
    stream = Stream(fd, "partial")
    if stream.bytes(len(header.raw)) != header.raw:
        return _Place()
    place, codec, buffer = _Place(offset=len(header.raw)), Codec(), mmap.mmap(-1, CHUNK)
    for number, (blob, expected) in enumerate(zip(header.blobs, header.chunk_lists, strict=True)):
        for index in range(count(blob.size)):
            stored = _stored(stream, codec, buffer, blob, expected, index)
            if stored is None:
                return place
            place = _Place(place.offset + stored, number, index + 1)
        place = _Place(place.offset, number + 1, 0)
    return place


def _stored(  # noqa: PLR0913, PLR0917 - one call above
    stream: Stream, codec: Codec, buffer: mmap.mmap, blob: Object, expected: ChunkList | None, index: int
) -> int | None:
    """The bytes that the next record takes; None where it is not whole or not right."""
    length = chunk_span(index, blob.size).length
    try:
        record = read_record(stream, length, buffer)
        if record is None:
            return None
        data = _content(codec, record, memoryview(buffer)[: record.length], length)
    except BadBundle:
        return None
    right = (
        sha256(data).hexdigest() == blob.digest.hex if expected is None else blake3(data).digest() == expected[index]
    )
    return RECORD_SIZE + record.length if right else None


def _content(codec: Codec, record: Record, stored: memoryview, length: int) -> bytes | memoryview:
    if record.kind == RAW and blake3(stored).digest(length=CHECK) == record.check:
        return stored
    return codec.unpack(record, stored, length)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
