"""An Ollama store: blobs by digest, manifests four levels deep, read by folder entries alone.

Layout facts: types/model/name.go, manifest/ and server/images.go of Ollama v0.24.0.
"""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import BadManifest, BadName, BlobMissing, DamageError, NotARegularFile, StoreNotFound
from modelward.domain.finding import BadEntry, CaseTwin, Finding, ManifestDamaged, Orphan, Partial
from modelward.domain.manifest import MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.store import BlobStat, Inventory, Owner, Space, StoreIdentity, StoreModel
from modelward.durable import Folder, kind_of, measure, tree_bytes
from modelward.mounts import identity_of
from modelward.ports import Clock
from modelward.scan import id_of
from modelward.stores.ollama_writer import KEPT_FOLDER, OWN_FOLDER, OllamaWriter, StoreLimits

_BLOB = re.compile(r"sha256-([0-9a-f]{64})\Z")
_DEPTH = 4


class OllamaStore:
    """The store in a folder; nothing is changed but through ``writing``."""

    def __init__(self, root: Folder, *, clock: Clock, limits: StoreLimits) -> None:
        self._root, self._clock, self._limits = root, clock, limits
        self._blobs: Folder | None = None

    @classmethod
    def open(cls, path: Path, *, clock: Clock, limits: StoreLimits, create: bool = False) -> Self:
        """Open a store's folder; ``create`` makes an empty one. Raises StoreNotFound."""
        try:
            return cls(Folder.open(path, create=create, mode=0o755), clock=clock, limits=limits)
        except DamageError as error:
            raise StoreNotFound(
                f"no store here ({error.what})",
                thing=path,
                next_step="name the folder that holds blobs/ and manifests/ with --store or OLLAMA_MODELS",
            ) from error

    @property
    def path(self) -> str:
        """The folder, links resolved."""
        return self._root.path

    def identity(self) -> StoreIdentity:
        """Which store this is, now."""
        blobs = self._root.stat("blobs")
        inode = blobs.st_ino if blobs is not None and stat.S_ISDIR(blobs.st_mode) else 0
        return msgspec.structs.replace(identity_of(self.path, self._root.fd), blobs_inode=inode)

    def inventory(self) -> Inventory:
        """One picture of manifests and blobs by folder entries alone."""
        models, findings = self._models()
        blobs, odd, partials = self._blob_entries()
        named = {layer.digest for model in models.values() for layer in model.manifest.blobs}
        orphans = [
            Orphan(blob=blob, size=found.file.size, path=self.blob_path(blob))
            for blob, found in blobs.items()
            if blob not in named
        ]
        return Inventory(
            models=models, blobs=blobs, odd=odd, findings=(*findings, *_twins(models), *orphans, *partials)
        )

    # Manifests.

    def _models(self) -> tuple[dict[ModelName, StoreModel], list[Finding]]:
        models: dict[ModelName, StoreModel] = {}
        findings: list[Finding] = []
        try:
            top = self._part("manifests")
        except BlobMissing:
            return models, findings
        for folder, parts in _walk(top, (), findings):
            path = "/".join(("manifests", *parts))
            try:
                name = ModelName(*parts)
            except BadName as error:
                findings.append(BadEntry(path=path, reason=f"no model can have this name ({error.what})"))
                continue
            try:
                models[name] = _read_model(folder, name)
            except DamageError as error:
                findings.append(ManifestDamaged(path=path, model=name, reason=error.what))
        return models, findings

    def read_manifest(self, name: ModelName) -> Manifest:
        """The manifest as it is now."""
        with self._model_folder(name) as folder:
            return _read_model(folder, name).manifest

    @contextmanager
    def _model_folder(self, name: ModelName) -> Iterator[Folder]:
        folder = self._root.sub("manifests")
        for part in name.parts[:-1]:
            inner = folder.sub(part)
            folder.close()
            folder = inner
        try:
            yield folder
        finally:
            folder.close()

    # Blobs.

    def _blob_folder(self) -> Folder:
        if self._blobs is None:
            self._blobs = self._part("blobs")
        return self._blobs

    def _part(self, name: str) -> Folder:
        """A folder of the store; one that is a link is not followed, and it is said what to do instead (T1)."""
        try:
            return self._root.sub(name)
        except NotARegularFile as error:
            raise NotARegularFile(
                "a link or special file, not a folder of the store",
                thing=error.thing,
                next_step="mount the other disk there (a bind mount), or move the whole store and name it with --store",
            ) from error

    def _blob_entries(self) -> tuple[dict[Digest, BlobStat], dict[Digest, str], list[Partial]]:
        blobs: dict[Digest, BlobStat] = {}
        odd: dict[Digest, str] = {}
        partials: list[Partial] = []
        try:
            entries = list(self._blob_folder().entries())
        except BlobMissing:
            return blobs, odd, partials
        for entry in entries:
            found = self._blob_folder().stat(entry.name)
            if found is None:
                continue
            name = _BLOB.match(entry.name)
            if name and stat.S_ISREG(found.st_mode):
                owner = Owner(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
                blobs[Digest(name[1])] = BlobStat(file=id_of(found), owner=owner)
            elif name:
                odd[Digest(name[1])] = kind_of(found.st_mode)
            else:
                size, changed = found.st_blocks * 512, int(max(found.st_mtime, found.st_ctime))
                partials.append(Partial(path=f"blobs/{entry.name}", bytes=size, changed_at=changed))
        return blobs, odd, partials

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""
        return self._blob_folder().open_file(_file(blob))

    def blob_path(self, blob: Digest) -> str:
        """The blob's path relative to the store's folder."""
        return f"blobs/{_file(blob)}"

    def default_owner(self) -> Owner:
        """The blobs folder's owner and group, and the mode that Ollama gives its blobs."""
        try:
            found = os.fstat(self._blob_folder().fd)
        except BlobMissing:
            found = os.fstat(self._root.fd)
        return Owner(found.st_uid, found.st_gid, 0o644)

    def space(self) -> Space:
        """The disk that the store lies on, and what of ours lies in it."""
        return Space(**measure(self._root), ours=self._ours())

    def _ours(self) -> dict[str, int]:
        try:
            own = self._root.sub(OWN_FOLDER)
        except DamageError:
            return {}
        try:
            return {name: tree_bytes(own, name) for name in (KEPT_FOLDER, "quarantine", "staging")}
        finally:
            own.close()

    # Changes.

    @contextmanager
    def writing(self) -> Iterator[OllamaWriter]:
        """Take the store's write lock, sweep what a killed writer left."""
        writer = OllamaWriter(self._root, self.default_owner(), self._clock, self._limits)
        with writer.locked():
            yield writer
        self._blobs = None


def _walk(folder: Folder, parts: tuple[str, ...], findings: list[Finding]) -> Iterator[tuple[Folder, tuple[str, ...]]]:
    """Every entry at a manifest's depth, with its open folder; what stands elsewhere becomes a finding."""
    try:
        for name in folder.names():
            here = (*parts, name)
            if len(here) == _DEPTH:
                yield folder, here
                continue
            try:
                inner = folder.sub(name)
            except DamageError as error:
                findings.append(BadEntry(path="/".join(("manifests", *here)), reason=_misplaced(error)))
                continue
            yield from _walk(inner, here, findings)
    except DamageError as error:
        findings.append(BadEntry(path="/".join(("manifests", *parts)), reason=error.what))
    finally:
        folder.close()


def _misplaced(error: DamageError) -> str:
    if isinstance(error, NotARegularFile):
        return "not a folder: the runtime sees manifests four levels deep only, and links are not followed"
    return error.what


def _read_model(folder: Folder, name: ModelName) -> StoreModel:
    fd = folder.open_file(name.tag)
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    if found.st_size > MAX_BYTES:
        raise BadManifest(f"{found.st_size:,} bytes, the limit is {MAX_BYTES:,}")
    manifest = Manifest.parse(folder.read(name.tag, MAX_BYTES))
    return StoreModel(
        name=name, manifest=manifest, owner=Owner(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    )


def _twins(models: Iterable[ModelName]) -> list[CaseTwin]:
    alike: dict[str, list[ModelName]] = defaultdict(list)
    for name in models:
        alike[name.twin_key].append(name)
    return [
        CaseTwin(path="/".join(("manifests", *names[0].parts)), models=tuple(sorted(names)))
        for names in alike.values()
        if len(names) > 1
    ]


def _file(blob: Digest) -> str:
    return f"sha256-{blob.hex}"
