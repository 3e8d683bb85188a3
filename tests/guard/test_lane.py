"""A lane: one turn after the other, woken at once, coalesced while busy, replaced when it hangs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modelward.bootstrap import SystemClock
from modelward.guard.lane import Lane

PATIENCE = 20.0


@contextmanager
def _started(lane: Lane) -> Iterator[Lane]:
    lane.start()
    try:
        yield lane
    finally:
        lane.stop()
        lane.join(PATIENCE)


def test_a_wake_is_a_turn_at_once() -> None:
    """The interval is an hour; a wake does not wait for it."""
    said: list[str] = []
    done = threading.Event()

    def turn(reason: str) -> None:
        said.append(reason)
        done.set()

    with _started(Lane("x", turn, SystemClock(), every=lambda: 3600.0)) as lane:
        lane.wake("now")
        assert done.wait(PATIENCE)
    assert said == ["now"]


def test_it_comes_by_itself_after_the_interval() -> None:
    """Nobody has to wake it."""
    done = threading.Event()
    with _started(Lane("x", lambda _: done.set(), SystemClock(), every=lambda: 0.01)):
        assert done.wait(PATIENCE)


def test_wakes_while_it_is_busy_are_one_turn_afterwards() -> None:
    """A hundred events in a burst are two turns: the one that runs, and one that sees them all."""
    turns: list[str] = []
    busy, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def turn(reason: str) -> None:
        turns.append(reason)
        busy.set()
        assert go_on.wait(PATIENCE)
        if len(turns) == 2:
            ended.set()

    with _started(Lane("x", turn, SystemClock(), every=lambda: 3600.0)) as lane:
        lane.wake("first")
        assert busy.wait(PATIENCE)
        for _ in range(100):
            lane.wake("later")
        go_on.set()
        assert ended.wait(PATIENCE)
    assert turns == ["first", "later"]


def test_an_urgent_wake_overtakes_one_that_waits_for_the_gap() -> None:
    """A blob that is written to can wait; a manifest that is gone cannot."""
    said: list[str] = []
    done = threading.Event()

    def turn(reason: str) -> None:
        said.append(reason)
        done.set()

    with _started(Lane("x", turn, SystemClock(), every=lambda: 3600.0, gap=3600.0)) as lane:
        lane.wake("blob changed", urgent=False)
        lane.wake("manifest gone")
        assert done.wait(PATIENCE)
    assert said == ["manifest gone"]


def test_a_turn_that_hangs_is_replaced() -> None:
    """H1: a disk that never answers holds one thread, not the guard; the old thread does nothing more when it wakes."""
    said: list[str] = []
    hang, done = threading.Event(), threading.Event()

    def turn(reason: str) -> None:
        said.append(reason)
        if reason == "hangs":
            hang.wait(PATIENCE)
        else:
            done.set()

    lane = Lane("x", turn, SystemClock(), every=lambda: 3600.0)
    with _started(lane):
        lane.wake("hangs")
        give_up = time.monotonic() + PATIENCE
        while not lane.stuck(0.0) and time.monotonic() < give_up:
            time.sleep(0.005)
        assert lane.stuck(0.0)
        assert not lane.stuck(3600.0)
        lane.start()
        lane.wake("goes on")
        assert done.wait(PATIENCE)
        hang.set()
    assert said == ["hangs", "goes on"]


def test_a_fault_in_one_turn_does_not_cost_the_next() -> None:
    """H1: a turn that fails in a way that nobody foresaw is told of, and the lane goes on."""
    told: list[tuple[str, str]] = []
    done = threading.Event()

    def turn(reason: str) -> None:
        if reason == "fails":
            raise ZeroDivisionError(reason)

    def ended(name: str, error: Exception | None) -> None:
        told.append((name, repr(error)))
        done.set()

    with _started(Lane("x", turn, SystemClock(), every=lambda: 3600.0, ended=ended)) as lane:
        for reason in ("fails", "works"):
            lane.wake(reason)
            assert done.wait(PATIENCE)
            done.clear()
    assert told == [("x", "ZeroDivisionError('fails')"), ("x", "None")]


def test_a_stop_begins_nothing_more() -> None:
    """What was asked for before the stop and not begun is left."""
    said: list[str] = []
    lane = Lane("x", said.append, SystemClock(), every=lambda: 3600.0)
    lane.stop()
    lane.wake("too late")
    lane.start()
    lane.join(PATIENCE)
    assert said == []
