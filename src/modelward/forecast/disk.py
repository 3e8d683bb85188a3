"""When a disk is full: how it grows, without the jumps of pulls, and how often pulls come and how large they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelward.domain.forecast import LEAST, Confidence, Forecast, ForecastKind
from modelward.domain.units import format_bytes
from modelward.forecast.change import Jump, jumps, without
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, HOUR, moment, not_enough, span_words
from modelward.forecast.slope import quantile, theil_sen
from modelward.forecast.smooth import Point, within

# A slope is trusted for so many times the time over which it was seen: a busy hour says nothing of next month.
_TRUST = 4.0
_WINDOWS = (6 * HOUR, 7 * DAY, 30 * DAY)
_FEWEST = 5  # samples in a window
_JUMP = 0.0005  # of the disk: smaller changes are growth, not a pull
_PULLS = 3  # fewer are no habit
_LONGEST_PULL = 12 * HOUR  # what grows for longer is something that ran away
_MODEL = 0.12  # of the rate: growth is no straight line; so much makes 8 of 10 bands of the back-test hold
_SOON = 14 * DAY
AHEAD = round(_TRUST * _WINDOWS[-1] / DAY)  # days for which a date can be told at all
_LARGEST = 1e21  # bytes; no disk has more
_Z80 = 1.2815515655446004
_ACTION = "modelward space --reclaim"


@dataclass(frozen=True, slots=True)
class Pulls:
    """The jumps of the last 30 days: net bytes a second, their spread, how often and how large (10, 50, 90 %)."""

    rate: float = 0.0
    variance: float = 0.0
    every: float = 0.0
    small: float = 0.0
    usual: float = 0.0
    large: float = 0.0


@dataclass(frozen=True, slots=True)
class Fill:
    """Seconds until full: likeliest, and the 80 % band; ``high`` is infinite where it may never be."""

    middle: float
    low: float
    high: float
    rate: float


def disk_full(subject: str, used: Sequence[Point], total: float, now: float) -> Forecast:
    """When the disk ``subject`` is full, from bytes in use over time (Unix seconds), of ``total`` bytes.

    Slopes over 6 hours, 7 days and 30 days are looked at, and the earliest date wins. It is an alarm when the date
    lies within 14 days, or when the next pull may not fit.
    """
    points = within(used, now - _WINDOWS[-1], now, _LARGEST)
    if len(points) < LEAST:
        return not_enough(ForecastKind.DISK, subject, len(points), _ACTION)
    free = max(0.0, total - points[-1][1])
    pulls = pull_habit(points, total)
    fill = time_to_full(points, free, total, pulls)
    tight = pulls.large > free
    soon = fill is not None and fill.middle <= _SOON
    return Forecast(
        subject=subject,
        kind=ForecastKind.DISK,
        what=_words(free, fill, pulls),
        when=moment(now + fill.middle) if fill is not None else None,
        low=moment(now + fill.low) if fill is not None else None,
        high=moment(now + fill.high) if fill is not None else None,
        confidence=_confidence(fill, tight=tight),
        base_rate=BASE_RATES[ForecastKind.DISK],
        hit_rate=HIT_RATES[ForecastKind.DISK],
        samples=len(points),
        enough=True,
        alarm=soon or tight,
        action=_ACTION,
    )


def pull_habit(points: Sequence[Point], total: float) -> Pulls:
    """How pulls and removals go in these points; no habit with fewer than three pulls."""
    found = [
        jump
        for jump in jumps([value for _, value in points], least=_JUMP * total)
        if points[jump.last][0] - points[jump.first - 1][0] <= _LONGEST_PULL
    ]
    up = [jump.size for jump in found if jump.size > 0]
    lasted = max(points[-1][0] - points[0][0], DAY)
    if len(up) < _PULLS:
        return Pulls()
    return Pulls(
        rate=sum(jump.size for jump in found) / lasted,
        variance=sum(jump.size * jump.size for jump in found) / lasted,
        every=lasted / len(up),
        small=quantile(up, 0.1),
        usual=quantile(up, 0.5),
        large=quantile(up, 0.9),
    )


def time_to_full(points: Sequence[Point], free: float, total: float, pulls: Pulls) -> Fill | None:
    """The earliest date of those that the three slopes give; None where none of them reaches the end."""
    fills = (_fill(points, window, free, total, pulls) for window in _WINDOWS)
    return min((fill for fill in fills if fill is not None), key=lambda fill: fill.middle, default=None)


def _fill(points: Sequence[Point], window: float, free: float, total: float, pulls: Pulls) -> Fill | None:
    """By the slope of one window; None where it is too short, is no slope, or is not trusted so far ahead."""
    inside = [point for point in points if point[0] >= points[-1][0] - window]
    if len(inside) < _FEWEST or inside[-1][0] - inside[0][0] < window / 2:
        return None
    smooth = _without_jumps(inside, total)
    slope = theil_sen(smooth)
    if slope is None:
        return None
    short = window < DAY
    grown = smooth[-1][1] - smooth[0][1]
    if short and (not slope.rising or grown <= max(pulls.large, 0.02 * total)):
        return None  # one long download looks like this
    habit = Pulls() if short else pulls
    rate = slope.middle + habit.rate
    deviation = math.hypot((slope.high - slope.low) / (2 * _Z80), _MODEL * rate)
    fill = band(free, rate, deviation, habit.variance)
    return fill if fill is not None and fill.middle <= _TRUST * window else None


def _without_jumps(points: Sequence[Point], total: float) -> list[Point]:
    values = [value for _, value in points]
    found: list[Jump] = jumps(values, least=_JUMP * total)
    return [(at, value) for (at, _), value in zip(points, without(values, found), strict=True)]


def band(free: float, rate: float, deviation: float, variance: float) -> Fill | None:
    """Seconds until ``free`` bytes are used at ``rate`` bytes a second; None at no growth.

    After t seconds the bytes written have the mean ``rate * t``, and the variance ``variance * t`` (pulls) plus
    ``(deviation * t) ** 2`` (the slope is not known exactly). The band is where mean and 1.28 standard deviations
    reach ``free``: the roots of one quadratic equation. More free bytes never bring a date nearer.
    """
    if rate <= 0:
        return None
    unsure, spread = _Z80 * deviation, _Z80 * _Z80 * variance
    square = rate * rate - unsure * unsure
    linear = 2 * rate * free + spread
    # linear ** 2 - 4 * square * free ** 2, with what cancels out taken out by hand.
    root = math.sqrt(4 * free * (rate * spread + unsure * unsure * free) + spread * spread)
    low = 2 * free * free / (linear + root) if linear + root > 0 else 0.0
    high = (linear + root) / (2 * square) if square > 0 else math.inf
    middle = free / rate
    return Fill(middle, min(low, middle), max(high, middle), rate)


def _confidence(fill: Fill | None, *, tight: bool) -> Confidence:
    if fill is None:
        return Confidence.POSSIBLE if tight else Confidence.STEADY
    return Confidence.LIKELY if fill.high <= 2 * _SOON else Confidence.POSSIBLE


def _words(free: float, fill: Fill | None, pulls: Pulls) -> str:
    said = [f"{format_bytes(free)} free"]
    if fill is None:
        said.append(f"no growth that would fill it within {AHEAD} days")
    else:
        upper = span_words(fill.high) if math.isfinite(fill.high) else "never"
        said.append(f"grows {format_bytes(fill.rate * DAY)} a day, full in {span_words(fill.middle)}")
        said.append(f"8 of 10 times between {span_words(fill.low)} and {upper}")
    if pulls.every:
        said.append(f"a pull every {span_words(pulls.every)}")
        said.append(f"the next one takes {format_bytes(pulls.small)} to {format_bytes(pulls.large)} (8 of 10)")
        if pulls.large > free:
            said.append("it may not fit")
    return "; ".join(said)
