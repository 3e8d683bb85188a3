"""``python -m benchmarks``: measure, print, and write the page."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchmarks.bench import Bench
from benchmarks.jobs import JOBS
from benchmarks.line import picture
from benchmarks.machine import facts, file_system
from benchmarks.peers import installed
from benchmarks.process import INTERRUPTS, Failed, measure
from benchmarks.report import Conditions, page, raw
from benchmarks.result import Result
from modelward import __version__

_SIZE = 4_700_000_000
_LARGEST = 4_000_000_000
_PAGE = Path("docs/benchmarks.md")
_LEAST = 2 << 20  # two whole chunks
_ROOM = 4.25  # times the size: store, vault, and a repository of restic's and of borg's, with something to spare
_SPARE = 256 << 20
_INTERRUPTED, _USAGE, _FAILED = 130, 2, 1


def main(words: Sequence[str]) -> int:
    """Run the jobs that were asked for; the exit code."""
    asked = _parse(words)
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="modelward-bench-", dir=asked.scratch))
    try:
        return _measure(asked, folder)
    except KeyboardInterrupt:
        _say("interrupted: everything that was made is removed")
        return _INTERRUPTED
    except (Failed, OSError) as failure:
        _say(f"error: {failure}")
        return _FAILED
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(asked: argparse.Namespace, folder: Path) -> int:
    if missing := _missing_room(max(asked.size, asked.largest // 2), folder):
        _say(f"error: {missing}\n  next: name a folder on another disk with --scratch, or a smaller --size")
        return _USAGE
    peers = installed()
    bench = Bench(
        folder,
        size=asked.size,
        rounds=asked.repeat,
        peers=peers,
        environ=os.environ,
        say=_say,
        largest=asked.largest,
        most_models=asked.most_models,
        watching=asked.watching,
    )
    conditions = Conditions(
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        size=asked.size,
        rounds=asked.repeat,
        floor=measure(("true",), environ=os.environ, cwd=folder).memory,
        machine=facts(folder),
        versions={"modelward": __version__, **peers.versions},
    )
    results = [_job(name, bench) for name in asked.only]
    # A peer that failed may have named the folder; no page tells where on this machine it was.
    text, figures = (make(conditions, results).replace(str(folder), "SCRATCH") for make in (page, raw))
    _write(asked, text, figures)
    if asked.out is not None:
        for chart in (chart for result in results for chart in result.charts):
            _save(asked.out.with_name(f"{chart.name}.svg"), picture(chart.title, chart.unit, chart.lines))
    return 0


def _job(name: str, bench: Bench) -> Result:
    _say(name)
    return JOBS[name](bench)


def _write(asked: argparse.Namespace, text: str, figures: str) -> None:
    print(text)
    for path, content in ((asked.out, text), (asked.json, figures)):
        if path is not None:
            _save(path, content)


def _save(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    _say(f"written: {path}")


def _missing_room(size: int, folder: Path) -> str:
    """Why there is not enough room; empty when there is."""
    need, free = int(size * _ROOM) + _SPARE, shutil.disk_usage(folder).free
    return f"{need:,} bytes are needed and {free:,} are free" if free < need else ""


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Modelward beside its peers.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"jobs, of: {', '.join(JOBS)}")
    parser.add_argument("--size", type=_bytes, default=_SIZE, metavar="BYTES", help="of the big blob (4.7e9)")
    parser.add_argument(
        "--largest", type=_bytes, default=None, metavar="BYTES", help="model of the scaling job (4e9, at most --size)"
    )
    parser.add_argument("--most-models", type=_rounds, default=10_000, metavar="N", help="of the scaling job (10000)")
    parser.add_argument(
        "--watching",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="how long the guard scrubs (180; 3600: an hour)",
    )
    parser.add_argument("--out", type=Path, help=f"the page; {_PAGE} after all jobs at the default size, else none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every run to FILE")
    parser.add_argument("--repeat", type=_rounds, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--scratch", type=_folder, default=None, metavar="DIR", help="a folder on the disk to measure")
    asked = parser.parse_args(words)
    if not sys.platform.startswith("linux"):
        parser.error("needs Linux: /proc, O_DIRECT and the peers' GNU options")
    if asked.out is None and asked.only is None and asked.size == _SIZE:
        asked.out = _PAGE
    asked.largest = asked.largest or min(_LARGEST, asked.size)
    asked.scratch = asked.scratch or _disk()
    asked.only = _chosen(asked.only, parser)
    return asked


def _chosen(given: list[str] | None, parser: argparse.ArgumentParser) -> list[str]:
    """The jobs in the order in which they are run, whatever the order in which they are named."""
    if given is None:
        return list(JOBS)
    names = {name for word in given for name in word.split(",") if name}
    if unknown := names - set(JOBS):
        parser.error(f"no such job: {', '.join(sorted(unknown))}; there are: {', '.join(JOBS)}")
    return [name for name in JOBS if name in names]


def _folder(text: str) -> Path:
    if not (folder := Path(text).absolute()).is_dir():
        raise argparse.ArgumentTypeError("no such folder")
    return folder


def _bytes(text: str) -> int:
    size = int(float(text))
    if size < _LEAST:
        raise argparse.ArgumentTypeError(f"at least {_LEAST}")
    return size


def _rounds(text: str) -> int:
    if (rounds := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return rounds


def _disk() -> Path:
    """Where temporary files go, unless that is in memory: then here."""
    folder = Path(tempfile.gettempdir())
    return Path.cwd() if file_system(folder) == "tmpfs" else folder


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once: a second signal must not stop the cleaning up."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
