"""Turn results into the page docs/benchmarks.md and into raw figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.race import Row
from benchmarks.result import MB, Chart, Result, Table, Target

_GB, _KIB = 1_000_000_000, 1024
_FULL_SIZE = 1_000_000_000  # below it the start of the programs is most of what is measured
_WRITES = ("KiB in write calls", "KiB dirtied")
_RATIO = ("times the first",)
_RANGE = "s, all rounds"
_NUMBERS = frozenset({"s", _RANGE, "GB/s", "peak MB", *_WRITES, *_RATIO})

_HOW = """Everything is measured in one run by [`benchmarks/`](../benchmarks/); `make bench` makes this page.

- **Whole processes**, from the start of the program to its end: wall seconds are the median of {rounds} run(s),
  memory is the peak of all of them. The process that measures has {floor} MB itself, so smaller peaks show as that.
- **In turns**: every round runs each command once, so that whatever the machine does meanwhile strikes all alike.
  Compare the ratios; seconds move between machines and hours. Where the lowest and the highest time lie far apart,
  something else was at work: measure again on a machine at rest.
- **The model**: one blob of {size} random bytes, which stand for quantised weights: they do not compress.
- "times the first" is the time divided by that of the table's first row: 4.0 means that it takes four times as long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What was asked of a run, and what it ran on; the facts and versions as they are shown, in order.

    ``floor`` is the peak memory in bytes that a program without any would show.
    """

    day: str
    size: int
    rounds: int
    floor: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


def page(conditions: Conditions, results: Sequence[Result]) -> str:
    """The whole page, Markdown."""
    floor, size = f"{conditions.floor / MB:.0f}", f"{conditions.size:,}"
    parts = [
        "# Benchmarks\n",
        _HOW.format(rounds=conditions.rounds, size=size, floor=floor),
        *_small(conditions.size),
        "## Targets\n",
        _targets(target for result in results for target in result.targets),
        *(part for result in results for table in result.tables for part in _section(table)),
        *(part for result in results for chart in result.charts for part in _chart(chart)),
        "## Where it was measured\n",
        _grid(("what", "value"), [("day", conditions.day), *conditions.machine.items()]),
        _grid(("program", "version"), conditions.versions.items()),
    ]
    return "\n".join(parts)


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
        "charts": [
            {"title": c.title, "unit": c.unit, "lines": {line.label: list(line.points) for line in c.lines}}
            for c in result.charts
        ],
    }


def _raw_row(row: Row) -> dict[str, object]:
    runs = [
        {"seconds": r.seconds, "memory": r.memory, "written": r.written, "dirtied": r.dirtied, "exit_code": r.code}
        for r in row.runs
    ]
    return {"label": row.label, "skipped": row.skipped, "runs": runs}


def _small(size: int) -> Iterable[str]:
    if size < _FULL_SIZE:
        yield "**A small run**: at this size most of what is measured is how programs start; no ratio means much.\n"


def _targets(targets: Iterable[Target]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return _grid(("target", "measured", ""), [(t.text, t.measured, words[t.met]) for t in targets])


def _section(table: Table) -> Iterable[str]:
    yield f"## {table.title}\n"
    yield f"{table.about}\n"
    columns = (("GB/s", bool(table.size)), ("peak MB", True), *((name, table.writes) for name in _WRITES))
    shown = [name for name, wanted in (*columns, *((name, table.ratios) for name in _RATIO)) if wanted]
    yield _grid(("command", "s", _RANGE, *shown), [_cells(row, table) for row in table.rows])


def _chart(chart: Chart) -> Iterable[str]:
    """The picture, the points, and each line with the limit of the machine beside it."""
    yield f"## {chart.title}\n"
    yield f"{chart.about} Seconds, medians; dashed are the lines that fit best.\n"
    yield f"![{chart.title}]({chart.name}.svg)\n"
    amounts = [f"{x:,.5g}" for x, _ in chart.lines[0].points]
    yield _grid(
        ("work", *(f"{amount} {chart.unit}" for amount in amounts)),
        [(line.label, *(_seconds(y) for _, y in line.points)) for line in chart.lines],
    )
    yield _grid(
        ("work", "the line", "off it at most", "last step", "what the machine allows"),
        [
            (
                line.label,
                f"{line.start:.3f} s + {_each(line.slope)} for each {chart.unit.removesuffix('s')}",
                f"{line.deviation:.0%} of the longest time",
                line.last_step,
                line.limit,
            )
            for line in chart.lines
        ],
    )


def _each(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 0.1 else f"{1000 * seconds:.2f} ms"


def _cells(row: Row, table: Table) -> Sequence[str]:
    first = table.rows[0]
    if row.skipped:
        return (row.label, row.skipped)
    lowest, highest = row.range
    return (
        row.label,
        _seconds(row.seconds),
        f"{_seconds(lowest)} - {_seconds(highest)}",
        *((f"{table.size / row.seconds / _GB:.2f}",) if table.size else ()),
        f"{row.memory / MB:.0f}",
        *((_kib(row.written), _kib(row.dirtied)) if table.writes else ()),
        *((_ratio(row.seconds / first.seconds),) if table.ratios and row is not first else ()),
    )


def _seconds(value: float) -> str:
    """Three digits that mean something: 12.3, 1.23, 0.123."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _kib(size: int) -> str:
    return "unknown" if size < 0 else f"{size / _KIB:.1f}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; short rows are filled up, numbers stand to the right."""
    rule = tuple("--:" if name in _NUMBERS else "---" for name in head)
    lines = [tuple(head), rule, *((*row, *[""] * (len(head) - len(row))) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
