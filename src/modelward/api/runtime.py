"""What one running application shares between its requests: the door, the streams, and answers that are kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple, TypeVar, cast

from modelward.api.access import Access
from modelward.api.events import Streams
from modelward.api.problem import Unfit
from modelward.guard.gauge import Gauge
from modelward.ports import Clock

A = TypeVar("A")
_KEPT, _LASTS = 1_000, timedelta(hours=24)


class Runtime(NamedTuple):
    """The shared parts."""

    access: Access
    streams: Streams
    once: "Once"
    gauge: Gauge
    kept: "Kept"


class Kept:
    """Answers that cost much, and are as good some minutes later; safe in threads, made by one of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._answers: dict[str, tuple[float, object]] = {}

    def get(self, what: str, seconds: float, make: Callable[[], A]) -> A:
        """The answer as it was made last, at most so many seconds ago; what ``make`` raises is not kept."""
        with self._lock:
            made, answer = self._answers.get(what, (0.0, None))
            now = self._clock.monotonic()
            if what not in self._answers or now - made > seconds:
                answer = make()
                self._answers[what] = (now, answer)
        return cast("A", answer)


class _Done(NamedTuple):
    request: bytes
    answer: object
    at: datetime


class Once:
    """Remembers what was answered to an idempotency key, so that a repeated write is done once."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._done: OrderedDict[tuple[str, str], _Done] = OrderedDict()
        self._made: dict[str, bytes] = {}

    def made(self, what: str, make: Callable[[], bytes]) -> bytes:
        """A document that never changes while the guard runs, made when it is first asked for."""
        with self._lock:
            if what not in self._made:
                self._made[what] = make()
            return self._made[what]

    def run(self, who: str, key: str, request: bytes, do: Callable[[], object]) -> object:
        """What ``do`` answers, or answered before to this caller's key; raises Unfit for another request with it."""
        if not key:
            return do()
        if len(key) > 200 or not all("!" <= letter <= "~" for letter in key):
            raise Unfit("not a key", thing="idempotency-key", next_step="send up to 200 visible ASCII characters")
        asked, now = sha256(request).digest(), self._clock.now()
        with self._lock:
            done = self._done.get((who, key))
            if done is None or now - done.at > _LASTS:
                done = _Done(asked, do(), now)
                self._done[who, key] = done
                while len(self._done) > _KEPT:
                    self._done.popitem(last=False)
        if done.request != asked:
            raise Unfit(
                "this key was used for another request", thing="idempotency-key", next_step="use a new key a request"
            )
        return done.answer
