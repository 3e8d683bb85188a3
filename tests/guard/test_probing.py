"""Probes: a server that is down, one that hangs, models that are asked in turn, and what is told of them."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelward.domain.alert import Kind
from modelward.domain.history import ProbeRow, ServerRow
from tests.guard_room import Room

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Two models of different sizes, looked at once."""
    room = Room(tmp_path, {"probe_interval": "1s"})
    room.store.add_model("small", b"GGUF" + os.urandom(1000))
    room.store.add_model("large", b"GGUF" + os.urandom(9000))
    room.guard.once()
    return room


def _ask(room: Room) -> None:
    room.wait(seconds=5)
    room.guard._ask("test")  # noqa: SLF001 - the lane's own turn, without its thread


def test_a_server_that_does_not_answer_is_an_outage(room: Room) -> None:
    """It is told, and over when the server is back."""
    room.runtime.down = True
    _ask(room)
    assert (Kind.SERVICE, room.runtime.url) in room.troubles()
    room.runtime.down = False
    _ask(room)
    assert room.troubles() == set()
    assert [row.up for row in room.journal.rows(ServerRow, LONG_AGO)][:2] == [True, False]


def test_a_server_that_lists_and_does_not_generate_is_red_within_two_probes(room: Room) -> None:
    """Tags answer, generate hangs: after two probes that is an outage of the model."""
    room.runtime.outcome = "timeout"
    _ask(room)
    assert room.troubles() == set()
    _ask(room)
    assert (Kind.SERVICE, "small:latest") in room.troubles()
    room.runtime.outcome = "ok"
    _ask(room)
    assert room.troubles() == set()


def test_a_busy_server_is_no_verdict(room: Room) -> None:
    """A server that is busy with others neither heals nor harms a model's record."""
    room.runtime.outcome = "timeout"
    _ask(room)
    room.runtime.outcome = "busy"
    for _ in range(5):
        _ask(room)
    assert room.troubles() == set()
    room.runtime.outcome = "timeout"
    _ask(room)
    assert (Kind.SERVICE, "small:latest") in room.troubles()


@pytest.mark.parametrize(
    ("wish", "loaded", "asked"),
    [
        ("one", (), {"small"}),
        ("one", ("large:latest",), {"large"}),
        ("all", (), {"small", "large"}),
        ("loaded", (), set()),
        ("loaded", ("large:latest",), {"large"}),
        ("off", ("large:latest",), set()),
    ],
)
def test_whom_it_asks(room: Room, wish: str, loaded: tuple[str, ...], asked: set[str]) -> None:
    """By default one model, one that is in memory if any is: probes must not push models out of memory."""
    room.change(probe=wish)
    room.runtime.loaded = lambda: loaded  # type: ignore[method-assign]
    since = room.place.clock.now()
    _ask(room)
    rows = [row for row in room.journal.rows(ProbeRow, since) if row.at > since]
    assert {row.model.rpartition("/")[2].partition(":")[0] for row in rows} == asked


def test_a_server_that_is_busy_for_ever_is_an_outage(room: Room) -> None:
    """A request that never ends looks like a busy server: after a while it is believed no more."""
    room.runtime.outcome = "busy"
    for _ in range(20):
        _ask(room)
    assert (Kind.SERVICE, "small:latest") in room.troubles()


def test_answers_are_kept_with_their_time(room: Room) -> None:
    """Response times and outcomes are in the journal, and the last one on the board."""
    _ask(room)
    row = room.journal.rows(ProbeRow, LONG_AGO)[0]
    assert (row.outcome, row.seconds) == ("ok", 0.1)
    room.guard._look("test")  # noqa: SLF001
    small = next(model for model in room.standing.models if model.name.short == "small:latest")
    assert (small.probe, small.probe_seconds, small.served) == ("ok", 0.1, True)
