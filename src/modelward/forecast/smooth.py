"""Smoothing: moving averages that forget by half-life, and Holt's level with trend."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]  # Unix seconds, value


def within(points: Iterable[Point], since: float, now: float, largest: float) -> list[Point]:
    """The points of a time, without values that nothing real has: negative ones, and those above ``largest``."""
    return [(at, value) for at, value in points if since <= at <= now and 0 <= value <= largest]


def ewma(points: Iterable[Point], half_life: float) -> list[float]:
    """The moving average after each point; what is ``half_life`` seconds old weighs half.

    The first average is the first value. Points come in order of time.
    """
    averages: list[float] = []
    last = gap = share = 0.0
    for moment, value in points:
        if not averages:
            averages.append(value)
        else:
            if moment - last != gap:  # most samples are equally far apart
                gap = moment - last
                share = -math.expm1(-math.log(2) * max(0.0, gap) / half_life)
            averages.append(averages[-1] + share * (value - averages[-1]))
        last = moment
    return averages


@dataclass(frozen=True, slots=True)
class Holt:
    """Level, trend a step, and the typical size of the error of one step."""

    level: float
    trend: float
    error: float

    def at(self, steps: float) -> float:
        """The value expected so many steps ahead."""
        return self.level + self.trend * steps


def holt(values: Sequence[float], alpha: float = 0.2, beta: float = 0.05) -> Holt:
    """Holt's linear method over equally spaced values; raises ValueError without any.

    It starts from the median level and slope of the first values, so that one odd value at the start does not tilt
    it. The error is a moving average of absolute errors, in the size of a standard deviation.
    """
    if not values:
        raise ValueError("no values")
    head = sorted(values[: min(len(values), 5)])
    level, trend, error = head[len(head) // 2], 0.0, 0.0
    for number, value in enumerate(values):
        expected = level + trend
        miss = value - expected
        level = expected + alpha * miss
        trend += alpha * beta * miss
        error += (abs(miss) - error) * max(0.05, 1 / (number + 1))
    return Holt(level, trend, error * math.sqrt(math.pi / 2))
