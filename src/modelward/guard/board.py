"""The board: what the guard's threads tell those who watch; looking at it never waits for work."""

import threading
from collections.abc import Callable

from modelward.domain.standing import Standing


class Board:
    """The present standing, and a revision that grows with every change of it or of a job.

    Reading never waits for work (H1): what is shown is what was last seen.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._standing: Standing | None = None
        self._revision = 0
        self._listeners: list[Callable[[int], None]] = []

    @property
    def standing(self) -> Standing | None:
        """What was last seen; None before the first look."""
        return self._standing

    @property
    def revision(self) -> int:
        """A number that grows with every change."""
        return self._revision

    def publish(self, standing: Standing) -> None:
        """Show a new picture."""
        self._standing = standing
        self.stir()

    def stir(self) -> None:
        """Something changed that watchers may want to look at."""
        with self._changed:
            self._revision += 1
            now = self._revision
            listeners = tuple(self._listeners)
            self._changed.notify_all()
        for listener in listeners:
            listener(now)

    def listen(self, listener: Callable[[int], None]) -> Callable[[], None]:
        """Have ``listener`` called with each new revision, from any thread; it must be quick. Returns how to end it."""
        with self._changed:
            self._listeners.append(listener)
        return lambda: self._forget(listener)

    def _forget(self, listener: Callable[[int], None]) -> None:
        with self._changed:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait(self, seen: int, seconds: float) -> int:
        """Wait until the revision is past ``seen``, at most so many seconds; returns the revision."""
        with self._changed:
            self._changed.wait_for(lambda: self._revision > seen, seconds)
            return self._revision
