"""Changes are found: slow ones by cumulated sums, sudden ones as jumps, and taken out without a trace."""

import random

import pytest

from modelward.forecast.change import Jump, cusum, jumps, spread, without


def test_a_small_lasting_loss_adds_up() -> None:
    """One standard deviation below the target for 40 values is seen, and where it began."""
    found = cusum([0.0] * 20 + [-1.0] * 40, target=0, scale=1)
    assert found.down == pytest.approx(20)
    assert found.down_since == 20
    assert (found.up, found.up_since) == (0.0, None)


def test_noise_does_not_add_up() -> None:
    """What chance does over 1,000 values stays under the limit at which devices are called slow."""
    rng = random.Random(2)
    worst = max(cusum([rng.gauss(0, 1) for _ in range(120)], target=0, scale=1).down for _ in range(50))
    assert worst < 9.0


def test_one_odd_value_counts_no_more_than_its_bound() -> None:
    """A single value, however far off, adds three standard deviations at most; a scale of zero adds nothing."""
    assert cusum([-1e9], target=0, scale=1).down == pytest.approx(2.5)
    assert cusum([1e9], target=0, scale=1).up == pytest.approx(2.5)
    assert cusum([1e9], target=0, scale=0).up == 0.0


def test_pulls_are_jumps_and_growth_is_none() -> None:
    """In steady growth two pulls and a removal are found with their sizes."""
    values = [float(hour) for hour in range(100)]
    values = [
        v + (50 if i >= 20 else 0) + (80 if i >= 60 else 0) - (40 if i >= 80 else 0) for i, v in enumerate(values)
    ]
    assert jumps(values, least=5) == [Jump(20, 20, 50.0), Jump(60, 60, 80.0), Jump(80, 80, -40.0)]
    assert without(values, jumps(values, least=5)) == [float(hour) for hour in range(100)]


def test_a_pull_over_several_samples_is_one_jump() -> None:
    """Neighbours of one direction are one; the series without it is flat."""
    values = [0.0] * 10 + [10.0, 20.0, 30.0] + [30.0] * 10
    found = jumps(values, least=1)
    assert found == [Jump(10, 12, 30.0)]
    assert set(without(values, found)) == {0.0}


def test_too_little_to_jump() -> None:
    """No values and one value have no jump; a steady rise has none, however steep."""
    assert jumps([], least=0) == []
    assert jumps([1.0], least=0) == []
    assert jumps([100.0 * step for step in range(9)], least=1) == []


def test_a_spread_ignores_odd_values() -> None:
    """It is a standard deviation for normal noise, and one wild value does not move it."""
    rng = random.Random(3)
    values = [rng.gauss(0, 2) for _ in range(2000)]
    assert spread(values) == pytest.approx(2, rel=0.1)
    assert spread([*values, 1e12]) == pytest.approx(2, rel=0.1)
    assert spread([]) == 0.0
