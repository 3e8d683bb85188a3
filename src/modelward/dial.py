"""Connect to the first of a host's addresses that takes us; which of them may be asked at all is judged before."""

import socket
from collections.abc import Iterable

Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]  # as getaddrinfo gives it
Way = tuple[socket.AddressFamily, socket.SocketKind, int, Place]


class NoWay(OSError):
    """There was no address to ask."""


def dial(ways: Iterable[Way], seconds: float) -> socket.socket:
    """A connection with this timeout; raises the OSError of the last address, or NoWay."""
    problem: OSError = NoWay("no address that may be asked")
    for family, kind, protocol, place in ways:
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(seconds)
            link.connect(place)
        except OSError as error:
            link.close()
            problem = error
            continue
        return link
    raise problem
