"""The page of one model: facts, findings, snapshots with what differs between two, availability, what was done."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from modelward.domain.finding import StoreFinding
from modelward.domain.history import ActionRow, Availability, ModelHistory
from modelward.domain.outcome import DiffReport, SnapshotLine
from modelward.domain.standing import ModelStanding
from modelward.web import charts
from modelward.web.blob_map import kind_of
from modelward.web.meaning import Advice, advice
from modelward.web.overview import Event, answer, never, of_action
from modelward.web.words import HEALTH, Mark, duration, health, share, size

_ACTIONS: Final = 30
_WINDOWS: Final = {3_600: "1 hour", 86_400: "24 hours", 604_800: "7 days", 2_592_000: "30 days", 31_536_000: "365 days"}
_POLICIES: Final = {
    "restore": "restore: the guard heals it by itself",
    "alert": "alert: the guard tells, and changes nothing",
    "ignore": "ignore: the guard does nothing",
}


class ModelQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days the charts show, and two snapshots whose difference is asked for."""

    days: Literal[1, 7, 30, 90, 365] = 7
    first: Annotated[str, msgspec.Meta(max_length=200)] = ""
    second: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Facts(NamedTuple):
    """What is known of a model at a glance."""

    name: str
    full: str
    mark: Mark
    released: bool
    size: str
    proved: datetime | None
    unproved: str
    snapshots: int
    copy: str
    policy: str
    served: str


class Version(NamedTuple):
    """A snapshot on the timeline; ``older`` is the id of the one before it."""

    id: str
    tail: str
    at: datetime
    proved: datetime
    size: str
    sound: bool
    newest: bool
    trashed: bool
    copy: str
    older: str


class Change(NamedTuple):
    """A blob in which two snapshots differ."""

    kind: str
    change: str
    before: str
    after: str


class Difference(NamedTuple):
    """Two snapshots side by side."""

    first: str
    second: str
    changes: tuple[Change, ...]


class Window(NamedTuple):
    """Availability over one window."""

    name: str
    share: str
    known: str


class Trend(NamedTuple):
    """A model over time."""

    windows: tuple[Window, ...]
    response: charts.Chart
    errors: charts.Chart
    p50: str
    p95: str
    error_rate: str
    actions: tuple[Event, ...]


def facts(model: ModelStanding) -> Facts:
    """The head of the page."""
    return Facts(
        name=model.name.short,
        full=str(model.name),
        mark=HEALTH[health(model)],
        released=not model.protected,
        size=size(model.size),
        proved=model.verified_at,
        unproved=never(model),
        snapshots=model.snapshots,
        copy=model.protection if model.snapshots else "none",
        policy=_POLICIES.get(model.policy, model.policy),
        served=_served(model),
    )


def _served(model: ModelStanding) -> str:
    if model.served is None:
        return "not known: the server was not asked yet, or does not answer"
    said = answer(model)
    if model.served and model.probe == "ok":
        return f"listed, answered in {said}"
    return f"listed{f', last probe: {said}' if said else ''}" if model.served else "not listed by the server"


def advices(model: ModelStanding) -> tuple[Advice, ...]:
    """The model's findings, damage first."""
    found = sorted(model.findings, key=lambda finding: not finding.damage)
    return tuple(advice(finding, None if isinstance(finding, StoreFinding) else model) for finding in found)


def versions(lines: Sequence[SnapshotLine]) -> tuple[Version, ...]:
    """The timeline, the newest first; what is in the trash stands behind the rest."""
    live = [line for line in lines if not line.trashed]
    older = {line.id: before.id for line, before in pairwise(live)}
    return tuple(
        Version(
            id=line.id,
            tail=line.id.partition("-")[2] or line.id,
            at=line.created_at,
            proved=line.verified_at,
            size=size(line.size),
            sound=line.sound,
            newest=bool(live) and line is live[0],
            trashed=line.trashed,
            copy=line.protection,
            older=older.get(line.id, ""),
        )
        for line in lines
    )


def difference(report: DiffReport) -> Difference:
    """What a diff found."""
    changes = tuple(
        Change(
            kind=kind_of(each.media_type),
            change=each.change,
            before=f"{each.before.short} ({size(each.size_before)})" if each.before is not None else "",
            after=f"{each.after.short} ({size(each.size_after)})" if each.after is not None else "",
        )
        for each in report.differences
    )
    return Difference(first=report.before.id, second=report.after.id, changes=changes)


def trend(history: ModelHistory) -> Trend:
    """Availability, response times, errors and actions."""
    span = charts.Range(history.since, history.at)
    return Trend(
        windows=tuple(_window(each) for each in history.availability),
        response=charts.response_times(history.latency, span),
        errors=charts.error_rates(history.latency, span),
        p50="" if history.p50 is None else duration(history.p50),
        p95="" if history.p95 is None else duration(history.p95),
        error_rate=share(history.error_rate),
        actions=done(history.actions),
    )


def done(actions: Iterable[ActionRow]) -> tuple[Event, ...]:
    """What was done to the model."""
    return tuple(of_action(action) for action in actions)[:_ACTIONS]


def _window(each: Availability) -> Window:
    """A window that is known in part only says how much of it."""
    known = each.known_seconds
    part = "" if known >= each.window_seconds * 0.95 else f"of {duration(known)} known" if known else "nothing known"
    return Window(_WINDOWS.get(each.window_seconds, duration(each.window_seconds)), share(each.share), part)
