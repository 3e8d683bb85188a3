"""Ports of this machine that tests may give away."""

import random
import socket
from contextlib import suppress

_RANDOM = random.SystemRandom()  # tests that run side by side must not draw the same ones
_FIRST, _LAST = 15_000, 32_000


def free_port() -> int:
    """A port that nobody listens on.

    It is none of those that systems give to whoever calls: such a one may be taken while a program starts again.
    """
    while True:
        port = _RANDOM.randrange(_FIRST, _LAST)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
