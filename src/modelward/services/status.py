"""Status: every model at a glance, by folder entries and receipts alone, and what to do next."""

from collections import Counter

from modelward.domain.errors import RuntimeUnreachable
from modelward.domain.finding import CaseTwin, Orphan, Partial, StoreEmpty, StoreFinding
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.status import ModelStatus, StatusReport
from modelward.domain.verdict import Verdict, exit_code
from modelward.mounts import protection
from modelward.services.identity import store_findings
from modelward.services.site import Site
from modelward.services.verify import verify

_DAYS_BETWEEN_PROOFS = 30


def status(site: Site, asked: tuple[ModelName, ...]) -> StatusReport:
    """Nothing is read but folder entries, manifests and receipts."""
    inventory = site.store.inventory()
    report = verify(site, asked, Level.QUICK, inventory=inventory)
    doubts: tuple[StoreFinding, ...] = store_findings(site, inventory)
    versions = {(snapshot.model, snapshot.wrapper) for snapshot in (site.vault.snapshots() if site.vault else ())}
    counts = Counter(model for model, _ in versions)
    level = protection(site.store.identity(), site.vault.identity).value if site.vault is not None else ""
    lines = tuple(_line(site, verdict, counts[verdict.name], level, doubts) for verdict in report.models)
    orphans = [finding for finding in report.findings if isinstance(finding, Orphan)]
    partials = [finding for finding in inventory.findings if isinstance(finding, Partial)]
    return StatusReport(
        store=site.store.path,
        vault=site.vault.path if site.vault is not None else "",
        server=_server(site),
        models=lines,
        findings=(*doubts, *(finding for finding in inventory.findings if isinstance(finding, CaseTwin))),
        orphans=len(orphans),
        orphan_bytes=sum(orphan.size for orphan in orphans),
        partials=len(partials),
        partial_bytes=sum(partial.bytes for partial in partials),
        exit_code=exit_code(report.models) or (1 if doubts else 0),
    )


def _server(site: Site) -> str:
    if site.runtime is None:
        return ""
    try:
        return f"{site.runtime.url} (version {site.runtime.version()})"
    except RuntimeUnreachable:
        return f"{site.runtime.url} (does not answer; nothing here needs it)"


def _line(site: Site, verdict: Verdict, snapshots: int, level: str, doubts: tuple[StoreFinding, ...]) -> ModelStatus:
    protected = site.protects(verdict.name)
    return ModelStatus(
        name=verdict.name,
        size=verdict.size,
        healthy=verdict.healthy,
        recoverable=verdict.recoverable,
        verified_at=verdict.verified_at,
        snapshots=snapshots,
        protection=level if snapshots else "",
        protected=protected,
        findings=verdict.findings,
        next=_next(site, verdict, protected=protected, doubts=doubts),
    )


def _next(site: Site, verdict: Verdict, *, protected: bool, doubts: tuple[StoreFinding, ...]) -> str:
    """The one command that helps this model most; empty where nothing has to be done."""
    name = verdict.name.short
    if verdict.healthy is False:
        empty = verdict.recoverable and any(isinstance(doubt, StoreEmpty) for doubt in doubts)
        return f"modelward {'restore' if empty else 'repair'} {name}"
    if not protected:
        return ""
    if not verdict.recoverable:
        return f"modelward backup {name}"
    return f"modelward verify {name}" if verdict.healthy is None or _old(site, verdict) else ""


def _old(site: Site, verdict: Verdict) -> bool:
    if verdict.verified_at is None:
        return False
    return (site.clock.now() - verdict.verified_at).days >= _DAYS_BETWEEN_PROOFS
