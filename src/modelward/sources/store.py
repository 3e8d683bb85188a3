"""The store as a source: what the vault lost or let rot comes back from the model that is served."""

import os
from collections.abc import Iterable, Mapping

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.domain.receipt import KnownBad
from modelward.domain.source import LocalFile, Wanted
from modelward.ports import Ledgers, Store
from modelward.scan import file_id


class StoreSource:
    """Gives the store's bytes: for the vault's sake, never for the store's own."""

    name = "store"
    rank = 0
    local = True

    def __init__(self, store: Store, ledgers: Ledgers, key: str) -> None:
        self._store, self._ledgers, self._key = store, ledgers, key

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that lie there in their size, in a file that is not known to be damaged."""
        ledger = self._ledgers.ledger(self._key)
        return {item.blob: () for item in wanted if self._may_be_good(item, ledger.damaged.get(item.blob.hex))}

    def _may_be_good(self, item: Wanted, known: KnownBad | None) -> bool:
        """Whether the file has the size; what was found in a file that stood there before says nothing of this one."""
        try:
            fd = self._store.open_blob(item.blob)
        except DamageError:
            return False
        try:
            file = file_id(fd)
        finally:
            os.close(fd)
        return file.size == item.size and (known is None or known.file != file)

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
