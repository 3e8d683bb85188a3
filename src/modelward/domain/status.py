"""What status shows: one line a model, and what was noticed beside them."""

from datetime import datetime

import msgspec

from modelward.domain.finding import Finding
from modelward.domain.name import ModelName


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table; ``protected`` is False for a released model."""

    name: ModelName
    size: int
    healthy: bool | None
    recoverable: bool
    verified_at: datetime | None
    snapshots: int
    protection: str
    protected: bool
    findings: tuple[Finding, ...]
    next: str


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Where store, vault and server are, the models, and what was noticed beside them."""

    store: str
    vault: str
    server: str
    models: tuple[ModelStatus, ...]
    findings: tuple[Finding, ...]
    orphans: int
    orphan_bytes: int
    partials: int
    partial_bytes: int
    exit_code: int
