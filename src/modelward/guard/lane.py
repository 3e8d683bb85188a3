"""A lane: one thread that does one thing after the other, can be woken, and is replaced when it hangs."""

import threading
from collections.abc import Callable

from modelward.ports import Clock
from modelward.scan import signals_held

Turn = Callable[[str], None]
Ended = Callable[[str, Exception | None], None]


class Lane:
    """Calls ``turn`` with the reason whenever it is woken, and at the latest after ``every`` seconds.

    Reasons that come while it is busy are one turn afterwards. ``gap`` seconds lie between two turns at least, unless
    it is woken as urgent. ``ended`` is told the lane's name after each turn, with the error of one that failed: a
    fault in one turn must not cost all later ones.
    """

    def __init__(  # noqa: PLR0913 - what a lane is, told by name
        self,
        name: str,
        turn: Turn,
        clock: Clock,
        *,
        every: Callable[[], float],
        gap: float = 0.0,
        ended: Ended = lambda _name, _error: None,
    ) -> None:
        self.name, self._turn, self._clock, self._every, self._gap = name, turn, clock, every, gap
        self._ended = ended
        self._bell = threading.Condition()
        self._reason, self._due = "", float("inf")
        self._generation = 0
        self._stopped = False
        self.busy_since: float | None = None
        self.last_turn = clock.monotonic()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; the first turn comes with the first reason, or after the interval."""
        self._generation += 1
        self.busy_since = None
        self._thread = threading.Thread(
            target=self._run, args=(self._generation,), name=f"guard {self.name}", daemon=True
        )
        with signals_held():
            self._thread.start()

    def wake(self, reason: str, *, urgent: bool = True) -> None:
        """Have a turn soon: at once, or, when not urgent, once the gap is over."""
        with self._bell:
            due = self._clock.monotonic() if urgent else max(self._clock.monotonic(), self.last_turn + self._gap)
            if due < self._due:
                self._reason, self._due = reason, due
            self._bell.notify()

    def stop(self) -> None:
        """Begin no further turn."""
        with self._bell:
            self._stopped = True
            self._bell.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the turn that runs, so many seconds at most."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    def stuck(self, limit: float) -> bool:
        """Whether a turn has lasted longer than ``limit`` seconds: a disk or a server that never answers."""
        since = self.busy_since
        return since is not None and self._clock.monotonic() - since > limit

    def _run(self, generation: int) -> None:
        while (reason := self._next(generation)) is not None:
            self.busy_since = self._clock.monotonic()
            error = self._fault(reason)
            if generation != self._generation:
                return  # we hung, and another thread has taken over
            self.busy_since, self.last_turn = None, self._clock.monotonic()
            self._ended(self.name, error)

    def _fault(self, reason: str) -> Exception | None:
        try:
            self._turn(reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next turn comes
            return error
        return None

    def _next(self, generation: int) -> str | None:
        with self._bell:
            while not self._stopped and generation == self._generation:
                now = self._clock.monotonic()
                regular = self.last_turn + self._every()
                if min(self._due, regular) <= now:
                    reason = self._reason if self._due <= now else "regular look"
                    self._reason, self._due = "", float("inf")
                    return reason
                self._bell.wait(min(self._due, regular) - now)
        return None
