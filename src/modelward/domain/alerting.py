"""The alert engine: flips go in, notices come out, and the book of what is open and what waits is all it knows.

An alert is pending until it has lasted for its pending time, waits a little for others of its kind, is told, and is
told once more when it is over. Being good has to last for the pending time as well, so a trouble that flutters is one
trouble. Time that went by is time that went by; a clock that was set back takes every time in the book with it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from modelward.domain import notice_text
from modelward.domain.alert import (
    EVENT_KINDS,
    Alert,
    Condition,
    Flip,
    Key,
    Kind,
    Notice,
    Severity,
    Silence,
    State,
    What,
    severity_of,
)
from modelward.domain.codec import encode
from modelward.domain.timetable import Timetable

# What is hidden while the first is bad: it follows from it, and would be told as many troubles.
HIDES: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.STORE: frozenset({Kind.MODEL_MISSING, Kind.INTEGRITY, Kind.BACKUP, Kind.RESTORE, Kind.SERVICE}),
    Kind.SERVICE: frozenset({Kind.MODEL_MISSING, Kind.RESTORE}),
    Kind.BRAKE: frozenset({Kind.RESTORE}),
}
_OPEN = (State.PENDING, State.FIRING)
_ORDER = tuple(What)
_KINDS = tuple(Kind)
_SEVERITIES = tuple(Severity)
_LOOK_AGAIN = timedelta(minutes=1)  # what hides an alert may end without a flip: a silence runs out
_FORESIGHT = timedelta(hours=1)  # a silence made so far in the future is from before the clock was set back
_PATIENCE = 30  # group times that what is over waits for others of its kind that are not yet
_NONE = timedelta()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How long a trouble lasts before it is told, how long others of its kind are waited for, and how often it is told.

    ``healed``: tell also what was good again before it had to be told. ``quiet``: hours of the local day in which only
    critical alerts are told. ``pending_of``: kinds with a pending time of their own. A reminder of zero means none.
    """

    pending: timedelta = timedelta(seconds=30)
    group: timedelta = timedelta(seconds=10)
    reminder: timedelta = timedelta(hours=24)
    healed: bool = True
    quiet: Timetable | None = None
    pending_of: Mapping[Kind, timedelta] = {}

    def lasting(self, kind: Kind) -> timedelta:
        """How long a trouble of this kind has to last, and how long its end."""
        return self.pending_of.get(kind, self.pending)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that are collected into one notice until ``due``; ``held`` when quiet hours kept it back."""

    what: What
    kind: Kind
    due: datetime
    held: bool = False

    @property
    def key(self) -> tuple[What, Kind]:
        """What it collects."""
        return self.what, self.kind


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engine knows: every open alert, and what waits to be told. The caller keeps it (JSON)."""

    alerts: tuple[Alert, ...] = ()
    groups: tuple[Group, ...] = ()
    seen_at: datetime | None = None
    quiet_until: datetime | None = None


Alerts = dict[Key, Alert]
Ready = dict[tuple[What, Kind], list[Alert]]


def open_of(book: Book) -> dict[Key, Condition]:
    """The conditions that the book holds to be bad: what ``flips_of`` compares with."""
    return {
        alert.key: Condition(alert.kind, alert.subject, alert.detail, alert.next)
        for alert in book.alerts
        if alert.state in _OPEN
    }


def differs(before: Book, after: Book) -> bool:
    """Whether the later book has to be kept: that it looked at the clock is no change."""
    return (before.alerts, before.groups) != (after.alerts, after.groups)


