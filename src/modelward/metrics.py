"""Metrics for Prometheus: the board's picture and what the journal has counted since the guard began, as families."""

import platform
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from modelward.domain.alert import Kind, State
from modelward.domain.exposition import Family, Sample, labelled, text, within
from modelward.domain.history import ActionRow, DrillRow, FindingRow, ProbeRow, ScrubRow
from modelward.domain.name import ModelName
from modelward.domain.series import HOUR, Series
from modelward.domain.standing import ModelStanding, Standing
from modelward.domain.telemetry import Counts
from modelward.ports import Journal

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BUCKETS: Final = (0.25, 1.0, 2.5, 10.0, 30.0)
_FAILED = frozenset({"refused", "timeout", "unreachable"})  # a busy model was not asked
_LOST = frozenset({"Missing", "ManifestLost"})
_UNREADABLE = frozenset({"Unreadable", "UnstableRead"})
_BATCH, _MOST_ROWS = 50, 10_000
_DRILLS, _DAY = timedelta(days=400), timedelta(days=1)
R = TypeVar("R", FindingRow, ActionRow, ScrubRow, ProbeRow, DrillRow)


class Latency:
    """How long the answers of one model took: how many within each bucket, in all, and the sum in seconds."""

    def __init__(self) -> None:
        self.within = [0] * len(BUCKETS)
        self.count, self.seconds = 0, 0.0

    def add(self, seconds: float) -> None:
        """One more answer."""
        self.count += 1
        self.seconds += seconds
        for number, bound in enumerate(BUCKETS):
            self.within[number] += seconds <= bound


class Tally:
    """Counts the rows that the journal got since ``since``: counters begin at 0 when the guard does.

    Asking again reads only what came since the last time. Models are named by their full names. Safe in threads.
    """

    def __init__(self, journal: Journal, since: datetime) -> None:
        self._journal, self._since, self._lock = journal, since, threading.Lock()
        self._from: dict[type, datetime] = {DrillRow: since - _DRILLS}
        self._edge: dict[type, frozenset[object]] = {}
        self._queue: deque[str] = deque()
        self.damage: Counter[tuple[str, str]] = Counter()
        self.repairs: Counter[tuple[str, str]] = Counter()
        self.scrubbed: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.latency: dict[str, Latency] = {}
        self.availability: dict[str, float] = {}
        self.drill: DrillRow | None = None
        self.drilled: DrillRow | None = None

    def update(self, now: datetime, models: Iterable[str]) -> None:
        """Count what is new, and look at the availability of some models: those that waited longest. StorageError."""
        with self._lock:
            self._take(FindingRow, self._finding)
            self._take(ActionRow, self._action)
            self._take(ScrubRow, self._scrub)
            self._take(ProbeRow, self._probe)
            self._take(DrillRow, self._drill)
            self._available(now, frozenset(models))

    def _take(self, kind: type[R], count: Callable[[R], None]) -> None:
        """Rows of one moment may come in two readings; those that were counted are known by themselves."""
        seen = self._edge.get(kind, frozenset())
        rows = self._journal.rows(kind, self._from.get(kind, self._since), None, "", _MOST_ROWS)
        for row in reversed(rows):
            if row not in seen:
                count(row)
        if rows:
            last = rows[0].at
            self._from[kind] = last
            self._edge[kind] = frozenset(row for row in rows if row.at == last)

    def _finding(self, row: FindingRow) -> None:
        self.damage[row.model, family_of(row.kind)] += 1

    def _action(self, row: ActionRow) -> None:
        self.repairs[row.source or "none", "failed" if row.error else "done"] += 1

    def _scrub(self, row: ScrubRow) -> None:
        self.scrubbed[row.of] += row.bytes

    def _probe(self, row: ProbeRow) -> None:
        if row.outcome == "ok":
            self.latency.setdefault(row.model, Latency()).add(row.seconds)
        elif row.outcome in _FAILED:
            self.failures[row.model] += 1

    def _drill(self, row: DrillRow) -> None:
        self.drill = row
        if row.ok:
            self.drilled = row

    def _available(self, now: datetime, models: frozenset[str]) -> None:
        """A few models a time, in turn: a thousand queries would keep the caller waiting."""
        self.availability = {model: share for model, share in self.availability.items() if model in models}
        self._queue = deque(model for model in self._queue if model in models)
        self._queue.extendleft(models.difference(self._queue))
        for _ in range(min(_BATCH, len(self._queue))):
            model = self._queue.popleft()
            self._queue.append(model)
            points = self._journal.series(Series.CHECKS, now - _DAY, None, model, HOUR)
            known = sum(point.known_seconds for point in points)
            if known:
                self.availability[model] = sum(point.good_seconds for point in points) / known


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that the metrics show; ``vault_bytes`` is None while nobody has counted."""

    version: str
    ready: bool
    standing: Standing | None = None
    vault_bytes: int | None = None
    telemetry: Counts | None = None


def family_of(kind: str) -> str:
    """The kinds of damage that a model's series tell apart, so that they stay few: lost, unreadable, or wrong."""
    return "lost" if kind in _LOST else "unreadable" if kind in _UNREADABLE else "wrong"


