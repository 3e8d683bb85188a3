"""Verify: read-only verdicts on every model, without a vault, a server or a network (V2)."""

from collections.abc import Iterable, Mapping, Sequence

from modelward.domain.digest import Digest
from modelward.domain.finding import Finding, Orphan, WrongOwner
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Level, ReadMode
from modelward.domain.sampling import Candidate, plan_sample
from modelward.domain.store import BlobStat, Inventory, Owner
from modelward.domain.verdict import Report, Verdict, health
from modelward.ports import Vault
from modelward.services.expect import Expected, expected_models
from modelward.services.inspect import Inspection, Inspector, Shelf, whole_tasks
from modelward.services.site import Site


def verify(
    site: Site,
    asked: tuple[ModelName, ...],
    level: Level,
    *,
    sample_percent: float = 5.0,
    inventory: Inventory | None = None,
) -> Report:
    """Look at the store's models as deep as ``level`` says; what was learned goes into the ledger."""
    began = site.clock.monotonic()
    inventory = inventory or site.store.inventory()
    expected = expected_models(site, inventory, asked)
    inspection = inspect_store(site, inventory, expected, level, sample_percent)
    site.ledgers.update(site.store_key, inspection.change(int(site.clock.now().timestamp())))
    verdicts = tuple(_verdict(site, model, inspection) for model in expected)
    return Report(
        path=site.store.path,
        of="store",
        level=level.value,
        read=how_read(inspection.modes),
        models=verdicts,
        findings=_hints(inventory, expected) if not asked else (),
        bytes_read=inspection.bytes_read,
        unread=inspection.unread,
        seconds=round(site.clock.monotonic() - began, 3),
    )


def _hints(inventory: Inventory, expected: Sequence[Expected]) -> tuple[Finding, ...]:
    """What was noticed beside the models; a blob that a lost model needs is no orphan."""
    needed = sizes_of(model.manifest for model in expected)
    hints = (finding for finding in inventory.findings if not finding.damage)
    return tuple(hint for hint in hints if not (isinstance(hint, Orphan) and hint.blob in needed))


def inspect_store(  # noqa: PLR0913 - what is there, what ought to be, and how deep to look
    site: Site,
    inventory: Inventory,
    expected: Sequence[Expected],
    level: Level,
    sample_percent: float = 5.0,
    *,
    unproved: bool = False,
    damaged: bool = False,
) -> Inspection:
    """Inspect the blobs that the expected models need.

    A quick look reads what no receipt proves with ``unproved``. With ``damaged`` what is known to be bad is read whole
    at every level: it was cut short, or a sample saw a part of it, and what is healed then counts as whole (W3).
    """
    ledger = site.ledgers.ledger(site.store_key)
    shelf = Shelf(blobs=site.store, stats=inventory.blobs, odd=inventory.odd)
    inspector = Inspector(shelf, site.vault, ledger, site.reading)
    sizes = sizes_of(model.manifest for model in expected)
    inspector.quick(sizes)
    if level is not Level.QUICK:
        read(inspector, inspector.candidates(sizes), level, sample_percent)
    if level is not Level.FULL:
        left = {blob: size for blob, size in sizes.items() if blob not in inspector.result.proved}
        bad = {blob: size for blob, size in left.items() if damaged and blob in inspector.result.findings}
        todo = left if unproved and level is Level.QUICK else bad
        if todo:
            inspector.read(whole_tasks(inspector.candidates(todo)))
        if level is Level.QUICK:
            inspector.result.unread += sum(size for blob, size in left.items() if blob not in todo)
    for finding in _owners(site, inventory.blobs, sizes):
        inspector.result.findings.setdefault(finding.blob, []).append(finding)
    return inspector.result


def read(inspector: Inspector, candidates: Sequence[Candidate], level: Level, sample_percent: float) -> None:
    """Read every byte, or the next sample; what a sample leaves out counts as unread."""
    tasks = whole_tasks(candidates)
    whole = sum(task.bytes for task in tasks)
    if level is Level.SAMPLE:
        tasks = plan_sample(candidates, inspector.cursor, int(whole * sample_percent / 100))
        inspector.result.unread = whole - sum(task.bytes for task in tasks)
    inspector.read(tasks)


def sizes_of(manifests: Iterable[Manifest | None]) -> dict[Digest, int]:
    """The size that each blob must have, every blob once."""
    return {blob.digest: blob.size for manifest in manifests if manifest is not None for blob in manifest.blobs}


def how_read(modes: set[ReadMode]) -> str:
    """The weakest way in which bytes were read; empty when none were."""
    for mode in (ReadMode.CACHED, ReadMode.DROPPED, ReadMode.DIRECT):
        if mode in modes:
            return mode.value
    return ""


def _verdict(site: Site, model: Expected, inspection: Inspection) -> Verdict:
    blobs = model.manifest.blobs if model.manifest is not None else ()
    findings = (*model.findings, *(f for blob in blobs for f in inspection.findings.get(blob.digest, ())))
    proved, since = inspection.proof_of(blob.digest for blob in blobs)
    return Verdict(
        name=model.name,
        healthy=health(findings, proved=proved and model.manifest is not None),
        recoverable=_recoverable(site.vault, model, findings),
        size=model.manifest.size if model.manifest is not None else 0,
        verified_at=since,
        findings=findings,
    )


def _recoverable(vault: Vault | None, model: Expected, findings: Sequence[Finding]) -> bool:
    """Whether the vault has all that is damaged; of a model without damage, all that could be."""
    if vault is None or model.manifest is None:
        return False
    damaged = {finding.blob for finding in findings if finding.damage and hasattr(finding, "blob")}
    if model.origin and not damaged:
        return True  # the manifest alone is lost, and its bytes are here
    wanted = [blob for blob in model.manifest.blobs if not damaged or blob.digest in damaged]
    held = all(vault.holds(blob.digest, blob.size) for blob in wanted)
    return held and (bool(damaged) or vault.holds(model.manifest.digest, len(model.manifest.raw)))


def _owners(site: Site, stats: Mapping[Digest, BlobStat], sizes: Mapping[Digest, int]) -> list[WrongOwner]:
    """Blobs that the runtime, taken to be the owner of the blobs folder, cannot read (R5)."""
    wanted = site.store.default_owner()
    return [
        WrongOwner(
            blob=blob,
            size=size,
            path=site.store.blob_path(blob),
            actual=(stats[blob].owner.uid, stats[blob].owner.gid, stats[blob].owner.mode),
            expected=(wanted.uid, wanted.gid, wanted.mode),
        )
        for blob, size in sizes.items()
        if blob in stats and not _readable(stats[blob].owner, wanted)
    ]


def _readable(actual: Owner, runtime: Owner) -> bool:
    if runtime.uid == 0:
        return True
    if actual.uid == runtime.uid:
        return bool(actual.mode & 0o400)
    if actual.gid == runtime.gid:
        return bool(actual.mode & 0o040)
    return bool(actual.mode & 0o004)