def advance(  # noqa: PLR0913, PLR0917 - everything that a result depends on comes in here
    book: Book,
    flips: Iterable[Flip],
    silences: Collection[Silence],
    now: datetime,
    rules: Rules,
    local_now: datetime,
) -> tuple[Book, tuple[Notice, ...]]:
    """Take in what changed, and say what has to be told now; ``local_now`` is ``now`` by the clock on the wall.

    The same arguments give the same result. Call it with every flip, and no later than ``next_wake`` says.
    """
    book = _set_back(book, now)
    alerts = {alert.key: alert for alert in book.alerts}
    changes = tuple(flips)
    if changes:
        _hide(alerts, silences, now, rules, anew=True)  # what was hidden up to now, if these flips end that
    for flip in changes:
        _take(alerts, flip, now, rules)
    hidden = _hide(alerts, silences, now, rules)
    ready = _ready(alerts, hidden, now, rules)
    quiet_until = _quiet_until(now, local_now, rules)
    groups = _groups(book.groups, ready, alerts, now, rules)
    due = [group for group in groups if group.due <= now]
    told = [group for group in due if quiet_until is None or _urgent(group)]
    held = [replace(group, held=True) for group in due if group not in told]
    notices = _notices(told, ready, now)
    for group in told:
        _told(alerts, ready[group.key], group.what, now)
    return Book(
        alerts=tuple(alerts.values()),
        groups=tuple(_sorted([*(group for group in groups if group not in due), *held])),
        seen_at=now,
        quiet_until=quiet_until,
    ), notices


def next_wake(book: Book, rules: Rules, now: datetime) -> datetime | None:
    """When ``advance`` has to be called next if nothing flips; None where there is nothing to wait for."""
    if book.alerts and book.seen_at is not None and now < book.seen_at:
        return now  # the clock was set back: the book's times have to follow before they say anything
    collected = {group.key for group in book.groups}
    times = [(book.quiet_until or now) if group.held else group.due for group in book.groups]
    for alert in book.alerts:
        what, due = _turn(alert, rules)
        if due is not None and due > now:
            times.append(due)
        elif due is not None and (what, alert.kind) not in collected:
            times.append(now + _LOOK_AGAIN)
    return max(now, min(times)) if times else None


# Flips.


def _take(alerts: Alerts, flip: Flip, now: datetime, rules: Rules) -> None:
    """Let one flip change the alerts. One that is dated later than now is of now."""
    at, known = min(flip.at, now), alerts.get(flip.key)
    if flip.kind in EVENT_KINDS:
        if flip.bad:
            alerts[flip.key] = _new(flip, State.EVENT, at, at)
    elif not flip.bad:
        _good(alerts, flip.key, at, now, rules)
    elif known is None:
        alerts[flip.key] = _new(flip, State.PENDING, at, at + rules.lasting(flip.kind))
    else:
        alerts[flip.key] = _bad_again(known, flip, now, rules)


def _new(flip: Flip, state: State, since: datetime, due: datetime) -> Alert:
    return Alert(
        kind=flip.kind, subject=flip.subject, since=since, state=state, detail=flip.detail, next=flip.next, due=due
    )


def _bad_again(known: Alert, flip: Flip, now: datetime, rules: Rules) -> Alert:
    """An alert that is open still, or was good for so short a time that it is the same trouble."""
    alert = replace(known, detail=flip.detail, next=flip.next)
    if known.state is not State.CLEARING:
        return alert
    state = State.PENDING if known.told_at is None else State.FIRING
    begun = now if known.inhibited_by else known.since
    return replace(alert, state=state, ended_at=None, due=begun + rules.lasting(known.kind))


def _good(alerts: Alerts, key: Key, at: datetime, now: datetime, rules: Rules) -> None:
    known = alerts.get(key)
    if known is None or known.state not in _OPEN:
        return
    if known.state is State.PENDING and (known.inhibited_by or _cause(known.kind, _bad_kinds(alerts))):
        del alerts[key]  # it followed from another trouble, or nobody wanted to hear of it
        return
    alerts[key] = replace(known, state=State.CLEARING, ended_at=at, due=now + rules.lasting(known.kind))


# What is hidden.


