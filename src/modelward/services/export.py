"""Export: write a model to one bundle, of proved bytes only (S1), from the vault, else from the store."""

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple, Protocol

from modelward.domain.bundle import END_SIZE, BundledModel, BundleHeader, ExportReport, Method, Written
from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadSetting,
    ChangedWhileRead,
    HashMismatch,
    ModelwardError,
    NotRepairable,
    ReadFailed,
    UnknownModel,
)
from modelward.domain.manifest import Layer, Manifest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import pick
from modelward.ports import Vault
from modelward.scan import Reading, hash_whole
from modelward.services.site import Site


class Holder(Protocol):
    """A store or vault that blobs are read from."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading; the caller closes it."""

    def blob_path(self, blob: Digest) -> str:
        """What to call it in messages."""


class Target(Protocol):
    """Where a bundle is written."""

    path: str

    def require_free(self) -> None:
        """Raise BadSetting where something else has the place."""

    def plan(self, header: BundleHeader, holder: Holder) -> tuple[Method, ...]:
        """How each blob is stored."""

    def write(self, header: BundleHeader, holder: Holder, methods: Sequence[Method], reading: Reading) -> Written:
        """Write it, every chunk proved by the header's lists, or go on where an earlier run was cut off."""


class _Origin(NamedTuple):
    """The version to export, and where its bytes are."""

    holder: Holder
    word: str
    snapshot: str
    manifest: Manifest
    notes: tuple[str, ...]


def export(site: Site, name: ModelName, wanted: str, target: Target, *, dry_run: bool = False) -> ExportReport:
    """Write the snapshot ``wanted`` (id or part of it), else the newest that the vault can prove, else the store's.

    Raises UnknownModel, UnknownSnapshot, BadSetting for a file that exists, HashMismatch for bytes that turn out to
    be bad, DiskFull. What was written is kept beside the target, and the same command goes on with it.
    """
    began = site.clock.monotonic()
    _require_outside(site, target)
    target.require_free()
    origin = _origin(site, name, wanted)
    header = _header(site, name, origin)
    methods = target.plan(header, origin.holder)
    site.progress.begin("export", header.size)
    estimate = len(header.raw) + sum(method.estimate for method in methods) + END_SIZE
    if dry_run:
        written = Written(size=estimate)
    else:
        with site.audited("export", model=name, snapshot=origin.snapshot, target=target.path) as told:
            written = target.write(header, origin.holder, methods, site.reading)
            told["bytes"] = written.size
    return ExportReport(
        model=name,
        outcome="planned" if dry_run else "written",
        source=origin.word,
        snapshot=origin.snapshot,
        path=target.path,
        blobs=len(header.blobs),
        compressed=sum(method.pays for method in methods),
        size=header.size,
        stored=written.size,
        resumed=written.resumed,
        notes=origin.notes,
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def _require_outside(site: Site, target: Target) -> None:
    """Nothing of ours lies in a store or vault but what its own layout names (G1)."""
    for place in (site.store.path, site.vault.path if site.vault is not None else ""):
        if place and PurePath(target.path).is_relative_to(place):
            raise BadSetting(f"a bundle may not lie in {place}", thing=target.path, next_step="name another folder")


def _origin(site: Site, name: ModelName, wanted: str) -> _Origin:
    vault = site.vault
    mine = tuple(kept for kept in vault.snapshots() if kept.model == name) if vault is not None else ()
    if vault is None or not (mine or wanted):
        return _from_store(site, name)
    notes: tuple[str, ...] = ()
    for snapshot in (pick(mine, wanted),) if wanted else mine:
        try:
            manifest = vault.content(snapshot).manifest
            _require_held(vault, manifest)
            return _Origin(vault, "vault", snapshot.id, manifest, notes)
        except ModelwardError as error:
            notes = (*notes, f"version {snapshot.id} was passed over: {error}")
    raise NotRepairable(
        "; ".join(notes), thing=name.short, next_step="run: modelward repair --vault-copy, then the command again"
    )


def _require_held(vault: Vault, manifest: Manifest) -> None:
    for blob in manifest.blobs:
        if not vault.holds(blob.digest, blob.size):
            raise HashMismatch("the vault's copy of a blob is not good", thing=blob.digest)


def _from_store(site: Site, name: ModelName) -> _Origin:
    known = frozenset(site.store.inventory().models)
    if name not in known:
        raise UnknownModel(
            "neither the store nor the vault has this model", thing=name.short, next_step="see: modelward status"
        )
    return _Origin(site.store, "store", "", site.store.read_manifest(name), ())


def _header(site: Site, name: ModelName, origin: _Origin) -> BundleHeader:
    """The header; a blob that has no chunk list yet is proved by its SHA-256 while the list is made."""
    large = [blob for blob in origin.manifest.blobs if blob.size > CHUNK]
    lists = (
        {blob.digest: site.vault.chunk_list(blob.digest) for blob in large}
        if origin.word == "vault" and site.vault
        else {}
    )
    unlisted = [blob for blob in large if lists.get(blob.digest) is None]
    site.progress.begin("verify", sum(blob.size for blob in unlisted))
    made = [lists.get(blob.digest) or _proved_list(site, origin.holder, blob) for blob in large]
    return BundleHeader.make((BundledModel(name=name, manifest=origin.manifest.raw),), made)


def _proved_list(site: Site, holder: Holder, blob: Layer) -> ChunkList:
    path, again = holder.blob_path(blob.digest), "run: modelward repair, then the command again"
    fd = holder.open_blob(blob.digest)
    try:
        checked = hash_whole(fd, blob.size, site.reading.through_cache(), chunks=True)
    finally:
        os.close(fd)
    if checked.unreadable:
        raise ReadFailed(f"cannot be read ({next(iter(checked.unreadable.values()))})", thing=path, next_step=again)
    if checked.changed:
        raise ChangedWhileRead("changed while it was read", thing=path, next_step="run the command again")
    if checked.sha256 != blob.digest.hex:
        raise HashMismatch("the bytes are not those of its name", thing=path, next_step=again)
    return ChunkList(blob=blob.digest, size=blob.size, hashes=checked.hashes)
