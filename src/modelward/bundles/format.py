"""Chunks in their stored form: raw or one zstd frame each, made in several threads and kept in order."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from blake3 import blake3

from modelward.domain.bundle import CHECK, RAW, ZSTD, Record
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import BadBundle
from modelward.scan import signals_held

if TYPE_CHECKING:
    from concurrent.futures import Future

    from zstandard import ZstdCompressor, ZstdDecompressor

_LEVEL = 1
DAMAGED = "copy or export it again; modelward export goes on where it was"
A = TypeVar("A")
B = TypeVar("B")


class Codec:
    """zstd with one context a thread; the same bytes in give the same bytes out."""

    def __init__(self) -> None:
        self._mine = threading.local()

    def pack(self, data: bytes, proof: bytes, *, attempt: bool) -> tuple[bytes, bytes]:
        """A chunk as record and stored bytes: raw where zstd is not tried or does not make it smaller.

        ``proof`` is the chunk's BLAKE3.
        """
        if attempt and len(packed := self.compress(data)) < len(data):
            return Record(kind=ZSTD, length=len(packed), check=_check(packed)).encode(), packed
        return Record(kind=RAW, length=len(data), check=proof[:CHECK]).encode(), data

    def compress(self, data: bytes) -> bytes:
        """One frame that says how long its content is."""
        return self._compressor().compress(data)

    def unpack(self, record: Record, stored: memoryview, length: int) -> bytes:
        """The chunk's ``length`` bytes of a zstd record; raises BadBundle, and never makes more bytes than these."""
        from zstandard import ZstdError, get_frame_parameters

        if _check(stored) != record.check:
            raise BadBundle("a chunk is damaged", next_step=DAMAGED)
        try:
            frame = get_frame_parameters(stored)
            # The frame's own words decide how much memory is taken: they are looked at first.
            if frame.content_size != length or frame.window_size > CHUNK or frame.dict_id:
                raise BadBundle("a compressed chunk that says another length than it has", next_step=DAMAGED)
            data = self._decompressor().decompress(stored, allow_extra_data=False)
        except ZstdError as error:
            raise BadBundle(f"a compressed chunk does not open ({error})", next_step=DAMAGED) from error
        if len(data) != length:
            raise BadBundle("a compressed chunk of another length", next_step=DAMAGED)
        return data

    def _compressor(self) -> "ZstdCompressor":
        from zstandard import ZstdCompressor

        if not hasattr(self._mine, "compressor"):
            self._mine.compressor = ZstdCompressor(level=_LEVEL)
        found: ZstdCompressor = self._mine.compressor
        return found

    def _decompressor(self) -> "ZstdDecompressor":
        from zstandard import ZstdDecompressor

        if not hasattr(self._mine, "decompressor"):
            self._mine.decompressor = ZstdDecompressor()
        found: ZstdDecompressor = self._mine.decompressor
        return found


def _check(stored: bytes | memoryview) -> bytes:
    return blake3(stored).digest(length=CHECK)


def ordered(work: Callable[[A], B], items: Iterable[A], workers: int) -> Iterator[B]:
    """Results of ``work`` in the items' order, made by several threads; few are ever under way.

    The items come from the caller's thread, so that it alone waits for a slow reader or pipe and meets the signals.
    """
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            with signals_held():
                waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
