"""From what is wrong now to messages: conditions become flips, flips go through the alert engine, notices go out."""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from modelward.domain.alert import Alert, Condition, Flip, Kind, Notice, Silence, flips_of
from modelward.domain.alerting import Book, Rules, advance, differs, next_wake, open_of
from modelward.domain.errors import StorageError
from modelward.ports import Clock, Journal, Progress

BOOK: Final = "alerts.book"
SILENCES: Final = "alerts.silences"


class Alarm:
    """The one place that decides what is told; safe to call from every thread of the guard.

    ``deliver`` takes the notices and must not wait for any channel. A journal that cannot be written to costs
    memory over a restart, never an alert.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        log: Progress,
        *,
        rules: Callable[[], Rules],
        deliver: Callable[[Sequence[Notice]], None],
    ) -> None:
        self._journal, self._clock, self._log = journal, clock, log
        self._rules, self._deliver = rules, deliver
        self._lock = threading.RLock()
        self._book = journal.get(BOOK, Book) or Book()
        self._wake: datetime | None = clock.now()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What is wrong and known to the engine now."""
        return self._book.alerts

    def observe(
        self, bad: Iterable[Condition], covers: Collection[Kind], subjects: Collection[str] | None = None
    ) -> None:
        """Take in all that is wrong now of the kinds in ``covers``; what is no longer there is over.

        ``subjects`` narrows that down to those subjects: others of the same kinds are somebody else's to end.
        """
        with self._lock:
            mine = {
                key: condition
                for key, condition in open_of(self._book).items()
                if key[0] in covers and (subjects is None or key[1] in subjects)
            }
            flips = flips_of(mine, tuple(bad), covers, self._clock.now())
            if flips:
                self._take(flips)

    def _take(self, flips: Sequence[Flip]) -> None:
        for flip in flips:
            self._log.say("flip", kind=flip.kind.value, subject=flip.subject, bad=flip.bad, detail=flip.detail)
        self._keep(lambda: self._journal.flip(flips))
        self._advance(flips, self._rules())

    def tick(self) -> None:
        """Time passed: what was pending may be due, and reminders."""
        with self._lock:
            now, seen = self._clock.now(), self._book.seen_at
            set_back = seen is not None and now < seen
            if self._wake is not None and (now >= self._wake or set_back):
                self._advance((), self._rules())

    def flush(self) -> None:
        """Tell at once all that is wrong: there will be no later look in this process."""
        with self._lock:
            for _ in range(2):  # once to begin what waits, once to tell it
                self._advance((), replace(self._rules(), pending=timedelta(), group=timedelta()))

    def _advance(self, flips: Sequence[Flip], rules: Rules) -> None:
        """Notices go out before the book is kept: a kill in between repeats one, and never loses one."""
        now = self._clock.now()
        book, notices = advance(self._book, flips, self._silences(), now, rules, now.astimezone())
        if notices:
            self._deliver(notices)
        changed, self._book = differs(self._book, book), book
        self._wake = next_wake(book, rules, now)
        if changed:
            self._keep(lambda: self._journal.put(BOOK, book))

    def _silences(self) -> tuple[Silence, ...]:
        """A journal that cannot be read silences nothing."""
        try:
            return self._journal.get(SILENCES, tuple[Silence, ...]) or ()
        except StorageError as error:
            self._log.say("journal_failed", error=str(error))
            return ()

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            self._log.say("journal_failed", error=str(error))
