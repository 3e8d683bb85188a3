"""Take a wrapped model from elsewhere into the vault: every byte proved, the record last (W2, S1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import close
from typing import Protocol

from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import ChangedWhileRead, DamageError, HashMismatch, ModelwardError, ReadFailed
from modelward.domain.interchange import Adopted, Parcel, open_list, open_parcel, open_wrapper
from modelward.domain.manifest import Layer
from modelward.domain.name import ModelName
from modelward.domain.reading import Checked
from modelward.domain.snapshot import Snapshot
from modelward.durable import Folder
from modelward.ports import StagedFile, Vault, VaultWriter
from modelward.scan import Reading, check_chunks, hash_whole
from modelward.services.site import Site

Taken = tuple[list[Adopted], list[str]]


class Elsewhere(Protocol):
    """Where a wrapper and its objects lie; what it gives is proved by who takes it."""

    def small(self, digest: Digest, size: int) -> bytes:
        """An object of at most ``size`` bytes, whole."""

    def bring(self, writer: VaultWriter, blob: Digest, size: int, chunk_list: ChunkList | None) -> None:
        """Put a blob into the vault, proved by its SHA-256 (and chunk by chunk, where there is a list)."""


def unpack(elsewhere: Elsewhere, raw: bytes, expected: Digest | None = None) -> Parcel:
    """The wrapper with its manifest, both proved, before anything large is read."""
    named = open_wrapper(raw, expected).manifest
    return open_parcel(raw, elsewhere.small(named.digest, named.size))


def bring_file(writer: VaultWriter, fd: int, size: int, reading: Reading) -> tuple[StagedFile, Checked]:
    """A staged clone or copy of an open file, with its SHA-256 and chunk hashes of the same read.

    The caller publishes or discards it. Raises ReadFailed and ChangedWhileRead.
    """
    staged = writer.stage(size)
    try:
        if staged.clone_from(fd):
            checked = hash_whole(staged.fd, size, reading.through_cache(), chunks=True)
        else:
            checked = hash_whole(fd, size, reading.through_cache(), sink=staged, chunks=True)
        _whole(checked)
    except BaseException:
        staged.discard()
        raise
    return staged, checked


def _whole(checked: Checked) -> None:
    if checked.unreadable:
        raise ReadFailed(f"cannot be read ({next(iter(checked.unreadable.values()))})")
    if checked.changed or not checked.sha256:
        raise ChangedWhileRead("changed while it was read", next_step="run the command again")


def list_of(blob: Digest, size: int, checked: Checked) -> ChunkList | None:
    """The chunk list of a whole read; None for a blob of one chunk at most."""
    return ChunkList(blob=blob, size=size, hashes=checked.hashes) if size > CHUNK else None


def lacking(vault: Vault, parcel: Parcel) -> tuple[Layer, ...]:
    """The blobs that the vault does not vouch for."""
    return tuple(blob for blob in parcel.manifest.blobs if not vault.intact(blob.digest, blob.size))


def newest_of(vault: Vault, name: ModelName) -> Snapshot | None:
    """The model's newest record."""
    return next((snapshot for snapshot in vault.snapshots() if snapshot.model == name), None)


class Taker:
    """One run that holds the vault's lock; ``fetched`` and ``moved`` count blobs and bytes that came in."""

    def __init__(self, site: Site, vault: Vault, writer: VaultWriter) -> None:
        self._site, self._vault, self._writer = site, vault, writer
        self._lying = frozenset(vault.objects())
        self.fetched = self.moved = 0

    def take(self, elsewhere: Elsewhere, parcel: Parcel, name: ModelName, origin: str) -> tuple[Snapshot, bool]:
        """Blobs, then the record; the snapshot, and whether it is new. Nothing is recorded when one blob fails."""
        for blob in parcel.manifest.blobs:
            self._blob(elsewhere, parcel, blob)
        newest = newest_of(self._vault, name)
        owner = self._site.store.default_owner()
        snapshot = self._writer.add_snapshot(name, parcel.manifest, origin, owner, newest)
        new = newest is None or snapshot.id != newest.id
        if new:
            self._site.progress.say("snapshot_stored", model=str(name), snapshot=snapshot.id, bytes=self.moved)
        return snapshot, new

    def _blob(self, elsewhere: Elsewhere, parcel: Parcel, blob: Layer) -> None:
        chunk_list = self._chunk_list(elsewhere, parcel, blob)
        if self._held(blob):
            self._same_list(chunk_list, blob)
            return
        elsewhere.bring(self._writer, blob.digest, blob.size, chunk_list)
        self.fetched += 1
        self.moved += blob.size

    def _chunk_list(self, elsewhere: Elsewhere, parcel: Parcel, blob: Layer) -> ChunkList | None:
        if blob.size <= CHUNK:
            return None
        named = parcel.wrapper.chunk_lists[blob.digest]
        held = self._vault.chunk_list(blob.digest)
        data = held.encode() if held is not None else b""
        try:
            return open_list(parcel, blob.digest, data)
        except DamageError:
            return open_list(parcel, blob.digest, elsewhere.small(named.digest, named.size))

    def _held(self, blob: Layer) -> bool:
        """Whether the vault has the blob; one that lies there unproved is read before it counts (W3)."""
        if self._vault.intact(blob.digest, blob.size):
            return True
        if blob.digest not in self._lying:
            return False
        try:
            fd = self._vault.open_blob(blob.digest)
        except DamageError:
            return False
        try:
            self._writer.add_blob(fd, blob.digest, blob.size)
        except DamageError:
            return False
        finally:
            close(fd)
        return True

    def _same_list(self, chunk_list: ChunkList | None, blob: Layer) -> None:
        """A wrapper whose list is not that of the blob lies, and would come out as another wrapper."""
        if chunk_list is None or chunk_list == self._vault.chunk_list(blob.digest):
            return
        fd = self._vault.open_blob(blob.digest)
        try:
            checked = check_chunks(fd, chunk_list, self._site.reading)
        finally:
            close(fd)
        if checked.bad or checked.unstable or checked.unreadable:
            raise HashMismatch("the chunk list that came with it is not the blob's", thing=blob.digest)


@contextmanager
def opened(folder: Folder, name: str) -> Iterator[int]:
    """A plain file while it is read; links are not followed."""
    fd = folder.open_file(name)
    try:
        yield fd
    finally:
        close(fd)


def refused(name: ModelName, source: str, error: ModelwardError) -> Adopted:
    """A model that was not taken in, and why."""
    return Adopted(name=name, source=source, outcome="refused", reason=str(error))
