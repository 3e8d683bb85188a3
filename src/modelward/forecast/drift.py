"""A model that answers ever slower, or fails ever more often: an EWMA ratio, and burn rates over two windows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from modelward.domain.forecast import LEAST, Confidence, Forecast, ForecastKind
from modelward.domain.trend import median
from modelward.domain.units import format_duration
from modelward.forecast.change import spread
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, HOUR, moment, not_enough
from modelward.forecast.slope import theil_sen
from modelward.forecast.smooth import Point, ewma, within

_SEEN = 28 * DAY
_FAST, _SLOW = 12 * HOUR, 10 * DAY  # half-lives
_RATIO = 1.35
_SURE = 5.0  # standard deviations
_TAIL = 2 * DAY  # what the slow average is compared without, so that a drift does not hide in its own yardstick
_SLOW_ANSWER = 2.0  # times the usual time: an answer so slow counts as bad
# Pairs of windows, and how many times faster than allowed the budget of bad answers burns in both, as in Google's
# Site Reliability Workbook, chapter 5; stretched, because there is one probe in minutes and not one in milliseconds.
_BURNS = ((HOUR, 6 * HOUR, 10.0), (6 * HOUR, 3 * DAY, 3.0))
_FAILED, _LATE = 0.01, 0.05  # budgets: one failed probe in 100, one late answer in 20 (a cold start is one)
_FEWEST_BAD = 3
_LONGEST = 1e9  # seconds; no answer takes longer


@dataclass(frozen=True, slots=True)
class Burn:
    """Bad answers in the two windows, and whether both burn the budget too fast."""

    short: float = 0.0
    long: float = 0.0
    window: float = 0.0
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Ratio:
    """Time of an answer now and usually (seconds), and how many standard deviations lie between them."""

    now: float
    usual: float
    sigmas: float

    @property
    def times(self) -> float:
        """Now over usual."""
        return self.now / self.usual

    @property
    def alarm(self) -> bool:
        """Whether it is much slower, and surely so."""
        return self.times >= _RATIO and self.sigmas >= _SURE


def latency_drift(
    subject: str, hourly: Sequence[Point], recent: Sequence[Point], now: float, *, limit: float = math.inf
) -> Forecast:
    """Whether the model answers ever slower, by good probes in order of time (Unix seconds, seconds).

    ``hourly`` are medians of each hour (see ``medians``) over four weeks, ``recent`` the single answers of three days.
    ``limit`` is the deadline of a probe in seconds; ``when`` is the date at which it is reached.
    """
    seen = [(at, value) for at, value in within(hourly, now - _SEEN, now, _LONGEST) if value > 0]
    action = f"modelward verify {subject}"
    if len(seen) < LEAST:
        return not_enough(ForecastKind.LATENCY, subject, len(seen), action)
    ratio = latency_ratio(seen)
    burn = burn_rate([(at, value > _SLOW_ANSWER * ratio.usual) for at, value in recent if at <= now], now, _LATE)
    alarm = ratio.alarm or burn.alarm
    low, middle, high = _reach(seen, now, limit, ratio.now) if ratio.alarm else (None, None, None)
    return Forecast(
        subject=subject,
        kind=ForecastKind.LATENCY,
        what=f"answers in {format_duration(ratio.now)}, usually in {format_duration(ratio.usual)}"
        f" ({ratio.times:.2g} times); {_burn_words(burn, 'slow answers')}",
        when=moment(middle),
        low=moment(low),
        high=moment(high),
        confidence=_confidence(sure=ratio.alarm and burn.alarm, alarm=alarm),
        base_rate=BASE_RATES[ForecastKind.LATENCY],
        hit_rate=HIT_RATES[ForecastKind.LATENCY],
        samples=len(seen),
        enough=True,
        alarm=alarm,
        action=action,
    )


def error_drift(subject: str, probes: Sequence[tuple[float, bool]], now: float) -> Forecast:
    """Whether the model fails ever more often: ``probes`` are moments (Unix seconds), and True for a failed one."""
    seen = [(at, bad) for at, bad in probes if now - _SEEN <= at <= now]
    action = f"modelward verify {subject}"
    if len(seen) < LEAST:
        return not_enough(ForecastKind.ERRORS, subject, len(seen), action)
    burn = burn_rate(seen, now, _FAILED)
    share = sum(bad for _, bad in seen) / len(seen)
    return Forecast(
        subject=subject,
        kind=ForecastKind.ERRORS,
        what=f"{_burn_words(burn, 'failed probes')}; {share:.1%} in all {len(seen):,}",
        confidence=_confidence(sure=burn.alarm and burn.long >= 0.5, alarm=burn.alarm),
        base_rate=BASE_RATES[ForecastKind.ERRORS],
        hit_rate=HIT_RATES[ForecastKind.ERRORS],
        samples=len(seen),
        enough=True,
        alarm=burn.alarm,
        action=action,
    )


def latency_ratio(medians_: Sequence[Point]) -> Ratio:
    """The fast average over the slow one, of the logarithms of hourly medians: a cold start moves neither."""
    hourly = [(at, math.log(value)) for at, value in medians_]
    fast = ewma(hourly, _FAST)
    slow = ewma(hourly, _SLOW)
    before = [number for number, (at, _) in enumerate(hourly) if at <= hourly[-1][0] - _TAIL]
    usual = min(slow[before[-1]], slow[-1]) if before else slow[-1]
    noise = spread([fast[number] - slow[number] for number in before])
    ahead = fast[-1] - usual
    return Ratio(math.exp(fast[-1]), math.exp(usual), ahead / noise if noise > 0 else math.copysign(99, ahead))


def medians(points: Iterable[Point], width: float = HOUR) -> list[Point]:
    """The median of each span of ``width`` seconds that has points, at the time of its last point."""
    groups: dict[int, list[float]] = {}
    last: dict[int, float] = {}
    for at, value in points:
        groups.setdefault(int(at // width), []).append(value)
        last[int(at // width)] = at
    return [(last[number], median(values)) for number, values in groups.items()]


def burn_rate(probes: Sequence[tuple[float, bool]], now: float, budget: float) -> Burn:
    """The first pair of windows that burn too fast, else what the shorter pair shows; probes in order of time.

    ``budget`` is the share of bad answers that is allowed.
    """
    shown: Burn | None = None
    for short, long, rate in _BURNS:
        inner, outer = _last(probes, now - short), _last(probes, now - long)
        if not inner:
            continue
        first, second = sum(inner) / len(inner), sum(outer) / len(outer)
        if min(first, second) >= rate * budget and sum(outer) >= _FEWEST_BAD:
            return Burn(first, second, long, alarm=True)
        shown = shown or Burn(first, second, long)
    return shown or Burn()


def _last(probes: Sequence[tuple[float, bool]], since: float) -> list[bool]:
    return [bad for _, bad in takewhile(lambda probe: probe[0] >= since, reversed(probes))]


def _reach(
    hourly: Sequence[Point], now: float, limit: float, level: float
) -> tuple[float | None, float | None, float | None]:
    """When an answer takes ``limit`` seconds, by the slope of the last 7 days: earliest, likeliest, latest."""
    recent = [(at, math.log(value)) for at, value in hourly if at >= now - 7 * DAY]
    slope = theil_sen(recent)
    if slope is None or not slope.rising or not math.isfinite(limit):
        return None, None, None
    way = max(0.0, math.log(limit) - math.log(level))
    return now + way / slope.high, now + way / slope.middle, now + way / slope.low


def _burn_words(burn: Burn, name: str) -> str:
    if not burn.window:
        return f"no {name} of late"
    return f"{burn.long:.1%} {name} in {burn.window / HOUR:.0f} hours"


def _confidence(*, sure: bool, alarm: bool) -> Confidence:
    if sure:
        return Confidence.LIKELY
    return Confidence.POSSIBLE if alarm else Confidence.STEADY
