"""``model-metrics.json``: everything that the guard knows and has measured, for programs that read files."""

from datetime import datetime

import msgspec

from modelward.domain.alert import Alert
from modelward.domain.history import ActionRow, Availability, LatencyPoint, UpPoint
from modelward.domain.name import ModelName
from modelward.domain.standing import BrakeStanding, ServerStanding, TaskStanding
from modelward.domain.trend import Trend

SCHEMA = "modelward/metrics/1"


class ModelMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its status as in the standing, and what the journal has measured.

    ``history`` and ``response_times`` are the last 24 hours by the hour, ``p50_seconds``, ``p95_seconds``, ``answers``
    and ``error_rate`` those of the 24 hours together; the trends are of the last 14 days.
    """

    name: ModelName
    size: int
    healthy: bool | None
    recoverable: bool
    protected: bool
    policy: str
    served: bool | None
    verified_at: datetime | None
    snapshots: int
    snapshot_at: datetime | None
    protection: str
    findings: tuple[str, ...]
    next: str
    availability: tuple[Availability, ...]
    history: tuple[UpPoint, ...]
    response_times: tuple[LatencyPoint, ...]
    p50_seconds: float | None
    p95_seconds: float | None
    answers: int
    error_rate: float | None
    response_time_trend: Trend
    error_rate_trend: Trend


class SpaceMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """A disk: what lies on it, its size and what is free, in bytes, and where the free space goes."""

    of: str
    total: int
    free: int
    free_trend: Trend


class MetricsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file; ``schema`` changes when a field changes its meaning or goes."""

    schema: str
    modelward: str
    at: datetime
    started_at: datetime
    store: str
    vault: str
    ready: bool
    why: str
    models: tuple[ModelMetrics, ...]
    server: ServerStanding
    server_availability: float | None
    space: tuple[SpaceMetrics, ...]
    alerts: tuple[Alert, ...]
    schedule: tuple[TaskStanding, ...]
    brake: BrakeStanding
    actions: tuple[ActionRow, ...]
