"""What of a vault can be made anew without a copy: chunk lists, wrappers and manifests follow from each other."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

from modelward.domain.chunks import CHUNK, ChunkList, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, ModelwardError, SourceFailed, Unreachable
from modelward.domain.interchange import WRAPPER_LIMIT
from modelward.domain.manifest import MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.rewritten import rewrite
from modelward.domain.snapshot import Snapshot
from modelward.domain.source import LocalFile, Wanted
from modelward.domain.wrapper import EMPTY_CONFIG, EMPTY_DIGEST, Object, unwrap, wrap
from modelward.ports import Store, Vault
from modelward.scan import hash_whole
from modelward.services.objects import object_bytes
from modelward.services.site import Site


class Derived:
    """A source of small objects that were made anew, each proved by its digest."""

    name = "derived"
    rank = -1
    local = True

    def __init__(self, objects: Mapping[Digest, bytes]) -> None:
        self.objects = objects

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The objects that were made."""
        return {item.blob: () for item in wanted if len(self.objects.get(item.blob, b"")) == item.size > 0}

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the object."""
        if blob not in self.objects:
            raise SourceFailed("not made", thing=blob)
        part = self.objects[blob][offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def local_file(self, _: Digest) -> LocalFile | None:
        """None: they are in memory."""
        return None


def derive(site: Site, snapshots: Iterable[Snapshot], lost: frozenset[Digest]) -> Derived:
    """Make what is ``lost`` of these snapshots' manifests, chunk lists and wrappers anew, as far as that goes."""
    maker = _Maker(site, lost)
    for snapshot in snapshots:
        maker.make(snapshot)
    return Derived(maker.made)


def manifest_of(vault: Vault, snapshot: Snapshot) -> Manifest:
    """The snapshot's manifest as the vault has it, else made anew, by its digest; raises what the vault raised."""
    try:
        return Manifest.parse(object_bytes(vault, snapshot.manifest, MAX_BYTES))
    except ModelwardError:
        made = manifest_anew(vault, snapshot)
        if made is None:
            raise
        return made


def manifest_anew(vault: Vault, snapshot: Snapshot) -> Manifest | None:
    """A manifest that the vault's objects lost: the one kept of its model (G2), or written anew from the wrapper."""
    kept = vault.kept_manifests().get(snapshot.model)
    if kept is not None and _digest(kept.manifest) == snapshot.manifest:
        return Manifest.parse(kept.manifest)
    try:
        wrapper = vault.wrapper(snapshot.wrapper)
        names = (known.model.short for known in vault.snapshots())
        raw = rewrite(wrapper, _rest(vault, snapshot), names, snapshot.store)
        return Manifest.parse(raw) if raw is not None else None
    except ModelwardError:
        return None


def _rest(vault: Vault, snapshot: Snapshot) -> Iterator[bytes]:
    """What is left of the manifest, unproved, and the other versions of its model."""
    for digest in dict.fromkeys((snapshot.manifest, *_versions(vault, snapshot.model))):
        with suppress(ModelwardError, OSError):
            fd = vault.open_blob(digest)
            try:
                yield os.pread(fd, MAX_BYTES, 0)
            finally:
                os.close(fd)


def _versions(vault: Vault, name: ModelName) -> Iterable[Digest]:
    return (known.manifest for known in vault.snapshots() if known.model == name)


class _Maker:
    def __init__(self, site: Site, lost: frozenset[Digest]) -> None:
        self._site, self._vault, self._lost = site, site.the_vault(), lost
        self._served = {m.manifest.digest: m.manifest for m in site.store.inventory().models.values()}
        self.made: dict[Digest, bytes] = {}
        if EMPTY_DIGEST in lost:
            self.made[EMPTY_DIGEST] = EMPTY_CONFIG

    def make(self, snapshot: Snapshot) -> None:
        """Manifest, then the chunk lists, then the wrapper: each needs the ones before."""
        manifest = self._manifest(snapshot)
        if manifest is None:
            return
        self._keep(manifest.raw)
        try:
            known = unwrap(object_bytes(self._vault, snapshot.wrapper, WRAPPER_LIMIT)).chunk_lists
        except ModelwardError:
            known = None
        if known is None or any(item.digest in self._lost for item in known.values()):
            lists = {blob.digest: self._list(blob.digest, blob.size) for blob in manifest.blobs if blob.size > CHUNK}
            if all(lists.values()):
                self._wrap(manifest, {blob: made for blob, made in lists.items() if made is not None})

    def _wrap(self, manifest: Manifest, lists: Mapping[Digest, bytes]) -> None:
        for made in lists.values():
            self._keep(made)
        self._keep(wrap(manifest, {blob: Object(digest=_digest(made), size=len(made)) for blob, made in lists.items()}))

    def _manifest(self, snapshot: Snapshot) -> Manifest | None:
        if served := self._served.get(snapshot.manifest):
            return served
        try:
            return manifest_of(self._vault, snapshot)
        except ModelwardError:
            return self._from_upstream(snapshot)

    def _from_upstream(self, snapshot: Snapshot) -> Manifest | None:
        if self._site.registry is None:
            return None
        try:
            found = self._site.registry.manifest(snapshot.model)
        except (Unreachable, DamageError):
            return None
        return found if found.digest == snapshot.manifest else None

    def _list(self, blob: Digest, size: int) -> bytes | None:
        """The blob's chunk list: the vault's, or one made from the first copy that has the blob's SHA-256."""
        if (known := self._vault.chunk_list(blob)) is not None:
            return known.encode()
        folders: tuple[Vault | Store, ...] = (self._vault, self._site.store)
        return next((made for folder in folders if (made := self._read_list(folder, blob, size))), None)

    def _read_list(self, folder: Vault | Store, blob: Digest, size: int) -> bytes | None:
        try:
            fd = folder.open_blob(blob)
        except DamageError:
            return None
        try:
            checked = hash_whole(fd, size, self._site.reading, chunks=True)
        finally:
            os.close(fd)
        return ChunkList(blob=blob, size=size, hashes=checked.hashes).encode() if checked.sha256 == blob.hex else None

    def _keep(self, data: bytes) -> None:
        digest = _digest(data)
        if digest in self._lost:
            self.made[digest] = data


def _digest(data: bytes) -> Digest:
    return Digest(sha256(data).hexdigest())
