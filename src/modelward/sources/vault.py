"""The vault as a source: the cheapest one, a local file for every blob."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.domain.finding import Corrupt, Truncated
from modelward.domain.receipt import KnownBad
from modelward.domain.source import LocalFile, Wanted
from modelward.domain.store import BlobStat
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
        """The blobs that the vault has, damaged ones without their bad spans; all is checked as it is read."""
        try:
            return dict(self._offers(list(wanted)))
        except DamageError:
            return {}

    def _offers(self, wanted: Sequence[Wanted]) -> Iterator[tuple[Digest, tuple[Span, ...]]]:
        held = {item.blob for item in wanted if self._vault.holds(item.blob, item.size)}
        yield from dict.fromkeys(held, ()).items()
        if len(held) == len({item.blob for item in wanted}):
            return
        objects, damaged = self._vault.objects(), self._ledgers.ledger(_KEY).damaged
        for item in wanted:
            bad = _bad(item, objects.get(item.blob), damaged.get(item.blob.hex))
            if item.blob not in held and bad is not None:
                yield item.blob, bad

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


def _bad(item: Wanted, there: BlobStat | None, known: KnownBad | None) -> tuple[Span, ...] | None:
    """The spans that the vault's file is known to lack; None when it has nothing to give.

    Of a file that nobody vouches for, as when the receipts are lost, nothing is known: reading it will tell.
    """
    if there is None:
        return None
    if known is None or known.file != there.file:
        return () if there.file.size == item.size else None
    exact = all(isinstance(f, Truncated) or (isinstance(f, Corrupt) and f.exact) for f in known.findings)
    spans = tuple(sorted({span for finding in known.findings for span in getattr(finding, "spans", ())}))
    return spans if exact and spans else None
