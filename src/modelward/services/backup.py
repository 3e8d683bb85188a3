"""Backup: snapshot every model that changed, of verified bytes only (S1); refuse damaged ones and say so."""

import os

from modelward.domain.chunks import Span
from modelward.domain.errors import ChangedWhileRead, DamageError, HashMismatch, ReadFailed
from modelward.domain.finding import Changed, Corrupt, Finding, Missing, NotRegular, Oversized, Truncated, Unreadable
from modelward.domain.manifest import Layer, Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import BackupReport, BackupResult
from modelward.domain.receipt import LedgerChange, Receipt
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import Inventory
from modelward.domain.words import describe
from modelward.mounts import protection
from modelward.ports import Vault, VaultWriter
from modelward.scan import file_id
from modelward.services.expect import Expected, expected_models
from modelward.services.identity import record, store_findings
from modelward.services.site import Site
from modelward.services.sound import is_sound

_TRIES = 3


def backup(site: Site, asked: tuple[ModelName, ...], *, accepted: bool = False, dry_run: bool = False) -> BackupReport:
    """Back up the models asked for, or all that are protected; one bad model never stops the others."""
    began = site.clock.monotonic()
    inventory = site.store.inventory()
    findings = store_findings(site, inventory)
    results = _dry(site, inventory, asked) if dry_run else _run(site, inventory, asked, accepted=accepted)
    vault = site.vault
    return BackupReport(
        store=site.store.path,
        vault=vault.path if vault is not None else "",
        protection=protection(site.store.identity(), vault.identity).value if vault is not None else "",
        models=tuple(results),
        findings=findings,
        bytes_moved=sum(result.bytes_moved for result in results),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def _run(site: Site, inventory: Inventory, asked: tuple[ModelName, ...], *, accepted: bool) -> list[BackupResult]:
    vault = site.the_vault()
    with vault.writing("backup") as writer:
        work = _Backup(site, vault, writer, inventory)
        chosen = _chosen(site, inventory, asked)
        site.progress.begin("backup", sum(work.bytes_of(model.name) for model in chosen))
        try:
            results = [work.model(model) for model in chosen]
            record(site, writer, store_findings(site, inventory), accepted=accepted)
        finally:
            site.ledgers.update(site.store_key, LedgerChange(proved=work.receipts))
    return results


def _chosen(site: Site, inventory: Inventory, asked: tuple[ModelName, ...]) -> list[Expected]:
    """Every model to look at, damaged ones too: what cannot be backed up must be said, not passed over."""
    released = frozenset() if asked or site.vault is None else frozenset(site.vault.protected().released)
    return [model for model in expected_models(site, inventory, asked) if model.name not in released]


def _dry(site: Site, inventory: Inventory, asked: tuple[ModelName, ...]) -> list[BackupResult]:
    vault = site.vault
    latest = _latest(vault) if vault is not None else {}
    results = []
    for expected in _chosen(site, inventory, asked):
        name = expected.name
        if expected.findings:
            results.append(_no_manifest(expected))
            continue
        model = inventory.models[name]
        new = [blob for blob in model.manifest.blobs if vault is None or not vault.intact(blob.digest, blob.size)]
        same = name in latest and latest[name].manifest == model.manifest.digest and not new
        results.append(
            BackupResult(
                name=name,
                outcome="unchanged" if same else "planned",
                size=model.manifest.size,
                bytes_moved=sum(blob.size for blob in new),
            )
        )
    return results


def _latest(vault: Vault) -> dict[ModelName, Snapshot]:
    latest: dict[ModelName, Snapshot] = {}
    for snapshot in vault.snapshots():
        latest.setdefault(snapshot.model, snapshot)
    return latest


def _no_manifest(model: Expected) -> BackupResult:
    """A model whose manifest is lost or damaged; the vault has it when there is a snapshot to take it from."""
    return BackupResult(
        name=model.name,
        outcome="refused",
        size=0,
        findings=model.findings,
        reason=describe(model.findings[0]),
        recoverable=bool(model.origin),
    )


class _Backup:
    """One run: what the vault had, and the receipts earned on the way."""

    def __init__(self, site: Site, vault: Vault, writer: VaultWriter, inventory: Inventory) -> None:
        self._site, self._vault, self._writer, self._inventory = site, vault, writer, inventory
        self._latest = _latest(vault)
        self.receipts: dict[str, Receipt] = {}

    def bytes_of(self, name: ModelName) -> int:
        """Bytes that the vault does not have yet."""
        model = self._inventory.models.get(name)
        blobs = model.manifest.blobs if model is not None else ()
        return sum(blob.size for blob in blobs if not self._vault.intact(blob.digest, blob.size))

    def model(self, model: Expected) -> BackupResult:
        """Back up one model, again from the start when its manifest changes on the way."""
        if model.findings:
            return _no_manifest(model)
        name = model.name
        manifest = self._inventory.models[name].manifest
        for _ in range(_TRIES):
            result = self._once(name, manifest)
            if result.outcome != "stored":
                return result
            again = self._again(name)
            if again is not None and again.digest == manifest.digest:
                return self._keep(name, manifest, result)
            manifest = again or manifest
        return self._refused(name, manifest, (), "it changed all the time while it was read; run backup again")

    def _again(self, name: ModelName) -> Manifest | None:
        try:
            return self._site.store.read_manifest(name)
        except DamageError:
            return None

    def _once(self, name: ModelName, manifest: Manifest) -> BackupResult:
        """Add the blobs; nothing names them before ``_keep``."""
        absent = tuple(finding for blob in manifest.blobs if (finding := self._amiss(blob)) is not None)
        if absent:
            return self._refused(name, manifest, absent, describe(absent[0]))
        if self._has(name, manifest):
            return BackupResult(name=name, outcome="unchanged", size=manifest.size, snapshot=self._latest[name].id)
        moved = 0
        for blob in manifest.blobs:
            try:
                moved += self._add(blob)
            except DamageError as error:
                return self._refused(name, manifest, (self._finding(blob, error),), error.what)
        return BackupResult(name=name, outcome="stored", size=manifest.size, bytes_moved=moved)

    def _has(self, name: ModelName, manifest: Manifest) -> bool:
        """Whether the newest snapshot is this very version, and the vault vouches for all of it."""
        latest = self._latest.get(name)
        return latest is not None and latest.manifest == manifest.digest and is_sound(self._vault, latest)

    def _amiss(self, blob: Layer) -> Finding | None:
        """What the folder entry already shows."""
        path = self._site.store.blob_path(blob.digest)
        found = self._inventory.blobs.get(blob.digest)
        if what := self._inventory.odd.get(blob.digest):
            return NotRegular(blob=blob.digest, size=blob.size, path=path, what=what)
        if found is None:
            return Missing(blob=blob.digest, size=blob.size, path=path)
        if found.file.size != blob.size:
            kind = Truncated if found.file.size < blob.size else Oversized
            return kind(blob=blob.digest, size=blob.size, path=path, actual=found.file.size)
        return None

    def _add(self, blob: Layer) -> int:
        fd = self._site.store.open_blob(blob.digest)
        try:
            before = file_id(fd)
            moved = self._writer.add_blob(fd, blob.digest, blob.size)
            if moved and file_id(fd) == before:
                self.receipts[blob.digest.hex] = Receipt(before, int(self._site.clock.now().timestamp()))
        finally:
            os.close(fd)
        return moved

    def _keep(self, name: ModelName, manifest: Manifest, result: BackupResult) -> BackupResult:
        owner = self._inventory.models[name].owner
        snapshot = self._writer.add_snapshot(name, manifest, self._site.store.path, owner, self._latest.get(name))
        self._site.audit("backup", model=name, snapshot=snapshot.id, bytes=result.bytes_moved)
        self._site.progress.say("snapshot_stored", model=str(name), snapshot=snapshot.id, bytes=result.bytes_moved)
        return BackupResult(
            name=name,
            outcome="stored",
            size=manifest.size,
            bytes_moved=result.bytes_moved,
            snapshot=snapshot.id,
        )

    def _finding(self, blob: Layer, error: DamageError) -> Finding:
        path, digest, every = self._site.store.blob_path(blob.digest), blob.digest, (Span(0, blob.size),)
        match error:
            case ChangedWhileRead():
                return Changed(blob=digest, size=blob.size, path=path)
            case HashMismatch():
                return Corrupt(blob=digest, size=blob.size, path=path, spans=every, exact=False)
            case ReadFailed():
                return Unreadable(blob=digest, size=blob.size, path=path, spans=every, error=error.what)
            case _:
                return Missing(blob=digest, size=blob.size, path=path)

    def _refused(self, name: ModelName, manifest: Manifest, findings: tuple[Finding, ...], reason: str) -> BackupResult:
        self._site.progress.say("backup_refused", model=str(name), reason=reason)
        lacking = {getattr(finding, "blob", None) for finding in findings}
        held = all(self._vault.intact(b.digest, b.size) for b in manifest.blobs if b.digest in lacking)
        return BackupResult(
            name=name, outcome="refused", size=manifest.size, findings=findings, reason=reason, recoverable=held
        )
