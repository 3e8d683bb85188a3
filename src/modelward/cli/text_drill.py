"""The report of a drill for people."""

import typer

from modelward.cli.pieces import BAD, GOOD, dim, facts, line
from modelward.cli.render import document
from modelward.domain.outcome import DrillReport
from modelward.domain.units import format_bytes, format_duration
from modelward.domain.words import printable


def show_drill(report: DrillReport, *, json: bool) -> None:
    """What came back, how fast, and where not, why not."""
    if json:
        typer.echo(document("drill", report))
        return
    facts(("model", report.model.short), ("of", report.snapshot), ("in", report.place))
    if report.ok:
        restored, verified = format_duration(report.restore_seconds), format_duration(report.verify_seconds)
        line(f"{format_bytes(report.bytes)} came back in {restored}, and every byte was proved in {verified}", GOOD)
    else:
        line(f"it did not come back: {printable(report.why)}", BAD)
        line("  next: modelward repair --vault-copy")
    for note in report.notes:
        dim(note)
