"""Deliver notices: every channel gets each of them at least once, however long it was away."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from modelward.domain.alert import Notice
from modelward.domain.errors import DeliveryFailed, StorageError
from modelward.domain.outbox import Delivery, Outbox, delivered, due, failed, next_try, posted
from modelward.ports import Clock, Journal, Notifier, Progress
from modelward.services.alerts import OUTBOX


class Post:
    """The outbox and the channels. Safe from several threads; ``post`` never waits for a channel.

    A journal that cannot be written to costs what waits at a restart, never a delivery now.
    """

    def __init__(self, journal: Journal, notifiers: Sequence[Notifier], clock: Clock, progress: Progress) -> None:
        self._journal, self._clock, self._progress = journal, clock, progress
        self._channels = {notifier.name: notifier for notifier in notifiers}
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._outbox = posted(journal.get(OUTBOX, Outbox) or Outbox(), (), self._channels)

    def use(self, notifiers: Sequence[Notifier]) -> None:
        """Deliver through these from now on: the settings were read anew. What waited for others ends."""
        self._channels = {notifier.name: notifier for notifier in notifiers}
        self._change(lambda outbox: posted(outbox, (), self._channels))

    def post(self, notices: Sequence[Notice]) -> None:
        """Keep the notices for every channel; call it before the book that they were made of is kept."""
        self._change(lambda outbox: posted(outbox, notices, self._channels))

    def next_try(self) -> datetime | None:
        """When ``send_due`` has something to do next; None where nothing waits."""
        return next_try(self._outbox, self._clock.now())

    def send_due(self) -> datetime | None:
        """Send what is due, each channel in its order, until nothing is; returns when to come again, or None."""
        with self._sending:
            while round_ := due(self._outbox, self._clock.now()):
                for delivery in round_:
                    self._send(delivery)
            return self.next_try()

    def _send(self, delivery: Delivery) -> None:
        try:
            self._channels[delivery.channel].send(delivery.notice)
        except DeliveryFailed as error:
            self._failed(delivery, error.what)
        except Exception as error:  # noqa: BLE001 - a fault of one channel must not silence the others
            self._failed(delivery, f"a fault of Modelward: {type(error).__name__}")
        else:
            self._change(lambda outbox: delivered(outbox, delivery))

    def _failed(self, delivery: Delivery, why: str) -> None:
        self._progress.say("alert_failed", channel=delivery.channel, notice=delivery.notice.id, error=why)
        lost = self._outbox.of(delivery.channel).lost
        self._change(lambda outbox: failed(outbox, delivery, why, self._clock.now()))
        if self._outbox.of(delivery.channel).lost > lost:
            self._progress.say("alert_lost", channel=delivery.channel, title=delivery.notice.title, error=why)

    def _change(self, step: Callable[[Outbox], Outbox]) -> None:
        with self._lock:
            changed = step(self._outbox)
            if changed == self._outbox:
                return
            self._outbox = changed
            try:
                self._journal.put(OUTBOX, changed)
            except StorageError as error:
                self._progress.say("journal_failed", error=str(error))
