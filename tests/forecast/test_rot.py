"""Rot: the rate learns from reading, and the period follows it between its floor and its ceiling."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.forecast import ScrubSeen
from modelward.forecast.record import DAY
from modelward.forecast.rot import CEILING, FLOOR, START, WATCH, Pace, Rate, pace, rot

BEGIN = 1_700_000_000.0
TB = 10**12


def passes(damaged: list[int], size: int = TB, every: float = 7 * DAY) -> list[ScrubSeen]:
    """Full passes, with so many damaged chunks each."""
    return [
        ScrubSeen(at=BEGIN + number * every, bytes=size, seconds=1000, damaged=count)
        for number, count in enumerate(damaged)
    ]


def test_damage_raises_the_rate_and_clean_reading_lowers_it() -> None:
    """Gamma-Poisson: chunks add to the shape, gigabytes to what it is divided by."""
    prior = Rate()
    worse, better = prior.after(passes([3])[0], 0), prior.after(passes([0])[0], 0)
    assert better.mean < prior.mean < worse.mean
    assert worse.mean == pytest.approx((prior.shape + 3) / (prior.gigabytes + 1000))


def test_old_damage_says_less() -> None:
    """After 30 days half of it is forgotten, and the prior comes back in its place."""
    hit = Rate().after(passes([10])[0], 0)
    later = hit.after(ScrubSeen(at=0, bytes=0, seconds=0), WATCH)
    assert later.shape - Rate().shape == pytest.approx(5)
    assert Rate().after(ScrubSeen(at=0, bytes=0, seconds=0), 1e12) == Rate()


def test_the_chance_of_damage_grows_with_what_is_read() -> None:
    """Nothing read shows nothing; more reading and a worse device both make damage likelier."""
    assert Rate().chance(0) == 0
    assert Rate().chance(10) < Rate().chance(1000) < 1
    assert Rate(5, 1000).chance(500) > Rate(0.1, 1000).chance(500)


def test_a_clean_device_is_read_ever_less_often_up_to_28_days() -> None:
    """Each clean pass makes the period a quarter longer at most, and the ceiling holds."""
    periods = [Pace().period]
    now = Pace()
    for one in passes([0] * 60, size=50 * TB):
        now = now.after(one)
        periods.append(now.period)
    assert all(after <= before * 1.25 + 1e-6 for before, after in itertools.pairwise(periods))
    assert periods == sorted(periods)
    assert periods[-1] == CEILING


def test_damage_halves_the_period_for_30_days() -> None:
    """After damage it is half of what it was at most, and does not grow again before 30 clean days are over."""
    hit = pace(passes([0, 0, 0, 1]))
    before = pace(passes([0, 0, 0]))
    assert hit.period <= before.period / 2
    now = hit
    for day in range(1, 30):
        now = now.after(ScrubSeen(at=BEGIN + 21 * DAY + day * DAY, bytes=TB, seconds=1, damaged=0))
        assert now.period <= hit.period
    assert now.after(ScrubSeen(at=BEGIN + 52 * DAY, bytes=TB, seconds=1)).period > hit.period


def test_a_burst_goes_down_to_a_day_and_no_further() -> None:
    """Damage in every pass ends at the floor of 24 hours."""
    assert pace(passes([50] * 20)).period == FLOOR


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(0, 10**15))
def test_the_period_stays_between_floor_and_ceiling(damaged: list[int], size: int) -> None:
    """Whatever is found, it is never under a day and never over 28."""
    assert FLOOR <= pace(passes(damaged, size)).period <= CEILING


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_damage_never_makes_the_next_period_longer(damaged: list[int]) -> None:
    """After the same history a pass that found damage is followed sooner than one that found none."""
    before = pace(passes(damaged[:-1]))
    last = passes(damaged)[-1]
    clean = ScrubSeen(at=last.at, bytes=last.bytes, seconds=1)
    worse = ScrubSeen(at=last.at, bytes=last.bytes, seconds=1, damaged=damaged[-1] + 1)
    assert before.after(worse).period <= before.after(clean).period


def test_slices_back_off_like_the_pass_that_they_make_up() -> None:
    """Seven clean seventh parts of a pass lengthen the period no more than one pass does."""
    whole = pace(passes([0] * 4)).period
    slices = pace(passes([0] * 28, size=TB // 7, every=DAY), whole=float(TB)).period
    assert slices == pytest.approx(whole, rel=0.1)
    assert slices > START


def test_a_device_that_rots_is_an_alarm() -> None:
    """Damage in several of the last slices makes more of it likely; a device that never had any is quiet."""
    sick = passes([0] * 35 + [2, 0, 3, 0, 4], size=TB // 7, every=DAY)
    found = rot("/dev/sda", sick, sick[-1].at, float(TB))
    assert found.alarm
    assert "9 damaged chunk(s)" in found.what
    assert found.action == "modelward verify"
    well = passes([0] * 40, size=TB // 7, every=DAY)
    assert not rot("/dev/sda", well, well[-1].at, float(TB)).alarm
    assert not rot("/dev/sda", sick[:29], sick[28].at).enough
