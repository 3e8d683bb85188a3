"""Peak memory of every verb on the big model, and how long the help takes."""

from functools import partial

from benchmarks.bench import Bench
from benchmarks.ground import MODEL, Blob, Ground
from benchmarks.jobs.repair import Wound
from benchmarks.jobs.restore import lose
from benchmarks.race import Contender, Row
from benchmarks.result import MB, Result, Table, Target, row_of, under

_HELP = "modelward --help"


def every_verb(bench: Bench) -> Result:
    """Each verb in a state of store and vault in which it has the most to do."""
    ground, blob = bench.ground, bench.blob
    ground.drop(ground.vault, ground.restic, ground.borg, ground.copy)
    rows = bench.race(ground, _contenders(ground, blob))
    table = Table(
        title="Memory of every verb",
        about="On the store with the big model; the first backup makes the vault that the others use.",
        rows=rows,
        ratios=False,
    )
    targets = (
        _memory(rows),
        under("modelward --help: under 0.2 s", row_of(rows, _HELP).seconds, 0.2, "s"),
    )
    return Result(job="memory", tables=(table,), targets=targets)


def _contenders(ground: Ground, blob: Blob) -> tuple[Contender, ...]:
    wound, ours = Wound(blob), Contender.ours
    return (
        ours("--help"),
        ours("backup", label="modelward backup, the first one", before=(partial(ground.drop, ground.vault),)),
        ours("backup"),
        ours("status"),
        ours("verify"),
        ours("verify", "--buffered"),
        ours("verify", "--level", "sample"),
        ours("verify", "--vault-copy"),
        ours("repair", before=(wound.inflict,), after=(wound.close,)),
        ours("restore", MODEL, label="modelward restore", before=(partial(lose, ground, blob),)),
        ours("snapshots"),
        ours("forget"),
        ours("prune", "--dry-run"),
        ours("release", MODEL, label="modelward release"),
        ours("protect", MODEL, label="modelward protect"),
        ours("config"),
    )


def _memory(rows: tuple[Row, ...]) -> Target:
    most = max(rows, key=lambda row: row.memory)
    measured = f"{most.memory / MB:.0f} MB at most ({most.label})"
    return Target(text="any verb: under 60 MB of resident memory", measured=measured, met=most.memory < 60 * MB)
