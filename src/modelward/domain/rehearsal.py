"""Which model is rehearsed next: a chance for each, the greater the longer ago its last drill was."""

from collections.abc import Mapping
from datetime import datetime

from modelward.domain.name import ModelName

_LEAST = 1.0


def draw(since: Mapping[ModelName, datetime], now: datetime, roll: float) -> ModelName:
    """The model at ``roll`` (from 0 up to 1) of a line in which each is as long as it has waited ``since``.

    Every model has a chance, whatever the clock says; there must be one.
    """
    waits = {name: max(_LEAST, (now - since[name]).total_seconds()) for name in sorted(since)}
    left = roll * sum(waits.values())
    for name, wait in waits.items():
        left -= wait
        if left < 0:
            return name
    return max(waits)
