"""Audit: show what was done to this vault and its stores, and prove that nobody changed the record of it (A1)."""

from collections import deque

from modelward.domain.audit import AuditEntry, AuditFilter, AuditReport, AuditVerdict
from modelward.services.site import Site


def show_audit(site: Site, chosen: AuditFilter) -> AuditReport:
    """The chosen entries, the oldest first; the last ones where there is a limit. Raises VaultMissing."""
    vault, total = site.the_vault(), 0
    kept = deque[AuditEntry](maxlen=chosen.limit or None)
    for entry in vault.audit_entries():
        total += 1
        if chosen.takes(entry):
            kept.append(entry)
    return AuditReport(vault=vault.path, entries=tuple(kept), total=total)


def verify_audit(site: Site) -> AuditVerdict:
    """Every edit, drop, reorder or cut of the log, in words that name the line. Raises VaultMissing."""
    vault = site.the_vault()
    return AuditVerdict(vault=vault.path, entries=sum(1 for _ in vault.audit_entries()), faults=vault.audit_faults())
