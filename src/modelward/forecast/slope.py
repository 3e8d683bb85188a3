"""The robust slope of Theil and Sen: the median of the slopes between pairs of points, their number bounded."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelward.domain.trend import median
from modelward.forecast.smooth import Point

_MOST = 32  # points, after thinning: at most 496 pairs
_Z80 = 1.2815515655446004  # 80 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True, slots=True)
class Slope:
    """Value a second, and the 80 % interval of it (Kendall's variance, as Sen 1968 has it)."""

    middle: float
    low: float
    high: float

    @property
    def rising(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0


def theil_sen(points: Sequence[Point], most: int = _MOST) -> Slope | None:
    """The slope of the points, in order of time; None where no two of them differ in time."""
    thin = thinned(points, most)
    slopes = sorted(
        (value - before) / (moment - earlier)
        for number, (earlier, before) in enumerate(thin)
        for moment, value in thin[number + 1 :]
        if moment > earlier
    )
    if not slopes:
        return None
    half = _spread(len(thin), len(slopes))
    return Slope(median(slopes), _quantile(slopes, 0.5 - half), _quantile(slopes, 0.5 + half))


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` points: the medians of neighbours, so that an odd one does not stand for all."""
    if len(points) <= most:
        return list(points)
    borders = [len(points) * number // most for number in range(most + 1)]
    groups = (points[first:last] for first, last in itertools.pairwise(borders))
    return [(median(moment for moment, _ in group), median(value for _, value in group)) for group in groups]


def _spread(points: int, pairs: int) -> float:
    """How far the interval reaches from the middle, as a share of all pairs."""
    deviation = math.sqrt(points * (points - 1) * (2 * points + 5) / 18)
    return min(0.5, _Z80 * deviation / (2 * pairs))


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; raises ValueError without any."""
    if not values:
        raise ValueError("no values")
    return _quantile(sorted(values), share)
