"""The slope of Theil and Sen: right on a line, unmoved by odd values, and bounded in its work."""

import random

import pytest

from modelward.forecast.slope import quantile, theil_sen, thinned


def test_a_line_is_found_whatever_a_quarter_of_the_points_say() -> None:
    """Odd values in a quarter of the places leave the slope where it was."""
    points = [(float(at), 3.0 * at) for at in range(100)]
    odd = [(at, 1e6 if at % 4 == 0 else value) for at, value in points]
    assert theil_sen(points, 200) is not None
    found = theil_sen(odd, 200)
    assert found is not None
    assert found.middle == pytest.approx(3.0, rel=0.2)


def test_the_interval_holds_the_truth_in_8_of_10_cases() -> None:
    """Over 300 noisy lines the 80 % interval covers the true slope in 72 to 88 % of them."""
    rng, covered = random.Random(4), 0
    for _ in range(300):
        found = theil_sen([(float(at), 0.5 * at + rng.gauss(0, 5)) for at in range(30)])
        assert found is not None
        covered += found.low <= 0.5 <= found.high
    assert 216 <= covered <= 264


def test_noise_is_no_rise() -> None:
    """A slope counts as rising only where its whole interval lies above zero."""
    rng = random.Random(1)
    flat = theil_sen([(float(at), rng.gauss(0, 1)) for at in range(30)])
    steep = theil_sen([(float(at), at + rng.gauss(0, 1)) for at in range(30)])
    assert flat is not None
    assert steep is not None
    assert (flat.rising, steep.rising) == (False, True)


def test_no_two_moments_have_no_slope() -> None:
    """A single point, and points of one moment, have none."""
    assert theil_sen([]) is None
    assert theil_sen([(1.0, 1.0)]) is None
    assert theil_sen([(1.0, 1.0), (1.0, 5.0)]) is None


def test_many_points_are_thinned_to_medians() -> None:
    """The bound holds, and one odd value among many does not stand for its neighbours."""
    points = [(float(at), 1e9 if at == 500 else 7.0) for at in range(1000)]
    thin = thinned(points, 32)
    assert len(thin) == 32
    assert {value for _, value in thin} == {7.0}


def test_quantiles_are_values_of_the_sample() -> None:
    """The ends are the least and the largest value; without values there is none."""
    assert [quantile([3, 1, 2], share) for share in (0.0, 0.5, 1.0)] == [1, 2, 3]
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
