"""How long the next line of a download may take, by what the lines before it said."""

from modelward.ports import Clock
from modelward.runtimes.answers import Step
from modelward.runtimes.wire import NoAnswer

SLOW_DISK = 10 << 20
"""Bytes a second that the slowest disk reads or writes."""
_LONGEST = 6 * 3600.0
_MOST = 10_000
_UNMOVED = 10


class Progress:
    """Watches one download whose lines come at most ``quiet`` seconds apart.

    A server repeats its last line while no bytes come (every 60 ms in server/download.go of Ollama v0.24.0), and
    says nothing while it reads all that it got to prove it, which must not be cut: the next pull would take the
    files that were not proved for good ones.
    """

    def __init__(self, clock: Clock, quiet: float) -> None:
        self._clock, self._quiet = clock, quiet
        self._sizes: dict[str, int] = {}
        self._last, self._since = Step(), clock.monotonic()

    def patience(self, step: Step) -> float:
        """Seconds that the line after this one may take; raises NoAnswer when too many lines said the same."""
        now = self._clock.monotonic()
        if step != self._last:
            self._last, self._since = step, now
        elif now - self._since > self._quiet * _UNMOVED:
            raise NoAnswer(f"nothing moved for {now - self._since:.0f} s", late=True)
        if not step.digest:
            return self._quiet + min(_LONGEST, sum(self._sizes.values()) / SLOW_DISK)
        if len(self._sizes) < _MOST:
            self._sizes[step.digest] = max(0, step.total)
        return self._quiet
