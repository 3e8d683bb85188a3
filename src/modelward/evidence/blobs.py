"""Look into damaged blobs: a bounded number of chunks, past and through the page cache, beside good bytes."""

import errno
import mmap
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from blake3 import blake3

from modelward.domain.chunks import CHUNK, ChunkList, Span, chunk_span, count, indices_of
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError, SourceFailed
from modelward.domain.evidence import BlobSeen, CacheSays, ChunkSeen, Pattern, Place
from modelward.domain.finding import BlobFinding, Corrupt, Oversized, Truncated, Unreadable, UnstableRead
from modelward.domain.name import ModelName
from modelward.domain.patterns import SECTOR, alone, compare, other_content
from modelward.domain.reading import ReadMode
from modelward.domain.source import Wanted
from modelward.ports import Source, Store, Vault
from modelward.scan import BlobFile, Reading, hash_whole

_WEIGHTS = (".model", ".projector", ".adapter", ".draft")
_MOST_HOLES = 64
_MOST_PLACES = 64
_READS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is looked at: chunks of one blob, fewer where they come over a network, and bytes of one blob.

    ``scan`` bytes at most are read of a blob of which it is not known where it is damaged. ``blobs`` and ``tags``
    bound how many blobs are opened and how many tags are asked for.
    """

    chunks: int = 64
    remote_chunks: int = 4
    scan: int = 8 << 30
    blobs: int = 64
    tags: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A damaged blob to look into: what is known of it before it is opened."""

    blob: Digest
    size: int
    path: str
    findings: tuple[BlobFinding, ...]
    models: tuple[ModelName, ...] = ()
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class _Good:
    """A source that offers the blob, without the spans that are bad there."""

    source: Source
    bad: tuple[Span, ...]


