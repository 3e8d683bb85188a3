"""Adopt: take models into the vault that lie in another form: an OCI image layout, GGUF files, another store."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from stat import S_ISREG

from modelward.domain.errors import BadSetting, StoreNotAccepted
from modelward.domain.finding import ManifestDamaged
from modelward.domain.gguf import MAGIC
from modelward.domain.interchange import Adopted, AdoptReport
from modelward.domain.name import ModelName
from modelward.durable import Folder, reading_errors
from modelward.services.adopt_gguf import from_gguf
from modelward.services.adopt_layout import from_layout
from modelward.services.backup import backup
from modelward.services.site import Site
from modelward.services.take_in import Taken, opened

_SUFFIX = ".gguf"


def recognise(path: Path) -> str | None:
    """What lies at ``path``: oci, store or gguf; bundle for any other plain file; None for what is none of these."""
    real = path.expanduser().resolve()
    if real.is_dir():
        with closing(Folder.open(real)) as folder:
            return _folder_form(folder.names())
    if not real.parent.is_dir():
        return None
    with closing(Folder.open(real.parent)) as folder:
        found = folder.stat(real.name)
        if found is None or not S_ISREG(found.st_mode):
            return None
        with opened(folder, real.name) as fd, reading_errors(real):
            return "gguf" if os.pread(fd, len(MAGIC), 0) == MAGIC else "bundle"


def _folder_form(names: Sequence[str]) -> str | None:
    if "oci-layout" in names:
        return "oci"
    if "blobs" in names or "manifests" in names:
        return "store"
    return "gguf" if any(name.lower().endswith(_SUFFIX) for name in names) else None


def adopt(site: Site, path: Path, form: str, name: ModelName | None = None, *, dry_run: bool = False) -> AdoptReport:
    """Take what lies at ``path`` into the vault; ``name`` is for a single model, else names are taken from there.

    For ``store`` the site's store has to be the one at ``path``. Models are taken one by one: one that is bad is
    refused and the others come in all the same. Raises BadSetting where there is nothing to take.
    """
    began = site.clock.monotonic()
    work = {"oci": from_layout, "gguf": from_gguf, "store": _from_store}[form]
    models, notes = work(site, path.expanduser().resolve(), name, dry_run)
    return AdoptReport(
        form=form,
        path=str(path),
        vault=site.vault.path if site.vault is not None else "",
        models=tuple(models),
        notes=tuple(notes),
        bytes_moved=sum(model.bytes_moved for model in models),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def _from_store(site: Site, path: Path, name: ModelName | None, dry_run: bool) -> Taken:  # noqa: FBT001 - one of three
    """Another store is backed up into the vault like our own."""
    if Path(site.store.path) != path:
        raise StoreNotAccepted("not the store that was opened", thing=path, next_step="name it with --store")
    names = (name,) if name is not None else _models_of(site)
    if not names:
        raise BadSetting("no model in this store", thing=path, next_step="name the folder with blobs/ and manifests/")
    report = backup(site, names, accepted=True, dry_run=dry_run)
    models = [
        Adopted(
            name=result.name,
            source=report.store,
            outcome=result.outcome,
            snapshot=result.snapshot,
            size=result.size,
            bytes_moved=result.bytes_moved,
            reason=result.reason,
        )
        for result in report.models
    ]
    return models, []


def _models_of(site: Site) -> tuple[ModelName, ...]:
    """The models that the store itself has, damaged ones too; what only the vault remembers is not asked for here."""
    inventory = site.store.inventory()
    damaged = {finding.model for finding in inventory.findings if isinstance(finding, ManifestDamaged)}
    return tuple(sorted({*inventory.models, *damaged}))
