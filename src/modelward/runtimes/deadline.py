"""A deadline that cuts a connection, whatever its peer is at: dripping headers, dripping a body, or silent."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from modelward.ports import Clock
from modelward.scan import signals_held

_LOOK_SECONDS = 0.5  # how soon a deadline that was brought nearer is seen


class Deadline:
    """Shuts the connections that ``trace`` told it of once the clock has passed it; ``late`` says that it did.

    A read timeout bounds the wait for the next byte, not for an answer, and it cannot grow while one comes.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.late = False
        self._clock, self._until = clock, clock.monotonic() + seconds
        self._done = threading.Event()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        with signals_held():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is cut any more."""
        self._done.set()
        self._thread.join()

    def allow(self, seconds: float) -> None:
        """From now on there are ``seconds``, whatever was left."""
        self._until = self._clock.monotonic() + seconds

    def trace(self, event: str, info: Mapping[str, object]) -> None:
        """Learn of a connection: what httpcore calls a trace hook, handed to httpx as the extension ``trace``."""
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        look = getattr(info.get("return_value"), "get_extra_info", None)
        found = look("socket") if callable(look) else None
        if isinstance(found, socket.socket):
            self._sockets.append(found)
            if self.late:
                self._cut()

    def _watch(self) -> None:
        while (left := self._until - self._clock.monotonic()) > 0:
            if self._done.wait(min(left, _LOOK_SECONDS)):
                return
        self.late = True
        self._cut()

    def _cut(self) -> None:
        """Wake whoever reads or writes; closing is for the one who opened."""
        for found in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # not that of TLS, which is not for two threads
