"""Chunks, spans of chunks and the chunk list that vouches for each MiB of a blob."""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject

CHUNK = 1 << 20
CHUNK_LIST_TYPE = "application/vnd.modelward.chunks.v1"
_HASH = 32
_HEADER = struct.Struct("<8sIIQ32s8s")
_MAGIC = b"MWCHUNKS"
_BLAKE3 = 1
_PADDING = bytes(8)


class Span(NamedTuple):
    """A run of bytes of a blob: ``offset`` and ``length`` in bytes; ``[offset, length]`` in JSON."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind the span."""
        return self.offset + self.length


def count(size: int) -> int:
    """How many chunks a blob of ``size`` bytes has (an empty blob has none)."""
    return -(-size // CHUNK)


def chunk_span(index: int, size: int) -> Span:
    """Where chunk ``index`` of a blob of ``size`` bytes lies; the last one may be shorter."""
    offset = index * CHUNK
    return Span(offset, min(CHUNK, size - offset))


def spans_of(indices: Iterable[int], size: int) -> tuple[Span, ...]:
    """Join chunk indices (any order, repeats allowed) into the fewest spans, in order of offset."""
    spans: list[Span] = []
    for index in sorted(set(indices)):
        here = chunk_span(index, size)
        if spans and spans[-1].end == here.offset:
            spans[-1] = Span(spans[-1].offset, spans[-1].length + here.length)
        else:
            spans.append(here)
    return tuple(spans)


def indices_of(spans: Iterable[Span]) -> Iterator[int]:
    """The indices of all chunks that the spans touch, in order of the spans."""
    for span in spans:
        yield from range(span.offset // CHUNK, count(span.end))


def total(spans: Iterable[Span]) -> int:
    """The number of bytes in the spans."""
    return sum(span.length for span in spans)


class ChunkList(msgspec.Struct, frozen=True, kw_only=True):
    """The BLAKE3 hashes of a blob's chunks, in order, as one string of 32 bytes each."""

    blob: Digest
    size: int
    hashes: bytes

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != count(self.size) * _HASH:
            raise BadObject("a chunk list whose length does not fit its blob", thing=self.blob)

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.hashes[index * _HASH : (index + 1) * _HASH]

    def __len__(self) -> int:
        return count(self.size)

    def encode(self) -> bytes:
        """The vault's form: a 64-byte header (magic, chunk size, hash kind, size, SHA-256), then the hashes."""
        return _HEADER.pack(_MAGIC, CHUNK, _BLAKE3, self.size, self.blob.raw, _PADDING) + self.hashes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the vault's form back; anything else raises BadObject."""
        try:
            magic, chunk, kind, size, blob, padding = _HEADER.unpack_from(data)
        except struct.error as error:
            raise BadObject("a chunk list shorter than its header") from error
        if (magic, chunk, kind, padding) != (_MAGIC, CHUNK, _BLAKE3, _PADDING):
            raise BadObject("not a chunk list of this format")
        return cls(blob=Digest(blob.hex()), size=size, hashes=data[_HEADER.size :])
