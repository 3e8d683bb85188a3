"""The store as a source: what the vault lost or let rot comes back from the model that is served."""

import os
from collections.abc import Iterable, Mapping

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.domain.source import LocalFile, Wanted
from modelward.ports import Ledgers, Store


class StoreSource:
    """Gives the store's bytes: for the vault's sake, never for the store's own."""

    name = "store"
    rank = 0
    local = True

    def __init__(self, store: Store, ledgers: Ledgers, key: str) -> None:
        self._store, self._ledgers, self._key = store, ledgers, key

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that lie there in their size and are not known to be damaged."""
        ledger = self._ledgers.ledger(self._key)
        return {
            item.blob: () for item in wanted if item.blob.hex not in ledger.damaged and self._size(item) == item.size
        }

    def _size(self, item: Wanted) -> int:
        try:
            fd = self._store.open_blob(item.blob)
        except DamageError:
            return -1
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the store's file; returns how many bytes there were."""
        try:
            fd = self._store.open_blob(blob)
            try:
                return os.preadv(fd, [view], offset)
            finally:
                os.close(fd)
        except (OSError, DamageError) as error:
            raise SourceFailed(f"the store's file cannot be read ({error})", thing=blob) from error

    def local_file(self, blob: Digest) -> LocalFile | None:
        """The store's file, with its receipt; the caller closes it."""
        try:
            return LocalFile(self._store.open_blob(blob), self._ledgers.ledger(self._key).receipts.get(blob.hex))
        except DamageError:
            return None
