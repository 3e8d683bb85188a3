"""Time against the size of a model and against the number of models: both should be straight lines."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.ground import Ground, big_store, crowded_store
from benchmarks.jobs.guard import guarding
from benchmarks.jobs.repair import Wound
from benchmarks.limits import Limits, limits
from benchmarks.line import NOISE, Line
from benchmarks.process import Failed
from benchmarks.race import Contender, Row
from benchmarks.result import Chart, Result, Target
from modelward.testing import FakeStore

_GB = 1_000_000_000
_SHARES = (0.025, 0.125, 0.25, 0.5, 1.0)
_COUNTS = (1, 10, 100, 1_000, 3_000, 10_000)
_BLOBS = 3
_LEAST = 2 << 20  # so that there is a whole chunk to damage
_OFF = 0.15  # of the longest time
_FIRST, _AGAIN, _VERIFY = "first backup", "second backup, nothing changed", "verify, every byte"
_REPAIR, _LOOK, _DD = "repair of one chunk", "the guard's first look", "dd iflag=direct bs=4M"
_WORKS = (_VERIFY, _FIRST, _AGAIN, _REPAIR, _LOOK)
Times = Mapping[str, float]


def lines(bench: Bench) -> Result:
    """Both charts, with what the machine allows beside them."""
    allowed = limits(bench.base, bench.rounds)
    charts = (_by_size(bench, allowed), _by_number(bench, allowed))
    return Result(
        job="scaling",
        tables=(),
        charts=charts,
        targets=tuple(target for chart in charts for target in _straight(chart)),
    )


def _by_size(bench: Bench, allowed: Limits) -> Chart:
    sizes = sorted({max(_LEAST, int(bench.largest * share)) for share in _SHARES})
    found = [(size / _GB, _one_size(bench, size)) for size in sizes]
    reading = f"reading: {allowed.read:.2f} s/GB"
    beside = {
        _VERIFY: f"{reading}; BLAKE3 on all cores: {allowed.blake3:.2f} s/GB",
        _FIRST: f"SHA-256 on one core: {allowed.sha256:.2f} s/GB; writing: {allowed.write:.2f} s/GB",
        _REPAIR: reading,
        _AGAIN: "nothing to read",
        _LOOK: "nothing to read",
        _DD: reading,
    }
    return Chart(
        name="benchmarks-size",
        title="Time against the size of a model",
        about="One model of random bytes. Verify and repair read it from the disk, past the page cache; a backup reads "
        f"it from the page cache. Copying in memory takes {allowed.copy:.2f} s/GB here.",
        unit="GB",
        lines=_lines(found, (*_WORKS, _DD), beside),
    )


def _by_number(bench: Bench, allowed: Limits) -> Chart:
    counts = sorted({min(count, bench.most_models) for count in _COUNTS})
    found = [(float(count), _one_number(bench, count)) for count in counts]
    look = f"opening and reading a small file: {1_000_000 * allowed.look:.0f} us"
    return Chart(
        name="benchmarks-number",
        title="Time against the number of models",
        about=f"Models of {_BLOBS} tiny blobs of their own; all of it in the page cache.",
        unit="models",
        lines=_lines(
            found,
            _WORKS,
            {
                _VERIFY: look,
                _FIRST: f"a small file made durable: {1_000 * allowed.file:.2f} ms; a model is {_BLOBS + 3} of them",
                _AGAIN: look,
                _REPAIR: look,
                _LOOK: look,
            },
        ),
    )


def _lines(found: Sequence[tuple[float, Times]], labels: Sequence[str], beside: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(
        Line(label=label, points=tuple((x, times[label]) for x, times in found), limit=beside[label])
        for label in labels
        if all(label in times for _, times in found)
    )


def _one_size(bench: Bench, size: int) -> Times:
    ground = Ground(bench.base / "scaling", bench.environ, bench.say)
    bench.say(f"  preparing a store with {size:,} random bytes")
    blob = big_store(ground.store, size)
    wound = Wound(blob)
    dd = bench.peer("dd", _DD, "dd", f"if={blob.path}", "iflag=direct", "bs=4M", "of=/dev/null", before=(os.sync,))
    rows = bench.race(ground, (*_contenders(ground, wound.inflict, wound.close), dd))
    return _times(bench, ground, rows)


def _one_number(bench: Bench, count: int) -> Times:
    ground = Ground(bench.base / "scaling", bench.environ, bench.say)
    bench.say(f"  preparing a store of {count:,} models")
    crowded_store(ground.store, count, _BLOBS)
    scratch = _Scratch(ground.store)
    rows = bench.race(ground, _contenders(ground, scratch.inflict, scratch.close))
    return _times(bench, ground, rows)


def _contenders(ground: Ground, hurt: Callable[[], object], healed: Callable[[], object]) -> tuple[Contender, ...]:
    return (
        Contender.ours("backup", label=_FIRST, before=(partial(ground.drop, ground.vault),), after=(os.sync,)),
        Contender.ours("backup", label=_AGAIN, before=(os.sync,)),
        Contender.ours("verify", label=_VERIFY, before=(os.sync,)),
        Contender.ours("repair", label=_REPAIR, before=(hurt, os.sync), after=(healed,)),
    )


def _times(bench: Bench, ground: Ground, rows: Sequence[Row]) -> Times:
    looks = [_look(ground) for _ in range(bench.rounds)]
    bench.say(f"  {_LOOK}: {median(looks):.3f} s")
    ground.drop(ground.base)
    return {**{row.label: row.seconds for row in rows if not row.skipped}, _LOOK: median(looks)}


def _look(ground: Ground) -> float:
    """Seconds from the start of a guard to its first verdict; the vault is there."""
    with guarding(ground, MODELWARD_MAINTENANCE_INTERVAL="1h") as guard:
        return guard.until_answered()


class _Scratch:
    """One tiny blob of the first model that is overwritten; small blobs have no page to spare."""

    def __init__(self, store: Path) -> None:
        self._good = b"0 0"  # what crowded_store writes first
        self._path = FakeStore(store).blob_path(hashlib.sha256(self._good).hexdigest())

    def inflict(self) -> None:
        """Write other bytes of the same length."""
        self._path.write_bytes(bytes(len(self._good)))

    def close(self) -> None:
        """Raises Failed where it was not healed."""
        if self._path.read_bytes() != self._good:
            self._path.write_bytes(self._good)
            raise Failed("the blob was still damaged afterwards")


def _straight(chart: Chart) -> list[Target]:
    return [_target(chart, line) for line in chart.lines if line.label in _WORKS]


def _target(chart: Chart, line: Line) -> Target:
    limit = f"at most {_OFF:.0%} of the longest time, or {NOISE} s"
    return Target(
        text=f"{chart.title.lower()}: {line.label}: off a straight line by {limit}",
        measured=f"{line.deviation:.0%}, {line.worst:.2f} s; the last step: {line.last_step}",
        met=line.deviation <= _OFF or line.worst <= NOISE,
    )
