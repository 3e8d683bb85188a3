"""What the journal keeps, row by row, and what a history says of it."""

from datetime import datetime

import msgspec

from modelward.domain.alert import Flip


class CheckRow(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a model (full name): both axes of health, and whether it can be used just now."""

    at: datetime
    model: str
    healthy: bool | None
    recoverable: bool
    ready: bool


class ProbeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One probe: ``outcome`` as in ProbeResult, how long it took in seconds, whether the model was in memory before."""

    at: datetime
    model: str
    outcome: str
    seconds: float
    loaded: bool = False


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Damage that was found: its kind, in words, in which blob (``sha256:...``, or empty), bytes, and device."""

    at: datetime
    model: str
    kind: str
    text: str
    blob: str = ""
    bytes: int = 0
    device: str = ""


class ActionRow(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done: why, by which verb and step, to which model and file, and from which source.

    ``bytes`` were moved, in ``seconds``; ``error`` says what went wrong, if it did.
    """

    at: datetime
    cause: str
    verb: str
    step: str = ""
    model: str = ""
    target: str = ""
    source: str = ""
    bytes: int = 0
    seconds: float = 0.0
    error: str = ""


class ScrubRow(msgspec.Struct, frozen=True, kw_only=True):
    """One slice of a scrub of the ``store`` or the ``vault``: bytes read in seconds, and how many findings it made."""

    at: datetime
    of: str
    device: str
    bytes: int
    seconds: float
    damaged: int = 0


class DrillRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsed restore of a snapshot: how long restore and verify took, and ``why`` it failed where it did."""

    at: datetime
    model: str
    snapshot: str
    bytes: int
    restore_seconds: float
    verify_seconds: float
    ok: bool
    why: str = ""


class SpaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """The disk under the ``store``, the ``vault`` or the ``state``: its size and what is free, in bytes."""

    at: datetime
    of: str
    device: str
    total: int
    free: int


class ServerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the runtime: whether it answered, in how many seconds, its version, or what went wrong."""

    at: datetime
    up: bool
    seconds: float = 0.0
    version: str = ""
    error: str = ""


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job: ``outcome`` is running, done, failed, interrupted or cancelled; no models means all."""

    id: str
    kind: str
    models: tuple[str, ...]
    cause: str
    began_at: datetime
    ended_at: datetime | None = None
    outcome: str = "running"
    detail: str = ""


Row = CheckRow | ProbeRow | FindingRow | ActionRow | ScrubRow | DrillRow | SpaceRow | ServerRow
AnyRow = Row | JobRow


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a window a model could be used; ``share`` is of the time that is known, None where none is."""

    window_seconds: int
    good_seconds: float
    known_seconds: float
    share: float | None


class UpPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the known time of one span (from ``at``) in which the model could be used; None: nothing known."""

    at: datetime
    seconds_span: int
    share: float | None


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The probes of one span (from ``at``): how many, how many failed, and the response times in seconds.

    Quantiles come from merged histograms and are right to a twentieth; None where no probe was answered.
    """

    at: datetime
    seconds_span: int
    count: int
    errors: int
    p50: float | None
    p95: float | None


class DeviceDamage(msgspec.Struct, frozen=True, kw_only=True):
    """What scrubs read from a device, and the findings that they made there."""

    device: str
    bytes: int
    damaged: int

    @property
    def per_terabyte(self) -> float | None:
        """Findings for each 10**12 bytes read; None before anything was read."""
        return self.damaged * 1e12 / self.bytes if self.bytes else None


class ModelHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a model from ``since`` to ``at``; rows are newest first, points oldest first.

    ``error_rate`` is the share of probes that failed, ``devices`` are those that hold its store and vault.
    """

    model: str
    at: datetime
    since: datetime
    availability: tuple[Availability, ...]
    up: tuple[UpPoint, ...]
    latency: tuple[LatencyPoint, ...]
    p50: float | None
    p95: float | None
    error_rate: float | None
    flips: tuple[Flip, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    actions: tuple[ActionRow, ...] = ()
    drills: tuple[DrillRow, ...] = ()
    devices: tuple[DeviceDamage, ...] = ()
