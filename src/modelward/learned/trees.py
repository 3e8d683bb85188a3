"""Half-space trees of river as a callable: each call is a process of its own, with a deadline and little memory."""

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from modelward.child import ask
from modelward.domain.errors import ChildFailed, MissingExtra
from modelward.forecast.trees import Features

SECONDS: Final = 60.0
MEMORY: Final = 512 << 20
_OURS = "MODELWARD_"
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class HalfSpaceTrees:
    """Scores of series; see ``forecast.trees.Trees``. Raises ChildFailed for a process that gave none in time."""

    def __init__(self, environ: Mapping[str, str], *, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        """``memory`` is the most that the process may allocate, in bytes. Raises MissingExtra."""
        if find_spec("river") is None:
            raise MissingExtra(
                "needs the extra ml, which is not installed",
                thing="half-space trees",
                next_step="pip install 'modelward[ml]'",
            )
        self._environ = {name: value for name, value in environ.items() if not name.startswith(_OURS)} | _ONE_THREAD
        self._seconds, self._memory = seconds, memory

    def __call__(self, series: Sequence[Sequence[Features]], window: int) -> Sequence[Sequence[float]]:
        """A score for each point of each series."""
        job = json.dumps({"series": series, "window": window, "memory": self._memory}).encode()
        try:
            found = json.loads(self._run(job))
            lengths = [len(each) for each in found]
        except (ValueError, TypeError):
            raise _failed("it ended without an answer") from None
        if lengths != [len(each) for each in series]:
            raise _failed("its answer does not fit the question")
        return [[float(score) for score in each] for each in found]

    def _run(self, job: bytes) -> bytes:
        try:
            return ask("modelward.learned.child", job, seconds=self._seconds, environ=self._environ)
        except TimeoutError:
            raise _failed(f"not done within {self._seconds:g} s") from None
        except OSError as error:
            raise _failed(f"it cannot be started ({error.strerror})") from None


def _failed(why: str) -> ChildFailed:
    return ChildFailed(why, thing="the process of the half-space trees", next_step="set forecast_trees to off")
