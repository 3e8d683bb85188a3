"""Read objects of the vault, every byte proved by its name before the last of them is given out."""

import os
from collections.abc import Iterator
from hashlib import sha256

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BlobMissing, HashMismatch, ReadFailed
from modelward.domain.wrapper import Object
from modelward.durable import reading_errors
from modelward.ports import Vault

_HEAL = "run: modelward repair --vault-copy, then the command again"


def object_bytes(vault: Vault, blob: Digest, limit: int) -> bytes:
    """A small object of the vault whole, proved.

    Raises BlobMissing, HashMismatch, and ReadFailed, also for one of more than ``limit`` bytes.
    """
    fd = vault.open_blob(blob)
    try:
        size = os.fstat(fd).st_size
        if size > limit:
            raise ReadFailed(f"more than {limit:,} bytes", thing=vault.blob_path(blob), next_step=_HEAL)
        return b"".join(proved(vault, fd, Object(digest=blob, size=size)))
    finally:
        os.close(fd)


def proved(vault: Vault, fd: int, item: Object) -> Iterator[bytes]:
    """The object's bytes, the last piece only when all of them have its hash: rot is never sent whole.

    Raises HashMismatch, ReadFailed, and BlobMissing where it ends too soon.
    """
    seen, path = sha256(), vault.blob_path(item.digest)
    for offset in range(0, max(item.size, 1), CHUNK):
        length = min(CHUNK, item.size - offset)
        with reading_errors(path):
            part = os.pread(fd, length, offset)
        if len(part) != length:
            raise BlobMissing("shorter than it should be", thing=path, next_step=_HEAL)
        seen.update(part)
        if offset + length >= item.size and seen.hexdigest() != item.digest.hex:
            raise HashMismatch("the vault's object is damaged", thing=path, next_step=_HEAL)
        yield part
