"""The benchmark measures what it says, tells what it could not measure, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest

from benchmarks.ground import Ground, big_store
from benchmarks.jobs import JOBS
from benchmarks.jobs.repair import Wound
from benchmarks.machine import file_system
from benchmarks.process import Failed, Run, measure
from benchmarks.race import Contender, Row, race
from benchmarks.report import Conditions, page
from benchmarks.result import Result, Table, Target, faster, not_slower, row_of, under
from modelward.testing import fingerprint

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
SIZE = 8_000_000
ENVIRON = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), *(entry for entry in sys.path if entry))),
}


def start(scratch: Path, *words: str, path: str = ENVIRON["PATH"]) -> "subprocess.Popen[str]":
    """The benchmark in a process of its own, with this PATH."""
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--scratch", str(scratch), *words],
        cwd=ROOT,
        env={**ENVIRON, "PATH": path, "HOME": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(scratch: Path, *words: str, path: str = ENVIRON["PATH"]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a run to its end."""
    with start(scratch, *words, path=path) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def quiet(_text: str) -> None:
    """Where progress is of no interest."""


def timed(*seconds: float, label: str = "x", program: str = "", memory: int = 0) -> Row:
    """A row of runs that took these times."""
    runs = tuple(Run(seconds=each, memory=memory, written=0, dirtied=0, code=0) for each in seconds)
    return Row(label=label, program=program, runs=runs)


def table_of(text: str, title: str) -> dict[str, list[str]]:
    """The cells of the page's table below this heading, by the first one of each line."""
    lines = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("|")]
    return {first: rest for first, *rest in cells}


def test_a_small_run_writes_the_page_and_the_figures(tmp_path: Path) -> None:
    """Each job that was asked for has its table and targets, and each command a positive time."""
    out, figures = tmp_path / "page.md", tmp_path / "figures.json"
    words = ("--size", str(SIZE), "--repeat", "1", "--only", "verify-warm,unchanged")
    code, printed, err = run(tmp_path / "scratch", *words, "--out", str(out), "--json", str(figures))
    assert code == 0, err
    text = out.read_text(encoding="utf-8")
    assert text in printed
    for title in ("Verify every byte, page cache warm", "Backup with nothing changed"):
        ours = [row for name, row in table_of(text, title).items() if name.startswith("modelward ")]
        assert ours
        assert all(float(row[0]) > 0 for row in ours)
    assert len(table_of(text, "Targets")) == 2 + 3 + 2
    assert set(json.loads(figures.read_text(encoding="utf-8"))["jobs"]) == {"unchanged", "verify-warm"}


def test_a_run_tells_nothing_of_the_place_and_leaves_nothing(tmp_path: Path) -> None:
    """No path and no host name stands on the page, also when a peer fails and names one; the folder is empty again."""
    tools, scratch = tmp_path / "tools", tmp_path / "scratch"
    tools.mkdir()
    for name in ("sh", "true"):
        (tools / name).symlink_to(shutil.which(name) or name)
    (tools / "sha256sum").write_text('#!/bin/sh\necho "cannot read $1" >&2\nexit 9\n')
    (tools / "sha256sum").chmod(0o755)
    words = ("--size", str(SIZE), "--repeat", "2", "--only", "verify-warm")
    code, text, err = run(scratch, *words, path=str(tools))
    assert code == 0, err
    rows = table_of(text, "Verify every byte, page cache warm")
    assert rows["borg check --verify-data"][0] == "borg is not installed"
    assert "exit code 9; cannot read SCRATCH" in rows["sha256sum"][0]
    assert {row[-1] for name, row in table_of(text, "Targets").items() if name.startswith("verify")} == {"not measured"}
    assert str(tmp_path) not in text
    assert socket.gethostname() not in text
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in the middle ends what was started and removes what was made."""
    scratch = tmp_path / "scratch"
    with start(scratch, "--size", str(SIZE), "--repeat", "1000", "--only", "first-backup") as process:
        assert process.stderr is not None
        wait_for(process.stderr, "  1/1000")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert list(scratch.iterdir()) == []
    assert workers_in(scratch) == []


def workers_in(folder: Path) -> list[str]:
    """The processes whose working folder lies in there, be it deleted or not."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found += [str(link)] if str(link.readlink()).startswith(str(folder)) else []
    return found


