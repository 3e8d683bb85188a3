"""Whether numbers go up, stay or go down: the median of all slopes, which a few wild numbers do not move."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import combinations

_FEWEST = 3
_CHANGE = 0.25  # less than a quarter of what is usual, over the whole span, is called flat


class Trend(StrEnum):
    """Where numbers go; UNKNOWN for fewer than three."""

    UP = "up"
    FLAT = "flat"
    DOWN = "down"
    UNKNOWN = "unknown"


def median(values: Iterable[float]) -> float:
    """The middle of the numbers; raises IndexError for none. The standard library's own costs the guard 0.7 MB."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The Theil-Sen slope of (time, value) points: right while fewer than 29 % of them are wild; None below two."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    return median(slopes) if slopes else None


def trend(points: Sequence[tuple[float, float]], least: float) -> Trend:
    """Where the values go over the points' span; a change below ``least`` is flat, whatever is usual."""
    found = slope(points)
    if found is None or len(points) < _FEWEST:
        return Trend.UNKNOWN
    times = [at for at, _ in points]
    change = found * (max(times) - min(times))
    usual = median(abs(value) for _, value in points)
    if abs(change) < max(least, _CHANGE * usual):
        return Trend.FLAT
    return Trend.UP if change > 0 else Trend.DOWN
