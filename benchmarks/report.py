"""Turn results into the page docs/benchmarks.md and into raw figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.race import Row
from benchmarks.result import MB, Result, Table, Target

_GB, _KIB = 1_000_000_000, 1024
_FULL_SIZE = 1_000_000_000  # below it the start of the programs is most of what is measured

_HOW = """Everything is measured in one run by [`benchmarks/`](../benchmarks/); `make bench` makes this page.

- **Whole processes**, from the start of the program to its end: wall seconds are the median of {rounds} run(s), memory is
  the peak of all of them. The process that measures has about 7 MB itself, so smaller peaks show as that.
- **In turns**: every round runs each command once, so that whatever the machine does meanwhile strikes all alike.
  Compare the ratios; seconds move between machines and hours.
- **The model**: one blob of {size} random bytes, which stand for quantised weights: they do not compress.
- "x ours" is the time divided by that of the table's first row: 4.0 means that it takes four times as long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What was asked of a run, and what it ran on; the facts and versions as they are shown, in order."""

    day: str
    size: int
    rounds: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


def page(conditions: Conditions, results: Sequence[Result]) -> str:
    """The whole page, Markdown."""
    parts = [
        "# Benchmarks\n",
        _HOW.format(rounds=conditions.rounds, size=f"{conditions.size:,}"),
        _small(conditions.size),
        "## Targets\n",
        _targets(target for result in results for target in result.targets),
        *(part for result in results for table in result.tables for part in _section(table)),
        "## Where it was measured\n",
        _grid(("what", "value"), [("day", conditions.day), *conditions.machine.items()]),
        _grid(("program", "version"), conditions.versions.items()),
    ]
    return "\n".join(part for part in parts if part)


def raw(conditions: Conditions, results: Sequence[Result]) -> str:
    """Every run's figures as JSON: seconds, and bytes of memory and writes."""
    document = {
        "schema": "modelward/benchmarks/1",
        "day": conditions.day,
        "size": conditions.size,
        "rounds": conditions.rounds,
        "machine": dict(conditions.machine),
        "versions": dict(conditions.versions),
        "jobs": {result.job: _raw_job(result) for result in results},
    }
    return json.dumps(document, indent=2) + "\n"


def _raw_job(result: Result) -> dict[str, object]:
    return {
        "targets": [{"target": t.text, "measured": t.measured, "met": t.met} for t in result.targets],
        "tables": [{"title": t.title, "rows": [_raw_row(row) for row in t.rows]} for t in result.tables],
    }


def _raw_row(row: Row) -> dict[str, object]:
    runs = [
        {"seconds": r.seconds, "memory": r.memory, "written": r.written, "dirtied": r.dirtied, "exit_code": r.code}
        for r in row.runs
    ]
    return {"label": row.label, "skipped": row.skipped, "runs": runs}


def _small(size: int) -> str:
    if size >= _FULL_SIZE:
        return ""
    return "**A small run**: at this size the start of the programs is most of what is measured; no ratio means much.\n"


def _targets(targets: Iterable[Target]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return _grid(("target", "measured", ""), [(t.text, t.measured, words[t.met]) for t in targets])


def _section(table: Table) -> Iterable[str]:
    yield f"## {table.title}\n"
    yield f"{table.about}\n"
    head = ("command", "s", *(("GB/s",) if table.size else ()), "peak MB", *_WRITES[: 2 * table.writes], "x ours")
    yield _grid(head, [_cells(row, table) for row in table.rows])


_WRITES = ("KiB in write calls", "KiB dirtied")


def _cells(row: Row, table: Table) -> Sequence[str]:
    first = table.rows[0]
    if row.skipped:
        return (row.label, row.skipped)
    return (
        row.label,
        seconds(row.seconds),
        *((f"{table.size / row.seconds / _GB:.2f}",) if table.size else ()),
        f"{row.memory / MB:.0f}",
        *((_kib(row.written), _kib(row.dirtied)) if table.writes else ()),
        "" if row is first else ratio(row.seconds / first.seconds),
    )


def seconds(value: float) -> str:
    """Three digits that mean something: 12.3, 1.23, 0.123."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def ratio(value: float) -> str:
    """Two decimals for small ratios, one for large ones."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _kib(size: int) -> str:
    return "unknown" if size < 0 else f"{size / _KIB:.1f}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; short rows are filled up, numbers stand to the right."""
    right = [
        "---" if index == 0 or not name or name in ("value", "version", "measured") else "--:"
        for index, name in enumerate(head)
    ]
    lines = [tuple(head), tuple(right), *((*row, *[""] * (len(head) - len(row))) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
