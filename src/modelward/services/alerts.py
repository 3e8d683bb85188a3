"""Alerts for people: list what is open, silence what is known, and test the channels."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from modelward.domain.alert import Kind, Notice, Severity, Silence, State, What
from modelward.domain.alert_report import AlertLine, AlertsReport, AlertTest, SilenceReport, Tried, Waiting
from modelward.domain.alerting import Book
from modelward.domain.errors import BadSetting, DeliveryFailed, UnknownSilence
from modelward.domain.outbox import Outbox
from modelward.ports import Clock, Deadman, Journal, Notifier

BOOK: Final = "alerts.book"
SILENCES: Final = "alerts.silences"
OUTBOX: Final = "alerts.outbox"
_SEVERITIES = tuple(Severity)


def list_alerts(journal: Journal | None, clock: Clock) -> AlertsReport:
    """Everything that is open, silenced or undelivered; ``journal`` is None where no guard has kept one."""
    if journal is None:
        return AlertsReport(watched=False)
    book, outbox = journal.get(BOOK, Book) or Book(), journal.get(OUTBOX, Outbox) or Outbox()
    found = [AlertLine.of(alert) for alert in book.alerts if alert.state is not State.CLEARING]
    return AlertsReport(
        alerts=tuple(sorted(found, key=lambda line: (_SEVERITIES.index(line.severity), line.kind, line.subject))),
        silences=silences(journal, clock.now()),
        waiting=tuple(Waiting.of(queue) for queue in outbox.queues if queue.error or queue.notices or queue.lost),
    )


def silences(journal: Journal, now: datetime) -> tuple[Silence, ...]:
    """The silences that have not run out."""
    return tuple(silence for silence in journal.get(SILENCES, tuple[Silence, ...]) or () if now < silence.until)


def silence(  # noqa: PLR0913, PLR0917 - what, for how long and why are one order
    journal: Journal, clock: Clock, kind: str, subject: str, duration: timedelta, why: str
) -> SilenceReport:
    """Tell nothing of this kind (empty: any) on subjects of this glob for so long; raises BadSetting.

    What was told already is still told to be over.
    """
    if duration <= timedelta():
        raise BadSetting("no time at all", thing="--for", next_step="write for example 4h or 2d")
    if not kind.strip() and not subject.strip():
        raise BadSetting("nothing named", thing="silence", next_step="name a subject ('*' for all), or a --kind")
    now, named = clock.now(), _kind(kind)
    known = silences(journal, now)
    number = max((int(each.id) for each in known if each.id.isdecimal()), default=0) + 1
    made = Silence(id=str(number), kind=named, subject=subject or "*", until=now + duration, why=why, made_at=now)
    journal.put(SILENCES, (*known, made))
    return SilenceReport(silence=made, ended=False, silences=(*known, made))


def unsilence(journal: Journal, clock: Clock, name: str) -> SilenceReport:
    """End a silence by its id; raises UnknownSilence."""
    known = silences(journal, clock.now())
    ended = next((each for each in known if each.id == name), None)
    if ended is None:
        raise UnknownSilence("no such silence", thing=name or "unsilence", next_step="list them: modelward alerts list")
    rest = tuple(each for each in known if each.id != name)
    journal.put(SILENCES, rest)
    return SilenceReport(silence=ended, ended=True, silences=rest)


def test(notifiers: Iterable[Notifier], deadman: Deadman | None, clock: Clock) -> AlertTest:
    """Send a test notice through every channel, and a sign of life to the monitor elsewhere."""
    notice = Notice(
        id=f"test-{clock.now():%Y%m%dT%H%M%SZ}",
        at=clock.now(),
        what=What.TEST,
        severity=Severity.INFO,
        title="test of the alert channels",
        lines=("This is a test: nothing is wrong.",),
    )
    tried = [_try(channel.name, partial(channel.send, notice), clock) for channel in notifiers]
    if deadman is not None:
        tried.append(_try(deadman.name, deadman.ping, clock))
    return AlertTest(channels=tuple(tried))


def _try(name: str, send: Callable[[], None], clock: Clock) -> Tried:
    begun = clock.monotonic()
    error = next_step = ""
    try:
        send()
    except DeliveryFailed as failed:
        error, next_step = failed.what, failed.next_step
    return Tried(channel=name, seconds=clock.monotonic() - begun, error=error, next=next_step)


def _kind(text: str) -> str:
    """The kind that the text names, with blanks or hyphens between its words; empty for any."""
    word = text.strip().lower().replace("-", " ")
    if word and word not in set(Kind):
        kinds = [kind.value for kind in Kind]
        from difflib import get_close_matches  # only where there is a mistake

        near = get_close_matches(word, kinds, n=1) or kinds
        raise BadSetting("no kind of alert", thing=repr(text), next_step=f"write for example {near[0]!r}")
    return word
