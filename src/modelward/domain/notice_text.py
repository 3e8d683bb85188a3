"""Notices in words: a title that fits a phone, and lines that say what is wrong and what to do."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from modelward.domain.alert import Alert, State, What
from modelward.domain.units import format_duration
from modelward.domain.words import printable

LINES: Final = 20  # alerts that a message names; the rest is a number
_NAMED = 3
_LONGEST = 400
_PREFIX = {What.REMINDER: "still ", What.RESOLVED: "over: ", What.HEALED: "healed: "}
_DIGEST = {State.FIRING: "to look at", State.EVENT: "to know", State.RESOLVED: "over", State.HEALED: "healed"}


def title(what: What, alerts: Sequence[Alert]) -> str:
    """The title of a notice on alerts of one kind."""
    names = [printable(alert.subject) for alert in alerts if alert.subject]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    head = f"{_PREFIX.get(what, '')}{alerts[0].kind}"
    return _cut(f"{head}: {shown}" if shown else head)


def digest_title(alerts: Sequence[Alert]) -> str:
    """The title of the one notice on all that quiet hours kept back."""
    counts = Counter(alert.state for alert in alerts)
    return "after quiet hours: " + ", ".join(
        f"{counts[state]} {word}" for state, word in _DIGEST.items() if state in counts
    )


def lines(alerts: Sequence[Alert], now: datetime) -> tuple[str, ...]:
    """One line for each of the first alerts, then how many more, then what to do."""
    mixed = len({(alert.kind, alert.state) for alert in alerts}) > 1
    shown = [_line(alert, now, mixed=mixed) for alert in alerts[:LINES]]
    more = [f"and {len(alerts) - LINES} more"] if len(alerts) > LINES else []
    steps = dict.fromkeys(alert.next for alert in alerts if alert.next and alert.state in (State.FIRING, State.EVENT))
    return (*shown, *more, *(_cut(f"next: {printable(step)}") for step in list(steps)[:_NAMED]))


def _line(alert: Alert, now: datetime, *, mixed: bool) -> str:
    head = ": ".join(part for part in (str(alert.kind) if mixed else "", alert.subject) if part)
    body = ": ".join(part for part in (head, alert.detail) if part)
    return _cut(printable(body)) + _how_long(alert, now)


def _how_long(alert: Alert, now: datetime) -> str:
    if alert.state is State.EVENT:
        return ""
    seconds = max(0.0, ((alert.ended_at or now) - alert.since).total_seconds())
    word = {State.RESOLVED: "over after", State.HEALED: "healed after"}.get(alert.state, "for")
    return f" ({word} {format_duration(seconds)})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
