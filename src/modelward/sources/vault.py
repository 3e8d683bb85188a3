"""The vault as a source: the cheapest one, a local file for every blob."""

import os
import threading
from collections.abc import Iterable

from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, SourceFailed
from modelward.ports import Vault


class VaultSource:
    """Gives the vault's bytes; descriptors are opened once a blob and kept until ``close``."""

    name = "vault"
    rank = 0

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._open: dict[Digest, int] = {}
        self._lock = threading.Lock()

    def offers(self, blobs: Iterable[tuple[Digest, int]]) -> frozenset[Digest]:
        """The blobs that the vault still vouches for."""
        return frozenset(blob for blob, size in blobs if self._vault.intact(blob, size))

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the vault's file; returns how many bytes there were."""
        try:
            return os.preadv(self._fd(blob), [view], offset)
        except (OSError, DamageError) as error:
            raise SourceFailed(f"the vault's copy cannot be read ({error})", thing=blob) from error

    def local_file(self, blob: Digest) -> int | None:
        """The vault's file, to clone from; it stays this source's to close."""
        try:
            return self._fd(blob)
        except DamageError:
            return None

    def _fd(self, blob: Digest) -> int:
        with self._lock:
            if blob not in self._open:
                self._open[blob] = self._vault.open_blob(blob)
            return self._open[blob]

    def close(self) -> None:
        """Close every descriptor."""
        with self._lock:
            for fd in self._open.values():
                os.close(fd)
            self._open.clear()
