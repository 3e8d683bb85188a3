"""Space: what each model really costs, what nobody needs, and how to get it back."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.finding import BadEntry, ManifestDamaged, Orphan, Partial
from modelward.domain.snapshot import Snapshot
from modelward.domain.space import GRACE, Leftover, SpaceReport, VaultCost, costs
from modelward.domain.store import Inventory
from modelward.domain.words import describe
from modelward.ports import Vault
from modelward.services.expect import expected_models
from modelward.services.identity import require_known, store_findings
from modelward.services.site import Site

_MONTH = timedelta(days=30)


def space(
    site: Site, *, reclaim: bool = False, grace: timedelta = GRACE, accepted: bool = False, dry_run: bool = True
) -> SpaceReport:
    """What lies where; with ``reclaim`` leftovers older than ``grace`` are removed, unless ``dry_run``.

    Nothing is reclaimed while a manifest cannot be read, for nobody knows what it names, nor from a store that is
    not the recorded one (I1). What a lost model of the vault needs stays.
    """
    inventory = site.store.inventory()
    leftovers = tuple(_leftovers(site, inventory, grace))
    refused = _refuse(inventory) if reclaim else ""
    freed = 0
    if reclaim and not refused and not dry_run:
        require_known(store_findings(site, inventory), accepted=accepted)
        freed = _reclaim(site, leftovers, grace)
    return SpaceReport(
        store=site.store.path,
        disk=site.store.space(),
        models=costs({n: {b.digest: b.size for b in m.manifest.blobs} for n, m in inventory.models.items()}),
        blobs=sum(stat.file.size for stat in inventory.blobs.values()),
        leftovers=leftovers,
        vault=_vault(site, site.vault) if site.vault is not None else None,
        reclaimed=freed,
        dry_run=dry_run,
        refused=refused,
    )


def _leftovers(site: Site, inventory: Inventory, grace: timedelta) -> Iterable[Leftover]:
    now, needed = site.clock.now(), _needed_by_lost(site, inventory)
    for found in inventory.findings:
        if isinstance(found, Orphan):
            file = inventory.blobs[found.blob].file
            moment = datetime.fromtimestamp(max(file.mtime_ns, file.ctime_ns) / 1e9, UTC)
            why = f"{needed[found.blob]} needs it: modelward repair" if found.blob in needed else ""
            yield _leftover("orphan", found.blob.hex, found.size, moment, why or _young(now, moment, grace))
        elif isinstance(found, Partial):
            moment = datetime.fromtimestamp(found.changed_at, UTC)
            yield _leftover("partial", found.path.rpartition("/")[2], found.bytes, moment, _young(now, moment, grace))


def _leftover(kind: str, name: str, size: int, moment: datetime, why: str) -> Leftover:
    return Leftover(kind=kind, name=name, bytes=size, changed_at=moment, why=why)


def _young(now: datetime, moment: datetime, grace: timedelta) -> str:
    return "younger than the grace period: a download may be running" if now - moment < grace else ""


def _needed_by_lost(site: Site, inventory: Inventory) -> dict[Digest, str]:
    """Blobs that no manifest names, and that a protected model whose manifest is lost will name again."""
    needed: dict[Digest, str] = {}
    for model in expected_models(site, inventory, ()):
        if model.name in inventory.models or not site.protects(model.name) or model.manifest is None:
            continue
        needed |= dict.fromkeys((blob.digest for blob in model.manifest.blobs), model.name.short)
    return needed


def _refuse(inventory: Inventory) -> str:
    """Why no orphan may go: what a manifest names that nobody can read is on no list."""
    for found in inventory.findings:
        if isinstance(found, ManifestDamaged | BadEntry):
            return f"{describe(found)}: what it names is not known; run modelward repair, or remove it"
    return ""


def _reclaim(site: Site, leftovers: Iterable[Leftover], grace: timedelta) -> int:
    free = [item for item in leftovers if not item.why]
    before = int((site.clock.now() - grace).timestamp())
    with site.store.writing() as writer:
        # The lock keeps our own writers away, not the server: only what it does not name now goes.
        still = {found.blob.hex for found in site.store.inventory().findings if isinstance(found, Orphan)}
        orphans = [Digest(item.name) for item in free if item.kind == "orphan" and item.name in still]
        freed = writer.reclaim(orphans, [item.name for item in free if item.kind == "partial"], before)
    if freed:
        site.audit("reclaim", blobs=[str(blob) for blob in orphans], bytes=freed)
    return freed


def _vault(site: Site, vault: Vault) -> VaultCost:
    snapshots = vault.snapshots()
    sizes = {digest: stat.file.size for digest, stat in vault.objects().items()}
    first = _first_named(vault, snapshots)
    since = site.clock.now() - _MONTH
    new = sum(sizes.get(blob, 0) for blob, moment in first.items() if moment >= since)
    age = max(1, min(30, (site.clock.now() - min(first.values(), default=since)).days))
    return VaultCost(
        path=vault.path,
        stored=sum(sizes.values()),
        named=sum(snapshot.size for snapshot in snapshots),
        trash=sum(size for digest, size in sizes.items() if digest not in first),
        growth=new // age if len(snapshots) > 1 and age > 1 else 0,
        disk=vault.space(),
    )


def _first_named(vault: Vault, snapshots: Iterable[Snapshot]) -> dict[Digest, datetime]:
    """When each object was first named by a snapshot that is still there."""
    first: dict[Digest, datetime] = {}
    for snapshot in sorted(snapshots, key=lambda item: item.created_at):
        first.setdefault(snapshot.wrapper, snapshot.created_at)
        try:
            objects = vault.wrapper(snapshot.wrapper).objects
        except ModelwardError:
            continue
        for item in objects:
            first.setdefault(item.digest, snapshot.created_at)
    return first
