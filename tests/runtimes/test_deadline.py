"""A deadline cuts what waits on a connection, moves when it is told to, and leaves no thread."""

import math
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from modelward.bootstrap import SystemClock
from modelward.runtimes.deadline import Deadline


class Stream:
    """What an HTTP library hands to a trace hook."""

    def __init__(self, kept: object) -> None:
        self._kept = kept

    def get_extra_info(self, info: str) -> object:
        """The socket, and nothing else."""
        return self._kept if info == "socket" else None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(10)
        yield one, other


def connected(deadline: Deadline, end: object) -> None:
    """Tell the deadline of a connection."""
    deadline.trace("connection.connect_tcp.complete", {"return_value": Stream(end)})


def test_a_reader_is_woken(pair: tuple[socket.socket, socket.socket]) -> None:
    """Who waits for bytes sees the connection end, and can ask whether that was the deadline."""
    began = time.monotonic()
    with Deadline(SystemClock(), 0.1) as deadline:
        connected(deadline, pair[0])
        assert pair[0].recv(1) == b""
        assert deadline.late
    assert 0.09 < time.monotonic() - began < 5


def test_a_connection_that_comes_too_late_is_cut_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    """Connecting may take longer than the deadline."""
    with Deadline(SystemClock(), 0.0) as deadline:
        give_up = time.monotonic() + 5
        while not deadline.late and time.monotonic() < give_up:
            time.sleep(0.001)
        connected(deadline, pair[0])
        assert pair[0].recv(1) == b""


def test_it_stands_still_and_goes_on(pair: tuple[socket.socket, socket.socket]) -> None:
    """Without end nothing is cut; brought nearer again, it cuts."""
    with Deadline(SystemClock(), 0.1) as deadline:
        connected(deadline, pair[0])
        deadline.allow(math.inf)
        pair[0].settimeout(0.4)
        with pytest.raises(TimeoutError):
            pair[0].recv(1)
        pair[0].settimeout(10)
        deadline.allow(0.0)
        assert pair[0].recv(1) == b""


def test_in_time_nothing_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    """Leaving the block ends the watch at once, and its thread."""
    before = threading.active_count()
    began = time.monotonic()
    with Deadline(SystemClock(), 60.0) as deadline:
        connected(deadline, pair[0])
    assert time.monotonic() - began < 5
    assert threading.active_count() == before
    assert not deadline.late
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"


@pytest.mark.parametrize("found", [None, "no socket"])
def test_what_is_no_connection_is_no_matter(found: object) -> None:
    """Other events, and streams without a socket, are passed over."""
    with Deadline(SystemClock(), 0.0) as deadline:
        deadline.trace("http11.send_request_headers.started", {"request": found})
        deadline.trace("connection.connect_tcp.complete", {"return_value": found})
        connected(deadline, found)


def test_a_connection_that_is_closed_is_no_error() -> None:
    """Cutting what is gone does nothing."""
    one, other = socket.socketpair()
    one.close()
    other.close()
    with Deadline(SystemClock(), 0.0) as deadline:
        connected(deadline, one)
