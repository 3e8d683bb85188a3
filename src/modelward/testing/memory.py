"""A vault in memory that keeps the promises of the Vault port, for tests of what works on vaults."""

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

import msgspec
from blake3 import blake3

from modelward.domain.audit import AuditEntry
from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import BlobMissing, ChangedWhileRead, HashMismatch, Locked, ModelwardError, ReadFailed
from modelward.domain.finding import RecordDamaged
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.receipt import FileId, Ledger, LedgerChange, Receipt, apply
from modelward.domain.snapshot import (
    KeptManifest,
    KnownStore,
    Protected,
    Snapshot,
    SnapshotContent,
    Trashed,
    newest_first,
    snapshot_id,
)
from modelward.domain.store import BlobStat, Owner, Space, StoreIdentity
from modelward.domain.wrapper import EMPTY_CONFIG, Object, Wrapper, unwrap, wrap
from modelward.ports import Clock, Ledgers, StagedFile

_KEY = "vault"
_OWNER = Owner(0, 0, 0o400)


class MemoryLedgers:
    """Ledgers that last as long as this object."""

    def __init__(self) -> None:
        self._kept: dict[str, Ledger] = {}

    def ledger(self, key: str) -> Ledger:
        """What is kept under ``key``."""
        return self._kept.get(key, Ledger())

    def update(self, key: str, change: LedgerChange) -> None:
        """Merge what a run learned."""
        self._kept[key] = apply(self.ledger(key), change)


