"""What the journal keeps of the reports of jobs, whoever asked for them."""

from datetime import datetime

from modelward.domain.history import ActionRow, DrillRow
from modelward.domain.outcome import DrillReport, RepairReport


def action_rows(report: RepairReport, cause: str, now: datetime) -> list[ActionRow]:
    """One row for each step that was carried out."""
    return [
        ActionRow(
            at=now,
            cause=cause,
            verb=report.verb,
            step=action.step,
            model=str(action.model),
            target=action.target,
            source=action.source,
            bytes=action.bytes_moved,
            seconds=action.seconds,
            error=action.error,
        )
        for action in report.actions
    ]


def drill_row(report: DrillReport, now: datetime) -> DrillRow:
    """What the journal keeps of a drill."""
    return DrillRow(
        at=now,
        model=str(report.model),
        snapshot=report.snapshot,
        bytes=report.bytes,
        restore_seconds=report.restore_seconds,
        verify_seconds=report.verify_seconds,
        ok=report.ok,
        why=report.why,
    )
