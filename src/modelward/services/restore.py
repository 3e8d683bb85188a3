"""Restore: bring a version of a model back, the newest that the vault can still prove (S1, R3, R5)."""

import msgspec

from modelward.domain.errors import EXIT_OK, ModelwardError, NotRepairable, StorageError, UnknownModel
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.reading import Level
from modelward.domain.snapshot import Snapshot, pick
from modelward.domain.store import Inventory
from modelward.services.derive import manifest_of
from modelward.services.expect import Expected
from modelward.services.heal import Content
from modelward.services.identity import require_known, store_findings
from modelward.services.inspect import Inspection, Inspector, Shelf, whole_tasks
from modelward.services.repair import finish, plan_for, puller_of
from modelward.services.site import Site
from modelward.services.verify import sizes_of
from modelward.services.verify_vault import inspect_vault


def restore(
    site: Site, name: ModelName, wanted: str = "", *, accepted: bool = False, dry_run: bool = False
) -> RepairReport:
    """Bring back the snapshot ``wanted`` (id or part of it), else the newest whose bytes the vault can prove.

    A version that was named is never swapped for another: damage in it raises NotRepairable.
    """
    began = site.clock.monotonic()
    snapshot, manifest, notes = choose(site, name, wanted)
    inventory = site.store.inventory()
    doubts = store_findings(site, inventory)
    present = inventory.models.get(name)
    same = present is not None and present.manifest.digest == manifest.digest
    inspection = look(site, inventory, manifest)
    model = Expected(
        name=name,
        manifest=manifest,
        snapshot=None if same else snapshot,
        origin="" if same else "vault",
        replaces=_stands(inventory, name),
    )
    plan = plan_for(site, [model], inspection)
    if plan.models:
        require_known(doubts, accepted=accepted or dry_run, named=True)
    contents = {name: Content(manifest=manifest, owner=snapshot.owner)}
    report = finish(
        site,
        plan,
        contents,
        (name,),
        began=began,
        dry_run=dry_run,
        puller=puller_of(site, [model]),
        verb="restore",
        notes=notes,
    )
    if report.exit_code == EXIT_OK and not dry_run:
        return msgspec.structs.replace(report, notes=(*report.notes, *_make_newest(site, snapshot)))
    return report


def _make_newest(site: Site, snapshot: Snapshot) -> tuple[str, ...]:
    """A version that was gone back to is the current one: the next repair and forget must not prefer another."""
    vault = site.the_vault()
    newest = next(other for other in vault.snapshots() if other.model == snapshot.model)
    if newest.wrapper == snapshot.wrapper:
        return ()
    try:
        with vault.writing("restore") as writer:
            writer.make_newest(snapshot)
    except StorageError as error:
        return (f"the vault still counts {newest.id} as the current version: {error}",)
    return ()


def _stands(inventory: Inventory, name: ModelName) -> bool:
    """Whether a manifest, good or not, stands where the restored one goes."""
    return name in inventory.models or any(getattr(found, "model", None) == name for found in inventory.findings)


def choose(site: Site, name: ModelName, wanted: str) -> tuple[Snapshot, Manifest, tuple[str, ...]]:
    """The snapshot to bring back, its manifest with every blob proved, and which versions were passed over.

    A version that was named is never swapped for another: damage in it raises NotRepairable.
    """
    vault = site.the_vault()
    mine = tuple(snapshot for snapshot in vault.snapshots() if snapshot.model == name)
    if not mine:
        raise UnknownModel(
            "the vault has no snapshot of this model", thing=name.short, next_step="list them with: modelward snapshots"
        )
    notes: tuple[str, ...] = ()
    for snapshot in (pick(mine, wanted),) if wanted else mine:
        try:
            return snapshot, _proved(site, snapshot), notes
        except ModelwardError as error:
            notes = (*notes, f"version {snapshot.id} was passed over: {error}")
    raise NotRepairable(
        "; ".join(notes) or "no version is whole",
        thing=name.short,
        next_step="see modelward verify --vault-copy; another version: modelward snapshots",
    )


def _proved(site: Site, snapshot: Snapshot) -> Manifest:
    """The snapshot's manifest, when the vault vouches for every blob of it; what it does not is read first."""
    vault = site.the_vault()
    manifest = manifest_of(vault, snapshot)
    if not all(vault.intact(blob.digest, blob.size) for blob in manifest.blobs):
        inspect_vault(site, sizes_of([manifest]), Level.FULL)
    for blob in manifest.blobs:
        if not vault.intact(blob.digest, blob.size):
            raise NotRepairable("the vault's copy of a blob is not good", thing=blob.digest)
    return manifest


def look(site: Site, inventory: Inventory, manifest: Manifest) -> Inspection:
    """What the store has of this version: receipts are believed, anything else is read (W3)."""
    shelf = Shelf(blobs=site.store, stats=inventory.blobs, odd=inventory.odd)
    inspector = Inspector(shelf, site.vault, site.ledgers.ledger(site.store_key), site.reading)
    sizes = sizes_of([manifest])
    inspector.quick(sizes)
    unproved = {blob: size for blob, size in sizes.items() if blob not in inspector.result.proved}
    inspector.read(whole_tasks(inspector.candidates(unproved)))
    change = inspector.result.change(int(site.clock.now().timestamp()))
    site.ledgers.update(site.store_key, change)
    return inspector.result
