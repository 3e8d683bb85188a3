"""Status: every model at a glance, by folder entries and receipts alone, and what to do next."""

from collections import Counter

from modelward.domain.finding import CaseTwin, Orphan, Partial, StoreFinding
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
    counts = Counter(snapshot.model for snapshot in site.vault.snapshots()) if site.vault is not None else Counter()
    level = protection(site.store.identity(), site.vault.identity).value if site.vault is not None else ""
    lines = tuple(_line(site, verdict, counts[verdict.name], level) for verdict in report.models)
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
    return f"{site.runtime.url}"


def _line(site: Site, verdict: Verdict, snapshots: int, level: str) -> ModelStatus:
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
        next=_next(site, verdict, snapshots, protected=protected),
    )


def _next(site: Site, verdict: Verdict, snapshots: int, *, protected: bool) -> str:
    """The one command that helps this model most."""
    name = verdict.name.short
    if verdict.healthy is False:
        return f"modelward repair {name}" if verdict.recoverable else f"ollama rm {name} && ollama pull {name}"
    if not protected:
        return f"modelward protect {name}"
    if not verdict.recoverable:
        return (
            f"modelward backup {name}" if not snapshots else f"modelward backup {name}  (the copy is not this version)"
        )
    if verdict.healthy is None or _old(site, verdict):
        return f"modelward verify {name}"
    return ""


def _old(site: Site, verdict: Verdict) -> bool:
    if verdict.verified_at is None:
        return False
    return (site.clock.now() - verdict.verified_at).days >= _DAYS_BETWEEN_PROOFS
