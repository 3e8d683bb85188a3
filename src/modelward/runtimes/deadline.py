"""A deadline that ends every wait on a connection, whatever its peer is at: dripping headers, a body, or silent."""

import io
import math
import socket
from typing import Any

from modelward.ports import Clock


class Deadline:
    """A moment on the clock, which can be moved; ``late`` says that it has passed."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self.allow(seconds)

    @property
    def late(self) -> bool:
        """Whether no time is left."""
        return self._clock.monotonic() >= self._until

    def allow(self, seconds: float) -> None:
        """From now on there are ``seconds``, whatever was left."""
        self._until = self._clock.monotonic() + seconds

    def arm(self, sock: socket.socket, most: float = math.inf) -> None:
        """Let the socket's next call end in time, and within ``most`` seconds; raises TimeoutError when none are left.

        To be called before each one: a timeout bounds the wait for the next byte, not for an answer.
        """
        left = min(most, self._until - self._clock.monotonic())
        if left <= 0:
            raise TimeoutError("no answer in time")
        sock.settimeout(None if left == math.inf else left)


class Link:
    """A connected socket as http.client uses one, whose every read and write ends at the deadline.

    ``ended`` says that the end of what the peer sends was reached.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.ended = False
        self._sock, self._deadline = sock, deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it; raises OSError."""
        rest = memoryview(data)
        while rest:
            self._deadline.arm(self._sock)
            rest = rest[self._sock.send(rest) :]

    def receive_into(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer of any kind
        """Wait for bytes; returns how many came, 0 at the end. Raises OSError."""
        self._deadline.arm(self._sock)
        count = self._sock.recv_into(buffer)
        self.ended = count == 0
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What comes from the peer."""
        return io.BufferedReader(_Incoming(self))

    def close(self) -> None:
        """Nothing: http.client closes before it reads a body without an announced end; who dialled hangs up."""


class _Incoming(io.RawIOBase):
    def __init__(self, link: Link) -> None:
        self._link = link

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer of any kind
        """One read of the socket."""
        return self._link.receive_into(buffer)
