"""Slices of a scrub add up to a full pass in time, at a rate that is held where it can be."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.scrubbing import overdue, pace, period_of, plan_slice

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def test_damage_doubles_the_rate_for_thirty_days() -> None:
    """A disk that lost bytes once is read twice as often, for a month."""
    assert period_of(WEEK, None, NOW) == WEEK
    assert period_of(WEEK, NOW - timedelta(days=29), NOW) == WEEK / 2
    assert period_of(WEEK, NOW - timedelta(days=31), NOW) == WEEK


def test_the_doubled_rate_has_a_floor_of_a_day() -> None:
    """A short period is not halved below a day, and one that was chosen shorter stays as it is."""
    damaged = NOW - timedelta(days=1)
    assert period_of(timedelta(hours=30), damaged, NOW) == timedelta(hours=24)
    assert period_of(timedelta(hours=6), damaged, NOW) == timedelta(hours=6)


@given(st.integers(1, 10**13), st.integers(1, 400), st.integers(1, 90))
def test_slices_add_up_to_a_pass_in_time(total: int, slices: int, days: int) -> None:
    """As many slices as fit in a period read everything, however they are spaced."""
    period = timedelta(days=days)
    read = sum(plan_slice(total, period / slices, period, 0).bytes for _ in range(slices))
    assert read >= total - slices


def test_a_long_sleep_is_one_whole_pass() -> None:
    """However long nothing was read, a slice is never more than all there is; nor less than nothing."""
    assert plan_slice(1000, timedelta(days=365), WEEK, 0).bytes == 1000
    assert plan_slice(1000, timedelta(days=-30), WEEK, 0).bytes == 0


def test_the_rate_holds_unless_it_is_too_slow() -> None:
    """A wish is kept while a pass ends in half of its time; then the pass wins. No wish is no limit."""
    assert pace(10**12, WEEK, 20_000_000) == 20_000_000
    assert pace(10**14, WEEK, 20_000_000) > 300_000_000
    assert pace(10**14, WEEK, 0) == 0


def test_overdue_is_one_and_a_half_periods() -> None:
    """What waits longer is told; what was never proved waits from when it was first seen."""
    assert not overdue(NOW - timedelta(days=10), NOW, WEEK, NOW)
    assert overdue(NOW - timedelta(days=11), NOW, WEEK, NOW)
    assert not overdue(None, NOW - timedelta(days=10), WEEK, NOW)
    assert overdue(None, NOW - timedelta(days=11), WEEK, NOW)
    assert not overdue(NOW - timedelta(hours=20), NOW, timedelta(hours=1), NOW)
