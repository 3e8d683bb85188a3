"""A vault on a local disk, write side: every step in the order of W2, under the vault's lock."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import chain, count
from typing import TYPE_CHECKING

import msgspec

from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BlobMissing,
    ChangedWhileRead,
    DamageError,
    DiskFull,
    HashMismatch,
    ReadFailed,
    VaultUnreadable,
    WriteFailed,
)
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Checked
from modelward.domain.receipt import FileId, LedgerChange, Receipt
from modelward.domain.snapshot import KnownStore, Protected, Snapshot, Trashed, snapshot_id
from modelward.domain.store import Owner
from modelward.domain.wrapper import EMPTY_CONFIG, Object, wrap
from modelward.durable import Staged, keep_aside, locked, put_small, remove, small_file
from modelward.ports import StagedFile
from modelward.scan import Reading, hash_whole, id_of
from modelward.vault import index
from modelward.vault.layout import INFO, LOCK, PROTECTION, RECEIPTS
from modelward.vault.sealed import copy_of, keep_twice, sealed

if TYPE_CHECKING:
    from modelward.vault.local import LocalVault

_SAVE_EVERY = 30.0
_READ_ONLY = 0o400


class VaultLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for the lock (seconds) and how many bytes to leave free on the disk (D1)."""

    lock_wait: float = 10.0
    reserve: int = 64 << 20


def store_key(path: str) -> str:
    """The name that a store's ledger and identity are kept under: a short hash of its real path."""
    return "store-" + sha256(path.encode(errors="surrogateescape")).hexdigest()[:16]


