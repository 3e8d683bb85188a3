"""Half-space trees in the back-test: the same histories, asked at the same moments, counted in the same way."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from modelward.domain.forecast import LEAST, ForecastKind, Score
from modelward.forecast.backtest import run
from modelward.forecast.backtest.histories import Event
from modelward.forecast.backtest.score import Said, Tally
from modelward.forecast.drift import medians
from modelward.forecast.record import DAY
from modelward.forecast.trees import (
    HABITS,
    Seen,
    Trees,
    errors_seen,
    fail_slow_seen,
    hourly_shares,
    latency_seen,
    trees_alarm,
)


@dataclass(frozen=True, slots=True)
class Case:
    """One history as the trees see it: when they are asked, and what truly happened."""

    seen: Seen
    asked: tuple[float, ...]
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Course:
    """One kind: its number in the back-test, its histories, and how it is counted."""

    kind: ForecastKind
    part: int
    cases: Callable[[Random, int], Iterable[Case]]
    tally: Callable[[], Tally]
    ours: Callable[[Tally, Random, int], None]


def _latency(rng: Random, months: int) -> Iterable[Case]:
    for history in run.latencies(rng, months):
        hourly = medians(history.samples)
        when = run.asked([at for at, _ in hourly], months, run.LATENCY_STEP, run.LATENCY_FIRST)
        yield Case(latency_seen(hourly), tuple(when), history.events)


def _errors(rng: Random, months: int) -> Iterable[Case]:
    for history in run.error_histories(rng, months):
        when = run.asked([at for at, _ in history.samples], months, run.ERRORS_STEP)
        yield Case(errors_seen(hourly_shares(history.samples)), tuple(when), history.events)


def _fail_slow(rng: Random, months: int) -> Iterable[Case]:
    for history in run.speeds(rng, months):
        when = run.asked([scrub.at for scrub in history.samples], months, DAY, LEAST)
        yield Case(fail_slow_seen(history.samples), tuple(when), history.events)


COURSES: Final = (
    Course(ForecastKind.LATENCY, 1, _latency, run.latency_tally, run.add_latency),
    Course(ForecastKind.ERRORS, 2, _errors, run.errors_tally, run.add_errors),
    Course(ForecastKind.FAIL_SLOW, 3, _fail_slow, run.fail_slow_tally, run.add_fail_slow),
)


def trees_backtest(trees: Trees, seeds: Sequence[int], months: int) -> tuple[Score, ...]:
    """How the trees did, each kind over the histories of all these seeds together."""
    return tuple(_score(course, trees, seeds, months) for course in COURSES)


def _score(course: Course, trees: Trees, seeds: Sequence[int], months: int) -> Score:
    cases = [case for seed in seeds for case in course.cases(run.drawn(seed, course.part), months)]
    habit, tally = HABITS[course.kind], course.tally()
    scores = trees([case.seen.features for case in cases], habit.window)
    for case, found in zip(cases, scores, strict=True):
        odd = partial(trees_alarm, habit, case.seen, found)
        tally.add([Said(at, alarm=odd(bisect_right(case.seen.moments, at))) for at in case.asked], case.events)
    return tally.score()


def ours_backtest(seeds: Sequence[int], months: int) -> tuple[Score, ...]:
    """How our own detectors of the same kinds did, over the same histories together."""
    found = []
    for course in COURSES:
        tally = course.tally()
        for seed in seeds:
            course.ours(tally, run.drawn(seed, course.part), months)
        found.append(tally.score())
    return tuple(found)
