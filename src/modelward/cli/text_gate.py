"""The report of the gate for people."""

import typer

from modelward.cli.pieces import BAD, GOOD, dim, facts, findings, line, table
from modelward.cli.render import document
from modelward.domain.gate import GateReport
from modelward.domain.units import format_bytes, format_duration
from modelward.domain.words import printable


def show_gate(report: GateReport, *, json: bool) -> None:
    """One word a model, why where it is a bad one, and what they come to."""
    if json:
        typer.echo(document("gate", report))
        return
    facts(("store", report.store))
    findings((None, finding) for finding in report.findings)
    table(("MODEL", "OUTCOME", "WHY"), [(m.name.short, m.outcome.value, printable(m.why)) for m in report.models])
    moved = f", {format_bytes(report.bytes_moved)} healed" if report.bytes_moved else ""
    left = f", {format_bytes(report.unread)} not read" if report.unread else ""
    dim(f"{format_bytes(report.bytes_read)} read{moved}{left}, {format_duration(report.seconds)}")
    for note in report.notes:
        line(f"  next: {note}" if report.findings else note)
    line(f"{report.outcome.value}: {report.outcome.meaning}", BAD if report.exit_code else GOOD)
