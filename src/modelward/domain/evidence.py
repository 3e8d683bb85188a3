"""What was seen of damage, as values: bytes, files, manifests, the kernel's words; causes are drawn from them."""

from enum import StrEnum

import msgspec

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.finding import BlobFinding, CaseTwin, Missing
from modelward.domain.name import ModelName
from modelward.domain.store import Owner


class Pattern(StrEnum):
    """What wrong bytes look like."""

    ZEROS = "zeros on block borders"
    LOOSE_ZEROS = "zeros off block borders"
    BITS = "single bits"
    SECTORS = "whole sectors of other bytes"
    OTHER = "other bytes"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A run of wrong bytes: where in the blob, how many bytes and bits of it differ (0 when not compared)."""

    pattern: Pattern
    span: Span
    wrong: int = 0
    bits: int = 0


class CacheSays(StrEnum):
    """How the page cache and the disk differ, where they do, told by the chunk's hash or its good bytes."""

    CACHE_GOOD = "the page cache has the good bytes, the disk has not"
    DISK_GOOD = "the disk has the good bytes, the page cache has not"
    NEITHER = "the page cache and the disk differ, and neither has the good bytes"


class ChunkSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One damaged chunk that was looked into.

    ``compared`` says that good bytes were at hand, ``proved`` that these were checked by a hash. ``reads`` is how
    many different contents several reads gave. ``error`` is the name of a read error. ``moved`` counts sectors
    whose bytes belong elsewhere in the blob. ``blank`` says that the chunk is zeros only.
    """

    span: Span
    places: tuple[Place, ...] = ()
    compared: bool = False
    proved: bool = False
    reads: int = 1
    cache: CacheSays | None = None
    error: str = ""
    moved: int = 0
    blank: bool = False


class BlobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A damaged blob: its findings and what was read of the file.

    ``actual`` is the file's size, None when there is no file. ``damaged`` counts the damaged chunks, of which
    ``chunks`` is a sample; with ``exact`` false it is not known which chunks are damaged, and ``scanned`` were looked
    at. ``content`` names what the file is where it is something else. ``same_as`` is the known digest that the file's
    bytes have, when that was computed. ``near_orphan`` is an orphan whose name is nearly that of a blob that is gone.
    """

    blob: Digest
    path: str
    size: int
    models: tuple[ModelName, ...] = ()
    findings: tuple[BlobFinding, ...] = ()
    media_type: str = ""
    actual: int | None = None
    holes: tuple[Span, ...] = ()
    content: str = ""
    same_as: Digest | None = None
    chunks: tuple[ChunkSeen, ...] = ()
    damaged: int = 0
    exact: bool = False
    scanned: int = 0
    compared_with: str = ""
    partial: bool = False
    near_orphan: Digest | None = None

    @property
    def missing(self) -> bool:
        """Whether there is no file at all."""
        return any(isinstance(finding, Missing) for finding in self.findings)


class Remains(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a model's blobs: how many of ``total`` are there, their bytes, and their youngest's mtime."""

    total: int = 0
    present: int = 0
    bytes: int = 0
    youngest: int = 0


class ManifestSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that is gone or damaged; without a ``model`` only an orphaned config tells that there was one.

    ``size`` is the file's, None when there is none; ``blank`` says that it holds nothing but NULs or nothing at all.
    ``blobs`` is what a good copy of the manifest says of them; ``known`` that such a copy can be had.
    ``denied`` is the error that kept us from looking, in the system's words.
    """

    path: str
    model: ModelName | None = None
    size: int | None = None
    blank: bool = False
    reason: str = ""
    blobs: Remains = Remains()
    known: bool = False
    denied: str = ""


class ModelSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a model's blobs are gone."""

    model: ModelName
    blobs: int
    missing: int


class PartialSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished download: bytes done of total, and its sidecars.

    ``modified`` is the Unix time of the last change, ``gap`` the bytes that no sidecar speaks for,
    ``data`` says whether the data file is there.
    """

    path: str
    blob: str
    done: int
    total: int
    modified: int
    sidecars: int = 0
    empty: tuple[str, ...] = ()
    garbled: tuple[str, ...] = ()
    gap: int = 0
    data: bool = True
    models: tuple[ModelName, ...] = ()


class OwnerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that the server's user may not read or enter.

    ``reader`` is that user, ``known`` whether that was seen of a running server, and not taken from the store's owner.
    """

    path: str
    owner: Owner
    reader: Owner
    known: bool = False
    folder: bool = False
    models: tuple[ModelName, ...] = ()


class TagSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A model's manifest in the store, upstream, and as it was pinned or taken into the vault."""

    model: ModelName
    store: Digest
    upstream: Digest
    recorded: Digest | None = None


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The store's file system: free and total bytes, free entries (-1 where it does not count them)."""

    free: int
    total: int
    entries: int = -1
    read_only: bool = False


class Sign(StrEnum):
    """What a line of the kernel's log speaks of."""

    IO = "I/O error"
    LINK = "link or cable error"
    CHECKSUM = "damage that the file system found in itself"
    MEMORY = "memory error"
    CRASH = "recovery after a crash, or a hang"
    READ_ONLY = "file system made read-only"
    KILLED = "out of memory, process killed"


class KernelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the kernel's log; ``ours`` is whether it names a device of the store, None where it names none."""

    sign: Sign
    text: str
    device: str = ""
    ours: bool | None = None


class DiskHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What a disk says of itself (SMART): ``passed`` is its own verdict, ``counters`` the raw values that matter."""

    device: str
    passed: bool | None = None
    counters: dict[str, int] = msgspec.field(default_factory=dict)


class KernelEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel and the disks say; ``read`` names where that was found, ``notes`` what could not be read."""

    lines: tuple[KernelLine, ...] = ()
    disks: tuple[DiskHealth, ...] = ()
    devices: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def about(self, *signs: Sign) -> tuple[KernelLine, ...]:
        """The lines with one of these signs that do not name another disk than the store's."""
        return tuple(line for line in self.lines if line.sign in signs and line.ours is not False)


class DamageEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen of the damage of the store at ``store``.

    ``now`` is in Unix seconds; ``server`` is the server's version.
    ``blobs_changed`` is when a file last came to, or went from, the blobs folder.
    """

    now: int
    store: str = ""
    blobs: tuple[BlobSeen, ...] = ()
    manifests: tuple[ManifestSeen, ...] = ()
    models: tuple[ModelSeen, ...] = ()
    partials: tuple[PartialSeen, ...] = ()
    owners: tuple[OwnerSeen, ...] = ()
    tags: tuple[TagSeen, ...] = ()
    twins: tuple[CaseTwin, ...] = ()
    space: Room | None = None
    kernel: KernelEvidence = KernelEvidence()
    server: str = ""
    blobs_changed: int = 0
    notes: tuple[str, ...] = ()
