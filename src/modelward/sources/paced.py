"""A source held to a number of bytes a second."""

from collections.abc import Iterable, Mapping

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.source import LocalFile, Wanted
from modelward.ports import Source
from modelward.scan import Pace


class PacedSource:
    """Another source, read no faster than the pace allows."""

    def __init__(self, source: Source, pace: Pace) -> None:
        self.name, self.rank, self.local = source.name, source.rank, source.local
        self._source, self._pace = source, pace

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """What the source offers."""
        return self._source.offers(wanted)

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Wait for the turn of so many bytes, then read."""
        self._pace.take(len(view))
        return self._source.read(blob, offset, view)

    def local_file(self, blob: Digest) -> LocalFile | None:
        """What the source has."""
        return self._source.local_file(blob)
