"""Connecting: the first address that takes us, the last one's error, and no address at all."""

import socket
from collections.abc import Iterator

import pytest

from modelward.dial import NoWay, Way, dial
from tests.ports import free_port


@pytest.fixture
def listening() -> Iterator[Way]:
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield _way(server.getsockname()[1])


def _way(port: int) -> Way:
    return socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", port)


def _closed() -> Way:
    return _way(free_port())


def test_an_address_that_refuses_is_passed_over(listening: Way) -> None:
    """The next one is asked, with the timeout that was given."""
    with dial([_closed(), listening], 5.0) as link:
        assert link.getpeername() == listening[3]
        assert link.gettimeout() == 5.0


def test_where_all_refuse_the_last_error_is_raised() -> None:
    """As the system gave it."""
    with pytest.raises(ConnectionRefusedError):
        dial([_closed()], 5.0)


def test_without_an_address_nothing_is_asked() -> None:
    """It says that there was none that may be asked."""
    with pytest.raises(NoWay, match="no address"):
        dial([], 5.0)
