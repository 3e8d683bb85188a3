"""A job's growing duration is followed to the day on which its window is too short."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.forecast import Confidence, Forecast
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.smooth import Point
from modelward.forecast.window import window_missed

START = 1_700_000_000.0


def runs(days: int, growth: float, begin: float = 1.0, *, seed: int = 1) -> list[Point]:
    """One run a day, in hours, that takes ``growth`` hours more each day, with some noise."""
    rng = random.Random(seed)
    return [(START + day * DAY, max(0.0, begin + day * growth + rng.gauss(0, 0.05)) * HOUR) for day in range(days)]


def told(seen: list[Point], hours: float = 4.0) -> Forecast:
    """The forecast after the last run."""
    return window_missed("maintenance", seen, hours * HOUR, seen[-1][0])


def test_a_growing_job_is_followed_to_its_date() -> None:
    """From 3.4 h, by 0.06 h a day, it takes ten days more to fill four hours."""
    seen = runs(60, 0.04, begin=1.24)
    found = told(seen)
    assert found.alarm
    assert found.when is not None
    assert (found.when.timestamp() - seen[-1][0]) / DAY == pytest.approx(10, abs=4)
    assert found.low is not None
    assert found.low <= found.when


def test_a_steady_job_is_left_alone() -> None:
    """Noise around half of the window is no trend."""
    for seed in range(10):
        found = told(runs(90, 0.0, begin=2.0, seed=seed))
        assert not found.alarm
        assert found.confidence is Confidence.STEADY


def test_a_job_over_its_window_is_an_alarm_at_once() -> None:
    """It is late already: the date is the next run."""
    seen = runs(40, 0.0, begin=5.0)
    found = told(seen)
    assert found.alarm
    assert found.when is not None
    assert found.when.timestamp() == pytest.approx(seen[-1][0] + DAY)


def test_one_slow_night_is_no_alarm() -> None:
    """A run of the whole window, once, is not a trend."""
    seen = runs(60, 0.0, begin=1.5)
    seen[-1] = (seen[-1][0], 4 * HOUR)
    assert not told(seen).alarm


def test_too_few_runs_or_no_window_say_so() -> None:
    """Below 30 runs, or without a window, there is no forecast."""
    assert not told(runs(29, 1.0)).enough
    assert not told(runs(40, 1.0), hours=0).enough


@given(st.floats(0.5, 8), st.floats(0, 8))
def test_a_wider_window_is_never_missed_sooner(hours: float, more: float) -> None:
    """The same runs reach a wider window later, or never."""
    seen = runs(50, 0.05)
    narrow, wide = told(seen, hours), told(seen, hours + more)
    if wide.when is not None:
        assert narrow.when is not None
        assert narrow.when <= wide.when