class LocalVaultWriter:
    """The right to change a LocalVault; made by ``LocalVault.writing``."""

    def __init__(self, vault: "LocalVault") -> None:
        self._vault, self._layout = vault, vault.layout
        self._clock = vault.reading.clock
        self._proved: dict[str, Receipt] = {}
        self._dropped: set[str] = set()
        self._saved_at = self._clock.monotonic()
        self._lists: dict[Digest, Object] = {}
        self._without_index = False

    @contextmanager
    def locked(self, verb: str) -> Iterator[None]:
        """Hold the lock; what a killed writer left is swept on entering, and what is derived is renewed on leaving."""
        since = f"{self._clock.now():%Y-%m-%d %H:%M:%S} UTC"
        wait = self._vault.limits.lock_wait
        with locked(self._layout.own, LOCK, holder=f"{verb} since {since}", clock=self._clock, wait=wait):
            if left := self._layout.staging.names():
                remove(self._layout.staging, *left)
            with self._records_known():
                try:
                    yield
                finally:
                    self._save_receipts()
                self._leave()

    @contextmanager
    def _records_known(self) -> Iterator[None]:
        """Read the records once for as long as nothing changes them; those that rotted are put in place anew."""
        try:
            self._mend_records()
            yield
        finally:
            self._vault.records_changed()

    def _mend_records(self) -> None:
        """Put the records that rotted in place anew; what lies there is kept in quarantine (R1)."""
        for one in self._vault.read_records():
            with suppress(DiskFull):  # what was made anew serves as well: room has to be made first (D1)
                keep_aside(one.folder, one.name, self._layout.quarantine, self._aside(one.name))
                put_small(self._layout.staging, one.folder, one.name, sealed(one.record), mode=_READ_ONLY)
                self._vault.audit("remake record", model=one.snapshot.model, snapshot=one.snapshot.id, why=one.why)

    def _leave(self) -> None:
        self._layout.mark()
        self._keep_copies()
        snapshots, sums = self._vault.snapshots(), self._layout.root.read_if_any(index.CHECKSUMS, index.LIMIT)
        old = self._layout.root.read_if_any(index.NAME, index.LIMIT)
        # By what lies there, not by what this session did: another may have been cut off between blobs and index.
        listed = sums == index.checksums(self._vault.objects())
        if not self._without_index and not (listed and index.fits(old, snapshots, sums)):
            self._write_index(snapshots)

    def _keep_copies(self) -> None:
        """What the vault is and what the user decided stand in two files each; one that rotted is written anew."""
        staging, own = self._layout.staging, self._layout.own
        with suppress(DiskFull, VaultUnreadable):
            keep_twice(staging, own, INFO, self._vault.info)
            if own.stat(PROTECTION) is not None or own.stat(copy_of(PROTECTION)) is not None:
                keep_twice(staging, own, PROTECTION, self._vault.protected())

    def _write_index(self, snapshots: Sequence[Snapshot], without: Sequence[Digest] = ()) -> None:
        gone = frozenset(without)
        sizes = {digest: stat.file.size for digest, stat in self._vault.objects().items() if digest not in gone}
        staging, root = self._layout.staging, self._layout.root
        sums = index.checksums(sizes)
        put_small(staging, root, index.CHECKSUMS, sums)
        put_small(staging, root, index.NAME, index.build(snapshots, sizes, sums))

    # Blobs.

    def add_blob(self, fd: int, blob: Digest, size: int) -> int:
        """Copy or clone a blob in, proved; see the port."""
        if (self._held(blob, size) or self._prove_present(blob, size)) and self._ensure_chunk_list(blob, size):
            return 0
        staged = self.stage(size)
        try:
            checked = self._take(fd, staged, blob, size)
            self._publish(staged, blob)
        finally:
            staged.discard()
        if size > CHUNK:
            self._add_chunk_list(ChunkList(blob=blob, size=size, hashes=checked.hashes))
        return size

    def stage(self, size: int) -> Staged:
        """A new file for an object that comes from elsewhere than a file."""
        return Staged(self._layout.staging, size, reserve=self._vault.limits.reserve, direct=True)

    def publish_blob(self, staged: StagedFile, blob: Digest, chunk_list: ChunkList | None = None) -> None:
        """Put a staged file, which the caller has proved, under the object's name."""
        if not isinstance(staged, Staged):
            raise WriteFailed("not a file that this vault staged", thing=blob)
        self._publish(staged, blob)
        if chunk_list is not None and chunk_list.size > CHUNK:
            self._add_chunk_list(chunk_list)

    def _held(self, blob: Digest, size: int) -> bool:
        """Whether the object is vouched for, by what is on record or by this very session."""
        found, mine = self._layout.blobs.stat(blob.hex), self._proved.get(blob.hex)
        if found is not None and mine is not None and found.st_size == size and mine.holds_for(id_of(found)):
            return True
        return self._vault.intact(blob, size)

    def _take(self, fd: int, staged: Staged, blob: Digest, size: int) -> Checked:
        """Fill the staged file and prove it; a copy that fails is read once more past the page cache."""
        if staged.clone_from(fd):
            return self._proved_or_raise(hash_whole(staged.fd, size, self._reading(), chunks=True), blob)
        checked = hash_whole(fd, size, self._reading(), sink=staged, chunks=True)
        if checked.sha256 != blob.hex:
            checked = hash_whole(fd, size, self._vault.reading, sink=staged, chunks=True)
        return self._proved_or_raise(checked, blob)

    def _reading(self) -> Reading:
        """Through the page cache: the hash proves the bytes, wherever they came from."""
        return self._vault.reading.through_cache()

    def _proved_or_raise(self, checked: Checked, blob: Digest) -> Checked:
        again = f"run: modelward verify, then modelward repair ({blob})"
        if checked.sha256 == blob.hex:
            return checked
        if checked.unreadable:
            raise ReadFailed(f"cannot be read ({next(iter(checked.unreadable.values()))})", thing=blob, next_step=again)
        if checked.changed:
            raise ChangedWhileRead("changed while it was read", thing=blob, next_step="run the command again")
        raise HashMismatch("the bytes are not those of its name", thing=blob, next_step=again)

    def _prove_present(self, blob: Digest, size: int) -> bool:
        """An object under the right name that nobody vouches for is read to its end before it counts (W3)."""
        found = self._layout.blobs.stat(blob.hex)
        if found is None or found.st_size != size:
            return False
        try:
            fd = self._vault.open_blob(blob)
        except DamageError:
            return False
        try:
            checked = hash_whole(fd, size, self._vault.reading, chunks=False)
        finally:
            os.close(fd)
        if checked.sha256 == blob.hex:
            self._receive(blob, checked.file)
        return checked.sha256 == blob.hex

    def _publish(self, staged: Staged, blob: Digest) -> None:
        staged.finish(_READ_ONLY)
        self._place(staged, blob)

    def _place(self, staged: Staged, blob: Digest) -> None:
        """Give a finished file its name."""
        blobs = self._layout.blobs
        try:
            file = staged.publish(blobs, blob.hex, sync=False)
        except FileExistsError:
            # What stands there was just found bad; it is kept until its place is proved good again (R1).
            keep_aside(blobs, blob.hex, self._layout.quarantine, self._aside(blob.hex))
            file = staged.replace(blobs, blob.hex)
        self._receive(blob, file)

    def _receive(self, blob: Digest, file: FileId) -> None:
        self._proved[blob.hex] = Receipt(file, int(self._clock.now().timestamp()))
        if self._clock.monotonic() - self._saved_at > _SAVE_EVERY:
            self._save_receipts()

    def _save_receipts(self) -> None:
        change = LedgerChange(proved=self._proved, dropped=frozenset(self._dropped))
        self._vault.ledgers.update("vault", change)
        self._proved, self._dropped = {}, set()
        self._saved_at = self._clock.monotonic()

    # Small objects.

    def _add_object(self, data: bytes) -> Object:
        """Store a small object under its digest; one that stands there is compared first (W3)."""
        digest = Digest(sha256(data).hexdigest())
        try:
            if self._layout.blobs.read(digest.hex, len(data)) == data:
                return Object(digest=digest, size=len(data))
        except (BlobMissing, DamageError):
            pass
        staged = small_file(self._layout.staging, data, _READ_ONLY)
        try:
            self._place(staged, digest)
        finally:
            staged.discard()
        return Object(digest=digest, size=len(data))

    def _add_chunk_list(self, chunk_list: ChunkList) -> None:
        self._lists[chunk_list.blob] = self._add_object(chunk_list.encode())

    def _ensure_chunk_list(self, blob: Digest, size: int) -> bool:
        """A blob that came in with a run that was killed may lack its chunk list: make it from the vault's copy.

        False when that copy turns out to have rotted: then the blob is stored anew.
        """
        if size <= CHUNK or blob in self._lists:
            return True
        if self._vault.chunk_list(blob) is not None:
            self._lists[blob] = self._vault.chunk_lists[blob]
            return True
        fd = self._vault.open_blob(blob)
        try:
            checked = hash_whole(fd, size, self._vault.reading, chunks=True)
        finally:
            os.close(fd)
        if checked.sha256 != blob.hex:
            return False
        self._add_chunk_list(ChunkList(blob=blob, size=size, hashes=checked.hashes))
        return True

    def _listed(self, blob: Digest, size: int) -> Object:
        if not self._ensure_chunk_list(blob, size):
            again = "run: modelward repair --vault-copy"
            raise HashMismatch("the vault's copy is damaged", thing=blob, next_step=again)
        return self._lists[blob]

    # Snapshots.

    def add_snapshot(
        self, model: ModelName, manifest: Manifest, store: str, owner: Owner, newest: Snapshot | None = None
    ) -> Snapshot:
        """Add manifest, wrapper and record; each is durable before the next names it (W2)."""
        self._add_object(EMPTY_CONFIG)
        self._add_object(manifest.raw)
        large = [blob for blob in manifest.blobs if blob.size > CHUNK]
        wrapped = wrap(manifest, {blob.digest: self._listed(blob.digest, blob.size) for blob in large})
        self._layout.blobs.sync()
        wrapper = self._add_object(wrapped)
        self._layout.blobs.sync()
        if newest is not None and newest.wrapper == wrapper.digest:
            # The same version, some of whose objects had to be stored anew: no second record of it (S1).
            return newest
        now = self._clock.now()
        return self._put_record(
            Snapshot(
                id=snapshot_id(now, model, wrapper.digest),
                model=model,
                created_at=now,
                verified_at=now,
                wrapper=wrapper.digest,
                manifest=manifest.digest,
                size=manifest.size,
                store=store,
                owner=owner,
            )
        )

    def make_newest(self, snapshot: Snapshot) -> Snapshot:
        """Record a version that is served again."""
        now = self._clock.now()
        identity = snapshot_id(now, snapshot.model, snapshot.wrapper)
        return self._put_record(msgspec.structs.replace(snapshot, id=identity, created_at=now))

    def _put_record(self, snapshot: Snapshot) -> Snapshot:
        folders = (self._layout.staging, self._layout.snapshots)
        self._vault.records_changed()
        put_small(*folders, _record(snapshot), sealed(snapshot), mode=_READ_ONLY)
        return snapshot

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Move records to the trash: the trash's copy is durable before the record goes."""
        self._vault.records_changed()
        for snapshot in snapshots:
            trashed = Trashed(snapshot=snapshot, forgotten_at=self._clock.now().replace(microsecond=0))
            put_small(self._layout.staging, self._layout.trash, _record(snapshot), sealed(trashed))
            remove(self._layout.snapshots, _record(snapshot))

    def undelete(self, snapshot: Snapshot) -> None:
        """Bring a record back from the trash."""
        self._put_record(snapshot)
        remove(self._layout.trash, _record(snapshot))

    def drop(self, trashed: Sequence[Trashed], objects: Sequence[Digest]) -> int:
        """Drop records first, then the index that names them, then the bytes."""
        remove(self._layout.trash, *(_record(item.snapshot) for item in trashed))
        try:
            self._write_index(self._vault.snapshots(), without=objects)
        except DiskFull:
            # Derived, so a full disk must not keep us from making room on it (D1): the next session writes it.
            self._without_index = True
        self._dropped |= {digest.hex for digest in objects}
        return remove(self._layout.blobs, *(digest.hex for digest in objects))

    def release_quarantine(self) -> int:
        """Drop damaged objects whose place holds proved bytes again, or that nothing names any more."""
        receipts = self._vault.ledgers.ledger("vault").receipts
        names = [name for name in self._layout.quarantine.names() if self._healed(name.partition(".")[0], receipts)]
        return remove(self._layout.quarantine, *names)

    def _healed(self, hex_digest: str, receipts: dict[str, Receipt]) -> bool:
        found = self._layout.blobs.stat(hex_digest)
        receipt = receipts.get(hex_digest)
        return found is None or (receipt is not None and receipt.holds_for(id_of(found)))

    # Small mutable files.

    def know_store(self, known: KnownStore) -> None:
        """Record a store's identity."""
        receipts = self._layout.own.sub(RECEIPTS, create=True)
        put_small(self._layout.staging, receipts, f"{store_key(known.identity.path)}-identity.json", sealed(known))
        receipts.close()

    def protect(self, protected: Protected) -> None:
        """Keep which models are released."""
        keep_twice(self._layout.staging, self._layout.own, PROTECTION, protected)

    def _aside(self, name: str) -> str:
        """A free name in quarantine: the file, when it was set aside, and a number when that is taken."""
        stem = f"{name}.{self._clock.now():%Y%m%dT%H%M%SZ}"
        names = chain([stem], (f"{stem}-{turn}" for turn in count(1)))
        return next(name for name in names if self._layout.quarantine.stat(name) is None)


def _record(snapshot: Snapshot) -> str:
    return f"{snapshot.id}.json"
