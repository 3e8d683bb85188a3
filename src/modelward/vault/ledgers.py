"""Keep receipts and cursors in a folder, one small JSON file a store: a cache of facts, never the only truth."""

import os
from pathlib import Path

from modelward.domain.codec import decode, encode
from modelward.domain.errors import BlobMissing, DamageError, StorageError
from modelward.domain.receipt import FileId, Ledger, LedgerChange, apply
from modelward.durable import Folder, locked, put_small, remove
from modelward.ports import Clock
from modelward.scan import id_of

_LIMIT = 256 << 20
_WAIT = 10.0


class FolderLedgers:
    """Ledgers in ``folder``; made at the first update. An unreadable one counts as empty.

    Safe for several threads and processes: what is cached is one pair, put there in one step, and it is read anew
    when the file is another one than the pair was made of.
    """

    def __init__(self, path: Path, clock: Clock, home: Path | None = None) -> None:
        """``home`` has to be there: where its disk vanished, nothing is made in its place, and memory has to do."""
        self._path, self._clock, self._home = path, clock, home
        self._text = str(path)  # asked for once a blob: pathlib would take longer than the system's answer
        self._cache: dict[str, tuple[FileId | None, Ledger]] = {}

    def ledger(self, key: str) -> Ledger:
        """What is kept under ``key`` now."""
        now = self._file(key)  # before the read: a file that is replaced meanwhile is read again the next time
        cached = self._cache.get(key)
        if cached is None or cached[0] != now:
            cached = self._cache[key] = (now, self._read(key))
        return cached[1]

    def _file(self, key: str) -> FileId | None:
        try:
            return id_of(os.lstat(f"{self._text}/{key}.json"))
        except OSError:
            return None

    def _read(self, key: str) -> Ledger:
        try:
            folder = self._open()
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
        if self._home is not None and not self._home.is_dir():
            self._learn(key, change)
            return
        try:
            folder = self._open(create=True)
        except (StorageError, DamageError):
            return
        try:
            with locked(folder, "lock", holder="receipts", clock=self._clock, wait=_WAIT):
                remove(folder, *(name for name in folder.names() if name != "lock" and not name.endswith(".json")))
                merged = apply(self._read(key), change)
                self._cache[key] = (put_small(folder, folder, f"{key}.json", encode(merged)), merged)
        except StorageError:
            # Receipts save time. A full or read-only disk must not turn a good verdict into an error.
            self._learn(key, change)
        finally:
            folder.close()

    def _open(self, *, create: bool = False) -> Folder:
        """The folder; a link in its place leads out of the vault and is not followed (T1)."""
        around = Folder.open(self._path.parent, create=create)
        try:
            missing = around.stat(self._path.name) is None
            return around.sub(self._path.name, create=create and missing)
        finally:
            around.close()

    def _learn(self, key: str, change: LedgerChange) -> None:
        """Go on with what was learned until another process writes the file."""
        learned = apply(self.ledger(key), change)
        self._cache[key] = (self._file(key), learned)
