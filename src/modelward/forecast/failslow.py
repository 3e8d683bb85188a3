"""A device that reads ever slower: CUSUM over what is left of the scrub's speed once its size is accounted for."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelward.domain.forecast import LEAST, Confidence, Forecast, ForecastKind, ScrubSeen
from modelward.domain.trend import median
from modelward.domain.units import format_bytes
from modelward.forecast.change import cusum, spread
from modelward.forecast.record import BASE_RATES, DAY, HIT_RATES, not_enough
from modelward.forecast.slope import theil_sen

if TYPE_CHECKING:
    from modelward.forecast.smooth import Point

_SEEN = 120 * DAY
_LIMIT = 9.0  # of the cumulated sum, in standard deviations
_SLOWER = 0.85  # of the usual speed: less of a loss is not worth a word
_LATELY = 7  # readings
_REFERENCE = 0.5  # the first half of the readings says what is usual
_NOISE = 0.02  # no clock and no server is steadier than that
_ACTION = "modelward backup"


def fail_slow(device: str, scrubs: Sequence[ScrubSeen], now: float) -> Forecast:
    """Whether ``device`` reads ever slower, from its scrubs in order of time.

    An alarm needs both: a sum of small losses that chance does not explain, and a speed of late that is at least
    15 % below the usual one. Slow readings of a busy server weigh no more than three standard deviations each.
    """
    seen = [scrub for scrub in scrubs if now - _SEEN <= scrub.at <= now and scrub.bytes > 0 and scrub.seconds > 0]
    if len(seen) < LEAST:
        return not_enough(ForecastKind.FAIL_SLOW, device, len(seen), _ACTION)
    left = residuals(seen)
    usual, sum_down = _judge(left)
    lately = median(left[-_LATELY:])
    ratio = math.exp(lately - usual)
    alarm = sum_down >= _LIMIT and ratio <= _SLOWER
    speed = seen[-1].bytes / seen[-1].seconds
    return Forecast(
        subject=device,
        kind=ForecastKind.FAIL_SLOW,
        what=f"reads at {ratio:.0%} of its usual speed over the last {_LATELY} scrubs, {format_bytes(speed)}/s last",
        confidence=_confidence(sum_down, alarm=alarm),
        base_rate=BASE_RATES[ForecastKind.FAIL_SLOW],
        hit_rate=HIT_RATES[ForecastKind.FAIL_SLOW],
        samples=len(seen),
        enough=True,
        alarm=alarm,
        action=_ACTION,
    )


def residuals(scrubs: Sequence[ScrubSeen]) -> list[float]:
    """Logarithms of bytes a second, less what their size explains: short readings are slow by nature."""
    sizes = [math.log(scrub.bytes) for scrub in scrubs]
    speeds = [math.log(scrub.bytes / scrub.seconds) for scrub in scrubs]
    pairs: list[Point] = sorted(zip(sizes, speeds, strict=True))
    slope = theil_sen(pairs) if sizes and max(sizes) - min(sizes) > math.log(2) else None
    steep = min(1.0, max(0.0, slope.middle)) if slope is not None else 0.0
    centre = median(sizes)
    return [speed - steep * (size - centre) for size, speed in zip(sizes, speeds, strict=True)]


def _judge(left: Sequence[float]) -> tuple[float, float]:
    """The usual level, and the cumulated sum below it in standard deviations."""
    reference = left[: max(10, int(len(left) * _REFERENCE))]
    usual = median(reference)
    scale = max(_NOISE, spread(reference, usual))
    return usual, cusum(left, target=usual, scale=scale).down


def _confidence(total: float, *, alarm: bool) -> Confidence:
    if not alarm:
        return Confidence.STEADY
    return Confidence.LIKELY if total >= 2 * _LIMIT else Confidence.POSSIBLE
