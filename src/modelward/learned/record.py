"""What the back-test said of the half-space trees when they were last recorded; a script makes the file beside it."""

from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from modelward.domain.codec import decode
from modelward.domain.forecast import ForecastKind, Score
from modelward.forecast.trees import wins

FILE: Final = "record.json"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Seeds and months of the histories, the library, and the scores of both, kind by kind in the same order."""

    seeds: tuple[int, ...]
    months: int
    library: str
    ours: tuple[Score, ...]
    trees: tuple[Score, ...]

    @property
    def won(self) -> frozenset[ForecastKind]:
        """The kinds in which the trees are better."""
        return frozenset(a.kind for a, b in zip(self.ours, self.trees, strict=True) if wins(a, b))

    def precision(self, kind: ForecastKind) -> float | None:
        """The share of the trees' alarms of a kind that were right."""
        return next((score.precision for score in self.trees if score.kind is kind), None)


@cache
def record() -> Record:
    """The record that is shipped."""
    return decode((files("modelward.learned") / FILE).read_bytes(), Record)
