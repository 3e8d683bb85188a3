"""How everything stands, as the guard last saw it: what health, metrics, API and pages show."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from modelward.domain.alert import Alert
from modelward.domain.errors import EXIT_DAMAGE, EXIT_NOT_REPAIRABLE, EXIT_OK
from modelward.domain.finding import Finding, StoreFinding
from modelward.domain.name import ModelName
from modelward.domain.store import Space


class ModelStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One model: both axes of health, its copies, and what to do next (a command, or empty).

    ``served`` says whether the server lists it, None while nobody knows; sizes are in bytes, ``probe_seconds`` is the
    last answer's time. ``policy`` is what happens when it is lost: restore, alert or ignore.
    """

    name: ModelName
    size: int
    healthy: bool | None
    recoverable: bool
    protected: bool
    policy: str
    verified_at: datetime | None
    snapshots: int = 0
    snapshot_at: datetime | None = None
    protection: str = ""
    findings: tuple[Finding, ...] = ()
    next: str = ""
    served: bool | None = None
    probed_at: datetime | None = None
    probe: str = ""
    probe_seconds: float | None = None


class TaskStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the schedule: when it last ended, how, and when it is due again."""

    name: str
    last_at: datetime | None = None
    next_at: datetime | None = None
    running: bool = False
    outcome: str = ""


class ServerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime: ``up`` is None before the first look."""

    url: str = ""
    up: bool | None = None
    version: str = ""
    checked_at: datetime | None = None
    error: str = ""


class BrakeStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the guard has stopped to heal alone (G4), since when, and why."""

    engaged: bool = False
    since: datetime | None = None
    why: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The whole picture at one moment; ``ready`` is readiness (H1), ``why`` the reason where it is not."""

    at: datetime
    started_at: datetime
    version: str
    store: str
    vault: str
    ready: bool
    why: str
    models: tuple[ModelStanding, ...] = ()
    findings: tuple[StoreFinding, ...] = ()
    server: ServerStanding = ServerStanding()
    brake: BrakeStanding = BrakeStanding()
    tasks: tuple[TaskStanding, ...] = ()
    alerts: tuple[Alert, ...] = ()
    space: dict[str, Space] = msgspec.field(default_factory=dict)


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a guard that runs once: how everything stands, and what was done; ``exit_code`` as documented."""

    standing: "Standing | None"
    jobs: "tuple[JobView, ...]"
    alerts: tuple[Alert, ...] = ()

    @property
    def exit_code(self) -> int:
        """Of what failed, the highest; else 1 where something is damaged, or could not be looked at, and 3 for ever."""
        failed = max((job.exit_code for job in self.jobs if job.state is JobState.FAILED), default=0)
        if failed or self.standing is None:
            return failed or EXIT_DAMAGE
        damaged = [model for model in self.standing.models if model.protected and model.healthy is False]
        if any(not model.recoverable for model in damaged):
            return EXIT_NOT_REPAIRABLE
        return EXIT_OK if self.standing.ready else EXIT_DAMAGE


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work at one moment: what, for which models, why, how far (bytes of the present stage).

    ``report`` is the verb's own document once it is done, and none again when many others have ended since; ``error``
    is what happened, to which thing, and what next.
    """

    id: str
    kind: str
    models: tuple[ModelName, ...]
    cause: str
    state: JobState
    asked_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    report: Any = None
    error: str = ""
    exit_code: int = 0

    @property
    def over(self) -> bool:
        """Whether it will not change any more."""
        return self.state not in (JobState.WAITING, JobState.RUNNING)
