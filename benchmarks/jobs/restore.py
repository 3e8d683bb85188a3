"""Restore a deleted model: by copying, and by cloning where the file system can."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ground import MODEL, Blob, Ground, warm
from benchmarks.loop import NotMounted, mounted
from benchmarks.race import Contender, Row
from benchmarks.result import Result, Table, Target, not_slower, row_of, under

_OURS = "modelward restore"
_CP, _CP_SYNC = "cp -a", "cp -a && sync -f"
_CLONING = ("btrfs", "xfs")
_FACTOR = 2  # the store and the vault


def copied(bench: Bench) -> Result:
    """On the scratch folder's own disk."""
    ground, blob = bench.ground, bench.blob
    rows = bench.race(ground, _contenders(bench, ground, blob))
    table = Table(
        title="Restore of a deleted model",
        about="Blob and manifest are gone. Modelward proves what it copies and has it on the disk before it says so; "
        "cp copies the blob alone, unproved, and the first cp does not wait for the disk.",
        rows=rows,
        size=blob.size,
    )
    target = not_slower("restore of a deleted model: not slower than cp", row_of(rows, _OURS), row_of(rows, _CP))
    return Result(job="restore", tables=(table,), targets=(target,))


def cloned(bench: Bench) -> Result:
    """On file systems that clone, each made in a file for the purpose."""
    blob = bench.blob
    bench.ground.drop(bench.ground.restic, bench.ground.borg)  # their room is needed
    results = [_on(kind, bench, blob) for kind in _CLONING]
    return Result(
        job="clone",
        tables=tuple(table for table, _ in results),
        targets=tuple(target for _, target in results),
    )


def _on(kind: str, bench: Bench, blob: Blob) -> tuple[Table, Target]:
    text = f"restore of a deleted model on {kind}: under 0.3 s"
    try:
        with mounted(kind, bench.base, _FACTOR * blob.size) as point:
            rows = _race_on(point, bench, blob)
    except NotMounted as failure:
        row = Row(label=_OURS, skipped=str(failure))
        return _table(kind, (row,)), Target(text=text, measured=str(failure), met=None)
    return _table(kind, rows), under(text, row_of(rows, _OURS).seconds, 0.3, "s")


def _race_on(point: Path, bench: Bench, blob: Blob) -> tuple[Row, ...]:
    """The same store and a vault of its own on the file system mounted there."""
    ground = Ground(point / "ground", bench.environ, bench.say)
    bench.say(f"  preparing {point.name}")
    ground.do("cp", "-a", str(bench.ground.store), str(ground.store))
    here = replace(blob, path=ground.store / blob.path.relative_to(bench.ground.store))
    return bench.race(ground, _contenders(bench, ground, here))


def _contenders(bench: Bench, ground: Ground, blob: Blob) -> tuple[Contender, ...]:
    """Ours comes last in each round, so that blob and manifest are back in the end."""
    good = ground.vault / "blobs" / "sha256" / blob.hex
    before = (ground.need_vault, partial(lose, ground, blob), partial(warm, good))
    both = 'cp -a "$1" "$2" && sync -f "$2"'
    return (
        bench.peer("cp", _CP, "cp", "-a", good, blob.path, before=before),
        bench.peer("cp", _CP_SYNC, "sh", "-c", both, "sh", good, blob.path, before=before),
        Contender.ours("restore", MODEL, label=_OURS, before=before),
    )


def lose(ground: Ground, blob: Blob) -> None:
    """Delete the big model: its blob and its manifest."""
    for path in (blob.path, ground.manifest):
        path.unlink(missing_ok=True)
    os.sync()


def _table(kind: str, rows: tuple[Row, ...]) -> Table:
    return Table(
        title=f"Restore of a deleted model on {kind}",
        about=f"Store and vault on one {kind} in a file on the scratch folder's disk; both commands may clone.",
        rows=rows,
    )
