"""``python -m benchmarks``: run the jobs and write docs/benchmarks.md."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.jobs import JOBS, US, Bench, Result, versions
from benchmarks.place import Place
from modelward import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, and end with 0; a target that was missed is said, not hidden."""
    options = _options(arguments)
    base = Path(tempfile.mkdtemp(prefix="modelward-bench-", dir=options.scratch))
    try:
        free = shutil.disk_usage(base).free
        if free < options.size * 4 + (1 << 30):
            print(f"not enough space: {options.size * 4 + (1 << 30):,} bytes wanted, {free:,} free", file=sys.stderr)
            return 5
        place = Place(base)
        weights = place.make_big(options.size)
        bench = Bench(place=place, weights=weights, size=options.size, repeat=options.repeat, say=_say)
        results = [_one(bench, name) for name in options.only or JOBS]
        options.out.write_text(report(results, options.size, options.repeat, _file_system(base)), encoding="utf-8")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"written: {options.out}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(JOBS), help="jobs to run; all of them without it")
    parser.add_argument("--size", type=int, default=4_700_000_000, help="bytes of the big blob")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each candidate; the median counts")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks.md"), help="where the report goes")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder on the disk to measure")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, flush=True)


def _one(bench: Bench, name: str) -> Result:
    _say(name)
    return JOBS[name](bench)


def report(results: Sequence[Result], size: int, repeat: int, file_system: str) -> str:
    """The report as Markdown: the machine, the targets, a table a job."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench`: whole processes, run in turn with their peers, medians of {repeat}.",
        "Absolute figures move between machines and hours; the ratios are what counts.",
        "",
        f"- Modelward {__version__}, Python {platform.python_version()}, Linux {platform.release().split('-')[0]}.",
        f"- {os.cpu_count()} cores ({_processor()}), file system {file_system}.",
        f"- The big blob: {size:,} random bytes, which stand for quantised weights.",
        *(f"- {name}: {version}" for name, version in versions().items()),
        "- restic and borg also split and compress, restic encrypts; they are what a user would pick instead.",
        "",
        "| target | measured | |",
        "|---|---|---|",
    ]
    lines += [
        f"| {r.title}: {t.text} | {t.measured} | {'met' if t.met else '**missed**'} |"
        for r in results
        for t in r.targets
    ]
    for result in results:
        lines += ["", f"## {result.title}", *_table(result)]
    return "\n".join(lines) + "\n"


def _table(result: Result) -> list[str]:
    ours = result.figures.get(US)
    rows = ["| candidate | s | GB/s | MB of memory | times ours |", "|---|---|---|---|---|"]
    for name, sample in result.figures.items():
        rate = f"{result.size / sample.seconds / 1e9:.2f}" if result.size else ""
        ratio = f"{sample.seconds / ours.seconds:.2f}" if ours is not None else ""
        rows.append(f"| {name} | {sample.seconds:.2f} | {rate} | {sample.memory:.0f} | {ratio} |")
    return [result.note, "", *rows] if result.note else ["", *rows]


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    flags = next((value.split() for name, value in fields.items() if name.strip() == "flags"), [])
    model = next((value.strip() for name, value in fields.items() if name.strip() == "model name"), "unknown")
    return ", ".join([model, *(flag for flag in ("sha_ni", "avx2", "avx512f") if flag in flags)])


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
