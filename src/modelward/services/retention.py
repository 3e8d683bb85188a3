"""Forget, undelete and prune: names go to the trash by policy, bytes go later, the last good version never (S1)."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError, UnknownSnapshot, VaultUnreadable
from modelward.domain.name import ModelName
from modelward.domain.outcome import ForgetReport, PruneReport
from modelward.domain.retention import ForgetPlan, Policy, plan_forget, plan_prune
from modelward.domain.snapshot import Snapshot, Trashed, pick
from modelward.ports import Vault
from modelward.services.site import Site
from modelward.services.sound import is_sound


def forget(site: Site, asked: tuple[ModelName, ...], policy: Policy, *, dry_run: bool = False) -> ForgetReport:
    """Apply the policy to the chosen models, or to all that the vault knows."""
    vault = site.the_vault()
    if dry_run:
        return _report(_plan(site, vault, asked, policy), dry_run=True)
    with vault.writing("forget") as writer:
        plan = _plan(site, vault, asked, policy)
        writer.forget(plan.forget)
        for snapshot in plan.forget:
            site.audit("forget", model=snapshot.model, snapshot=snapshot.id)
    return _report(plan, dry_run=False)


def _plan(site: Site, vault: Vault, asked: tuple[ModelName, ...], policy: Policy) -> ForgetPlan:
    snapshots = vault.snapshots()
    chosen = site.choose(asked, frozenset(snapshot.model for snapshot in snapshots))
    mine = [snapshot for snapshot in snapshots if snapshot.model in chosen]
    pins = vault.protected().pins
    return plan_forget(mine, policy, site.clock.now(), lambda snapshot: is_sound(vault, snapshot), pins)


def _report(plan: ForgetPlan, *, dry_run: bool) -> ForgetReport:
    return ForgetReport(
        kept=tuple((kept.snapshot, kept.reasons) for kept in plan.keep), forgotten=plan.forget, dry_run=dry_run
    )


def undelete(site: Site, wanted: str) -> Snapshot:
    """Bring a forgotten snapshot back from the trash."""
    with site.the_vault().writing("undelete") as writer:
        trashed = tuple(item.snapshot for item in site.the_vault().trashed())
        if not trashed:
            raise UnknownSnapshot("the trash is empty", thing=wanted, next_step="list versions: modelward snapshots")
        snapshot = pick(trashed, wanted)
        writer.undelete(snapshot)
        site.audit("undelete", model=snapshot.model, snapshot=snapshot.id)
    return snapshot


def prune(site: Site, keep_trash: timedelta, *, dry_run: bool = False) -> PruneReport:
    """Free what the trash held long enough, and what no record names; refuse when any record cannot be read."""
    vault = site.the_vault()
    with vault.writing("prune") as writer:
        now = site.clock.now()
        ages = {
            digest: (stat.file.size, datetime.fromtimestamp(stat.file.ctime_ns / 1e9, UTC))
            for digest, stat in vault.objects().items()
        }
        plan = plan_prune(vault.trashed(), lambda rest: _named(vault, rest), ages, now, keep_trash)
        report = PruneReport(
            records=tuple(item.snapshot.id for item in plan.trashed),
            objects=plan.objects,
            bytes_freed=plan.bytes,
            quarantine_freed=0,
            dry_run=dry_run,
        )
        if dry_run:
            return report
        freed = writer.drop(plan.trashed, plan.objects) if plan.trashed or plan.objects else 0
        aside = writer.release_quarantine() + _release_store(site)
        if freed or aside or plan.trashed:
            site.audit("prune", records=report.records, objects=len(plan.objects), bytes=freed + aside)
    return PruneReport(
        records=report.records, objects=plan.objects, bytes_freed=freed, quarantine_freed=aside, dry_run=False
    )


def _named(vault: Vault, trashed: Iterable[Trashed]) -> frozenset[Digest]:
    """Every object that live snapshots and these trashed ones name; an unreadable wrapper stops the prune."""
    named: set[Digest] = set()
    for snapshot in (*vault.snapshots(), *(item.snapshot for item in trashed)):
        try:
            wrapper = vault.wrapper(snapshot.wrapper)
        except ModelwardError as error:
            raise VaultUnreadable(
                f"nothing is pruned while a snapshot cannot be read: {error}",
                thing=snapshot.id,
                next_step="run: modelward repair --vault-copy",
            ) from error
        named |= {snapshot.wrapper, *(item.digest for item in wrapper.objects)}
    return frozenset(named)


def _release_store(site: Site) -> int:
    """Drop what repairs set aside in the store, once a later verify proved the blob (R1)."""
    proved = {name: kept.verified_at for name, kept in site.ledgers.ledger(site.store_key).receipts.items()}
    try:
        with site.store.writing() as writer:
            return writer.release_quarantine(proved)
    except ModelwardError:
        return 0
