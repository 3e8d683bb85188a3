"""Adaptive scrub beside a fixed period at equal bytes read: how long damage lies unseen, on generated rot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from modelward.domain.forecast import ScrubScore, ScrubSeen
from modelward.forecast.backtest.histories import MONTH, START, Rot, damages
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.rot import Pace

_DEVICES = 300
_BYTES = 500_000_000_000
_MONTHS = 36
# Means; the first is what the field studies describe, the others show where the method gains less, and where nothing.
ROTS = (
    Rot("sick for 60 days, a burst every 5", healthy=720 * DAY, sick=60 * DAY, gap=5 * DAY, burst=4),
    Rot("sick for 20 days, a burst every 3", healthy=720 * DAY, sick=20 * DAY, gap=3 * DAY, burst=4),
    Rot("single bursts", healthy=360 * DAY, sick=DAY, gap=10 * DAY, burst=4),
)


@dataclass(slots=True)
class _Seen:
    """Passes made, and how long each damage lay unseen."""

    passes: float = 0.0
    waits: float = 0.0
    damages: int = 0

    def mean(self) -> float:
        """Hours from damage to detection."""
        return self.waits / self.damages / HOUR if self.damages else math.nan


def compare(rng: Random, rot: Rot, months: int = _MONTHS, devices: int = _DEVICES) -> ScrubScore:
    """Both ways over the same damage; the fixed period is the one that reads as many bytes as the adaptive one did."""
    fleet = [[moment for moment, _, _ in damages(rng, rot, months)] for _ in range(devices)]
    phases = [rng.random() for _ in fleet]
    end = START + months * MONTH
    adaptive = _Seen()
    for moments, phase in zip(fleet, phases, strict=True):
        _adaptive(moments, phase, end, adaptive)
    period = (end - START) * devices / max(1.0, adaptive.passes)
    fixed = _Seen()
    for moments, phase in zip(fleet, phases, strict=True):
        _fixed(moments, phase, period, end, fixed)
    gain = 1 - adaptive.mean() / fixed.mean() if fixed.waits else 0.0
    return ScrubScore(
        rot=rot.name,
        damages=fixed.damages,
        passes=round(adaptive.passes / devices / months, 2),
        period=round(period / DAY, 1),
        fixed=round(fixed.mean(), 1) if fixed.damages else 0.0,
        adaptive=round(adaptive.mean(), 1) if adaptive.damages else 0.0,
        gain=round(gain, 3),
    )


def _adaptive(moments: Sequence[float], phase: float, end: float, seen: _Seen) -> None:
    """One device whose passes follow its pace; a pass finds all that went bad before it began."""
    pace, at, next_ = Pace(), START, 0
    at += phase * pace.period
    while at < end:
        found = 0
        while next_ < len(moments) and moments[next_] <= at:
            seen.waits += at - moments[next_]
            found, next_ = found + 1, next_ + 1
        seen.damages += found
        seen.passes += 1
        pace = pace.after(ScrubSeen(at=at, bytes=_BYTES, seconds=0, damaged=found))
        at += pace.period
    # What is found after the end counts as well: the next pass would find it.
    for moment in moments[next_:]:
        seen.waits += at - moment
        seen.damages += 1


def _fixed(moments: Sequence[float], phase: float, period: float, end: float, seen: _Seen) -> None:
    first = START + phase * period
    seen.passes += max(0.0, (end - first) / period)
    for moment in moments:
        seen.waits += first + max(0, math.ceil((moment - first) / period)) * period - moment
        seen.damages += 1
