"""What ``modelward alerts`` answers: what is open, what is silenced, what is still to be delivered, how a test went."""

from datetime import datetime

import msgspec

from modelward.domain import errors
from modelward.domain.alert import Alert, Kind, Severity, Silence, State, severity_of
from modelward.domain.outbox import Queue


class AlertLine(msgspec.Struct, frozen=True, kw_only=True):
    """An open alert as listed; ``hidden_by`` names the trouble or the silence that keeps it from being told."""

    kind: Kind
    severity: Severity
    subject: str
    state: State
    since: datetime
    detail: str
    next: str
    told_at: datetime | None
    reminded_at: datetime | None
    hidden_by: str

    @classmethod
    def of(cls, alert: Alert) -> "AlertLine":
        """The line of an alert."""
        return cls(
            kind=alert.kind,
            severity=severity_of(alert.kind),
            subject=alert.subject,
            state=alert.state,
            since=alert.since,
            detail=alert.detail,
            next=alert.next,
            told_at=alert.told_at,
            reminded_at=alert.reminded_at,
            hidden_by=alert.inhibited_by,
        )


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that has something to deliver still, or had to give something up."""

    channel: str
    notices: int
    tries: int
    error: str
    lost: int

    @classmethod
    def of(cls, queue: Queue) -> "Waiting":
        """The line of a channel's queue."""
        return cls(
            channel=queue.channel, notices=len(queue.notices), tries=queue.tries, error=queue.error, lost=queue.lost
        )


class AlertsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is open, the most urgent first; ``watched`` is false where no guard has kept a journal yet."""

    alerts: tuple[AlertLine, ...] = ()
    silences: tuple[Silence, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    watched: bool = True


class SilenceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A silence that was made or ended, and those that hold now."""

    silence: Silence
    ended: bool
    silences: tuple[Silence, ...]


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel answered to a test; ``error`` is empty when it took it."""

    channel: str
    seconds: float
    error: str = ""
    next: str = ""


class AlertTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test of every channel."""

    channels: tuple[Tried, ...]

    @property
    def exit_code(self) -> int:
        """4 when a channel failed."""
        failed = any(tried.error for tried in self.channels)
        return errors.EXIT_UNREACHABLE if failed else errors.EXIT_OK
