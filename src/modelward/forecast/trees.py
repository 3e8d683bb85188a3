"""What half-space trees are shown of a series, and when the scores that they give are an alarm; pure, without trees."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from modelward.domain.forecast import ForecastKind, Score, ScrubSeen
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.smooth import Point, ewma

Features = tuple[float, float]
# Gives each point of each series a score from 0 (usual) to 1 (odd), by the points before it alone; the number is the
# window of the trees in points. What does it runs in a process of its own.
Trees = Callable[[Sequence[Sequence[Features]], int], Sequence[Sequence[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How one kind is judged: the trees' window in points, and when the mean of the last ``many`` scores alarms."""

    window: int
    many: int
    bound: float


# Chosen on histories of the seeds 11 and 12, of three windows, four numbers of scores and 13 bounds: the best harmonic
# mean of precision and recall, then the earliest alarm. The back-test that judges them uses other seeds.
HABITS: Final[dict[ForecastKind, Habit]] = {
    ForecastKind.LATENCY: Habit(window=250, many=6, bound=0.75),
    ForecastKind.ERRORS: Habit(window=500, many=3, bound=0.75),
    ForecastKind.FAIL_SLOW: Habit(window=30, many=14, bound=0.6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A series as the trees get it: moments (Unix seconds), and features from 0 to 1; above a half is worse."""

    moments: tuple[float, ...]
    features: tuple[Features, ...]


def latency_seen(hourly: Sequence[Point]) -> Seen:
    """Hourly medians of answers in seconds: how far they, and their average of 12 hours, lie above the usual."""
    logs = [(at, math.log(value)) for at, value in hourly if value > 0]
    return _seen(logs, fast=12 * HOUR, slow=14 * DAY, scale=2.0)


def hourly_shares(probes: Iterable[tuple[float, bool]]) -> list[Point]:
    """The share of failed probes (True) in each hour, at its end: before that it is not known."""
    hours: dict[int, list[bool]] = {}
    for at, bad in probes:
        hours.setdefault(int(at // HOUR), []).append(bad)
    return [((hour + 1) * HOUR, sum(bad) / len(bad)) for hour, bad in hours.items()]


def errors_seen(shares: Sequence[Point]) -> Seen:
    """The shares of failed probes of each hour: how far they, and their average of 6 hours, lie above the usual."""
    return _seen(shares, fast=6 * HOUR, slow=14 * DAY, scale=1.0)


def fail_slow_seen(scrubs: Sequence[ScrubSeen]) -> Seen:
    """Readings of a device: how far its seconds a byte lie above the usual."""
    slowness = [(one.at, math.log(one.seconds / one.bytes)) for one in scrubs if one.bytes > 0 and one.seconds > 0]
    return _seen(slowness, fast=3 * DAY, slow=30 * DAY, scale=2.0)


def _seen(points: Sequence[Point], *, fast: float, slow: float, scale: float) -> Seen:
    """Each point against what was usual before it: alone, and as a fast average."""
    usual, now = ewma(points, slow), ewma(points, fast)
    before = [usual[0], *usual[:-1]] if usual else []
    return Seen(
        moments=tuple(at for at, _ in points),
        features=tuple(
            (_unit((value - was) / scale), _unit((mean - was) / scale))
            for (_, value), mean, was in zip(points, now, before, strict=True)
        ),
    )


def _unit(value: float) -> float:
    """-1 to 1 as 0 to 1; what lies beyond counts as the end."""
    return min(1.0, max(0.0, 0.5 + value / 2))


def trees_alarm(habit: Habit, seen: Seen, scores: Sequence[float], known: int) -> bool:
    """Whether the last of the first ``known`` points are as odd as the habit's bound, and worse than usual."""
    begin = max(0, known - habit.many)
    last = scores[begin:known]
    if len(last) < habit.many:
        return False
    worse = sum(feature[1] for feature in seen.features[begin:known]) / len(last)
    return sum(last) / len(last) >= habit.bound and worse > 0.5


def wins(ours: Score, trees: Score) -> bool:
    """Whether the trees are no worse in precision, recall and lead than our own detector, and better in one of them."""
    pairs = (
        (trees.precision, ours.precision),
        (trees.recall, ours.recall),
        (trees.lead, ours.lead),
    )
    known = [(theirs, own) for theirs, own in pairs if theirs is not None and own is not None]
    return len(known) == len(pairs) and all(a >= b for a, b in known) and any(a > b for a, b in known)
