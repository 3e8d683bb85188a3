"""An entry of the audit log as a value: what was done, when, to which model, for which cause, and how it ended (A1)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

import msgspec

from modelward.domain.codec import encode
from modelward.domain.snapshot import Moment
from modelward.domain.units import parse_duration


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: its number counted from 1, when, what was done, and the keys that the action gave of itself.

    The keys' values are text; what was no text when it was written is JSON.
    """

    seq: int
    at: Moment
    action: str
    keys: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, seq: int, at: datetime, action: str, keys: Mapping[str, object]) -> Self:
        """The entry with these keys, whatever their values are."""
        texts = {key: value if isinstance(value, str) else encode(value).decode() for key, value in keys.items()}
        return cls(seq=seq, at=at, action=action, keys=texts)

    @property
    def model(self) -> str:
        """The model's full name; empty where the action was about none."""
        return self.keys.get("model", "")

    @property
    def cause(self) -> str:
        """Who or what wanted it: ``user``, or the guard with its reason; empty in entries of older versions."""
        return self.keys.get("cause", "")

    @property
    def outcome(self) -> str:
        """``done``, or the error that ended it."""
        return self.keys.get("error") or "done"


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to show: from a moment on, of a model (full name), of an action; the last ``limit``, 0 for all.

    ``before`` leaves out the entry with that number and all later ones; 0 leaves out none.
    """

    since: Moment | None = None
    model: str = ""
    action: str = ""
    before: int = 0
    limit: int = 0

    def takes(self, entry: AuditEntry) -> bool:
        """Whether the entry is one of those."""
        return (
            (self.since is None or entry.at >= self.since)
            and (not self.model or entry.model == self.model)
            and (not self.action or entry.action == self.action)
            and (not self.before or entry.seq < self.before)
        )


def moment(text: str, now: datetime) -> datetime:
    """The moment that a text names: a duration before ``now``, or a date or time (UTC where it says no zone).

    Raises BadSetting.
    """
    try:
        named = datetime.fromisoformat(text.strip())
    except ValueError:
        return now - parse_duration(text)
    return named if named.utcoffset() is not None else named.replace(tzinfo=UTC)


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``audit show`` shows: the entries that were asked for, the oldest first, and how many the log has."""

    vault: str
    entries: tuple[AuditEntry, ...]
    total: int

    @property
    def exit_code(self) -> int:
        """Showing always succeeds."""
        return 0


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What ``audit verify`` found: the number of entries, and every edit, drop, reorder or cut, by its line."""

    vault: str
    entries: int
    faults: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 when the log was tampered with, else 0."""
        return 1 if self.faults else 0
