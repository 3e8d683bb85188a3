"""The back-test counts right, repeats itself, and shows what the forecasts are said to be worth."""

from random import Random

import pytest

from modelward.domain.forecast import BacktestReport, ForecastKind, Score
from modelward.forecast.backtest import histories as made
from modelward.forecast.backtest.histories import MONTH, START, Event
from modelward.forecast.backtest.run import backtest
from modelward.forecast.backtest.score import Said, Tally
from modelward.forecast.backtest.scrub import ROTS, compare
from modelward.forecast.record import DAY, HIT_RATES, HOUR


@pytest.fixture(scope="module")
def report() -> BacktestReport:
    """A short back-test with another seed than the one that the methods were tuned on."""
    return backtest(seed=11, months=3)


def score(report: BacktestReport, kind: ForecastKind) -> Score:
    """The score of one kind."""
    return next(score for score in report.scores if score.kind is kind)


def test_every_kind_is_scored(report: BacktestReport) -> None:
    """Each kind of forecast met events, and its counts fit together."""
    assert [score.kind for score in report.scores] == list(ForecastKind)
    for one in report.scores:
        assert one.events > 0
        assert one.alarms > 0
        assert one.false_a_month * one.months == pytest.approx(one.alarms * (1 - (one.precision or 0)), abs=1.5)


def test_the_hit_rates_shown_are_those_of_the_back_test(report: BacktestReport) -> None:
    """On histories never seen before, alarms are right as often as every forecast says, within chance."""
    for one in report.scores:
        assert one.precision is not None
        assert one.precision >= HIT_RATES[one.kind] - 0.25, one


def test_most_events_are_found(report: BacktestReport) -> None:
    """Nine in ten, but for drives, of which a quarter fail without a sign."""
    for one in report.scores:
        assert one.recall is not None
        assert one.recall >= (0.4 if one.kind is ForecastKind.DRIVE else 0.85), one


def test_dates_are_right_within_days_and_the_band_holds(report: BacktestReport) -> None:
    """The date of a full disk is off by less than two days, and lies in its 80 % band in six of ten cases at least."""
    disk = score(report, ForecastKind.DISK)
    assert disk.error is not None
    assert disk.error < 2
    assert disk.coverage is not None
    assert disk.coverage >= 0.6
    assert disk.lead is not None
    assert disk.lead > 24


def test_drives_come_out_as_published(report: BacktestReport) -> None:
    """With Backblaze's rates about one alarm in five is right: the reason that it asks to verify and copy only."""
    precision = score(report, ForecastKind.DRIVE).precision
    assert precision is not None
    assert 0.1 <= precision <= 0.35


@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize("rot", ROTS[:2], ids=lambda rot: rot.name)
def test_adaptive_scrub_sees_bursty_rot_a_third_sooner(rot: made.Rot, seed: int) -> None:
    """At equal bytes read, damage is found at least 30 % sooner than with a fixed period."""
    found = compare(Random(seed), rot)
    assert found.damages > 1000
    assert found.gain >= 0.3
    assert found.gain == pytest.approx(1 - found.adaptive / found.fixed, abs=0.01)


def test_where_bursts_do_not_come_back_adaptive_scrub_loses_and_says_so() -> None:
    """Single bursts reward nobody who looks again; the report shows the loss."""
    assert compare(Random(11), ROTS[2]).gain < 0


def test_both_ways_to_scrub_read_the_same_bytes() -> None:
    """The fixed period makes as many passes as the adaptive one did."""
    found = compare(Random(5), ROTS[0], months=24, devices=50)
    assert found.passes * found.period == pytest.approx(30, rel=0.02)


def test_the_same_seed_gives_the_same_numbers() -> None:
    """Histories and comparisons repeat themselves; another seed gives others."""
    assert compare(Random(7), ROTS[0], 12, 20) == compare(Random(7), ROTS[0], 12, 20)
    assert compare(Random(7), ROTS[0], 12, 20) != compare(Random(8), ROTS[0], 12, 20)
    for kind in ("growing", "tidy", "runaway"):
        assert made.space_history(Random(3), 3, kind) == made.space_history(Random(3), 3, kind)


