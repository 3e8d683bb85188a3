"""How blobs are read and what a read found, as values."""

from enum import StrEnum

import msgspec

from modelward.domain.receipt import FileId


class ReadMode(StrEnum):
    """Where the bytes came from: the disk itself, the disk after dropping pages, or the page cache."""

    DIRECT = "direct"
    DROPPED = "pages dropped"
    CACHED = "cached"


class Level(StrEnum):
    """How deep verify looks: folder entries and receipts, a share that adds up to all, or every byte."""

    QUICK = "quick"
    SAMPLE = "sample"
    FULL = "full"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What reading one blob, or a run of its chunks, found.

    ``bad`` and ``unstable`` are chunk indices, ``unreadable`` maps chunk indices to the name of the error.
    ``sha256`` is set when the whole was hashed. ``next_chunk`` is the first chunk that was not read:
    the chunk count when all were.
    """

    file: FileId
    mode: ReadMode
    next_chunk: int
    bytes_read: int
    sha256: str = ""
    hashes: bytes = b""
    bad: tuple[int, ...] = ()
    unreadable: dict[int, str] = msgspec.field(default_factory=dict)
    unstable: tuple[int, ...] = ()
    changed: bool = False
