"""The metrics' source, for whoever shows or sends them: the board, what the journal has counted, the vault's size."""

import threading
from collections.abc import Callable
from contextlib import suppress

from modelward import __version__
from modelward.domain.errors import ModelwardError, StorageError
from modelward.domain.standing import Standing
from modelward.domain.telemetry import Counts
from modelward.guard.board import Board
from modelward.guard.place import Opener
from modelward.metrics import Figures, Tally
from modelward.ports import Clock, Journal, Progress
from modelward.scan import signals_held

_COUNT_AGAIN = 600.0
_WAIT = 0.05  # seconds for the walk of a small vault; that of a large one shows with a later figure


class Gauge:
    """What the metrics need between two looks: the counts so far, and the vault's size, which costs a walk.

    ``telemetry`` says what a collector took, where there is one. Safe in threads.
    """

    def __init__(self, board: Board, journal: Journal, clock: Clock, count: Callable[[], int | None]) -> None:
        self.tally = Tally(journal, clock.now())
        self.telemetry: Callable[[], Counts | None] = _none
        self._board, self._clock, self._count = board, clock, count
        self._bytes: int | None = None
        self._counted_at: float | None = None
        self._lock = threading.Lock()

    def figures(self, *, ready: bool | None = None) -> Figures:
        """All figures as they are now; ``ready`` is what the board says where nobody knows better."""
        seen = self._board.standing
        with suppress(StorageError):  # a journal that cannot be read leaves the counts as they were
            self.tally.update(self._clock.now(), [model.name for model in seen.models] if seen is not None else [])
        return Figures(
            version=__version__,
            ready=_ready(seen) if ready is None else ready,
            standing=seen,
            vault_bytes=self._vault_bytes(),
            telemetry=self.telemetry(),
        )

    def _vault_bytes(self) -> int | None:
        """The size as it was counted last, at most some minutes ago."""
        now = self._clock.monotonic()
        with self._lock:
            due = self._counted_at is None or now - self._counted_at > _COUNT_AGAIN
            self._counted_at = now if due else self._counted_at
        if due:
            walk = threading.Thread(target=self._walk, name="guard vault bytes", daemon=True)
            with signals_held():
                walk.start()
            walk.join(_WAIT)
        return self._bytes

    def _walk(self) -> None:
        self._bytes = self._count()


def vault_bytes(opener: Opener, log: Progress) -> int | None:
    """The bytes of the vault's objects; None where there is no vault, or none that can be looked at."""
    try:
        with opener(log, threading.Event(), cause="metrics", hurry=True) as place:
            vault = place.site.vault
            return sum(stat.file.size for stat in vault.objects().values()) if vault is not None else None
    except ModelwardError:
        return None


def _ready(seen: Standing | None) -> bool:
    return seen is not None and seen.ready


def _none() -> Counts | None:
    return None
