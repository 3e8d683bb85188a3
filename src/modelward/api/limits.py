"""Limits on what one caller, and all of them together, may ask for: size, time, rate and concurrency (T26)."""

import asyncio
import threading
from collections import OrderedDict
from typing import NamedTuple

from starlette.types import Message, Receive, Scope

from modelward.api.problem import BadRequest, Busy, TooLarge, TooMany, TooSlow
from modelward.ports import Clock

MOST_BYTES = 64 << 10
BODY_SECONDS = 10.0
AT_ONCE = 64
_ADDRESSES = 1_024


class Rate(NamedTuple):
    """So many requests a second for long, and so many at once."""

    per_second: float
    burst: float


READING = Rate(400.0, 800.0)
WRITING = Rate(20.0, 60.0)


class Rates:
    """A bucket of permissions for each caller, filled with time. Safe from several threads."""

    def __init__(self, clock: Clock, rate: Rate) -> None:
        self._clock, self._rate, self._lock = clock, rate, threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """One more request; raises TooMany when the caller has none left."""
        now = self._clock.monotonic()
        with self._lock:
            left, since = self._left.pop(caller, (self._rate.burst, now))
            left = min(self._rate.burst, left + (now - since) * self._rate.per_second)
            self._left[caller] = (left - 1 if left >= 1 else left, now)
            while len(self._left) > _ADDRESSES:
                self._left.popitem(last=False)
        if left < 1:
            raise TooMany("more requests than one caller may make", next_step="wait a second", headers=_wait(1))


class Slots:
    """So many at once, and no more; for the one thread of the event loop."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.taken, self._what = most, 0, what

    def take(self) -> None:
        """One more; raises Busy when all are taken."""
        if self.taken >= self.most:
            raise Busy(f"{self._what}: {self.most} at once is the most", next_step="try again soon", headers=_wait(2))
        self.taken += 1

    def give(self) -> None:
        """One less."""
        self.taken -= 1


def _wait(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}


async def read_body(scope: Scope, receive: Receive, *, most: int = MOST_BYTES, seconds: float = BODY_SECONDS) -> bytes:
    """The whole body; raises TooLarge above ``most`` bytes, TooSlow when it takes longer than ``seconds``."""
    told = dict(scope["headers"]).get(b"content-length", b"0")
    if not told.isdigit() or int(told) > most:
        raise TooLarge(f"more than {most:,} bytes", next_step="send less", headers={"connection": "close"})
    try:
        async with asyncio.timeout(seconds):
            return await _gather(receive, most)
    except TimeoutError as error:
        raise TooSlow(
            f"the body took more than {seconds:g} seconds", next_step="send it at once", headers={"connection": "close"}
        ) from error


async def _gather(receive: Receive, most: int) -> bytes:
    parts, size = [], 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise BadRequest("the caller went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise TooLarge(f"more than {most:,} bytes", next_step="send less", headers={"connection": "close"})
        if not message.get("more_body", False):
            return b"".join(parts)
