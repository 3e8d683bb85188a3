"""Take bytes from sources, the cheapest first, and prove them on the way; the next one takes over from one that fails.

Two proofs: chunk by chunk against a chunk list, or the whole against its SHA-256. Neither comes from the source (R2).
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from modelward.domain.chunks import CHUNK, ChunkList, Span, chunk_span, indices_of
from modelward.domain.digest import Digest
from modelward.domain.errors import NotRepairable, SourceFailed
from modelward.domain.name import ModelName
from modelward.domain.plan import Part
from modelward.domain.source import Wanted
from modelward.ports import Source, StagedFile
from modelward.scan import Fill, Sink, copy_checked, copy_whole, file_id
from modelward.services.site import Site

_PAGE = 4096
GROUP = 4  # chunks that are asked for at once where an answer takes its time, whatever its length
Stage = Callable[[Digest | None], StagedFile]


class Fetcher:
    """The sources of a site, and what the models that name a blob are called."""

    def __init__(self, site: Site, models: Mapping[Digest, tuple[ModelName, ...]]) -> None:
        self._site, self._models = site, models
        self._sources = sorted(site.sources, key=lambda source: source.rank)

    def is_local(self, name: str) -> bool:
        """Whether the source of this name costs no traffic; names joined by plus cost it when one does."""
        far = {source.name for source in self._sources if not source.local}
        return far.isdisjoint(name.split("+"))

    def listed(
        self,
        chunk_list: ChunkList,
        indices: Sequence[int],
        sink: Sink,
        parts: Sequence[Part] = (),
        *,
        have: Fill | None = None,
    ) -> tuple[int, str]:
        """Copy chunks that match the chunk list; returns the bytes that came and the sources' names.

        ``parts`` says which source to ask first for which chunks; ``have`` gives chunks that need not come at all.
        """
        left, names, moved, lied = set(indices), list[str](), 0, list[bool]()
        for source, share in self._turns(chunk_list, parts):
            todo = tuple(sorted(left if share is None else left & share))
            if not todo:
                continue
            feed = Feed(source, chunk_list.blob)
            group = 1 if source.local else GROUP
            filled = have_first(feed, have)
            failed = set(copy_checked(filled, chunk_list, sink, self._site.reading, only=todo, group=group))
            came = set(todo) - failed
            names += [source.name] if came and source.name not in names else []
            moved += sum(chunk_span(index, chunk_list.size).length for index in came)
            left -= came
            if failed:
                lied.append(self._failed(source, chunk_list.blob, feed))
        if left:
            raise nobody(chunk_list.blob, lied)
        return moved, "+".join(names) or "store"

    def _turns(self, chunk_list: ChunkList, parts: Sequence[Part]) -> Iterator[tuple[Source, set[int] | None]]:
        """Who is asked for which chunks (None: for all that are left): as planned, then everybody in order."""
        by_name = {source.name: source for source in self._sources}
        for part in [part for part in parts if part.source in by_name]:
            yield by_name[part.source], set(indices_of(part.spans))
        for source, bad in self._offering(chunk_list.blob, chunk_list.size):
            yield source, set(range(len(chunk_list))) - set(indices_of(bad)) if bad else None

    def whole(self, blob: Digest, size: int, stage: Stage) -> tuple[StagedFile, int, str]:
        """Copy a blob that has no chunk list; its SHA-256 decides. Returns the staged file, bytes and source."""
        lied = list[bool]()
        for source in [source for source, bad in self._offering(blob, size) if not bad]:
            feed, staged = self._from_one(source, blob, size, stage)
            if staged is not None:
                return staged, feed.moved, source.name
            lied.append(self._failed(source, blob, feed))
        raise nobody(blob, lied)

    def _from_one(
        self, source: Source, blob: Digest, size: int, stage: Stage, *, again: bool = True
    ) -> tuple["Feed", StagedFile | None]:
        """One source's bytes, proved, or None: with what an earlier run brought, and where that was wrong without."""
        staged, feed = stage(None if source.local else blob), Feed(source, blob)
        resumed, group = bool(staged.have), 1 if source.local else GROUP
        try:
            if self._proved(have_first(feed, kept(staged)), blob, size, staged, group=group):
                return feed, staged
            if not feed.failed:
                staged.drop()
        except BaseException:
            staged.discard()
            raise
        staged.discard()
        if resumed and again and not feed.failed:
            return self._from_one(source, blob, size, stage, again=False)
        return feed, None

    def suspects(
        self, blob: Digest, size: int, spans: Sequence[Span], local: Fill, stage: Stage
    ) -> tuple[StagedFile, int, str] | None:
        """Put a blob together from what is there and, for ``spans``, a source; None when its SHA-256 says no."""
        wanted = frozenset(indices_of(spans))
        sources: list[Source | None] = [source for source, bad in self._offering(blob, size) if not bad and wanted]
        for source in sources or [None]:
            feed = Feed(source, blob) if source is not None else None
            staged = stage(None)

            def fill(view: memoryview, offset: int, length: int, feed: "Feed | None" = feed) -> int:
                return feed(view, offset, length) if feed and offset // CHUNK in wanted else local(view, offset, length)

            try:
                if self._proved(fill, blob, size, staged):
                    return staged, feed.moved if feed else 0, source.name if source else "store"
            except BaseException:
                staged.discard()
                raise
            staged.discard()
        return None

    def _proved(self, fill: Fill, blob: Digest, size: int, staged: StagedFile, *, group: int = 1) -> bool:
        return copy_whole(fill, size, staged, self._site.reading, group=group) == blob.hex

    def clone(self, blob: Digest, size: int, staged: StagedFile) -> tuple[str, int] | None:
        """Share a local file's extents. The proof is the source's receipt for that very file, and its time."""
        for source, bad in self._offering(blob, size):
            local = source.local_file(blob) if not bad else None
            if local is None:
                continue
            fd, receipt = local
            try:
                if receipt is not None and receipt.holds_for(file_id(fd)) and staged.clone_from(fd):
                    return source.name, receipt.verified_at
            finally:
                os.close(fd)
        return None

    def _offering(self, blob: Digest, size: int) -> Iterator[tuple[Source, tuple[Span, ...]]]:
        """The sources that have the blob, the cheapest first; each is asked when its turn comes."""
        wanted = Wanted(blob, size, self._models.get(blob, ()))
        for source in self._sources:
            bad = source.offers([wanted]).get(blob)
            if bad is not None:
                yield source, bad

    def _failed(self, source: Source, blob: Digest, feed: "Feed") -> bool:
        """Note it; whether asking again is vain: what is here was read, and is wrong."""
        self._site.progress.say("source_failed", source=source.name, blob=str(blob))
        return source.local and not feed.failed


