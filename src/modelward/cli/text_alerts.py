"""What the verb ``alerts`` answers, for people."""

from collections.abc import Sequence

import typer

from modelward.cli.pieces import BAD, GOOD, dim, line, table
from modelward.cli.render import document
from modelward.domain.alert import Silence, State
from modelward.domain.alert_report import AlertLine, AlertsReport, AlertTest, SilenceReport
from modelward.domain.units import format_duration

_NAMES = {AlertsReport: "alerts", SilenceReport: "alerts-silence", AlertTest: "alerts-test"}


def show_alerts(report: AlertsReport | SilenceReport | AlertTest, *, json: bool) -> None:
    """Print one of the three reports."""
    if json:
        typer.echo(document(_NAMES[type(report)], report))
        return
    match report:
        case AlertsReport():
            _alerts(report)
        case SilenceReport():
            _silence(report)
        case AlertTest():
            _test(report)


def _alerts(report: AlertsReport) -> None:
    if not report.watched:
        line("no guard has kept a journal here yet")
        line("  next: modelward guard")
        return
    rows = [
        (each.severity, each.kind, each.subject, f"{each.since:%Y-%m-%d %H:%M}", _state(each)) for each in report.alerts
    ]
    table(("SEVERITY", "KIND", "SUBJECT", "SINCE (UTC)", "STATE"), rows)
    for each in report.alerts:
        line(f"{each.subject or each.kind}: {each.detail}", BAD)
        if each.next:
            line(f"  next: {each.next}")
    if not report.alerts:
        line("no open alerts", GOOD)
    _silences(report.silences)
    for queue in report.waiting:
        tail = f": {queue.error}" if queue.error else ""
        line(f"{queue.channel}: {queue.notices} to deliver, {queue.lost} given up{tail}", BAD)


def _state(alert: AlertLine) -> str:
    if alert.hidden_by:
        return f"hidden by {alert.hidden_by}"
    if alert.state is State.FIRING and alert.told_at is not None:
        return f"told {alert.told_at:%Y-%m-%d %H:%M}"
    return "to be told"


def _silences(silences: Sequence[Silence]) -> None:
    rows = [(each.id, each.kind or "any", each.subject, f"{each.until:%Y-%m-%d %H:%M}", each.why) for each in silences]
    table(("SILENCE", "KIND", "SUBJECT", "UNTIL (UTC)", "WHY"), rows)


def _silence(report: SilenceReport) -> None:
    made = report.silence
    what = f"silence {made.id} ({made.kind or 'any kind'}, {made.subject})"
    line(f"{what} is ended" if report.ended else f"{what} holds until {made.until:%Y-%m-%d %H:%M} UTC", GOOD)
    if not report.ended:
        dim(f"end it: modelward alerts unsilence {made.id}")


def _test(report: AlertTest) -> None:
    for tried in report.channels:
        text = tried.error or f"took the test in {format_duration(tried.seconds)}"
        line(f"{tried.channel}: {text}", BAD if tried.error else GOOD)
        if tried.error:
            line(f"  next: {tried.next}")
    if not report.channels:
        line("no channel is set: alerts go to the log of the guard only")
        line("  next: set alert_urls, webhook_url or deadman_url (modelward config)")
