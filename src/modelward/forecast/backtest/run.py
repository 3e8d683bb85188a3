"""The back-test itself: every kind of forecast on its histories, and the two ways to scrub beside one another."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random

from modelward.domain.forecast import LEAST, BacktestReport, Forecast, ForecastKind, Score, ScrubSeen
from modelward.forecast.backtest import histories as made
from modelward.forecast.backtest.score import Said, Tally, said
from modelward.forecast.backtest.scrub import ROTS, compare
from modelward.forecast.disk import disk_full
from modelward.forecast.drift import error_drift, latency_drift, medians
from modelward.forecast.drive import drive_risk
from modelward.forecast.failslow import fail_slow
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.rot import rot
from modelward.forecast.smooth import Point
from modelward.forecast.window import window_missed

SEED, MONTHS = 1, 6
LATENCY_STEP, LATENCY_FIRST, ERRORS_STEP = 12 * HOUR, 7 * 24, 2 * HOUR


def backtest(seed: int = SEED, months: int = MONTHS) -> BacktestReport:
    """Every forecast on histories of so many months; the same seed gives the same numbers."""
    kinds = (_disk, _latency, _errors, _fail_slow, _rot, _drive, _window)
    # Each kind draws from a generator of its own, so that a change to one leaves the numbers of the others.
    scores = tuple(kind(drawn(seed, number), months) for number, kind in enumerate(kinds))
    scrubs = tuple(compare(drawn(seed, 100 + number), rot) for number, rot in enumerate(ROTS))
    return BacktestReport(seed=seed, months=months, scores=scores, scrubs=scrubs)


def drawn(seed: int, part: int) -> Random:
    """The chance of one kind of forecast, by its number."""
    return Random(f"{seed}/{part}")  # noqa: S311 - histories are drawn from a seed to be repeatable; no secret


def _walk(
    moments: Sequence[float], months: int, step: float, judge: Callable[[int, float], Forecast], *, first: int = LEAST
) -> list[Said]:
    """What is said every ``step`` seconds of so many months; ``judge`` gets how many samples are known by then."""
    return [said(at, judge(bisect_right(moments, at), at)) for at in asked(moments, months, step, first)]


def asked(moments: Sequence[float], months: int, step: float, first: int = LEAST) -> Iterator[float]:
    """When a forecast is asked for: every ``step`` seconds of so many months, from its ``first`` sample on."""
    at = moments[first] if first < len(moments) else float("inf")
    while at <= min(moments[-1], made.START + months * made.MONTH):
        yield at
        at += step


def _disk(rng: Random, months: int) -> Score:
    tally = Tally(ForecastKind.DISK, quiet=3 * DAY)
    for kind in ("growing", "growing", "growing", "growing", "tidy", "tidy", "runaway", "runaway"):
        history = made.space_history(rng, months, kind)
        moments = [at for at, _ in history.samples]
        tally.add(_walk(moments, months, 12 * HOUR, partial(_disk_says, history)), history.events)
    return tally.score()


def _disk_says(history: made.History[Point], known: int, at: float) -> Forecast:
    return disk_full("disk", history.samples[max(0, known - 721) : known], history.limit, at)


def latency_tally() -> Tally:
    """Nothing counted yet, of latency."""
    return Tally(ForecastKind.LATENCY, grace=2 * DAY, quiet=2 * DAY)


def latencies(rng: Random, months: int) -> Iterator[made.History[Point]]:
    """The models whose latency is foretold."""
    return (made.latency_history(rng, months) for _ in range(8))


def add_latency(tally: Tally, rng: Random, months: int) -> None:
    """Count our own detector on these histories."""
    for history in latencies(rng, months):
        hourly = medians(history.samples)
        says = partial(_latency_says, hourly, history.samples)
        judged = _walk([at for at, _ in hourly], months, LATENCY_STEP, says, first=LATENCY_FIRST)
        tally.add(judged, history.events)


def _latency(rng: Random, months: int) -> Score:
    tally = latency_tally()
    add_latency(tally, rng, months)
    return tally.score()


def _latency_says(hourly: Sequence[Point], answers: Sequence[Point], known: int, at: float) -> Forecast:
    until = bisect_right(answers, (at, float("inf")))
    return latency_drift("model", hourly[max(0, known - 672) : known], answers[max(0, until - 216) : until], at)


def errors_tally() -> Tally:
    """Nothing counted yet, of errors."""
    return Tally(ForecastKind.ERRORS, grace=3 * DAY, quiet=DAY)


def error_histories(rng: Random, months: int) -> Iterator[made.History[tuple[float, bool]]]:
    """The models whose errors are foretold."""
    return (made.error_history(rng, months) for _ in range(8))


def add_errors(tally: Tally, rng: Random, months: int) -> None:
    """Count our own detector on these histories."""
    for history in error_histories(rng, months):
        moments = [at for at, _ in history.samples]
        tally.add(_walk(moments, months, ERRORS_STEP, partial(_errors_say, history)), history.events)


def _errors(rng: Random, months: int) -> Score:
    tally = errors_tally()
    add_errors(tally, rng, months)
    return tally.score()


def _errors_say(history: made.History[tuple[float, bool]], known: int, at: float) -> Forecast:
    return error_drift("model", history.samples[max(0, known - 433) : known], at)


def fail_slow_tally() -> Tally:
    """Nothing counted yet, of devices that slow down."""
    return Tally(ForecastKind.FAIL_SLOW, quiet=7 * DAY)


def speeds(rng: Random, months: int) -> Iterator[made.History[ScrubSeen]]:
    """The devices, every third of which fails."""
    return (made.speed_history(rng, months, failing=number % 3 == 0) for number in range(24))


def add_fail_slow(tally: Tally, rng: Random, months: int) -> None:
    """Count our own detector on these histories."""
    for history in speeds(rng, months):
        moments = [scrub.at for scrub in history.samples]
        tally.add(_walk(moments, months, DAY, partial(_fail_slow_says, history)), history.events)


def _fail_slow(rng: Random, months: int) -> Score:
    tally = fail_slow_tally()
    add_fail_slow(tally, rng, months)
    return tally.score()


def _fail_slow_says(history: made.History[ScrubSeen], known: int, at: float) -> Forecast:
    return fail_slow("device", history.samples[max(0, known - 120) : known], at)


def _rot(rng: Random, months: int) -> Score:
    tally = Tally(ForecastKind.ROT, grace=30 * DAY, quiet=30 * DAY)
    for _ in range(60):
        history = made.rot_history(rng, months, ROTS[0])
        moments = [scrub.at for scrub in history.samples]
        tally.add(_walk(moments, months, 3 * DAY, partial(_rot_says, history)), history.events)
    return tally.score()


def _rot_says(history: made.History[ScrubSeen], known: int, at: float) -> Forecast:
    return rot("device", history.samples[:known], at, 500e9)


def _drive(rng: Random, months: int) -> Score:
    tally = Tally(ForecastKind.DRIVE, grace=0.0, quiet=365 * DAY)
    alarms: dict[tuple[tuple[int, int], ...], bool] = {}  # a single reading is judged by its attributes alone
    for _ in range(4000):
        history = made.drive_history(rng, max(months, 12))  # the published rates are of a year
        readings = history.samples
        for one in readings:
            key = tuple(one.attributes.items())
            if key not in alarms:
                alarms[key] = drive_risk((one,), one.at).alarm
        judged = [Said(one.at, alarm=alarms[tuple(one.attributes.items())]) for one in readings]
        if judged:
            tally.add([*judged, Said(judged[-1].at + 7 * DAY, alarm=False)], history.events)
    return tally.score()


def _window(rng: Random, months: int) -> Score:
    tally = Tally(ForecastKind.WINDOW, grace=7 * DAY, quiet=7 * DAY)
    for _ in range(24):
        history = made.duration_history(rng, months)
        moments = [at for at, _ in history.samples]
        tally.add(_walk(moments, months, DAY, partial(_window_says, history)), history.events)
    return tally.score()


def _window_says(history: made.History[Point], known: int, at: float) -> Forecast:
    return window_missed("job", history.samples[:known], history.limit, at)
