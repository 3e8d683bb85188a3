"""The vault as a source: the cheapest one, a local file for every blob."""

import os
from collections.abc import Iterable

from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.ports import Vault


class VaultSource:
    """Gives the vault's bytes."""

    name = "vault"
    rank = 0

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def offers(self, blobs: Iterable[tuple[Digest, int]]) -> frozenset[Digest]:
        """The blobs that the vault holds; what it gives is checked chunk by chunk."""
        return frozenset(blob for blob, size in blobs if self._holds(blob, size))

    def _holds(self, blob: Digest, size: int) -> bool:
        try:
            return self._vault.holds(blob, size)
        except DamageError:
            return False

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

    def local_file(self, blob: Digest) -> int | None:
        """The vault's file, to clone from; the caller closes it."""
        try:
            return self._vault.open_blob(blob)
        except DamageError:
            return None
