"""Troubles as values: what is wrong now, what changed, what is open, what is told, and what nobody wants told."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

import msgspec


class Kind(StrEnum):
    """What can go wrong. The words are those of messages; ``docs/alerts.md`` says what to do about each."""

    MODEL_MISSING = "model missing"
    INTEGRITY = "integrity failure"
    RESTORE = "restore failure"
    SERVICE = "service unavailable"
    MAINTENANCE = "maintenance failure"
    BRAKE = "brake"
    DISK = "disk filling"
    BACKUP = "backup overdue"
    SCRUB = "scrub overdue"
    UNSTABLE = "unstable read"
    TAG = "moved tag"
    STORE = "store not the recorded one"
    JOURNAL = "journal begun anew"
    STORAGE = "storage failure"


class Severity(StrEnum):
    """How urgent: ``critical`` goes through quiet hours, the others wait for their end."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class State(StrEnum):
    """Where an alert stands: not told yet, told, good again but not told, or an event that is told once.

    ``resolved`` and ``healed`` stand in notices only: good again after it was told, or before it had to be.
    """

    PENDING = "pending"
    FIRING = "firing"
    CLEARING = "clearing"
    EVENT = "event"
    RESOLVED = "resolved"
    HEALED = "healed"


class What(StrEnum):
    """What a notice says."""

    FIRING = "firing"
    EVENT = "event"
    REMINDER = "reminder"
    RESOLVED = "resolved"
    HEALED = "healed"
    TEST = "test"


EVENT_KINDS: Final = frozenset({Kind.TAG, Kind.JOURNAL})
_SEVERE: Final = {
    Kind.MODEL_MISSING: Severity.CRITICAL,
    Kind.INTEGRITY: Severity.CRITICAL,
    Kind.RESTORE: Severity.CRITICAL,
    Kind.SERVICE: Severity.CRITICAL,
    Kind.BRAKE: Severity.CRITICAL,
    Kind.UNSTABLE: Severity.CRITICAL,
    Kind.STORE: Severity.CRITICAL,
    Kind.STORAGE: Severity.CRITICAL,
    Kind.TAG: Severity.INFO,
}
Key = tuple[Kind, str]


def severity_of(kind: Kind) -> Severity:
    """How urgent a trouble of this kind is."""
    return _SEVERE.get(kind, Severity.WARNING)


class Condition(msgspec.Struct, frozen=True):
    """Something that is wrong now: with ``subject`` (a model, a folder, a server), and what to do about it."""

    kind: Kind
    subject: str
    detail: str
    next: str = ""

    @property
    def key(self) -> Key:
        """What makes it the same trouble as an earlier one."""
        return self.kind, self.subject


class Flip(msgspec.Struct, frozen=True):
    """A recorded change: something went bad or, with ``bad`` false, is good again."""

    at: datetime
    kind: Kind
    subject: str
    bad: bool
    detail: str
    next: str = ""

    @property
    def key(self) -> Key:
        """The trouble that changed."""
        return self.kind, self.subject


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An open trouble. ``due`` is when its state has lasted long enough to be told.

    ``inhibited_by`` names what hides it, or hid it last: a kind of trouble, or ``silence ID``.
    """

    kind: Kind
    subject: str
    since: datetime
    state: State
    detail: str
    next: str
    due: datetime
    told_at: datetime | None = None
    reminded_at: datetime | None = None
    ended_at: datetime | None = None
    inhibited_by: str = ""

    @property
    def key(self) -> Key:
        """The trouble that it is about."""
        return self.kind, self.subject


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """What a person does not want to be told until a time: a kind (empty: any) and a glob of subjects."""

    id: str
    kind: str
    subject: str
    until: datetime
    why: str
    made_at: datetime

    def covers(self, kind: Kind, subject: str) -> bool:
        """Whether it is about this trouble; upper and lower case are the same."""
        return self.kind in ("", kind) and fnmatchcase(subject.lower(), self.subject.lower())


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message: a title and lines for people, and the alerts that it is about for programs.

    The state of each alert in it says what is told of that one; ``id`` is the same when the same thing is told again.
    """

    id: str
    at: datetime
    what: What
    severity: Severity
    title: str
    lines: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()


def flips_of(
    open: Mapping[Key, Condition],  # noqa: A002 - the word for what is not closed
    now_bad: Iterable[Condition],
    covers: Collection[Kind],
    at: datetime,
) -> tuple[Flip, ...]:
    """What changed between the conditions that were open and those that hold now.

    Only kinds in ``covers`` were looked at, so only those are closed by not being among ``now_bad``. Events are never
    open: each one is a flip. Of several conditions with one key the first counts.
    """
    seen: dict[Key, Condition] = {}
    for condition in now_bad:
        seen.setdefault(condition.key, condition)
    began = [_flip(each, at, bad=True) for key, each in seen.items() if key[0] in EVENT_KINDS or key not in open]
    gone = [each for key, each in open.items() if key not in seen and key[0] in covers and key[0] not in EVENT_KINDS]
    return (*began, *(_flip(each, at, bad=False) for each in gone))


def _flip(condition: Condition, at: datetime, *, bad: bool) -> Flip:
    return Flip(at, condition.kind, condition.subject, bad, condition.detail, condition.next if bad else "")
