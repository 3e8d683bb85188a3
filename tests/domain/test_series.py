"""Roll-ups: histograms that are right to a twentieth, sums that do not depend on order or batches, and horizons."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.history import ActionRow, CheckRow, ProbeRow, Row
from modelward.domain.series import (
    DAY,
    HOLD,
    HOUR,
    STEP,
    Key,
    Point,
    Series,
    bucket,
    empty,
    horizon,
    key_of,
    merge,
    merged,
    middle,
    quantile,
    tally,
    together,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECONDS = st.floats(0.001, 3_600)


def probe(at: datetime, seconds: float, outcome: str = "ok") -> ProbeRow:
    """A probe."""
    return ProbeRow(at=at, model="llama3", outcome=outcome, seconds=seconds)


def check(second: int, *, ready: bool) -> CheckRow:
    """A check, so many seconds after noon."""
    at = NOON + timedelta(seconds=second)
    return CheckRow(at=at, model="llama3", healthy=ready, recoverable=True, ready=ready)


@given(seconds=SECONDS)
def test_a_bucket_stands_for_its_times(seconds: float) -> None:
    """The time that stands for a bucket is within a twentieth of any time in it."""
    assert middle(bucket(seconds)) == pytest.approx(seconds, rel=0.05)


@given(first=SECONDS, second=SECONDS)
def test_buckets_keep_the_order(first: float, second: float) -> None:
    """A longer time is never in a lower bucket."""
    assert (bucket(first) <= bucket(second)) or first > second


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 1e9, 1.7e308])
def test_times_out_of_range_have_a_bucket(seconds: float) -> None:
    """A clock that went back, or an answer of a month, is in the first or the last one."""
    assert 0 <= bucket(seconds) < 176


@given(times=st.lists(SECONDS, min_size=1, max_size=60), share=st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_quantiles_are_right_to_a_twentieth(times: list[float], share: float) -> None:
    """From the histogram as from the sorted times themselves, by nearest rank."""
    points, _ = tally([probe(NOON, seconds) for seconds in times], {})
    found = quantile(points[key_of(Series.PROBES, "llama3", HOUR, NOON)].buckets, share)
    assert found == pytest.approx(sorted(times)[ceil(share * len(times)) - 1], rel=0.05)


def test_no_answers_have_no_quantile() -> None:
    """None, and not zero seconds."""
    assert quantile({}, 0.5) is None


@given(
    times=st.lists(st.tuples(st.integers(0, 200_000), SECONDS), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_batches_do_not_matter(times: list[tuple[int, float]], cuts: list[int]) -> None:
    """The points of all rows are the merged points of any parts of them."""
    rows: list[Row] = [probe(NOON + timedelta(seconds=at), seconds) for at, seconds in times]
    whole, _ = tally(rows, {})
    parts: dict[Key, Point] = {}
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    for begin, end in pairwise(edges):
        for key, point in tally(rows[begin:end], {})[0].items():
            parts[key] = merge(parts.get(key) or empty(key), point)
    assert {key: (point.count, point.buckets) for key, point in parts.items()} == {
        key: (point.count, point.buckets) for key, point in whole.items()
    }
    assert sum(point.seconds for point in parts.values()) == pytest.approx(sum(p.seconds for p in whole.values()))


@given(checks=st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=20), cut=st.integers(0, 20))
def test_time_is_counted_across_batches(checks: list[tuple[int, bool]], cut: int) -> None:
    """What was seen last is handed on, so that the time between two batches is counted once."""
    rows: list[Row] = [check(at, ready=ready) for at, ready in checks]
    whole, _ = tally(rows, {})
    first, seen = tally(rows[:cut], {})
    second, _ = tally(rows[cut:], seen)
    for field in ("known_seconds", "good_seconds", "count", "errors"):
        parts = [getattr(point, field) for point in (*first.values(), *second.values())]
        assert sum(parts) == pytest.approx(sum(getattr(point, field) for point in whole.values()))


@given(checks=st.lists(st.tuples(st.integers(0, 100_000), st.booleans()), max_size=20))
def test_known_time_is_never_more_than_passed(checks: list[tuple[int, bool]]) -> None:
    """Good time is known time, known time fits into its span, and no check tells of more than five minutes."""
    rows: list[Row] = [check(at, ready=ready) for at, ready in sorted(checks)]
    points, _ = tally(rows, {})
    hours = [point for key, point in points.items() if key.span == HOUR]
    days = [point for key, point in points.items() if key.span == DAY]
    for point in (*hours, *days):
        assert 0 <= point.good_seconds <= point.known_seconds <= point.seconds_span
    known = sum(point.known_seconds for point in hours)
    assert known <= HOLD.total_seconds() * max(0, len(rows) - 1)
    assert known == pytest.approx(sum(point.known_seconds for point in days))


def test_what_is_no_sample_adds_nothing() -> None:
    """Actions are kept as they are; a busy model was not asked."""
    action = ActionRow(at=NOON, cause="user", verb="repair")
    assert tally([action, probe(NOON, 0, "busy")], {}) == ({}, {})


@pytest.mark.parametrize("outcome", ["refused", "timeout", "unreachable"])
def test_a_failed_probe_is_an_error_without_a_time(outcome: str) -> None:
    """It counts, and leaves the response times alone."""
    points, _ = tally([probe(NOON, 60, outcome)], {})
    assert {(point.count, point.errors, point.seconds) for point in points.values()} == {(1, 1, 0)}
    assert all(not point.buckets for point in points.values())


def test_points_of_one_time_are_put_together() -> None:
    """In the order of time; one alone stays what it is."""
    late, early = (Point(at=NOON + timedelta(hours=number), seconds_span=HOUR, count=1) for number in (1, 0))
    assert together([late, early, late]) == (early, merge(late, late))
    assert merged([]) is None
    assert merged([late]) == late


def test_the_least_free_space_counts() -> None:
    """Of several samples the least is kept, and the size as it is."""
    points = [Point(at=NOON, seconds_span=HOUR, low=low, total=total) for low, total in ((5, 10), (None, 0), (3, 10))]
    whole = merged(points)
    assert whole is not None
    assert (whole.low, whole.total) == (3, 10)


def test_the_horizon_follows_the_clock_slowly() -> None:
    """It never lies ahead of now, and moves on by two days at most; a clock that goes back takes it along."""
    assert horizon(NOON, None) == NOON
    assert horizon(NOON + timedelta(hours=5), NOON) == NOON + timedelta(hours=5)
    assert horizon(NOON + timedelta(days=3_650), NOON) == NOON + STEP
    assert horizon(NOON - timedelta(days=30), NOON) == NOON - timedelta(days=30)