def exposition(figures: Figures, tally: Tally, *, openmetrics: bool = False) -> bytes:
    """The text of all metrics, in Prometheus' own format or as OpenMetrics."""
    return text(families(figures, tally), openmetrics=openmetrics)


def families(figures: Figures, tally: Tally) -> Iterator[Family]:
    """Every family, one after the other."""
    about = labelled(version=figures.version, python=platform.python_version())
    yield Family("modelward_build", "info", "The program and the Python that runs it.", [Sample("", about, 1)])
    yield _gauge("guard_ready", "Whether every protected model is healthy.", [_one(figures.ready)])
    if figures.standing is not None:
        yield from _of_models(figures.standing.models, tally)
        yield from _of_guard(figures.standing, figures.vault_bytes)
    yield from _of_journal(tally)
    if figures.telemetry is not None:
        yield from _of_telemetry(figures.telemetry)


def _of_models(models: Iterable[ModelStanding], tally: Tally) -> Iterator[Family]:
    known = [(model, labelled(model=model.name.short)) for model in models]
    for name, about, value in _MODEL:
        found = ((labels, value(model)) for model, labels in known)
        yield _gauge(name, about, [Sample("", labels, number) for labels, number in found if number is not None])
    shares = tally.availability
    usable = [Sample("", labels, shares[model.name]) for model, labels in known if model.name in shares]
    yield _gauge("model_availability_ratio", "Share of the last 24 h in which it could be used.", usable)
    probed = ((labels, tally.latency.get(model.name)) for model, labels in known)
    answers = [sample for labels, latency in probed if latency is not None for sample in _buckets(labels, latency)]
    yield Family("modelward_probe_seconds", "histogram", "Time to a probe's answer.", answers)
    failed = [Sample("", labels, tally.failures[model.name]) for model, labels in known]
    yield _counter("probe_failures", "Probes that were not answered, or not in time.", failed)


def _buckets(labels: str, latency: Latency) -> Iterator[Sample]:
    for bound, many in zip((*BUCKETS, "+Inf"), (*latency.within, latency.count), strict=True):
        yield Sample("_bucket", within(labels, str(bound)), many)
    yield Sample("_count", labels, latency.count)
    yield Sample("_sum", labels, latency.seconds)


def _of_guard(seen: Standing, vault_bytes: int | None) -> Iterator[Family]:
    firing = Counter(alert.kind for alert in seen.alerts if alert.state is State.FIRING)
    counts = [Sample("", labelled(kind=kind.value), firing[kind]) for kind in Kind]
    yield _gauge("alerts_firing", "Alerts that were told and are not over.", counts)
    yield _gauge("brake_engaged", "Whether the guard has stopped to heal alone.", [_one(seen.brake.engaged)])
    if seen.server.up is not None:
        yield _gauge("server_up", "Whether the server of the models answered last.", [_one(seen.server.up)])
    yield _gauge("guard_last_pass_timestamp_seconds", "When the guard last looked.", [_one(seen.at.timestamp())])
    free = [Sample("", labelled(of=of), space.free) for of, space in seen.space.items()]
    yield _gauge("disk_free_bytes", "Free bytes of the disk below it.", free)
    total = [Sample("", labelled(of=of), space.total) for of, space in seen.space.items()]
    yield _gauge("disk_total_bytes", "Size of the disk below it.", total)
    yield _gauge(
        "scrub_last_pass_timestamp_seconds",
        "When the byte that waits longest was proved (store), or the last slice was read (vault).",
        _passes(seen),
    )
    if vault_bytes is not None:
        yield _gauge("vault_bytes", "Bytes of the vault's objects.", [_one(vault_bytes)])


