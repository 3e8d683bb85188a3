"""Back up: for the first time, with nothing changed, and with nothing changed in a crowd of models."""

import os
from functools import partial

from benchmarks.bench import Bench
from benchmarks.ground import Ground, crowded_store, warm
from benchmarks.race import Contender, Row
from benchmarks.result import Result, Table, Target, faster, not_slower, row_of, under

MODELS, BLOBS_EACH = 1_000, 10
_OURS = "modelward backup"
_CP, _RSYNC = "cp -a && sync -f", "rsync -a && sync -f"
_RESTIC, _BORG = "restic backup", "borg create"
_KIB = 1024
_FEW = "backup with nothing changed: under 64 KiB written"
_WRITES = (
    "Bytes in write calls count what is printed as well; bytes dirtied are the pages of files that have to go to a "
    "disk because of it, whole pages each."
)


def first(bench: Bench) -> Result:
    """To a fresh target on the same disk, the source in the page cache."""
    ground, blob = bench.ground, bench.blob
    rows = bench.race(ground, _first_contenders(bench, ground))
    ours = row_of(rows, _OURS)
    table = Table(
        title="First backup",
        about="From the page cache to a fresh target on the same disk. Modelward proves the SHA-256 of what it copies, "
        "makes the chunk lists and has everything on the disk before it says so; cp and rsync copy unproved. "
        "restic encrypts; restic and borg also compress, and split the data to find duplicates.",
        rows=rows,
        size=blob.size,
    )
    targets = (
        not_slower("first backup: not slower than cp -a and sync", ours, row_of(rows, _CP)),
        faster("first backup: at least 5 times as fast as restic", ours, row_of(rows, _RESTIC), 5),
        faster("first backup: at least 2.5 times as fast as borg", ours, row_of(rows, _BORG), 2.5),
    )
    return Result(job="first-backup", tables=(table,), targets=targets)


def unchanged(bench: Bench) -> Result:
    """The big store again."""
    ground, _ = bench.ground, bench.blob
    rows = bench.race(ground, _again(bench, ground))
    ours = row_of(rows, _OURS)
    table = Table(
        title="Backup with nothing changed",
        about=f"The big model again. {_WRITES}",
        rows=rows,
        writes=True,
    )
    targets = (
        under("backup with nothing changed: under 0.3 s", ours.seconds, 0.3, "s"),
        _few_writes(ours),
    )
    return Result(job="unchanged", tables=(table,), targets=targets)


def many(bench: Bench) -> Result:
    """A thousand models of ten tiny blobs each."""
    ground = Ground(bench.base / "many", bench.environ, bench.say)
    bench.say(f"  preparing a store of {MODELS:,} models and {MODELS * BLOBS_EACH:,} blobs")
    crowded_store(ground.store, MODELS, BLOBS_EACH)
    rows = bench.race(ground, _again(bench, ground))
    ground.drop(ground.base)
    ours = row_of(rows, _OURS)
    table = Table(
        title=f"Backup with nothing changed: {MODELS:,} models, {MODELS * BLOBS_EACH:,} blobs",
        about="Tiny blobs of their own for each model. Bytes written as above.",
        rows=rows,
        writes=True,
    )
    text = f"{MODELS:,} models and {MODELS * BLOBS_EACH:,} blobs, nothing changed: under 2 s"
    return Result(job="many", tables=(table,), targets=(under(text, ours.seconds, 2, "s"),))


def _first_contenders(bench: Bench, ground: Ground) -> tuple[Contender, ...]:
    """Each with a target of its own that is gone, and gone from the disk, before the next one starts."""
    after = (partial(ground.drop, ground.fresh),)
    before = (*after, partial(warm, bench.blob.path))
    restic, borg = partial(ground.init_restic, ground.fresh), partial(ground.init_borg, ground.fresh)
    return (
        Contender.ours("backup", before=before, after=after, environ={"MODELWARD_VAULT": str(ground.fresh)}),
        bench.peer("cp", _CP, "sh", "-c", "cp -a store fresh && sync -f fresh", before=before, after=after),
        bench.peer("rsync", _RSYNC, "sh", "-c", "rsync -a store/ fresh && sync -f fresh", before=before, after=after),
        bench.peer("restic", _RESTIC, *ground.restic_backup(ground.fresh), before=(*before, restic), after=after),
        bench.peer("borg", _BORG, *ground.borg_create(ground.fresh), before=(*before, borg), after=after),
    )


def _again(bench: Bench, ground: Ground) -> tuple[Contender, ...]:
    """Each beside a target that is up to date."""
    return (
        Contender.ours("backup", before=(ground.need_vault, os.sync)),
        bench.peer("rsync", "rsync -a", "rsync", "-a", "store/", ground.copy, before=(ground.need_copy, os.sync)),
        bench.peer("restic", _RESTIC, *ground.restic_backup(ground.restic), before=(ground.need_restic, os.sync)),
        bench.peer("borg", _BORG, *ground.borg_create(ground.borg), before=(ground.need_borg, os.sync)),
    )


def _few_writes(ours: Row) -> Target:
    """By the greater of the two counts."""
    written = max(ours.written, ours.dirtied)
    if written < 0:
        return Target(text=_FEW, measured="the kernel does not say", met=None)
    return under(_FEW, written / _KIB, 64, "KiB")
