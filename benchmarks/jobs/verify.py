"""Verify every byte: from the page cache beside programs that hash or check, from the disk beside dd."""

import os
import re
from functools import partial

from benchmarks.bench import Bench
from benchmarks.ground import warm
from benchmarks.race import Contender
from benchmarks.result import Result, Table, faster, not_slower, row_of

_CACHED = "modelward verify --buffered"
_DIRECT = "modelward verify"
_RESTIC = "restic check --read-data"
_BORG = "borg check --verify-data"
_OPENSSL = "openssl dgst -sha256"
_HOW = re.compile(r"read (\w+)$", re.MULTILINE)
_DD = "dd iflag=direct bs=4M"


def warm_cache(bench: Bench) -> Result:
    """Everything that is read lies in the page cache."""
    ground, blob = bench.ground, bench.blob
    ready = (partial(warm, blob.path),)
    rows = bench.race(
        ground,
        (
            Contender.ours("verify", "--buffered", before=(ground.need_vault, *ready)),
            Contender.ours(
                "verify",
                "--buffered",
                label=f"{_CACHED}, without a vault",
                before=ready,
                environ={"MODELWARD_VAULT": str(ground.base / "no" / "vault")},
            ),
            bench.peer("sha256sum", "sha256sum", "sha256sum", blob.path, before=ready),
            bench.peer("openssl", _OPENSSL, "openssl", "dgst", "-sha256", blob.path, before=ready),
            bench.peer("b3sum", "b3sum", "b3sum", blob.path, before=ready),
            bench.peer(
                "restic",
                _RESTIC,
                *("restic", "-r", ground.restic, "check", "--read-data"),
                before=(ground.need_restic, partial(warm, ground.restic)),
            ),
            bench.peer(
                "borg",
                _BORG,
                *("borg", "check", "--verify-data", ground.borg),
                before=(ground.need_borg, partial(warm, ground.borg)),
            ),
        ),
    )
    ours = row_of(rows, _CACHED)
    table = Table(
        title="Verify every byte, page cache warm",
        about="With a vault each MiB is compared with its hash in the chunk list, without one the whole blob with the "
        "SHA-256 in its name. restic and borg check their own repositories of the same store; restic decrypts its one.",
        rows=rows,
        size=blob.size,
    )
    cached = "verify from the cache: at least"
    targets = (
        faster(f"{cached} 15 times as fast as sha256sum", ours, row_of(rows, "sha256sum"), 15),
        faster(f"{cached} 4 times as fast as {_OPENSSL}", ours, row_of(rows, _OPENSSL), 4),
        faster(f"{cached} 8 times as fast as {_RESTIC}", ours, row_of(rows, _RESTIC), 8),
    )
    return Result(job="verify-warm", tables=(table,), targets=targets)


def direct(bench: Bench) -> Result:
    """Past the page cache."""
    ground, blob = bench.ground, bench.blob
    rows = bench.race(
        ground,
        (
            Contender.ours("verify", before=(ground.need_vault, os.sync)),
            bench.peer("dd", _DD, "dd", f"if={blob.path}", "iflag=direct", "bs=4M", "of=/dev/null", before=(os.sync,)),
        ),
    )
    how = "; ".join(sorted({found for run in row_of(rows, _DIRECT).runs for found in _HOW.findall(run.out)}))
    table = Table(
        title="Verify every byte, read from the disk",
        about="Past the page cache (O_DIRECT): what is proved is what the disk holds. dd reads and looks at nothing. "
        f"Modelward says how it read: {how}.",
        rows=rows,
        size=blob.size,
    )
    text = "verify from the disk: at most 1.15 times the time of dd iflag=direct bs=4M"
    return Result(
        job="verify-direct",
        tables=(table,),
        targets=(not_slower(text, row_of(rows, _DIRECT), row_of(rows, _DD), 1.15),),
    )
