"""A clock that moves only when it is told to."""

import threading
from datetime import UTC, datetime, timedelta


class FrozenClock:
    """Stands at ``start``; sleeping and ``advance`` move it, from any thread, and nothing ever waits."""

    def __init__(self, start: datetime) -> None:
        """``start`` is aware of its time zone; a naive one raises ValueError."""
        if start.utcoffset() is None:
            raise ValueError(f"{start} has no time zone: give the clock an aware start, in UTC")
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start that never go back, whatever the time of day does."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Move both clocks on by ``seconds`` and return at once; zero or less moves nothing."""
        if seconds > 0:
            self._move(timedelta(seconds=seconds), seconds)

    def advance(self, **span: float) -> None:
        """Move on by a span in the words of timedelta: ``advance(days=1, hours=2)``.

        A negative span sets only the time of day back, as a person or a time server does.
        """
        step = timedelta(**span)
        self._move(step, max(0.0, step.total_seconds()))

    def _move(self, step: timedelta, seconds: float) -> None:
        with self._lock:
            self._now += step
            self._monotonic += seconds
