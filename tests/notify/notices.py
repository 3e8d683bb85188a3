"""A notice to send."""

from datetime import UTC, datetime

from modelward.domain.alert import Alert, Kind, Notice, Severity, State, What

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
NOTICE = Notice(
    id="00112233aabbccdd",
    at=NOW,
    what=What.FIRING,
    severity=Severity.CRITICAL,
    title="model missing: llama3",
    lines=("llama3: the manifest is gone (for 40 s)", "next: modelward repair llama3"),
    alerts=(
        Alert(
            kind=Kind.MODEL_MISSING,
            subject="llama3",
            since=NOW,
            state=State.FIRING,
            detail="the manifest is gone",
            next="modelward repair llama3",
            due=NOW,
        ),
    ),
)