class _File:
    """Bytes in a file without a name, so that they have an identity and can be read at any offset."""

    def __init__(self, data: bytes) -> None:
        self._fd = _nameless()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._fd)

    @property
    def id(self) -> FileId:
        return _id(self._fd)

    @property
    def data(self) -> bytes:
        return _read(self._fd, self.id.size)

    def open(self) -> int:
        """A descriptor with flags of its own: a reader may set O_DIRECT on it."""
        return os.open(f"/dev/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)


@dataclass(slots=True)
class _Content:
    """All that a vault holds."""

    files: dict[Digest, _File] = field(default_factory=dict)
    quarantine: list[tuple[Digest, _File]] = field(default_factory=list)

    records: dict[str, Snapshot] = field(default_factory=dict)
    trash: dict[str, Trashed] = field(default_factory=dict)
    stores: dict[str, KnownStore] = field(default_factory=dict)
    protected: Protected = field(default_factory=Protected)
    audited: list[tuple[datetime, str, dict[str, object]]] = field(default_factory=list)
    kept: dict[ModelName, KeptManifest] = field(default_factory=dict)
    small: threading.Lock = field(default_factory=threading.Lock)


class MemoryVault:
    """A vault without a disk, gone with the last reference to it; each object is an open descriptor.

    ``ledgers`` are those of the site that the vault belongs to, where there is one. ``put`` and ``lose`` do to the
    vault what disks and people do.
    """

    def __init__(self, clock: Clock, *, ledgers: Ledgers | None = None, path: str = "memory") -> None:
        self._clock, self._content, self._lock, self._holder = clock, _Content(), threading.Lock(), ""
        self.ledgers: Ledgers = ledgers or MemoryLedgers()
        self.path = path
        self.identity = StoreIdentity(path=path, inode=0, device=-1, file_system="memory")

    # Damage, and a look inside.

    def put(self, blob: Digest, data: bytes) -> None:
        """Let these bytes stand under the blob's name from now on; nobody has proved them."""
        self._content.files[blob] = _File(data)

    def lose(self, blob: Digest) -> None:
        """Let nothing stand under the blob's name."""
        del self._content.files[blob]

    @property
    def audited(self) -> tuple[tuple[str, dict[str, object]], ...]:
        """Every audited action with its keys, the oldest first."""
        return tuple((action, keys) for _, action, keys in self._content.audited)

    # The port.

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All records, the newest first."""
        return newest_first(tuple(self._content.records.values()))

    def trashed(self) -> tuple[Trashed, ...]:
        """Forgotten snapshots that can still be brought back."""
        return tuple(self._content.trash.values())

    def damaged_records(self) -> tuple[RecordDamaged, ...]:
        """None: they are values, and do not rot."""
        return ()

    def content(self, snapshot: Snapshot) -> SnapshotContent:
        """Wrapper and manifest, proved; raises HashMismatch or BlobMissing."""
        wrapper = self.wrapper(snapshot.wrapper)
        manifest = Manifest.parse(self._proved(snapshot.manifest))
        return SnapshotContent(snapshot=snapshot, manifest=manifest, wrapper=wrapper)

    def wrapper(self, digest: Digest) -> Wrapper:
        """What a wrapper names, proved by its digest; see the port."""
        return unwrap(self._proved(digest))

    def chunk_list(self, blob: Digest) -> ChunkList | None:
        """The blob's chunk list, proved; None when there is none or it is damaged."""
        for snapshot in self.snapshots():
            with suppress(ModelwardError):
                if named := self.wrapper(snapshot.wrapper).chunk_lists.get(blob):
                    return ChunkList.parse(self._proved(named.digest))
        return None

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading; raises BlobMissing. The caller closes it."""
        return self._file(blob).open()

    def intact(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and unchanged since it was last proved."""
        file, receipt = self._content.files.get(blob), self._receipt(blob)
        return file is not None and file.id.size == size and receipt is not None and receipt.holds_for(file.id)

    def holds(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and was good when it was last read."""
        file = self._content.files.get(blob)
        return file is not None and file.id.size == size and self._receipt(blob) is not None

    def objects(self) -> Mapping[Digest, BlobStat]:
        """Every object, with its identity."""
        return {blob: BlobStat(file=file.id, owner=_OWNER) for blob, file in self._content.files.items()}

    def space(self) -> Space:
        """Memory without end; what is in quarantine."""
        aside = sum(file.id.size for _, file in self._content.quarantine)
        return Space(total=1 << 60, free=1 << 59, ours={"quarantine": aside})

    def blob_path(self, blob: Digest) -> str:
        """The object's name in messages."""
        return f"blobs/sha256/{blob.hex}"

    def known_store(self, path: str) -> KnownStore | None:
        """The store's identity as recorded, or None."""
        return self._content.stores.get(path)

    def protected(self) -> Protected:
        """Which models are released."""
        return self._content.protected

    def audit(self, action: str, **keys: object) -> None:
        """Remember one action."""
        with self._content.small:
            self._content.audited.append((self._clock.now(), action, keys))

    def audit_entries(self) -> Iterator[AuditEntry]:
        """Every entry, the oldest first."""
        for number, (at, action, keys) in enumerate(tuple(self._content.audited), start=1):
            yield AuditEntry.of(number, at, action, keys)

    def audit_faults(self) -> tuple[str, ...]:
        """None: nobody can reach the memory of a process to edit it."""
        return ()

    def keep_manifests(self, newest: Iterable[tuple[ModelName, bytes, Owner]]) -> None:
        """Keep the newest manifests of models; raises BadManifest."""
        now = self._clock.now()
        kept = {
            name: KeptManifest(model=name, manifest=Manifest.parse(raw).raw, owner=owner, seen_at=now)
            for name, raw, owner in newest
        }
        with self._content.small:
            self._content.kept.update(kept)

    def kept_manifests(self) -> Mapping[ModelName, KeptManifest]:
        """The newest manifest of each model."""
        return dict(self._content.kept)

    @contextmanager
    def writing(self, verb: str) -> Iterator["_Writer"]:
        """Take the vault's lock; a second writer gets Locked at once."""
        if not self._lock.acquire(blocking=False):
            raise Locked(
                f"another process is writing: {self._holder}",
                thing=self.path,
                next_step="wait until it has finished and run the command again",
            )
        self._holder = f"pid {os.getpid()}, {verb}"
        try:
            yield _Writer(self, self._content, self._clock)
        finally:
            self._lock.release()

    def _file(self, blob: Digest) -> _File:
        if blob not in self._content.files:
            raise BlobMissing("not there", thing=self.blob_path(blob))
        return self._content.files[blob]

    def _proved(self, digest: Digest) -> bytes:
        data = self._file(digest).data
        if sha256(data).hexdigest() != digest.hex:
            raise HashMismatch(
                "the vault's object is damaged",
                thing=self.blob_path(digest),
                next_step="run: modelward repair --vault-copy",
            )
        return data

    def _receipt(self, blob: Digest) -> Receipt | None:
        return self.ledgers.ledger(_KEY).receipts.get(blob.hex)


class _Staged:
    """A staged file of a MemoryVault."""

    have: frozenset[int] = frozenset()

    def __init__(self, size: int) -> None:
        self.fd = _nameless()
        os.ftruncate(self.fd, size)

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write ``length`` bytes."""
        os.pwrite(self.fd, view[:length], offset)

    def clone_from(self, fd: int) -> bool:  # noqa: ARG002 - the port's parameter
        """False: memory shares no extents."""
        return False

    def discard(self) -> None:
        """Throw it away."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    drop = discard


class _Writer:
    """The right to change a MemoryVault."""

    def __init__(self, vault: MemoryVault, content: _Content, clock: Clock) -> None:
        self._vault, self._content, self._clock = vault, content, clock
        self._lists: dict[Digest, Object] = {}

    def add_blob(self, fd: int, blob: Digest, size: int) -> int:
        """Copy a blob in, proved; returns the bytes written."""
        moved = 0
        if not self._vault.intact(blob, size) and not self._prove_present(blob, size):
            self._put(blob, _proved(fd, blob, size))
            moved = size
        if size > CHUNK and blob not in self._lists:
            self._lists[blob] = self._add(_chunk_list(blob, self._content.files[blob].data))
        return moved

    def stage(self, size: int) -> "_Staged":
        """A new file for an object that comes from elsewhere than a file."""
        return _Staged(size)

    def publish_blob(self, staged: StagedFile, blob: Digest, chunk_list: ChunkList | None = None) -> None:
        """Put a staged file under the object's name."""
        self._put(blob, _read(staged.fd, os.fstat(staged.fd).st_size))
        if chunk_list is not None and chunk_list.size > CHUNK:
            self._lists[blob] = self._add(chunk_list.encode())

    def add_snapshot(
        self, model: ModelName, manifest: Manifest, store: str, owner: Owner, newest: Snapshot | None = None
    ) -> Snapshot:
        """Add manifest, wrapper and record; returns ``newest`` when it is of the same version."""
        self._add(EMPTY_CONFIG)
        self._add(manifest.raw)
        large = [blob.digest for blob in manifest.blobs if blob.size > CHUNK]
        wrapper = self._add(wrap(manifest, {blob: self._listed(blob) for blob in large}))
        if newest is not None and newest.wrapper == wrapper.digest:
            return newest
        now = self._clock.now()
        snapshot = Snapshot(
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
        self._content.records[snapshot.id] = snapshot
        return snapshot

    def _listed(self, blob: Digest) -> Object:
        if blob not in self._lists:
            self._lists[blob] = self._add(_chunk_list(blob, self._content.files[blob].data))
        return self._lists[blob]

    def make_newest(self, snapshot: Snapshot) -> Snapshot:
        """Record a version that is served again."""
        now = self._clock.now()
        identity = snapshot_id(now, snapshot.model, snapshot.wrapper)
        self._content.records[identity] = msgspec.structs.replace(snapshot, id=identity, created_at=now)
        return self._content.records[identity]

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Move records to the trash."""
        now = self._clock.now().replace(microsecond=0)
        for snapshot in snapshots:
            self._content.trash[snapshot.id] = Trashed(snapshot=snapshot, forgotten_at=now)
            del self._content.records[snapshot.id]

    def undelete(self, snapshot: Snapshot) -> None:
        """Bring a record back from the trash."""
        self._content.records[snapshot.id] = self._content.trash.pop(snapshot.id).snapshot

    def drop(self, trashed: Sequence[Trashed], objects: Sequence[Digest]) -> int:
        """Drop trashed records, then objects; returns the bytes freed."""
        for item in trashed:
            self._content.trash.pop(item.snapshot.id, None)
        gone = [file for blob in objects if (file := self._content.files.pop(blob, None)) is not None]
        self._vault.ledgers.update(_KEY, LedgerChange(dropped=frozenset(blob.hex for blob in objects)))
        return sum(file.id.size for file in gone)

    def release_quarantine(self) -> int:
        """Drop what was replaced and is proved again, or not there any more; returns the bytes freed."""
        kept, freed = [], 0
        for blob, file in self._content.quarantine:
            now = self._content.files.get(blob)
            if now is None or self._vault.intact(blob, now.id.size):
                freed += file.id.size
            else:
                kept.append((blob, file))
        self._content.quarantine = kept
        return freed

    def know_store(self, known: KnownStore) -> None:
        """Record a store's identity."""
        self._content.stores[known.identity.path] = known

    def protect(self, protected: Protected) -> None:
        """Keep which models are released."""
        self._content.protected = protected

    def _prove_present(self, blob: Digest, size: int) -> bool:
        """An object that nobody vouches for is read before it counts (W3)."""
        file = self._content.files.get(blob)
        if file is None or file.id.size != size or sha256(file.data).hexdigest() != blob.hex:
            return False
        self._receive(blob, file)
        return True

    def _add(self, data: bytes) -> Object:
        digest = Digest(sha256(data).hexdigest())
        if digest not in self._content.files or self._content.files[digest].data != data:
            self._put(digest, data)
        return Object(digest=digest, size=len(data))

    def _put(self, blob: Digest, data: bytes) -> None:
        """Proved bytes take the name; what stood there is kept (R1)."""
        if (old := self._content.files.get(blob)) is not None:
            self._content.quarantine.append((blob, old))
        self._content.files[blob] = _File(data)
        self._receive(blob, self._content.files[blob])

    def _receive(self, blob: Digest, file: _File) -> None:
        receipt = Receipt(file.id, int(self._clock.now().timestamp()))
        self._vault.ledgers.update(_KEY, LedgerChange(proved={blob.hex: receipt}))


def _proved(fd: int, blob: Digest, size: int) -> bytes:
    """The first ``size`` bytes of an open file; they have to have the blob's hash (S1)."""
    before, again = _id(fd), "run: modelward verify, then modelward repair"
    try:
        data = _read(fd, size)
    except OSError as error:
        raise ReadFailed(f"cannot be read ({error})", thing=blob, next_step=again) from error
    if sha256(data).hexdigest() == blob.hex and len(data) == size:
        return data
    if _id(fd) != before:
        raise ChangedWhileRead("changed while it was read", thing=blob, next_step="run the command again")
    raise HashMismatch("the bytes are not those of its name", thing=blob, next_step=again)


def _chunk_list(blob: Digest, data: bytes) -> bytes:
    view = memoryview(data)
    hashes = b"".join(blake3(view[offset : offset + CHUNK]).digest() for offset in range(0, len(data), CHUNK))
    return ChunkList(blob=blob, size=len(data), hashes=hashes).encode()


def _read(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    done = 0
    while done < size and (part := os.pread(fd, min(CHUNK, size - done), done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)


def _id(fd: int) -> FileId:
    found = os.fstat(fd)
    return FileId(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _nameless() -> int:
    """A descriptor of memory, or of a file without a name where the system has no such thing."""
    with suppress(AttributeError, OSError):
        return os.memfd_create("modelward")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
