"""What is still to be delivered, a queue for each channel: each notice at least once, in order, with growing breaks."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from modelward.domain.alert import Notice

FIRST_BREAK: Final = timedelta(seconds=10)
LONGEST_BREAK: Final = timedelta(hours=1)
TRIES: Final = 80  # with these breaks about three days; counted, so that no jump of a clock throws a notice away
LONGEST_QUEUE: Final = 500


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What one channel has to deliver, the oldest first; ``due`` is when to try again, ``error`` why that is needed.

    ``lost`` counts the notices that were given up.
    """

    channel: str
    notices: tuple[Notice, ...] = ()
    tries: int = 0
    due: datetime | None = None
    error: str = ""
    lost: int = 0


class Outbox(msgspec.Struct, frozen=True, kw_only=True):
    """The queues of all channels. The caller keeps it (JSON), before it forgets what the notices were made of."""

    queues: tuple[Queue, ...] = ()

    def of(self, channel: str) -> Queue:
        """The channel's queue; an empty one where it has none."""
        return next((queue for queue in self.queues if queue.channel == channel), Queue(channel=channel))


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is to be sent through a channel now."""

    channel: str
    notice: Notice


def posted(outbox: Outbox, notices: Iterable[Notice], channels: Iterable[str]) -> Outbox:
    """The outbox with these notices for each of the channels; the queues of other channels end.

    A notice that waits already is not added again. A queue keeps its newest notices.
    """
    queues = (outbox.of(channel) for channel in dict.fromkeys(channels))
    new = tuple(notices)
    return Outbox(queues=tuple(_with(queue, new) for queue in queues))


def due(outbox: Outbox, now: datetime) -> tuple[Delivery, ...]:
    """What to send now: the oldest notice of each channel that does not have a break."""
    return tuple(
        Delivery(channel=queue.channel, notice=queue.notices[0])
        for queue in outbox.queues
        if queue.notices and _until(queue, now) <= now
    )


def next_try(outbox: Outbox, now: datetime) -> datetime | None:
    """When something is due next; None where nothing waits."""
    return min((_until(queue, now) for queue in outbox.queues if queue.notices), default=None)


def delivered(outbox: Outbox, delivery: Delivery) -> Outbox:
    """The outbox without what was delivered."""
    queue = outbox.of(delivery.channel)
    return _put(outbox, replace(queue, notices=_without(queue, delivery), tries=0, due=None, error=""))


def failed(outbox: Outbox, delivery: Delivery, why: str, now: datetime) -> Outbox:
    """The outbox after a failure: the channel has a break, and after very many tries the notice is given up."""
    queue = outbox.of(delivery.channel)
    if queue.tries + 1 >= TRIES:
        rest = _without(queue, delivery)
        return _put(outbox, replace(queue, notices=rest, tries=0, due=None, error=why, lost=queue.lost + 1))
    pause = min(FIRST_BREAK * 2 ** min(queue.tries, 20), LONGEST_BREAK)
    return _put(outbox, replace(queue, tries=queue.tries + 1, due=now + pause, error=why))


def waiting(outbox: Outbox, channels: Collection[str]) -> int:
    """How many deliveries are still to be made through these channels."""
    return sum(len(queue.notices) for queue in outbox.queues if queue.channel in channels)


def _with(queue: Queue, new: tuple[Notice, ...]) -> Queue:
    known = {notice.id for notice in queue.notices}
    notices = (*queue.notices, *(notice for notice in new if notice.id not in known))
    over = max(0, len(notices) - LONGEST_QUEUE)
    return replace(queue, notices=notices[over:], lost=queue.lost + over)


def _until(queue: Queue, now: datetime) -> datetime:
    """The end of the channel's break; one that is too long was set by a clock that has been set back since."""
    if queue.due is None or queue.due > now + LONGEST_BREAK:
        return now
    return queue.due


def _without(queue: Queue, delivery: Delivery) -> tuple[Notice, ...]:
    return tuple(notice for notice in queue.notices if notice.id != delivery.notice.id)


def _put(outbox: Outbox, queue: Queue) -> Outbox:
    return Outbox(queues=tuple(queue if each.channel == queue.channel else each for each in outbox.queues))
