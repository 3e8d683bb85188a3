"""Metrics file: put the standing and what the journal has measured into ``model-metrics.json``, whole or not at all."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from modelward.domain.codec import pretty
from modelward.domain.history import ActionRow, Availability
from modelward.domain.metrics_document import SCHEMA, MetricsDocument, ModelMetrics, SpaceMetrics
from modelward.domain.series import DAY, Point, Series, merged, quantile
from modelward.domain.standing import ModelStanding, Standing
from modelward.domain.store import Space
from modelward.domain.trend import Trend, trend
from modelward.domain.words import describe
from modelward.durable import Folder, put_small
from modelward.ports import Journal
from modelward.services.model_history import availabilities, error_rate, latency, up_point

FILE = "model-metrics.json"
_DAY, _FORTNIGHT = timedelta(days=1), timedelta(days=14)
_ACTIONS = 50
_LEAST_SECONDS, _LEAST_RATE, _LEAST_SHARE = 0.05, 0.01, 0.01  # smaller changes are flat


def metrics_document(standing: Standing, journal: Journal) -> MetricsDocument:
    """The document of a standing and of the history that led to it; raises what the journal raises."""
    now = standing.at
    available = availabilities(journal, [model.name for model in standing.models], now)
    server = merged(journal.series(Series.SERVER, now - _DAY, now))
    return MetricsDocument(
        schema=SCHEMA,
        modelward=standing.version,
        at=now,
        started_at=standing.started_at,
        store=standing.store,
        vault=standing.vault,
        ready=standing.ready,
        why=standing.why,
        models=tuple(_model(model, available[model.name], journal, now) for model in standing.models),
        server=standing.server,
        server_availability=up_point(server).share if server else None,
        space=tuple(_space(of, space, journal, now) for of, space in sorted(standing.space.items())),
        alerts=standing.alerts,
        schedule=standing.tasks,
        brake=standing.brake,
        actions=journal.rows(ActionRow, now - _DAY, limit=_ACTIONS),
    )


def write_metrics_file(folder: Folder, document: MetricsDocument) -> None:
    """Replace the file in one step: a reader sees the old one or the new one (W1); raises DiskFull or WriteFailed."""
    put_small(folder, folder, FILE, pretty(document).encode())


def _model(model: ModelStanding, available: tuple[Availability, ...], journal: Journal, now: datetime) -> ModelMetrics:
    probes = journal.series(Series.PROBES, now - _DAY, now, subject=model.name)
    whole = latency(merged(probes) or Point(at=now, seconds_span=0))
    days = journal.series(Series.PROBES, now - _FORTNIGHT, now, subject=model.name, span=DAY)
    checks = journal.series(Series.CHECKS, now - _DAY, now, subject=model.name)
    return ModelMetrics(
        name=model.name,
        size=model.size,
        healthy=model.healthy,
        recoverable=model.recoverable,
        protected=model.protected,
        policy=model.policy,
        served=model.served,
        verified_at=model.verified_at,
        snapshots=model.snapshots,
        snapshot_at=model.snapshot_at,
        protection=model.protection,
        findings=tuple(describe(finding) for finding in model.findings),
        next=model.next,
        availability=available,
        history=tuple(up_point(point) for point in checks),
        response_times=tuple(latency(point) for point in probes),
        p50_seconds=whole.p50,
        p95_seconds=whole.p95,
        answers=whole.count - whole.errors,
        error_rate=error_rate(probes),
        response_time_trend=_trend(days, lambda day: quantile(day.buckets, 0.5), _LEAST_SECONDS),
        error_rate_trend=_trend(days, lambda day: error_rate((day,)), _LEAST_RATE),
    )


def _space(of: str, space: Space, journal: Journal, now: datetime) -> SpaceMetrics:
    days = journal.series(Series.SPACE, now - _FORTNIGHT, now, subject=of, span=DAY)
    least = _LEAST_SHARE * space.total
    return SpaceMetrics(of=of, total=space.total, free=space.free, free_trend=_trend(days, lambda day: day.low, least))


def _trend(days: Sequence[Point], value: Callable[[Point], float | None], least: float) -> Trend:
    """Where a value goes from day to day; days without one do not count."""
    points = [(day.at.timestamp(), found) for day in days if (found := value(day)) is not None]
    return trend(points, least)
