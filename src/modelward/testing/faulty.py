"""A source that fails as its script says, for tests of what takes bytes from sources."""

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import SourceFailed
from modelward.domain.source import LocalFile, Wanted
from modelward.ports import Source

_INVERTED = bytes(255 - byte for byte in range(256))


class Fault(StrEnum):
    """What becomes of one read, or, for the last two, of all from there on."""

    NONE = "as it is"
    SHORT = "half of what was asked for"
    WRONG = "every bit inverted"
    ERROR = "an error, once"
    VANISH = "gone for good"
    ZEROS = "endless zeros"


class FaultySource:
    """Another source, disturbed: each read takes the next word of ``script``, and behind its end all is well.

    Bytes come by ``read`` alone, so no local file is given away. ``reads`` records every read: digest, offset and
    length in bytes.
    """

    def __init__(
        self, source: Source, script: Iterable[Fault] = (), *, name: str = "", rank: int | None = None
    ) -> None:
        self.name = name or source.name
        self.rank = source.rank if rank is None else rank
        self.local = source.local
        self.reads: list[tuple[Digest, int, int]] = []
        self._source, self._script = source, deque(script)
        self._now, self._lock = Fault.NONE, threading.Lock()

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """What the source offers; nothing once it vanished."""
        return {} if self._now is Fault.VANISH else self._source.offers(wanted)

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` as the script says; raises SourceFailed."""
        match self._next(blob, offset, len(view)):
            case Fault.ERROR | Fault.VANISH as fault:
                raise SourceFailed(f"scripted to fail ({fault})", thing=blob, next_step="ask another source")
            case Fault.ZEROS:
                view[:] = bytes(len(view))
                return len(view)
            case Fault.SHORT:
                return self._source.read(blob, offset, view[: -(-len(view) // 2)])
            case Fault.WRONG:
                got = self._source.read(blob, offset, view)
                view[:got] = bytes(view[:got]).translate(_INVERTED)
                return got
        return self._source.read(blob, offset, view)

    def local_file(self, blob: Digest) -> LocalFile | None:  # noqa: ARG002 - the port's parameter
        """None: every byte goes through ``read``."""
        return None

    def _next(self, blob: Digest, offset: int, length: int) -> Fault:
        with self._lock:
            self.reads.append((blob, offset, length))
            if self._now not in (Fault.VANISH, Fault.ZEROS):
                self._now = self._script.popleft() if self._script else Fault.NONE
            return self._now
