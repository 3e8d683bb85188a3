"""A job that is about to miss its window: Holt's trend over how long it took."""

import itertools
import math
from collections.abc import Sequence

from modelward.domain.forecast import LEAST, Confidence, Forecast, ForecastKind
from modelward.domain.trend import median
from modelward.domain.units import format_duration
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, moment, not_enough
from modelward.forecast.smooth import Holt, Point, holt, within

_MOST = 120  # runs looked at
_LONGEST = 1e9  # seconds
_AHEAD = 14 * DAY
_STEPS = 400
_Z80 = 1.2815515655446004


def window_missed(job: str, runs: Sequence[Point], window: float, now: float) -> Forecast:
    """Whether ``job`` will take longer than ``window`` seconds; ``runs`` are start (Unix seconds) and duration.

    The action is to look at the job sooner: a wider window, a faster rate, fewer models.
    """
    seen = within(runs, 0.0, now, _LONGEST)[-_MOST:]
    action = "modelward verify --level sample"
    if len(seen) < LEAST or window <= 0:
        return not_enough(ForecastKind.WINDOW, job, len(seen), action)
    every = max(1.0, median(after[0] - before[0] for before, after in itertools.pairwise(seen)))
    model = holt([seconds for _, seconds in seen])
    runs_to = [_crossing(model, window, z) for z in (_Z80, 0.0, -_Z80)]
    low, middle, high = (seen[-1][0] + every * steps if steps is not None else None for steps in runs_to)
    alarm = middle is not None and middle <= now + _AHEAD
    return Forecast(
        subject=job,
        kind=ForecastKind.WINDOW,
        what=f"takes {format_duration(max(0.0, model.level))} of {format_duration(window)}, "
        f"{_trend_words(model, every)}",
        when=moment(middle),
        low=moment(low),
        high=moment(high),
        confidence=_confidence(high, now, alarm=alarm),
        base_rate=BASE_RATES[ForecastKind.WINDOW],
        hit_rate=HIT_RATES[ForecastKind.WINDOW],
        samples=len(seen),
        enough=True,
        alarm=alarm,
        action=action,
    )


def _crossing(model: Holt, window: float, z: float) -> int | None:
    """The number of the first run ahead that is above the window, with ``z`` times the error added; None for none."""
    start = model.level + z * model.error
    if start + model.trend > window:
        return 1
    if model.trend <= 0:
        return None
    steps = math.floor((window - start) / model.trend) + 1
    return steps if steps <= _STEPS else None


def _trend_words(model: Holt, every: float) -> str:
    daily = model.trend * DAY / every
    if daily <= 0:
        return "and does not grow"
    return f"and grows {format_duration(daily)} a day"


def _confidence(high: float | None, now: float, *, alarm: bool) -> Confidence:
    if not alarm:
        return Confidence.STEADY
    return Confidence.LIKELY if high is not None and high <= now + _AHEAD else Confidence.POSSIBLE