def _of_journal(tally: Tally) -> Iterator[Family]:
    yield _counter("damage", "Damage found, since the guard began.", _named(tally.damage))
    repairs = [
        Sample("", labelled(source=source, outcome=outcome), many)
        for (source, outcome), many in sorted(tally.repairs.items())
    ]
    yield _counter("repairs", "Steps of repairs and restores.", repairs)
    read = [Sample("", labelled(of=of), tally.scrubbed[of]) for of in ("store", "vault")]
    yield _counter("scrub_bytes", "Bytes that scrubs have read.", read)
    if tally.drill is not None:
        took = tally.drill.restore_seconds + tally.drill.verify_seconds
        yield _gauge("drill_seconds", "How long the last rehearsed restore took.", [_one(took)])
    if tally.drilled is not None:
        when = tally.drilled.at.timestamp()
        yield _gauge("drill_last_success_timestamp_seconds", "When a rehearsed restore last succeeded.", [_one(when)])


def _of_telemetry(counts: Counts) -> Iterator[Family]:
    """What a collector took and did not take: spans one by one, metrics by exports."""
    sent = {"traces": counts.spans_sent, "metrics": counts.metrics_sent}
    lost = {"traces": counts.spans_lost, "metrics": counts.metrics_lost}
    for name, about, found in (
        ("telemetry_sent", "Spans, and exports of metrics, that the collector took.", sent),
        ("telemetry_lost", "Spans, and exports of metrics, that were given up.", lost),
    ):
        yield _counter(name, about, [Sample("", labelled(signal=signal), many) for signal, many in found.items()])


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


def _class(model: ModelStanding) -> float | None:
    return float(model.protection[0]) if model.protection[:1].isdigit() and model.snapshots else None


_MODEL: Final[tuple[tuple[str, str, Callable[[ModelStanding], float | None]], ...]] = (
    (
        "model_healthy",
        "1 healthy, 0 damaged; absent while its bytes were not proved.",
        lambda m: None if m.healthy is None else float(m.healthy),
    ),
    ("model_recoverable", "Whether a good copy exists of what is or may be damaged.", lambda m: float(m.recoverable)),
    (
        "model_last_verified_timestamp_seconds",
        "When its oldest byte was last proved.",
        lambda m: _seconds(m.verified_at),
    ),
    ("model_bytes", "Size of the model.", lambda m: float(m.size)),
    ("model_snapshots", "Versions in the vault.", lambda m: float(m.snapshots)),
    ("model_snapshot_timestamp_seconds", "When its newest version was taken.", lambda m: _seconds(m.snapshot_at)),
    (
        "model_protection_class",
        "0 same inode, 1 same device, 2 other device, 3 other host, 4 locked; absent without a copy.",
        _class,
    ),
)


def _passes(seen: Standing) -> Iterator[Sample]:
    proofs = [model.verified_at for model in seen.models if model.protected]
    known = [moment for moment in proofs if moment is not None]
    if known and len(known) == len(proofs):
        yield Sample("", labelled(of="store"), min(known).timestamp())
    for task in seen.tasks:
        if task.name == "scrub vault" and task.last_at is not None:
            yield Sample("", labelled(of="vault"), task.last_at.timestamp())


def _named(counts: Mapping[tuple[str, str], int]) -> Iterator[Sample]:
    """Models by their short names, as all other series have them."""
    for (model, kind), many in sorted(counts.items()):
        yield Sample("", labelled(model=ModelName.parse(model).short if model else "", kind=kind), many)


def _one(value: float) -> Sample:
    return Sample("", "", value)


def _gauge(name: str, about: str, samples: Iterable[Sample]) -> Family:
    return Family(f"modelward_{name}", "gauge", about, samples)


def _counter(name: str, about: str, samples: Iterable[Sample]) -> Family:
    return Family(f"modelward_{name}", "counter", about, samples)
