"""Read a bundle from its beginning to its end, from a file or a pipe; nothing in it is believed before it is proved."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from blake3 import blake3

from modelward.bundles.format import DAMAGED, Codec, ordered
from modelward.domain.bundle import CHECK, END_SIZE, PREAMBLE_SIZE, RAW, RECORD_SIZE, BundleHeader, Preamble, Record
from modelward.domain.chunks import CHUNK, ChunkList, chunk_span, count
from modelward.domain.errors import BadBundle
from modelward.domain.wrapper import Object
from modelward.durable import Folder, reading_errors
from modelward.ports import StagedFile
from modelward.scan import Reading

_CUT = "copy the rest of the file, then run the same command again"
_STDIN = 0


class BundleReader:
    """An open bundle. Its blobs are taken in the header's order, each once, and then its end."""

    def __init__(self, fd: int, name: str) -> None:
        """Read and prove the header; raises BadBundle and ReadFailed."""
        self.name = name
        self._stream = Stream(fd, name)
        self._codec = Codec()
        self._buffers: SimpleQueue[mmap.mmap] = SimpleQueue()
        with self._named():
            self.header = read_header(self._stream)
        self.received = 0
        self._taken = 0

    def take(self, sink: StagedFile | None, reading: Reading) -> tuple[Object, ChunkList | None]:
        """The next blob into ``sink``, proved chunk by chunk and as a whole; its chunk list is proved as well.

        Without a sink the blob is passed over: its stored bytes are compared with what the bundle says of them, and
        not opened. Raises BadBundle, and what the sink raises.
        """
        blob, expected = self.header.blobs[self._taken], self.header.chunk_lists[self._taken]
        self._taken += 1
        with self._named():
            if sink is None:
                self._pass_over(blob, expected, reading)
            elif expected is None:
                self._small(blob, sink, reading)
            else:
                self._large(expected, sink, reading)
        return blob, expected

    def finish(self) -> None:
        """The bundle's end, and nothing behind it; raises BadBundle."""
        with self._named():
            end = self._stream.bytes(END_SIZE)
            if len(end) < END_SIZE:
                raise self._cut()
            if end != self.header.end:
                raise BadBundle("its end is damaged", next_step=DAMAGED)
            if self._stream.bytes(1):
                raise BadBundle("there are more bytes behind its end", next_step=DAMAGED)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors say which file it is."""
        try:
            yield
        except BadBundle as error:
            raise BadBundle(error.what, thing=self.name, next_step=error.next_step) from error

    def _large(self, expected: ChunkList, sink: StagedFile, reading: Reading) -> None:
        whole = sha256()

        def prove(chunk: _Chunk) -> _Chunk:
            opened = self._open(chunk)
            if blake3(opened.view).digest() != expected[chunk.number]:
                raise self._damaged()
            sink.write_at(memoryview(opened.buffer), chunk.length, chunk.number * CHUNK)
            return opened

        for chunk in ordered(prove, self._chunks(expected.size, reading), reading.from_disk().workers()):
            whole.update(chunk.view)
            self._buffers.put(chunk.buffer)
            reading.progress.advance(chunk.length)
        if whole.hexdigest() != expected.blob.hex:
            raise BadBundle("its chunk list is not that of the blob", next_step=DAMAGED)

    def _small(self, blob: Object, sink: StagedFile, reading: Reading) -> None:
        whole = sha256()
        for chunk in self._chunks(blob.size, reading):
            opened = self._open(chunk)
            whole.update(opened.view)
            sink.write_at(memoryview(opened.buffer), chunk.length, 0)
            self._buffers.put(opened.buffer)
            reading.progress.advance(chunk.length)
        if whole.hexdigest() != blob.digest.hex:
            raise self._damaged()

    def _pass_over(self, blob: Object, expected: ChunkList | None, reading: Reading) -> None:
        for chunk in self._chunks(blob.size, reading):
            proof = blake3(chunk.stored).digest()
            listed = expected is None or chunk.record.kind != RAW or proof == expected[chunk.number]
            if proof[:CHECK] != chunk.record.check or not listed:
                raise self._damaged()
            self._buffers.put(chunk.buffer)
            reading.progress.advance(chunk.length)

    def _chunks(self, size: int, reading: Reading) -> Iterator["_Chunk"]:
        """The blob's chunks as they are stored, each in a buffer of its own."""
        for index in range(count(size)):
            reading.late()
            length = chunk_span(index, size).length
            reading.pace.take(length)
            buffer = mmap.mmap(-1, CHUNK) if self._buffers.empty() else self._buffers.get()
            record = read_record(self._stream, length, buffer)
            if record is None:
                raise self._cut()
            self.received += length
            yield _Chunk(index, length, record, buffer)

    def _open(self, chunk: "_Chunk") -> "_Chunk":
        """The same chunk with its own bytes in the buffer; a raw one has them there already."""
        if chunk.record.kind == RAW:
            if blake3(chunk.stored).digest(length=CHECK) != chunk.record.check:
                raise self._damaged()
            return chunk
        chunk.buffer[: chunk.length] = self._codec.unpack(chunk.record, chunk.stored, chunk.length)
        return chunk

    def _damaged(self) -> BadBundle:
        return BadBundle("a chunk is damaged", next_step=DAMAGED)

    def _cut(self) -> BadBundle:
        there = f"{self.received:,} of {self.header.size:,} bytes of {self.header.names} are there"
        return BadBundle(f"cut short: {there}", next_step=_CUT)