def _hide(
    alerts: Alerts, silences: Collection[Silence], now: datetime, rules: Rules, *, anew: bool = False
) -> frozenset[Key]:
    """The alerts of which nothing is told now; one that is still pending begins anew when nothing hides it any more.

    Its due time is moved now and then, or with ``anew`` in any case: a book that changed has to be kept.
    """
    bad = _bad_kinds(alerts)
    live = [each for each in silences if now < each.until and each.made_at <= now + _FORESIGHT]
    hidden = set()
    for key, alert in tuple(alerts.items()):
        by = _hider(alert, bad, live)
        if by:
            hidden.add(key)
        if alert.state is State.PENDING and by:
            lasting = rules.lasting(alert.kind)
            due = now + lasting if anew or alert.due - now < lasting / 2 else alert.due
            alerts[key] = replace(alert, inhibited_by=by, due=due)
        elif alert.state is State.FIRING:
            alerts[key] = replace(alert, inhibited_by=by)
        elif by and alert.told_at is None:
            del alerts[key]
    return frozenset(hidden)


def _hider(alert: Alert, bad: Collection[Kind], silences: Sequence[Silence]) -> str:
    if alert.state in _OPEN and (cause := _cause(alert.kind, bad)):
        return cause
    return next((f"silence {each.id}" for each in silences if each.covers(alert.kind, alert.subject)), "")


def _cause(kind: Kind, bad: Collection[Kind]) -> str:
    """The kind of trouble that hides this kind, if one is bad."""
    return next((str(cause) for cause, hides in HIDES.items() if cause in bad and kind in hides), "")


def _bad_kinds(alerts: Alerts) -> frozenset[Kind]:
    return frozenset(alert.kind for alert in alerts.values() if alert.state in _OPEN)


# What is ready to be told.


def _turn(alert: Alert, rules: Rules) -> tuple[What, datetime | None]:
    """What will be told next of an alert, and when, if nothing flips."""
    match alert.state:
        case State.EVENT:
            return What.EVENT, alert.due
        case State.CLEARING:
            return (What.HEALED if alert.told_at is None else What.RESOLVED), alert.due
        case State.FIRING:
            last = alert.reminded_at or alert.told_at or alert.since
            return What.REMINDER, last + rules.reminder if rules.reminder > _NONE else None
        case _:
            return What.FIRING, alert.due


def _ready(alerts: Alerts, hidden: Collection[Key], now: datetime, rules: Rules) -> Ready:
    """What has lasted long enough, by what it says and of which kind; drops what nobody wants to hear of."""
    ready: Ready = {}
    for key, alert in tuple(alerts.items()):
        what, due = _turn(alert, rules)
        if due is None or due > now or (key in hidden and what is not What.RESOLVED):
            continue
        if what is What.HEALED and not rules.healed:
            del alerts[key]
        else:
            ready.setdefault((what, alert.kind), []).append(alert)
    for what, kind in ready:
        if what is What.REMINDER:  # one message for all of them, whenever each was told
            ready[what, kind] = [each for key, each in alerts.items() if _lasts(each, kind) and key not in hidden]
    return ready


def _lasts(alert: Alert, kind: Kind) -> bool:
    return alert.kind is kind and alert.state is State.FIRING


def _groups(known: Iterable[Group], ready: Ready, alerts: Alerts, now: datetime, rules: Rules) -> list[Group]:
    """The groups that have something to tell: those that wait already, and new ones."""
    waiting = {group.key: group for group in known}
    groups = []
    for (what, kind), those in ready.items():
        told = sum(alert.kind is kind and alert.told_at is not None for alert in alerts.values())
        due = now + _collecting(what, rules, more=told > len(those))
        group = waiting.get((what, kind)) or Group(what=what, kind=kind, due=due)
        groups.append(replace(group, due=min(group.due, due)))
    return groups


def _collecting(what: What, rules: Rules, *, more: bool) -> timedelta:
    """How long others are waited for: what is repaired one after the other shall be over in few messages."""
    if what is What.REMINDER:
        return _NONE
    return rules.group * _PATIENCE if what is What.RESOLVED and more else rules.group


