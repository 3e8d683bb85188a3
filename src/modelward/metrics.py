"""Metrics for Prometheus: the board's picture and what the journal has counted since the guard began, as families."""

import platform
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from modelward.domain.alert import Kind, State
from modelward.domain.history import ActionRow, DrillRow, FindingRow, ProbeRow, ScrubRow
from modelward.domain.name import ModelName
from modelward.domain.series import HOUR, Series
from modelward.domain.standing import ModelStanding, Standing
from modelward.ports import Journal

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BUCKETS: Final = (0.25, 1.0, 2.5, 10.0, 30.0)
_FAILED = frozenset({"refused", "timeout", "unreachable"})  # a busy model was not asked
_LOST = frozenset({"Missing", "ManifestLost"})
_UNREADABLE = frozenset({"Unreadable", "UnstableRead"})
_BATCH, _MOST_ROWS = 50, 10_000
_DRILLS, _DAY = timedelta(days=400), timedelta(days=1)
R = TypeVar("R", FindingRow, ActionRow, ScrubRow, ProbeRow, DrillRow)
Values = Iterable[tuple[tuple[str, ...], float]]


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


def family_of(kind: str) -> str:
    """The kinds of damage that a model's series tell apart, so that they stay few: lost, unreadable, or wrong."""
    return "lost" if kind in _LOST else "unreadable" if kind in _UNREADABLE else "wrong"


def exposition(figures: Figures, tally: Tally, *, openmetrics: bool = False) -> bytes:
    """The text of all metrics, in Prometheus' own format or as OpenMetrics."""
    registry: Any = _Families(figures, tally)
    if openmetrics:
        from prometheus_client.openmetrics import exposition as openmetrics_format

        generate: Callable[[Any], bytes] = openmetrics_format.generate_latest
        return generate(registry)
    from prometheus_client.exposition import generate_latest

    return bytes(generate_latest(registry))


class _Families:
    """A registry of nothing but what is there now; nothing of it is global."""

    def __init__(self, figures: Figures, tally: Tally) -> None:
        self._figures, self._tally = figures, tally

    def collect(self) -> Iterator["Metric"]:
        """Every family, one after the other."""
        from prometheus_client.core import InfoMetricFamily

        about = {"version": self._figures.version, "python": platform.python_version()}
        yield InfoMetricFamily("modelward_build", "The program and the Python that runs it.", value=about)
        yield _gauge("guard_ready", "Whether every protected model is healthy.", _one(self._figures.ready))
        if self._figures.standing is not None:
            yield from self._of_models(self._figures.standing.models)
            yield from self._of_guard(self._figures.standing)
        yield from self._of_journal()

    def _of_models(self, models: Iterable[ModelStanding]) -> Iterator["Metric"]:
        for name, about, value in _MODEL:
            found = (((model.name.short,), value(model)) for model in models)
            yield _gauge(name, about, ((labels, number) for labels, number in found if number is not None), "model")
        shares = self._tally.availability
        known = [((model.name.short,), shares[model.name]) for model in models if model.name in shares]
        yield _gauge("model_availability_ratio", "Share of the last 24 h in which it could be used.", known, "model")
        yield self._probes(models)
        failed = [((model.name.short,), float(self._tally.failures[model.name])) for model in models]
        yield _counter("probe_failures", "Probes that were not answered, or not in time.", failed, "model")

    def _probes(self, models: Iterable[ModelStanding]) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily("modelward_probe_seconds", "Time to a probe's answer.", labels=["model"])
        for model in models:
            if (latency := self._tally.latency.get(model.name)) is not None:
                buckets = [(str(bound), float(many)) for bound, many in zip(BUCKETS, latency.within, strict=True)]
                buckets.append(("+Inf", float(latency.count)))
                family.add_metric([model.name.short], buckets, latency.seconds)
        return family

    def _of_guard(self, seen: Standing) -> Iterator["Metric"]:
        firing = Counter(alert.kind for alert in seen.alerts if alert.state is State.FIRING)
        counts = [((kind.value,), float(firing[kind])) for kind in Kind]
        yield _gauge("alerts_firing", "Alerts that were told and are not over.", counts, "kind")
        yield _gauge("brake_engaged", "Whether the guard has stopped to heal alone.", _one(seen.brake.engaged))
        if seen.server.up is not None:
            yield _gauge("server_up", "Whether the server of the models answered last.", _one(seen.server.up))
        yield _gauge("guard_last_pass_timestamp_seconds", "When the guard last looked.", _one(seen.at.timestamp()))
        free = [((of,), float(space.free)) for of, space in seen.space.items()]
        yield _gauge("disk_free_bytes", "Free bytes of the disk below it.", free, "of")
        total = [((of,), float(space.total)) for of, space in seen.space.items()]
        yield _gauge("disk_total_bytes", "Size of the disk below it.", total, "of")
        yield _gauge(
            "scrub_last_pass_timestamp_seconds",
            "When the byte that waits longest was proved (store), or the last slice was read (vault).",
            _passes(seen),
            "of",
        )
        if self._figures.vault_bytes is not None:
            yield _gauge("vault_bytes", "Bytes of the vault's objects.", _one(self._figures.vault_bytes))

    def _of_journal(self) -> Iterator["Metric"]:
        tally = self._tally
        yield _counter("damage", "Damage found, since the guard began.", _named(tally.damage), "model", "kind")
        repairs = [(key, float(many)) for key, many in sorted(tally.repairs.items())]
        yield _counter("repairs", "Steps of repairs and restores.", repairs, "source", "outcome")
        read = [((of,), float(tally.scrubbed[of])) for of in ("store", "vault")]
        yield _counter("scrub_bytes", "Bytes that scrubs have read.", read, "of")
        if tally.drill is not None:
            took = tally.drill.restore_seconds + tally.drill.verify_seconds
            yield _gauge("drill_seconds", "How long the last rehearsed restore took.", _one(took))
        if tally.drilled is not None:
            when = tally.drilled.at.timestamp()
            yield _gauge("drill_last_success_timestamp_seconds", "When a rehearsed restore last succeeded.", _one(when))


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


def _passes(seen: Standing) -> Values:
    proofs = [model.verified_at for model in seen.models if model.protected]
    known = [moment for moment in proofs if moment is not None]
    if known and len(known) == len(proofs):
        yield ("store",), min(known).timestamp()
    for task in seen.tasks:
        if task.name == "scrub vault" and task.last_at is not None:
            yield ("vault",), task.last_at.timestamp()


def _named(counts: Mapping[tuple[str, str], int]) -> Values:
    """Models by their short names, as all other series have them."""
    for (model, kind), many in sorted(counts.items()):
        yield (ModelName.parse(model).short if model else "", kind), float(many)


def _one(value: float) -> Values:
    return [((), float(value))]


def _gauge(name: str, about: str, values: Values, *labels: str) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"modelward_{name}", about, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


def _counter(name: str, about: str, values: Values, *labels: str) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"modelward_{name}", about, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family
