"""The first page: how every model is, what happened, what is next, and what of the host stands behind it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from modelward.domain.alert import Flip, Severity, severity_of
from modelward.domain.history import ActionRow
from modelward.domain.standing import ModelStanding, Standing, TaskStanding
from modelward.domain.words import describe, printable
from modelward.web.words import HEALTH, Mark, count, duration, health, link, short, size

ROWS: Final = 50
STEPS: Final = {
    "PatchBlob": "healed blob",
    "PlaceBlob": "brought blob",
    "TrySuspects": "healed blob",
    "PullModel": "downloaded",
    "PlaceManifest": "put back manifest",
    "FixOwner": "gave back owner of blob",
    "RemakeRecord": "made record anew",
}
_EVENTS: Final = 12
_NAMES: Final = 4
_TOGETHER: Final = 60  # seconds
_NEVER: Final = float("inf")
_ORDER: Final = tuple(HEALTH)


class OverviewQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models to show: a part of the name, a word of HEALTH or ``released``, and which page of them."""

    q: Annotated[str, msgspec.Meta(max_length=200)] = ""
    health: Literal["", "lost", "damaged", "unproved", "bare", "healthy", "released"] = ""
    page: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class Row(NamedTuple):
    """A model of the table."""

    name: str
    link: str
    mark: Mark
    released: bool
    size: str
    proved: datetime | None
    unproved: str
    snapshots: str
    copy: str
    answer: str
    note: str


class Group(NamedTuple):
    """Models in one state: ``share`` of all of them, and the address that shows these only."""

    mark: Mark
    number: int
    start: float
    share: float
    word: str
    chosen: bool


class Table(NamedTuple):
    """The rows of one page, and what stands around them."""

    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    total: int
    found: int
    page: int
    pages: int
    query: OverviewQuery
    released: int


class Event(NamedTuple):
    """Something that happened: when, to what, and why."""

    at: datetime
    mark: Mark
    subject: str
    link: str
    text: str
    cause: str


class Next(NamedTuple):
    """A task of the schedule."""

    name: str
    at: datetime | None
    running: bool
    last: datetime | None
    outcome: str
    failed: bool


