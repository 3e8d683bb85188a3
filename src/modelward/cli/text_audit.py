"""What the verb ``audit`` answers, for people."""

import typer

from modelward.cli.pieces import BAD, GOOD, dim, facts, line, table
from modelward.cli.render import document
from modelward.domain.audit import AuditEntry, AuditReport, AuditVerdict
from modelward.domain.errors import BadName
from modelward.domain.name import ModelName
from modelward.domain.words import printable

_SHOWN = frozenset({"model", "cause", "error"})


def show_audit(report: AuditReport | AuditVerdict, *, json: bool) -> None:
    """Print one of the two reports."""
    if json:
        typer.echo(document("audit" if isinstance(report, AuditReport) else "audit-verify", report))
    elif isinstance(report, AuditReport):
        _entries(report)
    else:
        _verdict(report)


def _entries(report: AuditReport) -> None:
    facts(("vault", report.vault))
    table(("NO", "WHEN (UTC)", "ACTION", "MODEL", "CAUSE", "OUTCOME", "DETAILS"), [_row(e) for e in report.entries])
    dim(f"{len(report.entries)} of {report.total} entries")


def _row(entry: AuditEntry) -> tuple[str, ...]:
    details = ", ".join(f"{key} {value}" for key, value in entry.keys.items() if value and key not in _SHOWN)
    model = _short(entry.model)
    cells = (entry.action, model, entry.cause, entry.outcome, details)
    return (str(entry.seq), f"{entry.at:%Y-%m-%d %H:%M:%S}", *(printable(cell) for cell in cells))


def _short(name: str) -> str:
    """The name as ``ollama list`` shows it; a name that nobody could have stays as it stands there."""
    try:
        return ModelName.parse(name).short if name else ""
    except BadName:
        return name


def _verdict(report: AuditVerdict) -> None:
    facts(("vault", report.vault))
    if not report.faults:
        line(f"{report.entries} entries, each follows the one before: nobody changed them", GOOD)
        return
    for fault in report.faults:
        line(printable(fault), BAD)
    line("  next: keep audit.jsonl and audit-head.json as evidence; a backup of this folder shows what was there")
