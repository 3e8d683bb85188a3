"""Find lost blobs in a folder of ten thousand files that were hashed before."""

import json
import os
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ground import Ground
from benchmarks.process import Failed
from benchmarks.race import Contender, Row
from benchmarks.result import MB, Result, Table, Target, faster, row_of, under
from modelward.testing import FakeStore

FILES, _SIZE = 10_000, 4096
_FOUND, _NOWHERE = FILES - 1, FILES
_AGAIN, _FIRST = "modelward repair --dry-run", "modelward repair --dry-run, nothing hashed yet"
_RCLONE, _SHA256SUM = "rclone hashsum, with its hasher", "find -size -exec sha256sum"
_NOT_REPAIRABLE = 3  # one of the two lost blobs lies nowhere


def unchanged(bench: Bench) -> Result:
    """Two blobs are lost: one lies in the folder, one nowhere, so that every file has to be known."""
    ground = Ground(bench.base / "siblings", bench.environ, bench.say)
    folder = ground.base / "folder"
    bench.say(f"  preparing a folder of {FILES:,} files")
    fill(folder)
    rows = bench.race(ground, _contenders(bench, ground, folder))
    ground.drop(ground.base)
    table = Table(
        title=f"Look for lost blobs in a folder of {FILES:,} files",
        about="Two blobs of a model are lost, in the store and in the vault, and every file of the folder has their "
        "size. Modelward tells the files by what it kept of its first look; rclone keeps checksums in the same way, "
        "for as long as sizes and times stay. sha256sum reads everything each time. find looks at the sizes only.",
        rows=rows,
    )
    ours = row_of(rows, _AGAIN)
    text = f"sibling index of {FILES:,} files, unchanged:"
    targets = (
        under(f"{text} under 2 s", ours.seconds, 2, "s"),
        faster(f"{text} not slower than rclone with kept checksums", ours, row_of(rows, _RCLONE), 1),
        _memory(text, rows),
    )
    return Result(job="siblings", tables=(table,), targets=targets)


def content(number: int) -> bytes:
    """The bytes of a file, or of a blob that lies nowhere: all of one size, each its own."""
    return number.to_bytes(8, "little") * (_SIZE // 8)


def fill(folder: Path) -> None:
    """The files, a hundred in a folder."""
    for number in range(FILES):
        path = folder / f"{number // 100:03}" / f"{number}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number))
    os.sync()


def lose(ground: Ground) -> None:
    """Have a vault that knows both blobs, and neither there nor in the store a file of them."""
    store = FakeStore(ground.store)
    if not ground.vault.exists():
        store.add_model("other", b"not lost")
        store.add_model("lost", [content(_FOUND), content(_NOWHERE)])
        ground.need_vault()
    for hex_digits in (store.add_blob(content(number)) for number in (_FOUND, _NOWHERE)):
        store.blob_path(hex_digits).unlink()
        (ground.vault / "blobs" / "sha256" / hex_digits).unlink(missing_ok=True)
    os.sync()


def forget(ground: Ground) -> None:
    """Drop what Modelward kept of the folder."""
    for path in (ground.vault / "modelward" / "receipts").glob("sibling-*"):
        path.unlink()


def _contenders(bench: Bench, ground: Ground, folder: Path) -> tuple[Contender, ...]:
    lost, size = partial(lose, ground), f"{_SIZE}c"
    offline = {"MODELWARD_SIBLINGS": str(folder), "MODELWARD_UPSTREAM": "false"}
    ours = partial(Contender.ours, "repair", "--dry-run", "--json", environ=offline, codes=(_NOT_REPAIRABLE,))
    hashsum = ("rclone", "hashsum", "sha256", f":hasher,hashes=sha256,remote='{folder}':", "--output-file", "sums")
    return (
        ours(label=_AGAIN, before=(lost, partial(_know, ground, ours(label="")))),
        ours(label=_FIRST, before=(lost, partial(forget, ground))),
        bench.peer("rclone", _RCLONE, *hashsum, before=(partial(ground.do, *hashsum),)),
        bench.peer(
            "sha256sum",
            _SHA256SUM,
            *("find", folder, "-type", "f", "-size", size, "-exec", "sha256sum", "{}", "+"),
        ),
        bench.peer("find", "find -size", "find", folder, "-type", "f", "-size", size),
    )


def _know(ground: Ground, look: Contender) -> None:
    """Look once, so that every file is known; raises Failed where the folder was not asked."""
    run = ground.measure(look)
    steps = json.loads(run.out)["plan"]["models"] if run.code in look.codes else run.err
    if "sibling" not in str(steps):
        raise Failed(f"the folder was not asked: {run.err or run.out}")


def _memory(text: str, rows: tuple[Row, ...]) -> Target:
    most = max(row_of(rows, label).memory for label in (_AGAIN, _FIRST))
    return under(f"{text} under 60 MB of resident memory", most / MB, 60, "MB")