def table(models: Sequence[ModelStanding], query: OverviewQuery) -> Table:
    """The models that the query asks for, the worst first."""
    kept = [model for model in models if model.protected]
    chosen = sorted((model for model in models if _takes(query, model)), key=_rank)
    pages = max(1, -(-len(chosen) // ROWS))
    page = min(query.page, pages)
    return Table(
        rows=tuple(row(model) for model in chosen[(page - 1) * ROWS : page * ROWS]),
        groups=groups(kept, query.health),
        total=len(kept),
        found=len(chosen),
        page=page,
        pages=pages,
        query=query,
        released=len(models) - len(kept),
    )


def _takes(query: OverviewQuery, model: ModelStanding) -> bool:
    if query.q.casefold() not in model.name.casefold():
        return False
    if query.health == "released":
        return not model.protected
    return not query.health or (model.protected and health(model) == query.health)


def _rank(model: ModelStanding) -> tuple[bool, int, str]:
    return not model.protected, _ORDER.index(health(model)), model.name.short


def groups(models: Iterable[ModelStanding], chosen: str) -> tuple[Group, ...]:
    """How many protected models are in which state, the worst first; states that nobody is in are left out."""
    numbers = Counter(health(model) for model in models)
    whole, start, found = sum(numbers.values()) or 1, 0.0, []
    for word, mark in HEALTH.items():
        if not numbers[word] and word != chosen:
            continue
        part = round(numbers[word] * 100 / whole, 2)
        found.append(Group(mark, numbers[word], round(start, 2), part, word, word == chosen))
        start += part
    return tuple(found)


def row(model: ModelStanding) -> Row:
    """A model in one line."""
    return Row(
        name=model.name.short,
        link=link(model.name),
        mark=HEALTH[health(model)],
        released=not model.protected,
        size=size(model.size),
        proved=model.verified_at,
        unproved=never(model),
        snapshots=f"{model.snapshots:,}",
        copy=model.protection if model.snapshots else "none",
        answer=answer(model),
        note=note(model),
    )


def never(model: ModelStanding) -> str:
    """What stands for the time of a proof that there is none of."""
    return "–" if model.healthy is False else "never"  # noqa: RUF001 - an en dash is the sign for no value


def answer(model: ModelStanding) -> str:
    """What the server made of the last probe, or whether it lists the model at all."""
    if model.served is False:
        return "not listed"
    if model.probe == "ok" and model.probe_seconds is not None:
        return duration(model.probe_seconds)
    return model.probe


def note(model: ModelStanding) -> str:
    """The first damage in words, and how much more there is."""
    damage = [describe(finding) for finding in model.findings if finding.damage]
    return damage[0] + (f" (and {len(damage) - 1} more)" if len(damage) > 1 else "") if damage else ""


def happened(flips: Iterable[Flip], actions: Iterable[ActionRow]) -> tuple[Event, ...]:
    """Changes and actions, the newest first."""
    events = [*_of_flips(flips), *(of_action(action) for action in actions)]
    return tuple(sorted(events, key=lambda event: event.at, reverse=True)[:_EVENTS])


def _of_flips(flips: Iterable[Flip]) -> Iterator[Event]:
    """Changes of one kind that came together are one event."""
    for _, group in groupby(flips, key=lambda flip: (flip.kind, flip.bad, int(flip.at.timestamp()) // _TOGETHER)):
        together = tuple(group)
        yield _of_flip(together[0]) if len(together) == 1 else _of_many(together)


def _of_flip(flip: Flip) -> Event:
    subject, text = short(flip.subject), printable(flip.detail) if flip.bad else ""
    return Event(flip.at, _flip_mark(flip), subject, model_link(flip.subject), text, "")


def _of_many(flips: Sequence[Flip]) -> Event:
    names = sorted(short(flip.subject) for flip in flips)
    rest = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return Event(flips[0].at, _flip_mark(flips[0]), "", "", ", ".join(names[:_NAMES]) + rest, "")


def _flip_mark(flip: Flip) -> Mark:
    if not flip.bad:
        return Mark("good", f"{flip.kind}: over")
    return Mark("loss" if severity_of(flip.kind) is Severity.CRITICAL else "harm", flip.kind)


def of_action(action: ActionRow) -> Event:
    """One step of a piece of work."""
    source = f" from {action.source}" if action.source else ""
    moved = f", {size(action.bytes)} in {duration(action.seconds)}" if action.bytes else ""
    what = STEPS.get(action.step, action.step or action.verb)
    text = printable(f"{what} {_target(action.target)}".rstrip() + source + moved)
    mark = Mark("loss", "failed") if action.error else Mark("good", action.verb)
    if action.error:
        text = f"{action.verb}: {text}: {action.error}"
    return Event(action.at, mark, short(action.model), model_link(action.model), text, action.cause)


def _target(text: str) -> str:
    """A digest in its short form; any other target as it is."""
    return text[7:19] if text.startswith("sha256:") else text


def model_link(subject: str) -> str:
    """The page of a subject that is a model; nothing for servers and folders."""
    bare = subject.rpartition(":")[0] if "/" not in subject else subject
    if not subject or subject.startswith(("/", "http")) or not bare:
        return ""
    return link(subject)


def upcoming(tasks: Iterable[TaskStanding]) -> tuple[Next, ...]:
    """The schedule: what runs, then what is due next."""
    found = [
        Next(
            name=task.name,
            at=task.next_at,
            running=task.running,
            last=task.last_at,
            outcome=task.outcome,
            failed=task.outcome not in ("", "done"),
        )
        for task in tasks
    ]
    return tuple(sorted(found, key=_urgency))


def _urgency(task: Next) -> tuple[bool, float]:
    return not task.running, task.at.timestamp() if task.at is not None else _NEVER


def tail(standing: Standing) -> str:
    """The page's title: what a tab that is not looked at has to say."""
    bad = sum(1 for model in standing.models if model.protected and model.healthy is False)
    return f"{count(bad, 'model')} damaged" if bad else "ready" if standing.ready else "not ready"
