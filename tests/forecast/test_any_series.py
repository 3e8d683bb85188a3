"""No finite series makes a forecast fail, and every forecast keeps the promises of its fields."""

import math

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.forecast import LEAST, Confidence, Forecast, ScrubSeen
from modelward.forecast.disk import disk_full
from modelward.forecast.drift import error_drift, latency_drift, medians
from modelward.forecast.failslow import fail_slow
from modelward.forecast.record import BASE_RATES, HIT_RATES
from modelward.forecast.rot import rot
from modelward.forecast.smooth import Point
from modelward.forecast.window import window_missed

MOMENTS = st.floats(0, 4e9)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def series(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Point]]:
    """Points in order of time, few or enough; moments may be equal."""
    return st.lists(st.tuples(MOMENTS, values), max_size=60).map(lambda points: sorted(points, key=lambda p: p[0]))


def kept(found: Forecast) -> None:
    """What every forecast promises."""
    assert found.enough == (found.confidence is not Confidence.NOT_ENOUGH)
    assert found.what
    assert found.action.startswith("modelward ")
    assert found.base_rate == BASE_RATES[found.kind]
    assert not (found.alarm and not found.enough)
    assert found.enough or (found.when is None and found.samples < LEAST)
    assert found.hit_rate in (None, HIT_RATES[found.kind])
    if found.when is not None:
        assert found.low is None or found.low <= found.when
        assert found.high is None or found.when <= found.high


@given(series(NUMBERS), st.floats(0, 1e21), MOMENTS)
def test_any_disk(points: list[Point], total: float, now: float) -> None:
    """Bytes of any size at any moment."""
    kept(disk_full("disk", points, total, now))


@given(series(NUMBERS), st.floats(0, 1e6) | st.just(math.inf))
def test_any_answers(points: list[Point], limit: float) -> None:
    """Seconds of any size; the hourly medians of them too."""
    now = points[-1][0] if points else 0.0
    kept(latency_drift("model", points, points, now, limit=limit))
    kept(latency_drift("model", medians(points), points, now, limit=limit))


@given(st.lists(st.tuples(MOMENTS, st.booleans()), max_size=80), MOMENTS)
def test_any_probes(probes: list[tuple[float, bool]], now: float) -> None:
    """Failures in any order."""
    kept(error_drift("model", sorted(probes), now))


SCRUBS = st.lists(
    st.builds(
        ScrubSeen,
        at=MOMENTS,
        bytes=st.integers(0, 10**18),
        seconds=st.floats(0, 1e9),
        damaged=st.integers(0, 10**6),
    ),
    max_size=60,
).map(lambda scrubs: sorted(scrubs, key=lambda scrub: scrub.at))


@given(SCRUBS, st.floats(0, 1e18))
def test_any_scrubs(scrubs: list[ScrubSeen], whole: float) -> None:
    """Readings of any size, speed and damage."""
    now = scrubs[-1].at if scrubs else 0.0
    kept(fail_slow("/dev/sda", scrubs, now))
    kept(rot("/dev/sda", scrubs, now, whole))


@given(series(NUMBERS), NUMBERS)
def test_any_runs(runs: list[Point], window: float) -> None:
    """Durations and windows of any size."""
    kept(window_missed("job", runs, window, runs[-1][0] if runs else 0.0))
