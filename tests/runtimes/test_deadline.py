"""A deadline ends every wait on a connection, however its peer keeps it alive, and moves when it is told to."""

import math
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from modelward.bootstrap import SystemClock
from modelward.runtimes.deadline import Deadline, Link
from modelward.testing import FrozenClock

START = datetime(2026, 1, 1, tzinfo=UTC)
HANG = 60.0
"""Seconds after which a test that waits for an event says that it does not come."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.fixture
def clock() -> FrozenClock:
    """Time that the test moves."""
    return FrozenClock(START)


def test_a_silent_peer_is_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    """Who waits for bytes is told when the time is up, and can ask whether that was the deadline."""
    deadline = Deadline(SystemClock(), 0.1)
    with pytest.raises(TimeoutError):
        Link(pair[0], deadline).makefile("rb").read(1)
    assert deadline.late


def test_a_dripping_peer_is_given_up(pair: tuple[socket.socket, socket.socket], clock: FrozenClock) -> None:
    """A byte that comes in time buys no time for the next one."""
    incoming = Link(pair[0], Deadline(clock, 10)).makefile("rb")
    pair[1].sendall(b"a")
    assert incoming.read1(1) == b"a"
    clock.advance(seconds=9)
    pair[1].sendall(b"b")
    assert incoming.read1(1) == b"b"
    clock.advance(seconds=1)
    pair[1].sendall(b"c")
    with pytest.raises(TimeoutError):
        incoming.read1(1)


def test_a_peer_that_takes_nothing_is_given_up(pair: tuple[socket.socket, socket.socket]) -> None:
    """Sending more than fits between two programs ends with the deadline too."""
    deadline = Deadline(SystemClock(), 0.2)
    with pytest.raises(TimeoutError):
        Link(pair[0], deadline).sendall(bytes(64 << 20))
    assert deadline.late


def test_all_is_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    """More than fits at once goes piece by piece."""
    data = bytes(range(256)) * (4 << 12)
    sender = threading.Thread(target=Link(pair[0], Deadline(SystemClock(), HANG)).sendall, args=(data,))
    sender.start()
    received = Link(pair[1], Deadline(SystemClock(), HANG)).makefile("rb").read(len(data))
    sender.join(HANG)
    assert received == data


def test_it_can_be_moved(pair: tuple[socket.socket, socket.socket], clock: FrozenClock) -> None:
    """Put off, it counts from then; without end nothing is late; brought nearer, it is."""
    deadline = Deadline(clock, 1)
    clock.advance(seconds=5)
    assert deadline.late
    deadline.allow(1)
    assert not deadline.late
    deadline.arm(pair[0])
    assert pair[0].gettimeout() == 1
    deadline.allow(math.inf)
    clock.advance(days=10_000)
    assert not deadline.late
    deadline.arm(pair[0])
    assert pair[0].gettimeout() is None
    deadline.allow(0)
    assert deadline.late


def test_a_wait_may_be_shorter_than_the_deadline(pair: tuple[socket.socket, socket.socket], clock: FrozenClock) -> None:
    """The nearer of two ends counts."""
    deadline = Deadline(clock, 10)
    deadline.arm(pair[0], 3)
    assert pair[0].gettimeout() == 3
    clock.advance(seconds=8)
    deadline.arm(pair[0], 3)
    assert pair[0].gettimeout() == 2


def test_no_time_is_no_try(pair: tuple[socket.socket, socket.socket], clock: FrozenClock) -> None:
    """A timeout of nothing would be a socket that never waits: it is not set."""
    deadline = Deadline(clock, 0)
    with pytest.raises(TimeoutError):
        deadline.arm(pair[0])
    with pytest.raises(TimeoutError):
        Link(pair[0], deadline).sendall(b"x")
    pair[1].setblocking(False)  # noqa: FBT003 - of the standard library
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_closing_a_link_leaves_the_connection(pair: tuple[socket.socket, socket.socket], clock: FrozenClock) -> None:
    """http.client closes it while a body is still to come; whoever dialled ends the connection."""
    link = Link(pair[0], Deadline(clock, HANG))
    incoming = link.makefile("rb")
    link.close()
    pair[1].sendall(b"rest")
    assert incoming.read(4) == b"rest"
    incoming.close()
    pair[0].sendall(b"x")
    assert pair[1].recv(1) == b"x"
