"""A receipt: this very file was read to its end and proved, then; it holds while the file's identity does."""

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.finding import Finding


class FileId(msgspec.Struct, frozen=True, array_like=True):
    """What tells that a file is still the same one: inode, size in bytes, mtime and ctime in ns.

    The device number is left out on purpose: it changes at every mount of a btrfs, NFS or loop device, and
    the folder that the receipts belong to is compared by itself (I1).
    """

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """The file's identity and when (Unix seconds) its bytes were last proved."""

    file: FileId
    verified_at: int

    def holds_for(self, file: FileId) -> bool:
        """Whether the file is, by its identity, the one that was proved."""
        return self.file == file


class KnownBad(msgspec.Struct, frozen=True, array_like=True):
    """This very file was found damaged, then (Unix seconds), like this; it stays so until a whole read says better."""

    file: FileId
    found_at: int
    findings: tuple[Finding, ...]


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sample pass stopped inside a blob: the next chunk to read, for this very file."""

    blob: Digest
    file: FileId
    next_chunk: int


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """All receipts of one folder of blobs, by hex digest, and the cursor of the running sample pass."""

    receipts: dict[str, Receipt] = msgspec.field(default_factory=dict)
    damaged: dict[str, KnownBad] = msgspec.field(default_factory=dict)
    cursor: Cursor | None = None


class LedgerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What one run learned: blobs proved, receipts that no longer hold, and the new cursor if it moved."""

    proved: dict[str, Receipt] = msgspec.field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    damaged: dict[str, KnownBad] = msgspec.field(default_factory=dict)
    cursor: Cursor | None = None
    cursor_moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.proved or self.dropped or self.damaged or self.cursor_moved)


def apply(ledger: Ledger, change: LedgerChange) -> Ledger:
    """The ledger after the change; of two receipts for one blob the later one counts."""
    receipts = {name: kept for name, kept in ledger.receipts.items() if name not in change.dropped}
    for name, new in change.proved.items():
        old = receipts.get(name)
        if old is None or old.file != new.file or old.verified_at <= new.verified_at:
            receipts[name] = new
    damaged = {name: known for name, known in ledger.damaged.items() if name not in change.proved} | change.damaged
    return Ledger(receipts=receipts, damaged=damaged, cursor=change.cursor if change.cursor_moved else ledger.cursor)
