"""Trends: up, flat or down, whatever a few wild numbers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.trend import Trend, slope, trend

FLAT = [1.0, 1.02, 0.98, 1.01, 1.0, 0.99, 1.0]


def points(values: list[float]) -> list[tuple[float, float]]:
    """One value a day."""
    return [(86_400.0 * day, value) for day, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1.1, 1.2, 1.3, 1.4, 1.5], Trend.UP),
        ([1.5, 1.4, 1.3, 1.2, 1.1, 1], Trend.DOWN),
        (FLAT, Trend.FLAT),
        ([0, 0, 0, 0], Trend.FLAT),
        ([0.001, 0.002, 0.003, 0.004], Trend.FLAT),
        ([1, 2], Trend.UNKNOWN),
        ([], Trend.UNKNOWN),
    ],
)
def test_where_values_go(values: list[float], expected: Trend) -> None:
    """A change of a quarter is a trend; tiny numbers are flat, and two values say nothing."""
    assert trend(points(values), 0.05) is expected


@pytest.mark.parametrize("wild", [0.0, 50.0])
def test_one_wild_value_changes_nothing(wild: float) -> None:
    """Wherever in the week it stands."""
    for place in range(len(FLAT)):
        values = [wild if number == place else value for number, value in enumerate(FLAT)]
        assert trend(points(values), 0.05) is Trend.FLAT


@given(
    rise=st.floats(-100, 100),
    begin=st.floats(-100, 100),
    times=st.lists(st.integers(0, 1_000), min_size=2, max_size=12, unique=True),
)
def test_the_slope_of_a_line_is_its_own(rise: float, begin: float, times: list[int]) -> None:
    """Whatever the times are, and in any order."""
    assert slope([(float(at), begin + rise * at) for at in times]) == pytest.approx(rise, rel=1e-6, abs=1e-6)


def test_values_of_one_time_have_no_slope() -> None:
    """No division by zero."""
    assert slope([(1.0, 1.0), (1.0, 2.0)]) is None
    assert trend([(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], 0.0) is Trend.UNKNOWN