def _urgent(group: Group) -> bool:
    """Whether it goes through quiet hours: whoever was woken is told that it is over, too."""
    told = (What.FIRING, What.REMINDER, What.RESOLVED)
    return group.what in told and severity_of(group.kind) is Severity.CRITICAL


def _quiet_until(now: datetime, local_now: datetime, rules: Rules) -> datetime | None:
    if rules.quiet is None or rules.quiet.wait(local_now):
        return None
    return now + Timetable(rules.quiet.last, rules.quiet.first).wait(local_now)


# Telling.


def _notices(told: Sequence[Group], ready: Ready, now: datetime) -> tuple[Notice, ...]:
    """One notice a group; all that quiet hours kept back is one."""
    held = _sorted([group for group in told if group.held])
    single = [group for group in _sorted(told) if not (group.held and len(held) > 1)]
    notices = [_notice((group.what,), (_as_told(ready[group.key], group.what),), now) for group in single]
    if len(held) > 1:
        whats = tuple(group.what for group in held)
        notices.insert(0, _notice(whats, tuple(_as_told(ready[group.key], group.what) for group in held), now))
    return tuple(notices)


def _notice(whats: tuple[What, ...], groups: tuple[tuple[Alert, ...], ...], now: datetime) -> Notice:
    alerts = tuple(alert for group in groups for alert in group)
    bad = [severity_of(alert.kind) for alert in alerts if alert.state in (State.FIRING, State.EVENT)]
    severity = min(bad, key=_SEVERITIES.index, default=Severity.INFO)
    title = notice_text.title(whats[0], groups[0]) if len(groups) == 1 else notice_text.digest_title(alerts)
    lines = notice_text.lines(alerts, now)
    told = [(alert.kind, alert.subject, alert.state, alert.since, alert.told_at, alert.reminded_at) for alert in alerts]
    name = sha256(encode((whats, told))).hexdigest()[:16]
    return Notice(id=name, at=now, what=whats[0], severity=severity, title=title, lines=lines, alerts=alerts)


def _as_told(alerts: Iterable[Alert], what: What) -> tuple[Alert, ...]:
    """The alerts, each with the state that is told of it."""
    states = {What.RESOLVED: State.RESOLVED, What.HEALED: State.HEALED, What.EVENT: State.EVENT}
    return tuple(replace(alert, state=states.get(what, State.FIRING), inhibited_by="") for alert in alerts)


def _told(alerts: Alerts, group: Iterable[Alert], what: What, now: datetime) -> None:
    """Keep that these were told."""
    for alert in group:
        if what is What.FIRING:
            alerts[alert.key] = replace(alert, state=State.FIRING, told_at=now, inhibited_by="")
        elif what is What.REMINDER:
            alerts[alert.key] = replace(alerts[alert.key], reminded_at=now)
        else:
            del alerts[alert.key]


def _sorted(groups: Iterable[Group]) -> list[Group]:
    """What is bad first, then what is over; the kinds in the order of their list."""
    return sorted(groups, key=lambda group: (_ORDER.index(group.what), _KINDS.index(group.kind)))


# A clock that was set back.


def _set_back(book: Book, now: datetime) -> Book:
    """The book with every time moved by as much as the clock went back, so that nothing comes late or twice."""
    if book.seen_at is None or now >= book.seen_at:
        return book
    step = now - book.seen_at
    return Book(
        alerts=tuple(_moved(alert, step) for alert in book.alerts),
        groups=tuple(replace(group, due=group.due + step) for group in book.groups),
        seen_at=now,
        quiet_until=book.quiet_until,
    )


def _moved(alert: Alert, step: timedelta) -> Alert:
    times = {
        name: value + step
        for name in ("since", "due", "told_at", "reminded_at", "ended_at")
        if (value := getattr(alert, name)) is not None
    }
    return replace(alert, **times)
