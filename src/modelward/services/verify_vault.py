"""Verify the vault's own copies: every object that the snapshots name, by the same inspection as a store's."""

from collections.abc import Iterable, Mapping

from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError, UnknownModel
from modelward.domain.finding import Finding, RecordDamaged
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import BlobStat
from modelward.domain.verdict import Report, Verdict, health
from modelward.domain.wrapper import EMPTY_DIGEST, Object
from modelward.ports import Vault
from modelward.services.derive import manifest_anew
from modelward.services.inspect import Inspection, Inspector, Shelf, whole_tasks
from modelward.services.site import Site
from modelward.services.verify import how_read, read

KEY = "vault"


def verify_vault(site: Site, asked: tuple[ModelName, ...], level: Level, *, sample_percent: float = 5.0) -> Report:
    """Look at all objects of the chosen models' snapshots.

    A damaged one loses its receipt, so that the next backup of a healthy model stores it anew.
    """
    began = site.clock.monotonic()
    vault = site.the_vault()
    named = named_objects(vault, asked)
    sizes = {item.digest: item.size for items in named.values() for item in items}
    inspection = inspect_vault(site, sizes, level, sample_percent)
    rotted = [found for found in vault.damaged_records() if not asked or found.model in asked]
    known = {snapshot.model for snapshot in named}
    return Report(
        path=vault.path,
        of="vault",
        level=level.value,
        read=how_read(inspection.modes),
        models=tuple(_verdicts(site, named, inspection, rotted)),
        findings=tuple(found for found in rotted if found.model not in known),
        bytes_read=inspection.bytes_read,
        unread=inspection.unread,
        seconds=round(site.clock.monotonic() - began, 3),
    )


def named_objects(vault: Vault, asked: tuple[ModelName, ...]) -> dict[Snapshot, list[Object]]:
    """The chosen models' snapshots, the newest first, each with the objects that it names."""
    stats = vault.objects()
    return {snapshot: _objects(vault, stats, snapshot) for snapshot in _chosen(vault, asked)}


def _chosen(vault: Vault, asked: tuple[ModelName, ...]) -> list[Snapshot]:
    snapshots = vault.snapshots()
    known = {snapshot.model for snapshot in snapshots}
    for name in asked:
        if name not in known:
            raise UnknownModel("the vault has no snapshot of it", thing=name.short, next_step="run: modelward backup")
    return [snapshot for snapshot in snapshots if not asked or snapshot.model in asked]


def _objects(vault: Vault, stats: Mapping[Digest, BlobStat], snapshot: Snapshot) -> list[Object]:
    """What the snapshot names, as far as its wrapper can be read; the wrapper itself first."""
    own = [_as_it_lies(stats, snapshot.wrapper)]
    try:
        return own + list(vault.wrapper(snapshot.wrapper).objects)
    except ModelwardError:
        return [*own, _as_it_lies(stats, snapshot.manifest)]


def _as_it_lies(stats: Mapping[Digest, BlobStat], digest: Digest) -> Object:
    return Object(digest=digest, size=stats[digest].file.size if digest in stats else 0)


def inspect_vault(
    site: Site, sizes: Mapping[Digest, int], level: Level, sample_percent: float = 100.0, *, damaged: bool = False
) -> Inspection:
    """Inspect these objects of the vault; what was learned goes into its ledger.

    With ``damaged`` what is known to be bad is read whole at every level, as what is healed then counts as whole (W3).
    """
    vault = site.the_vault()
    inspector = Inspector(Shelf(blobs=vault, stats=vault.objects()), vault, site.ledgers.ledger(KEY), site.reading)
    inspector.quick(sizes)
    if level is not Level.QUICK:
        read(inspector, inspector.candidates(sizes), level, sample_percent)
    bad = {blob: size for blob, size in sizes.items() if blob in inspector.result.findings}
    if damaged and bad and level is not Level.FULL:
        inspector.read(whole_tasks(inspector.candidates(bad)))
    site.ledgers.update(KEY, inspector.result.change(int(site.clock.now().timestamp())))
    return inspector.result


def _verdicts(
    site: Site, named: dict[Snapshot, list[Object]], inspection: Inspection, rotted: Iterable[RecordDamaged]
) -> Iterable[Verdict]:
    """One verdict a model over all its snapshots."""
    mine: dict[ModelName, dict[Digest, int]] = {}
    for snapshot, objects in named.items():
        mine.setdefault(snapshot.model, {}).update((item.digest, item.size) for item in objects)
    served = _served(site) | _anew(site.the_vault(), named, inspection)
    for name, sizes in sorted(mine.items()):
        records = [finding for finding in rotted if finding.model == name]
        findings = (*records, *(finding for blob in sizes for finding in inspection.findings.get(blob, ())))
        proved, since = inspection.proof_of(sizes)
        yield Verdict(
            name=name,
            healthy=health(findings, proved=proved),
            recoverable=all(_recoverable(finding, served) for finding in findings if finding.damage),
            size=sum(sizes.values()),
            verified_at=since,
            findings=findings,
        )


def _recoverable(finding: Finding, served: frozenset[Digest]) -> bool:
    return isinstance(finding, RecordDamaged) or getattr(finding, "blob", None) in served


def _served(site: Site) -> frozenset[Digest]:
    """What the store can give the vault back: proved blobs, and manifests, from which backup makes the rest anew."""
    inventory, receipts = site.store.inventory(), site.ledgers.ledger(site.store_key).receipts
    blobs = {
        blob
        for blob, found in inventory.blobs.items()
        if (receipt := receipts.get(blob.hex)) is not None and receipt.holds_for(found.file)
    }
    derived = {EMPTY_DIGEST}
    for snapshot in site.the_vault().snapshots():
        model = inventory.models.get(snapshot.model)
        if model is not None and model.manifest.digest == snapshot.manifest:
            derived |= {snapshot.manifest, snapshot.wrapper, *_chunk_lists(site, snapshot, blobs)}
    return frozenset(blobs | derived)


def _anew(vault: Vault, snapshots: Iterable[Snapshot], inspection: Inspection) -> frozenset[Digest]:
    """The manifests that are damaged in the vault and can be made anew from the rest of it."""
    bad = [snapshot for snapshot in snapshots if snapshot.manifest in inspection.findings]
    return frozenset(snapshot.manifest for snapshot in bad if manifest_anew(vault, snapshot) is not None)


def _chunk_lists(site: Site, snapshot: Snapshot, blobs: set[Digest]) -> set[Digest]:
    """The chunk lists of blobs that the store still proves."""
    try:
        lists = site.the_vault().wrapper(snapshot.wrapper).chunk_lists
    except ModelwardError:
        return set()
    return {item.digest for blob, item in lists.items() if blob in blobs}
