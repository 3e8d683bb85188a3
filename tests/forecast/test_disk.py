"""A disk's date: growth and pulls told apart, the earliest slope wins, and the band is honest."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelward.domain.forecast import Confidence, Forecast
from modelward.forecast.disk import band, disk_full, pull_habit
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.smooth import Point

GB = 10**9
TOTAL = 1000 * GB
START = 1_700_000_000.0


def history(days: int, rate: int, pulls: dict[int, int] | None = None, begin: int = 300 * GB) -> list[Point]:
    """Hourly samples: ``rate`` bytes a day, and pulls by the hour at which they come."""
    points: list[Point] = []
    used = begin
    for hour in range(days * 24):
        used += rate // 24 + (pulls or {}).get(hour, 0)
        points.append((START + hour * HOUR, float(used)))
    return points


def told(points: list[Point]) -> Forecast:
    """The forecast at the last sample."""
    return disk_full("disk", points, float(TOTAL), points[-1][0])


def days_ahead(found: Forecast, points: list[Point]) -> float:
    """How far ahead the date lies, in days."""
    assert found.when is not None
    return (found.when - datetime.fromtimestamp(points[-1][0], UTC)).total_seconds() / DAY


def test_steady_growth_has_its_date() -> None:
    """10 GB a day with 100 GB left is ten days, is an alarm, and the band holds the truth."""
    points = history(30, 10 * GB, begin=600 * GB)
    found = told(points)
    assert days_ahead(found, points) == pytest.approx(10, rel=0.05)
    assert found.alarm
    assert found.low is not None
    assert found.high is not None
    assert found.when is not None
    assert found.low < found.when < found.high
    assert "grows 10 GB a day" in found.what
    assert found.action == "modelward space --reclaim"


def test_one_pull_is_no_trend() -> None:
    """A pull of 200 GB on a quiet disk gives no date; told by the jump, not by luck of the window."""
    for hour in (100, 600, 700, 716):
        found = told(history(30, 0, {hour: 200 * GB}))
        assert found.when is None, hour
        assert not found.alarm
        assert found.confidence is Confidence.STEADY


def test_a_habit_of_pulls_is_a_trend_with_the_next_ones_size() -> None:
    """A pull of 20 GB every five days fills 100 GB in about 25 days; its size is said, in an 80 % band."""
    points = history(30, 0, dict.fromkeys(range(60, 720, 120), 20 * GB), begin=780 * GB)
    found = told(points)
    assert days_ahead(found, points) == pytest.approx(25, rel=0.25)
    assert "the next one takes 20 GB to 20 GB (8 of 10)" in found.what


def test_a_next_pull_that_may_not_fit_is_an_alarm() -> None:
    """With less free than pulls usually take it is an alarm, however slowly the disk grows."""
    found = told(history(30, 0, {100: 60 * GB, 300: 70 * GB, 500: 80 * GB}, begin=750 * GB))
    assert found.alarm
    assert "it may not fit" in found.what


def test_what_runs_away_is_seen_within_hours() -> None:
    """30 GB an hour for seven hours beat the quiet month before them: the earliest date wins."""
    points = history(30, 0)
    points += [(points[-1][0] + hour * HOUR, points[-1][1] + hour * 30 * GB) for hour in range(1, 8)]
    found = told(points)
    assert days_ahead(found, points) == pytest.approx(490 / 30 / 24, rel=0.2)
    assert found.alarm


def test_a_runaway_is_no_habit_of_pulls() -> None:
    """What grew for longer than half a day counts in no pull's size."""
    points = history(30, 0, dict.fromkeys(range(300, 320), 15 * GB))
    assert pull_habit(points, float(TOTAL)).every == 0.0


def test_too_few_samples_say_so() -> None:
    """Below 30 samples there is no date and no alarm, and the sentence counts them."""
    found = told(history(2, 300 * GB)[:29])
    assert (found.enough, found.alarm, found.when) == (False, False, None)
    assert found.confidence is Confidence.NOT_ENOUGH
    assert found.what.startswith("29 of the 30 samples")


def test_the_band_of_pulls_is_wider_than_that_of_growth() -> None:
    """Rare large pulls are less certain than steady growth of the same rate; no growth has no date."""
    steady, pulls = band(100, 1, 0.0, 0.0), band(100, 1, 0.0, 20.0)
    assert steady is not None
    assert pulls is not None
    assert (steady.low, steady.middle, steady.high) == (100, 100, 100)
    assert pulls.low < 80
    assert pulls.high > 125
    assert band(100, 0, 1, 1) is None
    unsure = band(100, 1, 1.0, 0.0)
    assert unsure is not None
    assert math.isinf(unsure.high)


USED = st.lists(st.integers(0, 400), min_size=30, max_size=120)


def shifted(changes: list[int], less: int) -> list[Point]:
    """A disk that changes by so many GB an hour, with ``less`` GB less on it."""
    used, points = 500 * GB - less * GB, []
    for hour, change in enumerate(changes):
        used += (change - 190) * GB // 100
        points.append((START + hour * HOUR, float(used)))
    return points


@given(USED, st.integers(0, 300))
def test_more_free_space_never_brings_the_date_nearer(changes: list[int], less: int) -> None:
    """The same growth on an emptier disk ends later, or never; its band's early end does not move nearer either."""
    tight, roomy = told(shifted(changes, 0)), told(shifted(changes, less))
    assume(max(value for _, value in shifted(changes, 0)) < TOTAL)
    if roomy.when is not None:
        assert tight.when is not None
        assert tight.when <= roomy.when


@given(st.floats(1, 1e15), st.floats(0, 1e15), st.floats(1e-3, 1e9), st.floats(0, 1e9), st.floats(0, 1e18))
def test_more_free_bytes_move_the_whole_band(
    free: float, more: float, rate: float, deviation: float, variance: float
) -> None:
    """Early end, middle and late end are in order, and none comes nearer with more bytes free."""
    less, roomy = band(free, rate, deviation, variance), band(free + more, rate, deviation, variance)
    assert less is not None
    assert roomy is not None
    assert less.low <= less.middle <= less.high
    slack = 1 + 1e-9
    assert less.low <= roomy.low * slack
    assert less.middle <= roomy.middle * slack
    assert less.high <= roomy.high * slack


@given(USED, st.integers(-20, 20))
def test_the_unit_does_not_matter(changes: list[int], power: int) -> None:
    """A disk and its growth scaled by one factor have the same date."""
    points, factor = shifted(changes, 0), 2.0**power
    scaled = disk_full("disk", [(at, v * factor) for at, v in points], TOTAL * factor, points[-1][0])
    plain = told(points)
    assert (scaled.when, scaled.low, scaled.high, scaled.alarm) == (plain.when, plain.low, plain.high, plain.alarm)