class Feed:
    """A source's bytes of one blob in the form that scan takes; after one failure it gives nothing more."""

    def __init__(self, source: Source, blob: Digest) -> None:
        self._source, self._blob, self._lock = source, blob, threading.Lock()
        self.failed, self.moved = False, 0

    def __call__(self, view: memoryview, offset: int, length: int) -> int:
        """Fill ``view`` from ``offset``; returns how many bytes came."""
        got = 0
        while not self.failed and got < length:
            try:
                step = self._source.read(self._blob, offset + got, view[got:length])
            except SourceFailed:
                self.failed = True
                break
            if not step:
                self.failed = True
                break
            got += step
        with self._lock:
            self.moved += got
        return got


def kept(staged: StagedFile) -> Fill | None:
    """The chunks that the staged file has from an earlier run, one at a time; of the others it gives nothing."""
    if not staged.have:
        return None

    def fill(view: memoryview, offset: int, length: int) -> int:
        if offset // CHUNK not in staged.have or length > CHUNK:
            return 0
        # Whole pages, since the file may be open past the page cache.
        return min(os.preadv(staged.fd, [view[: -(-length // _PAGE) * _PAGE]], offset), length)

    return fill


def have_first(feed: Fill, have: Fill | None) -> Fill:
    """Ask ``have`` first, where there is one, and the feed for what it does not have whole."""
    if have is None:
        return feed

    def one(view: memoryview, offset: int, length: int) -> int:
        return length if have(view, offset, length) == length else feed(view, offset, length)

    def fill(view: memoryview, offset: int, length: int) -> int:
        for start in range(0, length, CHUNK):
            many = min(CHUNK, length - start)
            got = one(view[start : start + CHUNK], offset + start, many)
            if got < many:
                return start + got
        return length

    return fill


def nobody(blob: Digest, lied: Sequence[bool]) -> SourceFailed | NotRepairable:
    """No source gave good bytes; ``lied`` says of each that was asked whether all that it has is wrong."""
    kind = NotRepairable if lied and all(lied) else SourceFailed
    return kind(
        "no source gave good bytes", thing=blob, next_step="back the model up from a good copy, or pull it again"
    )