def test_histories_are_in_order_and_hold_their_truth() -> None:
    """Samples come in order of time, disks are full at their events, and probes fail in their troubles."""
    disk = made.space_history(Random(1), 6, "runaway")
    moments = [at for at, _ in disk.samples]
    assert moments == sorted(moments)
    assert disk.events
    full = {at for at, used in disk.samples if used >= disk.limit}
    assert {event.impact for event in disk.events} == full
    probes = made.error_history(Random(1), 6)
    inside = [bad for at, bad in probes.samples if any(event.impact <= at < event.end for event in probes.events)]
    outside = [bad for at, bad in probes.samples if all(not event.onset <= at < event.end for event in probes.events)]
    assert sum(inside) / len(inside) > 0.09
    assert sum(outside) / len(outside) < 0.01


def test_weekends_are_quiet() -> None:
    """The weekly rhythm falls on Saturday and Sunday, in UTC."""
    week = [made.rhythm(START + day * DAY, 0.0, 0.2) for day in range(7)]
    assert week == [1, 1, 1, 1, 1, 0.8, 0.8]


def told(*alarms: int, days: int = 60) -> list[Said]:
    """What was said each day: alarms on these days."""
    return [Said(START + day * DAY, day in alarms) for day in range(days)]


def event(onset: int, impact: int) -> Event:
    """Trouble that can be seen from a day on and ends when it does harm."""
    return Event(START + onset * DAY, START + impact * DAY, START + impact * DAY)


def test_alarms_near_each_other_are_one() -> None:
    """Neighbouring days are one alarm; a pause longer than ``quiet`` makes two."""
    tally = Tally(ForecastKind.DISK, quiet=2 * DAY)
    tally.add(told(10, 11, 13, 20), [event(8, 14)])
    assert (tally.alarms, tally.right, tally.found) == (2, 1, 1)
    assert tally.score().precision == 0.5
    assert tally.score().lead == 4 * 24
    assert tally.score().false_a_month == pytest.approx(1 / (59 * DAY / MONTH), rel=0.01)


def test_an_event_without_an_alarm_is_missed() -> None:
    """Recall counts events, and those outside of what was judged do not count."""
    tally = Tally(ForecastKind.DISK)
    tally.add(told(10), [event(8, 12), event(30, 40), event(80, 90)])
    assert (tally.events, tally.found) == (2, 1)
    assert tally.score().recall == 0.5


def test_an_alarm_after_the_event_is_not_its_find() -> None:
    """In the days of grace an alarm is no false one, and finds nothing either."""
    tally = Tally(ForecastKind.DISK, grace=3 * DAY)
    tally.add(told(14), [event(8, 12)])
    assert (tally.right, tally.found) == (1, 0)


def test_dates_are_judged_by_what_came() -> None:
    """The error is the distance to the next event, and the band covers it or not; only alarms are judged."""
    tally = Tally(ForecastKind.DISK)
    at, truth = START + DAY, START + 10 * DAY
    near = Said(at, alarm=True, when=truth + DAY, low=truth - DAY, high=truth + 2 * DAY)
    wrong = Said(at + HOUR, alarm=True, when=truth - 3 * DAY, low=truth - 4 * DAY, high=truth - 2 * DAY)
    silent = Said(at + 2 * HOUR, alarm=False, when=at, low=at, high=at)
    tally.add([near, wrong, silent, Said(truth, alarm=False)], [event(0, 10)])
    assert tally.errors == [DAY, 3 * DAY]
    assert tally.score().coverage == 0.5


def test_nothing_judged_is_no_number() -> None:
    """Without alarms or events there is no precision, recall or lead."""
    tally = Tally(ForecastKind.DISK)
    tally.add([], [event(0, 1)])
    empty = tally.score()
    assert (empty.precision, empty.recall, empty.lead, empty.error) == (None, None, None, None)
