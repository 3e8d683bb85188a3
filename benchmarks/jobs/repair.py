"""Bring back one damaged page of 4 KiB in the big blob."""

import json
import os
from functools import partial
from random import Random
from statistics import median

from benchmarks.bench import Bench
from benchmarks.ground import FIRST, Blob, Ground, warm
from benchmarks.peers import says
from benchmarks.process import Failed
from benchmarks.race import Contender, Row
from benchmarks.result import Result, Table, Target, not_slower, row_of

_PAGE, _CHUNK = 4096, 1 << 20
_SEED = 20260803
_VERIFY, _REPAIR, _HEALTHY = "modelward verify", "modelward repair", "modelward verify, nothing damaged"
_FOUND = 1  # the exit code of verify for damage that can be repaired


class Wound:
    """One page of a blob that is overwritten with noise, another one each time."""

    def __init__(self, blob: Blob) -> None:
        self._blob, self._random = blob, Random(_SEED)
        self._offset, self._good = 0, b""

    def inflict(self) -> None:
        """Damage a page and have it on the disk; a page that is still damaged stays the one."""
        if not self.healed():
            return
        # In a whole chunk: what may move is then one MiB, whichever page it is.
        self._offset = self._random.randrange(self._blob.size // _CHUNK * _CHUNK // _PAGE) * _PAGE
        self._good = self._read()
        self._write(self._random.randbytes(len(self._good)))

    def close(self) -> None:
        """Heal the page by hand where the contender did not; raises Failed, so that it is told."""
        if not self.healed():
            self._write(self._good)
            raise Failed("the page was still damaged afterwards")

    def healed(self) -> bool:
        """Whether the page is as it was."""
        return not self._good or self._read() == self._good

    def _read(self) -> bytes:
        with self._blob.path.open("rb") as file:
            file.seek(self._offset)
            return file.read(_PAGE)

    def _write(self, data: bytes) -> None:
        with self._blob.path.open("r+b") as file:
            file.seek(self._offset)
            file.write(data)
        os.sync()


def one_page(bench: Bench) -> Result:
    """Find it by verify, find and heal it by repair, and let the peers bring the file back."""
    blob = bench.blob
    rows = bench.race(bench.ground, _contenders(bench, bench.ground, blob, Wound(blob)))
    rows = tuple(sorted(rows, key=lambda row: row.label != _REPAIR))
    table = Table(
        title="Repair of one damaged page of 4 KiB",
        about="Repair reads everything to find the page, so what healing costs is the difference to verify, taken "
        "round by round. Modelward and rsync take the good bytes from Modelward's vault, restic and borg from their "
        "repositories, told which file it is.",
        rows=rows,
    )
    targets = (_finding(rows), _healing(rows), _moving(row_of(rows, _REPAIR)))
    return Result(job="repair", tables=(table,), targets=targets)


def _contenders(bench: Bench, ground: Ground, blob: Blob, wound: Wound) -> tuple[Contender, ...]:
    """Repair finds the page still damaged that the verify before it found; all others damage one of their own."""
    hurt, cared = (ground.need_vault, wound.inflict, partial(warm, blob.path)), (wound.close,)
    good, bad = ground.vault / "blobs" / "sha256" / blob.hex, blob.path.relative_to(ground.base)
    warm_good = partial(warm, good)
    return (
        Contender.ours("verify", label=_HEALTHY, before=(ground.need_vault,)),
        Contender.ours("verify", before=hurt, codes=(_FOUND,)),
        Contender.ours("repair", "--json", label=_REPAIR, before=hurt, after=cared),
        Contender.ours("verify", "--buffered", before=hurt, codes=(_FOUND,)),
        Contender.ours("repair", "--buffered", before=hurt, after=cared),
        bench.peer(
            "rsync",
            "rsync --checksum --inplace --no-whole-file",
            *("rsync", "--checksum", "--inplace", "--no-whole-file", good, bad),
            before=(*hurt, warm_good),
            after=cared,
        ),
        bench.peer(
            "restic",
            " ".join(("restic restore", *_overwrite())),
            *("restic", "-r", ground.restic, "restore", "latest", "--target", ".", "--include", f"/{bad}"),
            *_overwrite(),
            before=(ground.need_restic, *hurt, partial(warm, ground.restic)),
            after=cared,
        ),
        bench.peer(
            "borg",
            "borg extract",
            *("borg", "extract", f"{ground.borg}::{FIRST}", bad),
            before=(ground.need_borg, *hurt, partial(warm, ground.borg)),
            after=cared,
        ),
    )


def _overwrite() -> tuple[str, ...]:
    """What makes restic look at the bytes of files that seem unchanged; older ones always write everything."""
    return ("--overwrite", "always") if "--overwrite" in says("restic", "restore", "--help") else ()


def _finding(rows: tuple[Row, ...]) -> Target:
    text = "one damaged page: finding it costs one verify (at most 1.15 times one that finds nothing)"
    return not_slower(text, row_of(rows, _VERIFY), row_of(rows, _HEALTHY), 1.15)


def _healing(rows: tuple[Row, ...]) -> Target:
    direct = _added(row_of(rows, _VERIFY), row_of(rows, _REPAIR))
    cached = _added(row_of(rows, f"{_VERIFY} --buffered"), row_of(rows, f"{_REPAIR} --buffered"))
    measured = f"{direct:.3f} s read from the disk, {cached:.3f} s from the cache"
    return Target(
        text="one damaged page: healing and proving it adds under 0.3 s",
        measured=measured,
        met=max(direct, cached) < 0.3,
    )


def _added(finding: Row, healing: Row) -> float:
    """The median of the differences, each of two runs that followed one another, in seconds."""
    pairs = zip(finding.runs, healing.runs, strict=True)
    return median(second.seconds - first.seconds for first, second in pairs)


def _moving(healing: Row) -> Target:
    moved = max(json.loads(run.out)["bytes_moved"] for run in healing.runs)
    text = "one damaged page: moves at most 1.10 times the damaged chunk"
    return Target(text=text, measured=f"{moved / _CHUNK:.2f} times", met=moved <= 1.10 * _CHUNK)
