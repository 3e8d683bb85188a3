"""A blob on its way in, kept over a cut: what was brought is gone on with, once its bytes are proved to be the same."""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

from blake3 import blake3

from modelward.domain.chunks import CHUNK, chunk_span, count
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.receipt import FileId
from modelward.durable import Folder, Staged, append, remove

_RECORD = struct.Struct("<I32s")  # index of a chunk, BLAKE3 of its bytes
_LOG_EVERY = 256


def data_name(blob: Digest) -> str:
    """The file that a blob grows in."""
    return f"{blob.hex}.data"


class Kept(Staged):
    """A staged file with a log of its chunks beside it: ``<hex>.data`` and ``<hex>.chunks``.

    A chunk counts as there when its bytes still have the hash in the log, so the data needs no fsync while the
    transfer runs: what a power cut took is brought again.
    """

    def __init__(self, folder: Folder, size: int, blob: Digest, *, reserve: int = 0) -> None:
        self._log_name = f"{blob.hex}.chunks"
        self._unlogged: list[bytes] = []
        self._log_lock = threading.Lock()
        super().__init__(folder, size, reserve=reserve, direct=True, name=data_name(blob))
        self._digests = dict(self._sound())
        self.have = frozenset(self._digests)

    def _sound(self) -> Iterator[tuple[int, bytes]]:
        """The logged chunks whose bytes are still the same, with their hashes."""
        logged = self._logged()
        fd = self._folder.open_file(self._name)
        try:
            for index, expected in logged.items():
                span = chunk_span(index, self._size)
                if blake3(os.pread(fd, span.length, span.offset)).digest() == expected:
                    yield index, expected
        finally:
            os.close(fd)

    def _logged(self) -> dict[int, bytes]:
        try:
            data = self._folder.read(self._log_name, count(self._size) * _RECORD.size * 4 + CHUNK)
        except ModelwardError:
            return {}
        whole = data[: len(data) // _RECORD.size * _RECORD.size]
        return {index: digest for index, digest in _RECORD.iter_unpack(whole) if index < count(self._size)}

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write a chunk and note it; one that is there already costs nothing."""
        index, digest = offset // CHUNK, blake3(view[:length]).digest()
        if self._digests.get(index) == digest:
            return
        super().write_at(view, length, offset)
        with self._log_lock:
            self._unlogged.append(_RECORD.pack(index, digest))
            if len(self._unlogged) >= _LOG_EVERY:
                self._log()

    def _log(self) -> None:
        records, self._unlogged = b"".join(self._unlogged), []
        if records:
            append(self._folder, self._log_name, records)

    def clone_from(self, fd: int) -> bool:  # noqa: ARG002 - the port's parameter
        """False: what comes from a local file needs no keeping."""
        return False

    def discard(self) -> None:
        """Keep what there is for the next run; nothing happens when it was published before."""
        if self._live:
            with suppress(ModelwardError):
                self._log()
            self._close()

    def drop(self) -> None:
        """Throw it away, log and all."""
        super().drop()
        self._forget()

    def _published(self, folder: Folder, *, sync: bool) -> FileId:
        found = super()._published(folder, sync=sync)
        self._forget()
        return found

    def _forget(self) -> None:
        with suppress(ModelwardError):
            remove(self._folder, self._log_name)
