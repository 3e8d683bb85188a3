"""Write docs/reliability.md: the latest figures of each part, the bugs that it found, and what it does not test.

``python -m tests.campaign.report`` takes what the campaign wrote (MODELWARD_CAMPAIGN_OUT, default build/campaign) into
``figures.json``, adding up the runs of one test; a test that did not run keeps its older figures. The page is made of
that file and of ``bugs.toml``, and the chart of ``soak.json``, so that a test can tell when they are old.
"""

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.campaign import chart
from tests.campaign.plan import PARTS, ROOT, Part, out

HERE = Path(__file__).resolve().parent
FIGURES, BUGS, PAGE = HERE / "figures.json", HERE / "bugs.toml", ROOT / "docs" / "reliability.md"
SOAK, PICTURE = HERE / "soak.json", ROOT / "docs" / "soak.svg"
Line = dict[str, Any]
# Figures of which the largest one counts, not the sum.
LARGEST = (
    *("slowest, ms", "memory at most, MiB", "points there are", "behaviours"),
    *("median time to heal, ms", "slowest page, ms"),
    *(
        f"{of}, {quarter} quarter, {unit}"
        for of, unit in (("resident", "KiB"), ("anonymous", "KiB"), ("descriptors", "open"), ("threads", "running"))
        for quarter in ("first", "last")
    ),
)

HEAD = """# How Modelward is tested against faults

Made by `python -m tests.campaign.report` from the latest runs of `make campaign`; a test fails when this page and
its figures differ. A figure says what was tried and held; it is no proof of what was not tried, see the end.

Each part runs alone: `make campaign PART=rot BUDGET=600`. A failure prints the line that repeats it, with the seed and
the number of the case. A few cases of each part, always the same ones, are part of `make test`.
"""

FORMATS = """## formats

`tests/compat` holds a vault and a bundle as each released format wrote them, and a guard's state (journal, tokens) with
a settings file. Every run of the tests opens, verifies and restores the former and takes a new model into them, reads
every row, document, token and setting of the latter, and sees that those of a newer format are refused untouched.
"""


def main() -> None:
    """Take new figures in, and write the page."""
    folder = out()
    known: dict[str, Line] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    known |= {line["test"]: line for line in added_up(read(folder))}
    FIGURES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if (folder / SOAK.name).exists():
        SOAK.write_bytes((folder / SOAK.name).read_bytes())
    if SOAK.exists():
        PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def read(folder: Path) -> list[Line]:
    """Every line of figures in a folder."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl")))
    return [json.loads(line) for text in texts for line in text.splitlines()]


def added_up(lines: Iterable[Line]) -> list[Line]:
    """The runs of each test as one."""
    by_test: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_test[line["test"]].append(line)
    return [_sum(found) for found in by_test.values()]


def _sum(lines: list[Line]) -> Line:
    figures: dict[str, int] = {}
    for line in lines:
        for name, count in line["figures"].items():
            before = figures.get(name, 0)
            figures[name] = max(before, count) if name in LARGEST else before + count
    last = lines[-1]
    return {
        "part": last["part"],
        "test": last["test"],
        "seeds": [line["seed"] for line in lines],
        "at": last["at"],
        "seconds": round(sum(line["seconds"] for line in lines), 1),
        "system": last["system"],
        "figures": dict(sorted(figures.items())),
        "failed": [text for line in lines for text in line["failed"]],
    }


def picture() -> str:
    """The chart of the last soak."""
    return chart.draw(json.loads(SOAK.read_text()))


def page() -> str:
    """The whole document."""
    figures: dict[str, Line] = json.loads(FIGURES.read_text())
    notes = tomllib.loads(BUGS.read_text())
    parts = [_part(part, [line for line in figures.values() if line["part"] == part.name], notes) for part in PARTS]
    return "\n".join([HEAD, *parts, FORMATS + _bugs("formats", notes), _not_tested(notes)])


def _part(part: Part, lines: list[Line], notes: Mapping[str, Any]) -> str:
    text = f"## {part.name}\n\n{part.what[0].upper()}{part.what[1:]}.\n"
    if not lines:
        text += "\nNot run yet.\n"
    for line in sorted(lines, key=lambda line: str(line["test"])):
        text += _table(line)
    if part.name == "soak" and SOAK.exists():
        text += f"\n![Memory, descriptors, threads and the time to heal each fault]({PICTURE.name})\n"
    return text + _bugs(part.name, notes)


def _bugs(part: str, notes: Mapping[str, Any]) -> str:
    bugs = [bug for bug in notes.get("bug", ()) if bug["part"] == part]
    lines = (f"- {bug['what']} Seen with {bug['seen']}; kept away by `{bug['test']}`.\n" for bug in bugs)
    return "\nFound and mended:\n\n" + "".join(lines) if bugs else ""


def _table(line: Line) -> str:
    run = f"seed {', '.join(line['seeds'])}, {line['seconds']:,.0f} s, {line['at'][:10]}, {line['system']}"
    rows = "".join(f"| {name} | {count:,} |\n" for name, count in line["figures"].items())
    failed = "".join(f"\nFailed: `{text}`\n" for text in line["failed"])
    return f"\n`{line['test']}` ({run}):\n\n| what | times |\n|---|---|\n{rows}{failed}"


def _not_tested(notes: Mapping[str, Any]) -> str:
    return "## Not tested\n\n" + "".join(f"- {text}\n" for text in notes.get("not_tested", ()))


if __name__ == "__main__":
    main()