@dataclass(slots=True)
class Examiner:
    """Looks into one store's damaged blobs. ``sizes`` holds every blob that is known, to tell a swapped file."""

    store: Store
    reading: Reading
    vault: Vault | None
    sources: Sequence[Source]
    sizes: Mapping[Digest, int]
    limits: Limits
    _buffer: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, CHUNK))

    def look(self, case: Case) -> BlobSeen:
        """What is to be seen of this blob; a file that cannot be opened is told by its findings alone."""
        seen = BlobSeen(
            blob=case.blob,
            path=case.path,
            size=case.size,
            models=case.models,
            findings=case.findings,
            media_type=case.media_type,
        )
        try:
            fd = self.store.open_blob(case.blob)
        except ModelwardError:
            return seen
        try:
            return self._look(fd, case)
        finally:
            os.close(fd)

    def _look(self, fd: int, case: Case) -> BlobSeen:
        actual = os.fstat(fd).st_size
        good = self._good(case)
        exact = _exact(case)
        indices = _damaged(case, actual) if exact else ()
        scanned = 0
        if exact:
            chunks = self._sample(fd, case, actual, indices, good)
        else:
            chunks, scanned = self._scan(fd, case, actual, good)
        return BlobSeen(
            blob=case.blob,
            path=case.path,
            size=case.size,
            models=case.models,
            findings=case.findings,
            media_type=case.media_type,
            actual=actual,
            holes=_holes(fd, min(actual, case.size)),
            content=self._content(fd, case),
            same_as=self._same_as(fd, case, actual),
            chunks=chunks,
            damaged=len(indices),
            exact=exact,
            scanned=scanned,
            compared_with=good.source.name if good is not None and any(chunk.compared for chunk in chunks) else "",
        )

    # Chunks.

    def _sample(
        self, fd: int, case: Case, actual: int, indices: Sequence[int], good: _Good | None
    ) -> tuple[ChunkSeen, ...]:
        """A share of the damaged chunks, spread over all of them."""
        chunk_list = self._chunk_list(case)
        remote = self.limits.remote_chunks if good is not None and not good.source.local else self.limits.chunks
        seen: list[ChunkSeen] = []
        for number, index in enumerate(_spread(indices, self.limits.chunks)):
            if self.reading.late():
                break
            span = _clip(chunk_span(index, case.size), actual)
            source = good if number < remote else None
            seen.append(self._chunk(fd, case, span, chunk_list, source))
        return tuple(seen)

    def _chunk(self, fd: int, case: Case, span: Span, chunk_list: ChunkList | None, good: _Good | None) -> ChunkSeen:
        disk, error, mode = self._read(fd, ReadMode.DIRECT, span)
        if error:
            return ChunkSeen(span=span, error=error)
        right, proved = self._good_bytes(case, span, chunk_list, good)
        is_good = _judge(case, span, chunk_list, right)
        cache: CacheSays | None = None
        wrong = disk
        if mode is ReadMode.DIRECT:
            cached, _, _ = self._read(fd, ReadMode.CACHED, span)
            if cached != disk and self._reads(fd, span, disk) == 1:
                cache = _cache_says(is_good(cached), is_good(disk))
                wrong = cached if cache is CacheSays.DISK_GOOD else disk
        reads = self._reads(fd, span, disk) if any(isinstance(f, UnstableRead) for f in case.findings) else 1
        places = _places(wrong, right, span, case.size)
        return ChunkSeen(
            span=span,
            places=places[:_MOST_PLACES],
            compared=right is not None,
            proved=proved,
            reads=reads,
            cache=cache,
            moved=_moved(wrong, right, places, span) if right is not None else 0,
            blank=bool(wrong) and not wrong.strip(b"\0"),
        )

    def _scan(self, fd: int, case: Case, actual: int, good: _Good | None) -> tuple[tuple[ChunkSeen, ...], int]:
        """Find damaged chunks of a blob without a chunk list: by good bytes on this host, else by zeros alone.

        Returns them, and how many chunks were looked at.
        """
        source = good if good is not None and good.source.local else None
        seen: list[ChunkSeen] = []
        end = min(actual, case.size, self.limits.scan)
        scanned = 0
        for index in range(count(end)):
            if len(seen) >= self.limits.chunks or self.reading.late():
                break
            scanned += 1
            span = _clip(chunk_span(index, case.size), actual)
            bad, error, _ = self._read(fd, ReadMode.DIRECT, span)
            if error:
                seen.append(ChunkSeen(span=span, error=error))
                continue
            right, _ = self._good_bytes(case, span, None, source)
            if places := _places(bad, right, span, case.size):
                blank = not bad.strip(b"\0")
                seen.append(ChunkSeen(span=span, places=places[:_MOST_PLACES], compared=right is not None, blank=blank))
        return tuple(seen), scanned

    def _read(self, fd: int, mode: ReadMode, span: Span) -> tuple[bytes, str, ReadMode]:
        """Bytes of the span, the name of the error that came instead, and how they came to be read."""
        self.reading.pace.take(span.length)
        file = BlobFile(fd, mode)
        try:
            got = file.fill(memoryview(self._buffer), span.offset, span.length)
        except OSError as error:
            return b"", errno.errorcode.get(error.errno or 0, "EIO"), file.mode
        return self._buffer[:got], "", file.mode

    def _reads(self, fd: int, span: Span, first: bytes) -> int:
        """How many different contents several reads of the same bytes give."""
        contents = {sha256(first).digest()}
        for _ in range(_READS):
            again, error, _ = self._read(fd, ReadMode.DIRECT, span)
            contents.add(sha256(error.encode() if error else again).digest())
        return len(contents)

    # Good bytes.

    def _chunk_list(self, case: Case) -> ChunkList | None:
        if self.vault is None or case.size <= CHUNK:
            return None
        found = self.vault.chunk_list(case.blob)
        return found if found is not None and found.size == case.size else None

    def _good(self, case: Case) -> _Good | None:
        """The cheapest source that offers the blob; those on this host come first."""
        wanted = (Wanted(case.blob, case.size, case.models),)
        offers: list[_Good] = []
        for source in sorted(self.sources, key=lambda source: source.rank):
            bad = source.offers(wanted).get(case.blob)
            if bad is not None:
                offers.append(_Good(source, bad))
        return min(offers, key=lambda good: not good.source.local, default=None)

    def _good_bytes(
        self, case: Case, span: Span, chunk_list: ChunkList | None, good: _Good | None
    ) -> tuple[bytes | None, bool]:
        """The right bytes of a span as far as the file has it, and whether a hash vouches for them (R2)."""
        if good is None or any(bad.offset < span.end and span.offset < bad.end for bad in good.bad):
            return None, False
        whole = chunk_span(span.offset // CHUNK, case.size)
        data = _from(good.source, case.blob, whole)
        vouched = chunk_list is not None or case.size <= CHUNK
        if data is None or (vouched and not _judge(case, whole, chunk_list, None)(data)):
            return None, False
        return data[: span.length], vouched

    # The file as a whole.

    def _content(self, fd: int, case: Case) -> str:
        head, _, _ = self._read(fd, ReadMode.DIRECT, Span(0, SECTOR))
        return other_content(head, weights=case.media_type.endswith(_WEIGHTS))

    def _same_as(self, fd: int, case: Case, actual: int) -> Digest | None:
        """The known digest that the file's bytes have, where its size lets one expect that there is one."""
        alike = {blob for blob, size in self.sizes.items() if size == actual and blob != case.blob}
        resized = actual != case.size  # then the manifest may be what is wrong
        own = actual > case.size or (resized and actual <= CHUNK)
        if not actual or actual > self.limits.scan or not (alike or own):
            return None
        found = hash_whole(fd, actual, self.reading.from_disk()).sha256
        return next((blob for blob in (*alike, case.blob) if blob.hex == found), None)


def _exact(case: Case) -> bool:
    """Whether it is known which chunks are damaged."""
    return case.size <= CHUNK or not any(
        (isinstance(finding, Corrupt) and not finding.exact)
        or (isinstance(finding, Truncated | Oversized) and Span(0, case.size) in finding.spans)
        for finding in case.findings
    )


def _damaged(case: Case, actual: int) -> tuple[int, ...]:
    """The damaged chunks of which the file has bytes at all."""
    found: set[int] = set()
    for finding in case.findings:
        if isinstance(finding, Corrupt | Truncated | Oversized | Unreadable | UnstableRead):
            found.update(indices_of(finding.spans))
    return tuple(sorted(index for index in found if index * CHUNK < actual))


def _spread(indices: Sequence[int], most: int) -> Iterator[int]:
    """At most ``most`` of them, evenly spread, the first among them."""
    step = max(1, len(indices) / most)
    return (indices[int(number * step)] for number in range(min(most, len(indices))))


def _clip(span: Span, actual: int) -> Span:
    return Span(span.offset, max(0, min(span.length, actual - span.offset)))


def _places(bad: bytes, right: bytes | None, span: Span, size: int) -> tuple[Place, ...]:
    if right is None:
        return alone(bad, span.offset, size)
    return compare(bad, right, span.offset, size)


def _judge(case: Case, span: Span, chunk_list: ChunkList | None, right: bytes | None) -> Callable[[bytes], bool]:
    """How to tell that bytes of a span are right: by the chunk list, the blob's own digest, or good bytes."""
    if chunk_list is not None:
        expected = chunk_list[span.offset // CHUNK]
        return lambda data: blake3(data).digest() == expected
    if case.size <= CHUNK:
        return lambda data: sha256(data).hexdigest() == case.blob.hex
    return lambda data: right is not None and data == right


def _cache_says(cache: bool, disk: bool) -> CacheSays:  # noqa: FBT001 - two equal answers, called once
    if cache == disk:
        return CacheSays.NEITHER
    return CacheSays.CACHE_GOOD if cache else CacheSays.DISK_GOOD


def _moved(bad: bytes, right: bytes, places: Sequence[Place], span: Span) -> int:
    """How many of the first wrong sectors hold what belongs elsewhere in the chunk: writes that went astray."""
    moved = 0
    for place in places[:4]:
        if place.pattern is Pattern.SECTORS:
            start = round((place.span.offset - span.offset) / SECTOR) * SECTOR
            sector = bad[start : start + SECTOR]
            moved += len(set(sector)) > 1 and right.find(sector) >= 0
    return moved


def _from(source: Source, blob: Digest, span: Span) -> bytes | None:
    data = bytearray(span.length)
    view, got = memoryview(data), 0
    while got < span.length:
        try:
            step = source.read(blob, span.offset + got, view[got:])
        except SourceFailed:
            return None
        if not step:
            return None
        got += step
    return bytes(data)


def _holes(fd: int, end: int) -> tuple[Span, ...]:
    """Ranges that the file system never allocated, the first 64; where it does not tell, there are none."""
    holes: list[Span] = []
    offset = 0
    try:
        while offset < end and len(holes) < _MOST_HOLES:
            hole = os.lseek(fd, offset, os.SEEK_HOLE)
            if hole >= end:
                break
            try:
                offset = min(end, os.lseek(fd, hole, os.SEEK_DATA))
            except OSError:  # no data behind the hole
                offset = end
            holes.append(Span(hole, offset - hole))
    except OSError:
        return tuple(holes)
    return tuple(holes)
