"""A frozen clock moves when it is told to, and never otherwise."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from modelward.ports import Clock
from modelward.testing import FrozenClock

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def test_stands_still() -> None:
    """Two readings are the same, and the first one is the start."""
    clock = FrozenClock(START)
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    assert (clock.now(), clock.monotonic()) == (START, 0.0)


def test_is_a_clock() -> None:
    """It has all that the port ``Clock`` promises."""
    clock: Clock = FrozenClock(START)
    promised = {name for name in vars(Clock) if not name.startswith("_")}
    assert promised == {"now", "monotonic", "sleep"}
    assert promised <= set(dir(clock))


def test_now_is_utc_whatever_the_start_was() -> None:
    """A start in another zone is the same moment, told in UTC."""
    clock = FrozenClock(datetime(2026, 1, 5, 14, 0, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == START
    assert clock.now().tzinfo is UTC


def test_naive_start_is_refused() -> None:
    """A start without a zone could mean any moment."""
    with pytest.raises(ValueError, match="time zone"):
        FrozenClock(START.replace(tzinfo=None))


def test_sleep_moves_both() -> None:
    """Sleeping returns at once and moves both clocks on."""
    clock = FrozenClock(START)
    clock.sleep(90)
    assert clock.now() == START + timedelta(seconds=90)
    assert clock.monotonic() == 90.0


@pytest.mark.parametrize("seconds", [0, -1, -0.5])
def test_sleeping_zero_or_less_moves_nothing(seconds: float) -> None:
    """A pause that is over already is none."""
    clock = FrozenClock(START)
    clock.sleep(seconds)
    assert (clock.now(), clock.monotonic()) == (START, 0.0)


def test_advance_takes_the_words_of_timedelta() -> None:
    """Spans are said in days, hours, minutes and so on."""
    clock = FrozenClock(START)
    clock.advance(days=1, minutes=30)
    assert clock.now() == START + timedelta(days=1, minutes=30)
    assert clock.monotonic() == 88_200.0


def test_unknown_word_is_refused() -> None:
    """A mistyped unit is an error and no span of zero."""
    with pytest.raises(TypeError):
        FrozenClock(START).advance(fortnights=1)


def test_time_of_day_may_go_back_and_monotonic_may_not() -> None:
    """A negative span is a clock that was set back."""
    clock = FrozenClock(START)
    clock.advance(hours=1)
    clock.advance(hours=-2)
    assert clock.now() == START - timedelta(hours=1)
    assert clock.monotonic() == 3600.0


def test_no_move_is_lost_between_threads() -> None:
    """Threads that sleep at the same time move the clock by the sum."""
    clock = FrozenClock(START)

    def work() -> None:
        for _ in range(500):
            clock.sleep(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 2000.0
    assert clock.now() == START + timedelta(seconds=2000)