def wait_for(lines: IO[str], start: str) -> None:
    """Read until a line starts so; fails at the end of the lines."""
    assert any(line.startswith(start) for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "1e18"), "bytes are needed"),
        (("--only", "verify-worm"), "there are: first-backup, unchanged"),
        (("--size", "1000"), "at least"),
        (("--repeat", "0"), "at least 1"),
    ],
)
def test_a_run_that_cannot_be_is_refused(tmp_path: Path, words: Sequence[str], said: str) -> None:
    """Too little room, an unknown job, a blob of less than two chunks, no rounds: exit code 2 and the reason."""
    code, out, err = run(tmp_path / "scratch", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_meter_counts_memory_writes_and_the_exit_code(tmp_path: Path) -> None:
    """What a process needed at its peak and gave to write calls is told, its children's writes as well."""
    held, written = 64 * MIB, 300_000
    script = f"import sys; open('file', 'wb').write(bytes({written})); hold = b'x' * {held}; sys.exit(7)"
    shell = ("sh", "-c", '"$@"', "sh", sys.executable, "-c", script)
    found = measure(shell, environ=ENVIRON, cwd=tmp_path)
    assert found.code == 7
    assert held < found.memory < 2 * held
    assert written <= found.written < 2 * written
    assert found.seconds > 0
    assert measure(("true",), environ=ENVIRON, cwd=tmp_path).memory < held / 4


def test_a_command_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The exit code is that of shells, and the name is printed."""
    found = measure(("no-such-program",), environ=ENVIRON, cwd=tmp_path)
    assert (found.code, found.err.strip()) == (127, "no-such-program: No such file or directory")


def test_contenders_run_in_turns() -> None:
    """Round after round, each once a round, with what it asked for before and after; ours stand first."""
    seen: list[str] = []

    def measured(contender: Contender) -> Run:
        seen.append(contender.label)
        return timed(1.0).runs[0]

    peer = Contender(label="peer", command=(), program="cp", before=(lambda: seen.append("("),))
    ours = Contender(label="ours", command=(), after=(lambda: seen.append(")"),))
    rows = race((peer, ours), 3, measured, quiet)
    assert seen == ["(", "peer", "ours", ")"] * 3
    assert [(row.label, len(row.runs)) for row in rows] == [("ours", 3), ("peer", 3)]


def test_a_peer_that_fails_is_skipped_and_ours_is_not() -> None:
    """A peer's failure becomes the reason in its row; a failure of ours ends the benchmark."""
    runs = [Run(seconds=1, memory=1, written=0, dirtied=0, code=code, err="no\n") for code in (0, 5)]
    said: list[str] = []
    peer, ours = Contender(label="it", command=(), program="cp"), Contender(label="it", command=())
    left = iter(runs)
    (row,) = race((peer,), 3, lambda _: next(left), said.append)
    assert (row.runs, row.skipped) == ((), "failed: it: exit code 5; no")
    left = iter(runs)
    with pytest.raises(Failed, match="exit code 5"):
        race((ours,), 3, lambda _: next(left), said.append)


def test_targets_are_judged_by_medians() -> None:
    """Ratios are those of the medians, a limit itself is met as a ratio and missed as a bound."""
    ours, peer = timed(1.0, 100.0, 2.0), timed(8.0, 8.0, 1000.0)
    assert faster("t", ours, peer, 4.0) == Target(text="t", measured="4.00 times as fast", met=True)
    assert faster("t", ours, peer, 4.01).met is False
    assert not_slower("t", ours, peer, 0.25) == Target(text="t", measured="0.25 times its time", met=True)
    assert not_slower("t", ours, peer, 0.24).met is False
    assert under("t", 0.3, 0.3, "s") == Target(text="t", measured="0.3 s", met=False)
    assert under("t", 0.2999, 0.3, "s").met is True


def test_a_missing_peer_leaves_a_target_open() -> None:
    """Nothing is met or missed beside a program that did not run."""
    peer = Row(label="p", program="borg", skipped="borg is not installed")
    open_target = Target(text="t", measured="borg is not installed", met=None)
    assert faster("t", timed(1.0), peer, 2) == not_slower("t", timed(1.0), peer) == open_target


def test_the_page_shows_ratios_and_verdicts() -> None:
    """Met, missed and not measured read differently; a row is compared with the first one of its table."""
    rows = (timed(0.5, 0.75, 0.25, label="ours", memory=30_000_000), timed(2.0, label="cp", program="cp"))
    targets = tuple(Target(text=str(met), measured="m", met=met) for met in (True, False, None))
    result = Result(job="j", tables=(Table(title="T", about="a", rows=rows, size=10**9),), targets=targets)
    given = Conditions(day="2026-08-03", size=10**9, rounds=1, floor=1, machine={"cores": "2"}, versions={"cp": "9.1"})
    text = page(given, [result])
    assert table_of(text, "T")["ours"] == ["0.500", "0.250 - 0.750", "2.00", "30"]
    assert table_of(text, "T")["cp"] == ["2.00", "2.00 - 2.00", "0.50", "0", "4.00"]
    assert [row[-1] for row in list(table_of(text, "Targets").values())[2:]] == ["met", "**missed**", "not measured"]
    assert "A small run" not in text
    assert "A small run" in page(replace(given, size=10**8), [result])


def test_the_big_store_is_a_store_of_ollamas_shape(tmp_path: Path) -> None:
    """Modelward finds the big model in it and proves every byte, and its size is the one that was asked for."""
    ground = Ground(tmp_path, ENVIRON, quiet)
    blob = big_store(ground.store, 3 * MIB + 5)
    assert (blob.path.stat().st_size, blob.path.name) == (3 * MIB + 5, f"sha256-{blob.hex}")
    report = json.loads(ground.modelward("verify", "--json").out)
    assert {model["name"].split("/")[-1]: model["healthy"] for model in report["models"]} == {
        "bench:latest": True,
        "other:latest": True,
    }
    assert ground.manifest.is_file()


def test_a_wound_is_one_page_and_closes(tmp_path: Path) -> None:
    """One page in a whole chunk is damaged, stays the one until it is healed, and is healed by hand when nobody did."""
    blob = big_store(tmp_path / "store", 3 * MIB + 5)
    good = blob.path.read_bytes()
    wound = Wound(blob)
    wound.close()
    for _ in range(3):
        wound.inflict()
        bad = blob.path.read_bytes()
        wound.inflict()
        assert blob.path.read_bytes() == bad
        wrong = [at for at in range(len(good)) if good[at] != bad[at]]
        assert len(bad) == len(good)
        assert {at // 4096 for at in wrong} == {wrong[0] // 4096}
        assert wrong[-1] < 3 * MIB
        with pytest.raises(Failed, match="still damaged"):
            wound.close()
        assert blob.path.read_bytes() == good


def test_what_rsync_takes_for_a_copy_looks_like_the_store(tmp_path: Path) -> None:
    """Names, sizes and times are those of the store, and no bytes are written for it."""
    ground = Ground(tmp_path, ENVIRON, quiet)
    big_store(ground.store, 4 * MIB)
    ground.need_copy()
    here, there = (
        sorted((path.relative_to(root), path.stat().st_size, path.stat().st_mtime_ns) for path in root.rglob("*-*"))
        for root in (ground.store, ground.copy)
    )
    assert here == there
    before = fingerprint(ground.copy)
    ground.need_copy()
    assert fingerprint(ground.copy) == before


def test_file_systems_are_told_by_the_longest_mount_point() -> None:
    """/proc has a kind of its own, whatever lies below the root."""
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(Path("/")) != "proc"


def test_row_of_knows_its_labels() -> None:
    """A label that no row has is a mistake in a job."""
    assert row_of((timed(1.0, label="a"), timed(2.0, label="b")), "b").seconds == 2.0
    with pytest.raises(KeyError):
        row_of((), "a")


def test_the_jobs_fit_into_the_room_that_is_asked_for() -> None:
    """The jobs that need the peers' repositories come before the one that drops them."""
    order = list(JOBS)
    wanted = ["first-backup", "unchanged", "verify-warm", "repair", "clone", "memory"]
    assert all(order.index(first) < order.index(second) for first, second in pairwise(wanted))
