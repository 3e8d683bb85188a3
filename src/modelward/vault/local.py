"""A vault on a local disk, read side: snapshots, what they hold, and whether it is still what was proved."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Self

from modelward.domain.audit import AuditEntry
from modelward.domain.chunks import ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BlobMissing,
    DamageError,
    HashMismatch,
    ModelwardError,
    VaultUnreadable,
)
from modelward.domain.finding import RecordDamaged
from modelward.domain.manifest import MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import (
    KeptManifest,
    KnownStore,
    Protected,
    Snapshot,
    SnapshotContent,
    Trashed,
    VaultInfo,
)
from modelward.domain.store import BlobStat, Owner, Space, StoreIdentity
from modelward.domain.wrapper import Object, Wrapper, unwrap
from modelward.durable import measure, tree_bytes
from modelward.mounts import identity_of
from modelward.ports import Ledgers
from modelward.scan import Reading, id_of
from modelward.vault.audit_log import AuditLog
from modelward.vault.kept_manifests import KeptManifests
from modelward.vault.layout import PROTECTION, RECEIPTS, Layout
from modelward.vault.records import Records, Remade
from modelward.vault.sealed import SMALL, copy_of, read_twice, unsealed
from modelward.vault.writer import LocalVaultWriter, VaultLimits, store_key

KEY = "vault"
_HEX = re.compile(r"[0-9a-f]{64}\Z")


class LocalVault:
    """The vault in a folder. Everything it gives is proved against the digest that named it."""

    def __init__(
        self, layout: Layout, info: VaultInfo, *, ledgers: Ledgers, reading: Reading, limits: VaultLimits
    ) -> None:
        self.layout, self.info = layout, info
        self.ledgers, self.reading, self.limits = ledgers, reading, limits
        self._known: tuple[Snapshot, ...] | None = None

    @classmethod
    def open(cls, path: Path, *, ledgers: Ledgers, reading: Reading, limits: VaultLimits) -> Self:
        """Open a vault that exists; raises VaultMissing, VaultNewer or VaultUnreadable."""
        layout, info = Layout.open(path)
        return cls(layout, info, ledgers=ledgers, reading=reading, limits=limits)

    @classmethod
    def create(cls, path: Path, *, ledgers: Ledgers, reading: Reading, limits: VaultLimits) -> Self:
        """Make the folder a vault and open it."""
        layout, info = Layout.create(path)
        return cls(layout, info, ledgers=ledgers, reading=reading, limits=limits)

    @staticmethod
    def receipts_path(path: Path) -> Path:
        """Where a vault at ``path`` keeps its ledgers."""
        return path / "modelward" / RECEIPTS

    @property
    def path(self) -> str:
        """The vault's folder, links resolved."""
        return self.layout.root.path

    @cached_property
    def identity(self) -> StoreIdentity:
        """The folder and the mount that the vault lies on."""
        return identity_of(self.path, self.layout.root.fd)

    @property
    def _records(self) -> Records:
        """Made anew each time: kept here it would make a circle, and the folders stay open until that is found."""
        return Records(self)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All records, the newest first; see the port. Who writes has them already: nobody else changes any."""
        return self._records.live() if self._known is None else self._known

    def trashed(self) -> tuple[Trashed, ...]:
        """Forgotten snapshots that can still be brought back; see the port."""
        return self._records.trashed()

    def read_records(self) -> tuple[Remade, ...]:
        """Read all records and know the live ones until ``records_changed``; returns those that lie damaged.

        For who holds the lock. Raises VaultUnreadable for a record that cannot be made anew.
        """
        self._known, rotted = self._records.look()
        return rotted

    def records_changed(self) -> None:
        """From now on they are read anew."""
        self._known = None

    def damaged_records(self) -> tuple[RecordDamaged, ...]:
        """The records that lie damaged and were made anew from the rest of the vault."""
        return tuple(
            RecordDamaged(path=f"modelward/{one.place}/{one.name}", model=one.snapshot.model, reason=one.why)
            for one in self._records.look()[1]
        )

    def content(self, snapshot: Snapshot) -> SnapshotContent:
        """Wrapper and manifest, proved against the record's digests."""
        wrapper = self.wrapper(snapshot.wrapper)
        manifest = Manifest.parse(self.object_bytes(snapshot.manifest, MAX_BYTES))
        return SnapshotContent(snapshot=snapshot, manifest=manifest, wrapper=wrapper)

    def wrapper(self, digest: Digest) -> Wrapper:
        """What a wrapper names, proved by its digest; see the port."""
        return unwrap(self.object_bytes(digest, SMALL))

    def object_bytes(self, digest: Digest, limit: int) -> bytes:
        """A small object whole, proved by its name."""
        data = self.layout.blobs.read(digest.hex, limit)
        if sha256(data).hexdigest() != digest.hex:
            raise HashMismatch(
                "the vault's object is damaged",
                thing=f"{self.layout.blobs.path}/{digest.hex}",
                next_step="run: modelward repair --vault-copy",
            )
        return data

    def chunk_list(self, blob: Digest) -> ChunkList | None:
        """The blob's chunk list, proved; None when there is none or it is damaged."""
        named = self.chunk_lists.get(blob)
        if named is None:
            return None
        try:
            chunk_list = ChunkList.parse(self.object_bytes(named.digest, named.size))
        except ModelwardError:
            return None
        return chunk_list if chunk_list.blob == blob else None

    @cached_property
    def chunk_lists(self) -> dict[Digest, Object]:
        """The chunk list of each blob, from every wrapper that can be read."""
        lists: dict[Digest, Object] = {}
        for digest in {snapshot.wrapper for snapshot in self.snapshots()}:
            try:
                lists |= self.wrapper(digest).chunk_lists
            except ModelwardError:
                continue
        return lists

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""
        return self.layout.blobs.open_file(blob.hex)

    def intact(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and unchanged since it was last proved."""
        found = self.layout.blobs.stat(blob.hex)
        receipt = self.ledgers.ledger(KEY).receipts.get(blob.hex)
        return found is not None and found.st_size == size and receipt is not None and receipt.holds_for(id_of(found))

    def holds(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and was good when it was last read."""
        found = self.layout.blobs.stat(blob.hex)
        return found is not None and found.st_size == size and blob.hex in self.ledgers.ledger(KEY).receipts

    def objects(self) -> Mapping[Digest, BlobStat]:
        """Every object that lies in the vault, by its folder entry."""
        found = {}
        for name in self.layout.blobs.names():
            stat = self.layout.blobs.stat(name) if _HEX.match(name) else None
            if stat is not None and S_ISREG(stat.st_mode):
                owner = Owner(stat.st_uid, stat.st_gid, S_IMODE(stat.st_mode))
                found[Digest(name)] = BlobStat(file=id_of(stat), owner=owner)
        return found

    def space(self) -> Space:
        """The disk that the vault lies on, and what lies in its quarantine and staging."""
        own = {name: tree_bytes(self.layout.own, name) for name in ("quarantine", "staging", "trash", "receipts")}
        return Space(**measure(self.layout.root), ours=own)

    def blob_path(self, blob: Digest) -> str:
        """The object's path relative to the vault's folder."""
        return f"blobs/sha256/{blob.hex}"

    def known_store(self, path: str) -> KnownStore | None:
        """The store's identity as recorded, or None."""
        try:
            receipts = self.layout.own.sub(RECEIPTS)
            return unsealed(receipts.read(f"{store_key(path)}-identity.json", SMALL), KnownStore)
        except DamageError:
            return None

    def protected(self) -> Protected:
        """Which models are released."""
        try:
            return read_twice(self.layout.own, PROTECTION, Protected)
        except BlobMissing:
            return Protected()
        except DamageError as error:
            raise VaultUnreadable(
                f"the list of released models is damaged: {error.what}",
                thing=f"{self.layout.own.path}/{PROTECTION}",
                next_step=f"remove that file and {copy_of(PROTECTION)}, and release the models again",
            ) from error

    @cached_property
    def _log(self) -> AuditLog:
        return AuditLog(self.layout.own, self.reading.clock)

    def audit(self, action: str, **keys: object) -> None:
        """Append one entry to the audit log; see the port."""
        self._log.add(action, keys)

    def audit_entries(self) -> Iterator[AuditEntry]:
        """Every entry of the audit log that can be read, the oldest first."""
        return self._log.entries()

    def audit_faults(self) -> tuple[str, ...]:
        """Every edit, drop, reorder or cut of the audit log, in words."""
        return self._log.faults()

    def keep_manifests(self, newest: Iterable[tuple[ModelName, bytes, Owner]]) -> None:
        """Keep the newest manifests of models; see the port."""
        KeptManifests(self.layout.own, self.reading.clock).keep(newest)

    def kept_manifests(self) -> Mapping[ModelName, KeptManifest]:
        """The newest manifest of each model, as far as they can be read."""
        return KeptManifests(self.layout.own, self.reading.clock).all()

    @contextmanager
    def writing(self, verb: str) -> Iterator[LocalVaultWriter]:
        """Take the vault's lock, sweep staging; index and checksums are brought up to date on leaving."""
        writer = LocalVaultWriter(self)
        with writer.locked(verb):
            self.__dict__.pop("chunk_lists", None)
            yield writer
        self.__dict__.pop("chunk_lists", None)
