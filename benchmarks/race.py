"""Run contenders in turns, round after round, so that what the machine does meanwhile strikes all of them alike."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Self

from benchmarks.process import Failed, Run, last_words

Step = Callable[[], object]
Measure = Callable[["Contender"], Run]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One command to be measured; ``before`` and ``after`` are done each time and not timed.

    ``program`` is the peer that has to be installed, empty for Modelward itself. A reason in ``skip`` keeps the
    command from being run.
    """

    label: str
    command: Sequence[str]
    program: str = ""
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)
    skip: str = ""

    @classmethod
    def ours(
        cls,
        *words: str,
        label: str = "",
        before: tuple[Step, ...] = (),
        after: tuple[Step, ...] = (),
        environ: Mapping[str, str] | None = None,
        codes: tuple[int, ...] = (0,),
    ) -> Self:
        """A verb of Modelward, in a process of its own."""
        return cls(
            label=label or " ".join(("modelward", *words)),
            command=(sys.executable, "-m", "modelward", *words),
            before=before,
            after=after,
            environ=environ or {},
            codes=codes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All runs of one contender; none, and the reason in ``skipped``, where it could not run."""

    label: str
    program: str = ""
    runs: tuple[Run, ...] = ()
    skipped: str = ""

    @property
    def seconds(self) -> float:
        """The median of the wall seconds."""
        return median(run.seconds for run in self.runs)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest of the wall seconds."""
        times = [run.seconds for run in self.runs]
        return min(times), max(times)

    @property
    def memory(self) -> int:
        """The peak of all runs, in bytes."""
        return max(run.memory for run in self.runs)

    @property
    def written(self) -> int:
        """The median of the bytes handed to write calls; -1 where unknown."""
        return int(median(run.written for run in self.runs))

    @property
    def dirtied(self) -> int:
        """The median of the bytes of dirtied pages; -1 where unknown."""
        return int(median(run.dirtied for run in self.runs))


def race(contenders: Sequence[Contender], rounds: int, measure: Measure, say: Say) -> tuple[Row, ...]:
    """The rows of all contenders, ours first. A peer that fails is skipped from then on; ours raises Failed."""
    runs: dict[str, list[Run]] = {contender.label: [] for contender in contenders}
    skipped = {contender.label: contender.skip for contender in contenders}
    for turn in range(1, rounds + 1):
        for contender in contenders:
            if not skipped[contender.label]:
                run, why = _attempt(contender, measure)
                runs[contender.label] += [run] if run else []
                skipped[contender.label] = why
                say(f"  {turn}/{rounds}  {contender.label}: " + (f"{run.seconds:.3f} s" if run else why))
    rows = [
        Row(
            label=contender.label,
            program=contender.program,
            runs=() if skipped[contender.label] else tuple(runs[contender.label]),
            skipped=skipped[contender.label],
        )
        for contender in contenders
    ]
    return tuple(sorted(rows, key=lambda row: row.program != ""))


def _checked(contender: Contender, run: Run) -> Run:
    if run.code not in contender.codes:
        raise Failed(f"{contender.label}: {last_words(run)}")
    return run


def _attempt(contender: Contender, measure: Measure) -> tuple[Run | None, str]:
    """The run, or why there is none."""
    try:
        for step in contender.before:
            step()
        run = _checked(contender, measure(contender))
        for step in contender.after:
            step()
    except Failed as failure:
        if not contender.program:
            raise
        return None, f"failed: {failure}"
    return run, ""
