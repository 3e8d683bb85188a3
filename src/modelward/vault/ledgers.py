"""Keep receipts and cursors in a folder, one small JSON file a store: a cache of facts, never the only truth."""

from pathlib import Path

from modelward.domain.codec import decode, encode
from modelward.domain.errors import BlobMissing, DamageError, StorageError
from modelward.domain.receipt import Ledger, LedgerChange, apply
from modelward.durable import Folder, locked, put_small, remove
from modelward.ports import Clock

_LIMIT = 256 << 20
_WAIT = 10.0


class FolderLedgers:
    """Ledgers in ``folder``; made at the first update. An unreadable one counts as empty."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._cache: dict[str, Ledger] = {}

    def ledger(self, key: str) -> Ledger:
        """What is kept under ``key``."""
        if key not in self._cache:
            self._cache[key] = self._read(key)
        return self._cache[key]

    def _read(self, key: str) -> Ledger:
        try:
            folder = Folder.open(self._path)
        except DamageError:
            return Ledger()
        try:
            return decode(folder.read(f"{key}.json", _LIMIT), Ledger)
        except (BlobMissing, DamageError):
            return Ledger()
        finally:
            folder.close()

    def update(self, key: str, change: LedgerChange) -> None:
        """Merge under a short lock of its own, so that a verify need not wait for a running backup."""
        if not change:
            return
        try:
            folder = Folder.open(self._path, create=True)
        except (StorageError, DamageError):
            return
        try:
            with locked(folder, "lock", holder="receipts", clock=self._clock, wait=_WAIT):
                remove(folder, *(name for name in folder.names() if name != "lock" and not name.endswith(".json")))
                self._cache[key] = apply(self._read(key), change)
                put_small(folder, folder, f"{key}.json", encode(self._cache[key]))
        except StorageError:
            # Receipts save time. A full or read-only disk must not turn a good verdict into an error.
            self._cache[key] = apply(self.ledger(key), change)
        finally:
            folder.close()
