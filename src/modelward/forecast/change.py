"""Changes: CUSUM for slow ones, jumps for sudden ones."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelward.domain.trend import median

_NORMAL = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


def spread(values: Sequence[float], centre: float | None = None) -> float:
    """A standard deviation that odd values do not move: from the median absolute deviation; 0 without values."""
    if not values:
        return 0.0
    middle = median(values) if centre is None else centre
    return _NORMAL * median(abs(value - middle) for value in values)


@dataclass(frozen=True, slots=True)
class Cusum:
    """How far values have drifted up and down, in standard deviations, and where the present drift began.

    ``up_since`` and ``down_since`` are indices of the first value of the drift; None where there is none.
    """

    up: float
    down: float
    up_since: int | None
    down_since: int | None


def cusum(values: Iterable[float], *, target: float, scale: float, slack: float = 0.5, bound: float = 3.0) -> Cusum:
    """Cumulated sums above and below ``target``, in units of ``scale``, each value less ``slack``.

    One value counts ``bound`` at most, so that a single odd one raises no alarm.
    """
    up = down = 0.0
    up_since: int | None = None
    down_since: int | None = None
    for index, value in enumerate(values):
        score = max(-bound, min(bound, (value - target) / scale)) if scale > 0 else 0.0
        up, up_since = _add(up, up_since, score - slack, index)
        down, down_since = _add(down, down_since, -score - slack, index)
    return Cusum(up, down, up_since, down_since)


def _add(total: float, since: int | None, step: float, index: int) -> tuple[float, int | None]:
    if total + step <= 0:
        return 0.0, None
    return total + step, index if since is None else since


@dataclass(frozen=True, slots=True)
class Jump:
    """A sudden change: ``first`` to ``last`` are the indices of the values that it ends at, ``size`` is signed."""

    first: int
    last: int
    size: float


def jumps(values: Sequence[float], *, least: float, factor: float = 6.0) -> list[Jump]:
    """The steps of a series: changes far above the usual one and above ``least``; neighbours are one jump."""
    changes = [after - before for before, after in itertools.pairwise(values)]
    if not changes:
        return []
    usual = median(changes)
    limit = max(least, factor * spread(changes, usual))
    found: list[Jump] = []
    for index, change in enumerate(changes, start=1):
        size = change - usual
        if abs(size) <= limit:
            continue
        last = found[-1] if found else None
        if last is not None and last.last == index - 1 and (last.size > 0) == (size > 0):
            found[-1] = Jump(last.first, index, last.size + size)
        else:
            found.append(Jump(index, index, size))
    return found


def without(values: Sequence[float], steps: Iterable[Jump]) -> list[float]:
    """The series with its jumps taken out; a jump over several values is taken out in equal parts."""
    taken = [0.0] * len(values)
    for step in steps:
        share = step.size / (step.last - step.first + 1)
        for index in range(step.first, step.last + 1):
            taken[index] += share
    smooth: list[float] = []
    total = 0.0
    for value, part in zip(values, taken, strict=True):
        total += part
        smooth.append(value - total)
    return smooth