class _Chunk(NamedTuple):
    """A chunk on its way in: which one, how long it is, how it is stored, and the buffer that it is in."""

    number: int
    length: int
    record: Record
    buffer: mmap.mmap

    @property
    def stored(self) -> memoryview:
        """The stored bytes, before they are opened."""
        return memoryview(self.buffer)[: self.record.length]

    @property
    def view(self) -> memoryview:
        """The chunk's own bytes, after."""
        return memoryview(self.buffer)[: self.length]


class Stream:
    """A file or pipe that is read once, in order."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd, self._name = fd, name

    def fill(self, view: memoryview) -> int:
        """Fill the view; returns fewer bytes than it holds only at the end."""
        got = 0
        with reading_errors(self._name):
            while got < len(view) and (step := os.readv(self._fd, [view[got:]])):
                got += step
        return got

    def bytes(self, length: int) -> bytes:
        """Up to ``length`` bytes; memory is taken as they arrive, not as they were promised."""
        parts, left = [], length
        with reading_errors(self._name):
            while left and (part := os.read(self._fd, min(left, CHUNK))):
                parts.append(part)
                left -= len(part)
        return b"".join(parts)


def read_header(stream: Stream) -> BundleHeader:
    """The header, proved; raises BadBundle."""
    preamble = stream.bytes(PREAMBLE_SIZE)
    first = Preamble.parse(preamble)
    document, lists = stream.bytes(first.document), stream.bytes(first.lists)
    if len(document) + len(lists) < first.document + first.lists:
        there, wanted = len(preamble) + len(document) + len(lists), PREAMBLE_SIZE + first.document + first.lists
        raise BadBundle(f"cut short: {there:,} of {wanted:,} bytes of its header are there", next_step=_CUT)
    return BundleHeader.parse(preamble, document, lists)


def read_record(stream: Stream, length: int, buffer: mmap.mmap) -> Record | None:
    """The next record of a chunk of ``length`` bytes, its stored bytes in the buffer; None where they end too soon."""
    head = stream.bytes(RECORD_SIZE)
    if len(head) < RECORD_SIZE:
        return None
    record = Record.parse(head, length)
    got = stream.fill(memoryview(buffer)[: record.length])
    return record if got == record.length else None


@contextmanager
def opened_bundle(path: str) -> Iterator[BundleReader]:
    """The bundle at ``path``, or on standard input for ``-``; raises BadBundle, BlobMissing and NotARegularFile."""
    if path == "-":
        yield BundleReader(_STDIN, "standard input")
        return
    real = Path(path).expanduser().resolve()
    folder = Folder.open(real.parent)
    fd = folder.open_file(real.name)
    try:
        yield BundleReader(fd, str(real))
    finally:
        os.close(fd)
        folder.close()
