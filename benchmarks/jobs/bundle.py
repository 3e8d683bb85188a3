"""Write a model to one file and read it back, beside tar and zstd: bytes that get smaller, and bytes that do not."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import NormalDist

from benchmarks.bench import Bench
from benchmarks.ground import MODEL, Ground, big_store, warm
from benchmarks.race import Contender, Row
from benchmarks.result import MB, Result, Table, Target, not_slower, row_of, under

_EXPORT, _IMPORT = "modelward export", "modelward import"
_TAR, _UNTAR = "tar | zstd -T2 -1 && sync -f", "zstd -d | tar -x && sync -f"
_LARGEST = 2_000_000_000
_LIST = 1.0001  # the chunk list and the records take 48 bytes a MiB
_SPREAD = 0.02  # of the weights that the bf16 numbers stand for


@dataclass(frozen=True, slots=True)
class _Work:
    """One store with its bundle and its archive, and how large these came out."""

    ground: Ground
    blob: Path
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def bundle(self) -> Path:
        """What Modelward writes."""
        return self.ground.base / "model.bundle"

    @property
    def archive(self) -> Path:
        """What tar and zstd write."""
        return self.ground.base / "store.tar.zst"

    def clear(self, *paths: Path) -> None:
        """Have these gone from the disk."""
        for path in paths:
            path.unlink(missing_ok=True)
        self.ground.drop(self.ground.fresh, self.ground.base / "out")
        (self.ground.base / "out").mkdir()

    def note(self, path: Path) -> None:
        """Remember how large a file came out."""
        self.sizes[path.name] = path.stat().st_size


def both_ways(bench: Bench) -> Result:
    """Random bytes, which stand for quantised weights, and bf16 numbers."""
    size = min(bench.size, _LARGEST)
    kinds: tuple[tuple[str, Callable[[int], bytes]], ...] = (("random bytes", os.urandom), ("bf16 weights", bf16))
    results = [_one(bench, kind, size, piece) for kind, piece in kinds]
    return Result(
        job="bundle",
        tables=tuple(table for tables, _ in results for table in tables),
        targets=tuple(target for _, targets in results for target in targets),
    )


def bf16(size: int) -> bytes:
    """``size`` bytes of normally distributed numbers in bf16, their exponents' last bit and mantissas at random."""
    half = size // 2
    numbers = bytearray(os.urandom(size))
    numbers[1 : 2 * half : 2] = os.urandom(half).translate(_TOP)
    return bytes(numbers)


def _top_byte(quantile: int) -> int:
    """Sign and the upper seven bits of the exponent of the number at this of 256 quantiles."""
    number = NormalDist(0, _SPREAD).inv_cdf((quantile + 0.5) / 256)
    return struct.pack(">f", number)[0]


_TOP = bytes(_top_byte(quantile) for quantile in range(256))


def _one(bench: Bench, kind: str, size: int, piece: Callable[[int], bytes]) -> tuple[tuple[Table, ...], list[Target]]:
    ground = Ground(bench.base / "bundle", bench.environ, bench.say)
    bench.say(f"  preparing a store with {size:,} bytes of {kind}")
    work = _Work(ground, big_store(ground.store, size, piece).path)
    ground.need_vault()
    out, back = bench.race(ground, _writers(bench, work)), bench.race(ground, _readers(bench, work))
    ground.drop(ground.base)
    tables = (
        Table(
            title=f"Export of {kind}",
            about="From the page cache to one file that is on the disk in the end. Modelward proves every byte.",
            rows=out,
            size=size,
        ),
        Table(
            title=f"Import of {kind}",
            about="From the page cache into an empty vault, or folder, on the disk in the end. Modelward proves every "
            "byte, by BLAKE3 and by SHA-256.",
            rows=back,
            size=size,
        ),
    )
    return tables, _targets(kind, work, out, back)


def _writers(bench: Bench, work: _Work) -> tuple[Contender, ...]:
    ground = work.ground
    before = (partial(work.clear, work.bundle, work.archive), partial(warm, work.blob))
    good = ground.vault / "blobs" / "sha256" / work.blob.name.removeprefix("sha256-")
    command = 'tar -C store -cf - . | zstd -q -T2 -1 -o "$1" && sync -f "$1"'
    return (
        bench.peer(
            *("zstd", _TAR, "sh", "-c", command, "sh", work.archive),
            before=before,
            after=(partial(work.note, work.archive),),
        ),
        Contender.ours(
            *("export", MODEL, str(work.bundle)),
            label=_EXPORT,
            before=(partial(work.clear, work.bundle), partial(warm, good)),
            after=(partial(work.note, work.bundle),),
        ),
    )


def _readers(bench: Bench, work: _Work) -> tuple[Contender, ...]:
    command = 'zstd -q -dc "$1" | tar -C out -xf - && sync -f out'
    return (
        bench.peer(
            *("zstd", _UNTAR, "sh", "-c", command, "sh", work.archive),
            before=(work.clear, partial(warm, work.archive)),
        ),
        Contender.ours(
            *("import", str(work.bundle)),
            label=_IMPORT,
            environ={"MODELWARD_VAULT": str(work.ground.fresh)},
            before=(work.clear, partial(warm, work.bundle)),
        ),
    )


def _targets(kind: str, work: _Work, out: tuple[Row, ...], back: tuple[Row, ...]) -> list[Target]:
    most = max(row_of(out, _EXPORT).memory, row_of(back, _IMPORT).memory)
    return [
        not_slower(f"export of {kind}: not slower than tar | zstd -T2 -1", row_of(out, _EXPORT), row_of(out, _TAR)),
        not_slower(f"import of {kind}: not slower than zstd -d | tar", row_of(back, _IMPORT), row_of(back, _UNTAR)),
        _not_larger(kind, work),
        under(f"export and import of {kind}: under 60 MB of resident memory", most / MB, 60, "MB"),
    ]


def _not_larger(kind: str, work: _Work) -> Target:
    text = f"bundle of {kind}: not larger than tar | zstd -1, but for the chunk list (0.01 %)"
    if work.archive.name not in work.sizes:
        return Target(text=text, measured="zstd is not installed", met=None)
    ratio = work.sizes[work.bundle.name] / work.sizes[work.archive.name]
    return Target(text=text, measured=f"{ratio:.5f} times its size", met=ratio <= _LIST)
