"""Averages forget by half-life, and Holt's method follows a line and says how far off it usually is."""

import math

import pytest

from modelward.forecast.smooth import ewma, holt, within


def test_a_half_life_later_half_is_forgotten() -> None:
    """After one half-life a new level has come half way, after ten it is all that counts."""
    assert ewma([(0, 0.0), (60, 8.0)], 60) == [0.0, pytest.approx(4.0)]
    assert ewma([(0, 0.0), (600, 8.0)], 60)[-1] == pytest.approx(8.0, abs=0.01)
    assert ewma([], 60) == []


def test_an_average_counts_time_and_not_samples() -> None:
    """Many samples in a short time move it no more than one sample does."""
    often = ewma([(0, 0.0), *((step / 10, 1.0) for step in range(1, 101))], 60)[-1]
    assert often == pytest.approx(ewma([(0, 0.0), (10, 1.0)], 60)[-1])
    assert ewma([(5, 1.0), (0, 9.0)], 60) == [1.0, 1.0]


def test_holt_follows_a_line() -> None:
    """Level and trend of a straight line are found, and no error is left."""
    found = holt([10.0 + 2 * step for step in range(300)])
    assert found.trend == pytest.approx(2, rel=0.01)
    assert found.at(5) == pytest.approx(10 + 2 * 304, rel=0.01)
    assert found.error < 0.2


def test_holt_starts_from_the_median() -> None:
    """One odd value at the start does not tilt the trend."""
    odd, plain = holt([1000.0] + [10.0] * 60), holt([10.0] * 61)
    assert odd.level == pytest.approx(10, abs=2)
    assert plain == holt([10.0])
    with pytest.raises(ValueError, match="no values"):
        holt([])


def test_what_nothing_real_has_is_left_out() -> None:
    """Values that are negative, above the bound, no number or of another time are no samples."""
    points = [(1, 1.0), (2, -1.0), (3, math.nan), (4, math.inf), (5, 11.0), (6, 2.0), (99, 3.0)]
    assert within(points, 1, 50, 10) == [(1, 1.0), (6, 2.0)]
