"""The vault as a source: the cheapest one, a local file for every blob."""

import os
from collections.abc import Iterable, Mapping

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.domain.finding import Corrupt, Truncated
from modelward.domain.receipt import Ledger
from modelward.domain.source import LocalFile, Wanted
from modelward.ports import Ledgers, Vault

_KEY = "vault"


class VaultSource:
    """Gives the vault's bytes."""

    name = "vault"
    rank = 0
    local = True

    def __init__(self, vault: Vault, ledgers: Ledgers) -> None:
        self._vault, self._ledgers = vault, ledgers

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that the vault holds, damaged ones without their bad spans; all is checked chunk by chunk."""
        ledger = self._ledgers.ledger(_KEY)
        found = ((item.blob, self._bad(item, ledger)) for item in wanted)
        return {blob: bad for blob, bad in found if bad is not None}

    def _bad(self, item: Wanted, ledger: Ledger) -> tuple[Span, ...] | None:
        """The spans that the vault's copy is known to lack; None when it has nothing to give."""
        try:
            if self._vault.holds(item.blob, item.size):
                return ()
            known = ledger.damaged.get(item.blob.hex)
            if known is None or item.blob not in self._vault.objects():
                return None
        except DamageError:
            return None
        exact = all(isinstance(f, Truncated) or (isinstance(f, Corrupt) and f.exact) for f in known.findings)
        spans = tuple(sorted({span for finding in known.findings for span in getattr(finding, "spans", ())}))
        return spans if exact and spans else None

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the vault's file; returns how many bytes there were."""
        try:
            fd = self._vault.open_blob(blob)
            try:
                return os.preadv(fd, [view], offset)
            finally:
                os.close(fd)
        except (OSError, DamageError) as error:
            raise SourceFailed(f"the vault's copy cannot be read ({error})", thing=blob) from error

    def local_file(self, blob: Digest) -> LocalFile | None:
        """The vault's file, with its receipt; the caller closes it."""
        try:
            return LocalFile(self._vault.open_blob(blob), self._ledgers.ledger(_KEY).receipts.get(blob.hex))
        except DamageError:
            return None
