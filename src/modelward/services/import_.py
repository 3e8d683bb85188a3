"""Import: take a bundle into the vault; every byte is proved, and a record is added when all of them are there (S1)."""

import os
from typing import Protocol

from modelward.domain.bundle import BundledModel, BundleHeader, ImportReport
from modelward.domain.chunks import ChunkList
from modelward.domain.errors import BadBundle, BadSetting, DamageError, DiskFull
from modelward.domain.interchange import Adopted
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.wrapper import Object
from modelward.ports import StagedFile, Vault, VaultWriter
from modelward.scan import Reading
from modelward.services.restore import restore
from modelward.services.site import Site
from modelward.services.take_in import newest_of


class Bundle(Protocol):
    """An open bundle that is read once, from its beginning to its end."""

    name: str
    header: BundleHeader

    def take(self, sink: StagedFile | None, reading: Reading) -> tuple[Object, ChunkList | None]:
        """The next blob into ``sink``, proved, with its chunk list; without a sink it is passed over."""

    def finish(self) -> None:
        """The end, and nothing behind it."""


def import_bundle(site: Site, bundle: Bundle, name: ModelName | None = None, *, dry_run: bool = False) -> ImportReport:
    """Take the bundle's models into the vault, a single one under ``name`` where that is given.

    Raises BadBundle for a bundle that is cut short or damaged: then no record was added, but the blobs that were
    whole are in the vault and are not taken again. Raises BadSetting for one name and several models, DiskFull.
    """
    began = site.clock.monotonic()
    header = bundle.header
    if name is not None and len(header.models) > 1:
        raise BadSetting(f"one name for {len(header.models)} models", thing=bundle.name, next_step="leave --as out")
    names = [name or model.name for model in header.models]
    work = _Import(site, bundle)
    models = work.plan(names) if dry_run else work.run(names)
    return ImportReport(
        path=bundle.name,
        vault=site.vault.path if site.vault is not None else "",
        models=tuple(models),
        blobs=work.blobs,
        present=len(header.blobs) - work.blobs,
        size=header.size,
        bytes_moved=work.moved,
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def restore_models(site: Site, report: ImportReport, *, accepted: bool = False) -> tuple[RepairReport, ...]:
    """Bring the very versions that were imported into the store."""
    return tuple(restore(site, model.name, model.snapshot, accepted=accepted) for model in report.models)


class _Import:
    """One run; ``blobs`` and ``moved`` count what came in, or what would."""

    def __init__(self, site: Site, bundle: Bundle) -> None:
        self._site, self._bundle, self._header = site, bundle, bundle.header
        self.blobs = self.moved = 0

    def plan(self, names: list[ModelName]) -> list[Adopted]:
        """What would come in, by what the header says."""
        for blob in self._header.blobs:
            if self._site.vault is None or not self._site.vault.intact(blob.digest, blob.size):
                self._count(blob)
        return [
            self._adopted(name, manifest, "planned")
            for name, manifest in zip(names, self._header.manifests, strict=True)
        ]

    def run(self, names: list[ModelName]) -> list[Adopted]:
        """Blobs, the bundle's end, then the records (W2)."""
        vault = self._site.the_vault()
        self._require_space(vault)
        self._site.progress.begin("import", self._header.size)
        with vault.writing("import") as writer:
            bad = self._blobs(vault, writer)
            if bad is None:
                return [
                    self._record(vault, writer, name, model, manifest)
                    for name, model, manifest in zip(names, self._header.models, self._header.manifests, strict=True)
                ]
        raise self._with_what_is_kept(bad)

    def _require_space(self, vault: Vault) -> None:
        """Say so before the first byte (D1); the vault itself keeps the reserve."""
        wanted = sum(blob.size for blob in self._header.blobs if not vault.holds(blob.digest, blob.size))
        free = vault.space().free
        if wanted > free:
            raise DiskFull(
                f"not enough space: {wanted:,} bytes wanted, {free:,} free",
                thing=vault.path,
                next_step="free some space there (modelward prune) and run the command again",
            )

    def _blobs(self, vault: Vault, writer: VaultWriter) -> BadBundle | None:
        """Take every blob and the end; the error that ended it is handed back, so that the vault is left in order."""
        lying = frozenset(vault.objects())
        try:
            for blob in self._header.blobs:
                if vault.intact(blob.digest, blob.size) or (blob.digest in lying and _good(vault, writer, blob)):
                    self._bundle.take(None, self._site.reading)
                else:
                    self._take(writer, blob)
            self._bundle.finish()
        except BadBundle as error:
            return error
        return None

    def _take(self, writer: VaultWriter, blob: Object) -> None:
        staged = writer.stage(blob.size)
        try:
            _, chunk_list = self._bundle.take(staged, self._site.reading)
            writer.publish_blob(staged, blob.digest, chunk_list)
        finally:
            staged.discard()
        self._count(blob)

    def _count(self, blob: Object) -> None:
        self.blobs += 1
        self.moved += blob.size

    def _record(
        self, vault: Vault, writer: VaultWriter, name: ModelName, model: BundledModel, manifest: Manifest
    ) -> Adopted:
        newest, origin = newest_of(vault, name), f"bundle of {model.name.short}"
        snapshot = writer.add_snapshot(name, manifest, origin, self._site.store.default_owner(), newest)
        new = newest is None or snapshot.id != newest.id
        if new:
            self._site.audit("import", model=name, snapshot=snapshot.id, source=origin, bytes=self.moved)
            self._site.progress.say("snapshot_stored", model=str(name), snapshot=snapshot.id, bytes=self.moved)
        return self._adopted(name, manifest, "stored" if new else "unchanged", snapshot.id)

    def _adopted(self, name: ModelName, manifest: Manifest, outcome: str, snapshot: str = "") -> Adopted:
        source = self._bundle.name
        return Adopted(name=name, source=source, outcome=outcome, snapshot=snapshot, size=manifest.size)

    def _with_what_is_kept(self, error: BadBundle) -> BadBundle:
        kept = f"{self.blobs} blob(s) that were whole are in the vault now" if self.blobs else ""
        what = f"{error.what}; {kept}" if kept else error.what
        return BadBundle(what, thing=error.thing, next_step=error.next_step)


def _good(vault: Vault, writer: VaultWriter, blob: Object) -> bool:
    """Whether what lies under the blob's name is the blob: nobody vouches for it, so it is read (W3)."""
    try:
        fd = vault.open_blob(blob.digest)
    except DamageError:
        return False
    try:
        writer.add_blob(fd, blob.digest, blob.size)
    except DamageError:
        return False
    finally:
        os.close(fd)
    return True
