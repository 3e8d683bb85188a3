"""The ports: what the services ask of stores, vaults, sources, runtimes and the world around them.

Every method raises only errors of :mod:`modelward.domain.errors`. Reading never changes anything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from modelward.domain.alert import Flip, Notice
from modelward.domain.audit import AuditEntry
from modelward.domain.cause import Cause
from modelward.domain.chunks import ChunkList, Span
from modelward.domain.digest import Digest
from modelward.domain.finding import RecordDamaged
from modelward.domain.history import AnyRow, JobRow, Row
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.receipt import Ledger, LedgerChange
from modelward.domain.runtime import ModelCard, ProbeResult, PullStep, ServedModel
from modelward.domain.scene import Scene
from modelward.domain.series import Point, Series
from modelward.domain.snapshot import KeptManifest, KnownStore, Protected, Snapshot, SnapshotContent, Trashed
from modelward.domain.source import LocalFile, Wanted
from modelward.domain.store import BlobStat, Inventory, Owner, Space, StoreIdentity
from modelward.domain.telemetry import Parcel, Sent
from modelward.domain.verdict import Report
from modelward.domain.wrapper import Wrapper

R = TypeVar("R", bound=AnyRow)
D = TypeVar("D")


class Clock(Protocol):
    """Time comes in through this door only."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""


class Progress(Protocol):
    """Told how far the work is; called from several threads, must be quick and never raise."""

    def begin(self, label: str, total: int) -> None:
        """A stage of ``total`` bytes begins; ends the one before."""

    def advance(self, count: int) -> None:
        """``count`` more bytes are done."""

    def say(self, event: str, **keys: object) -> None:
        """Something happened that a log keeps: an event name of :mod:`modelward.events` and its keys."""


class StagedFile(Protocol):
    """A new file that nobody sees until it is published; thrown away unless it is (W1)."""

    fd: int

    @property
    def have(self) -> AbstractSet[int]:
        """Indices of the chunks that an earlier run brought and that are still as it brought them."""

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write ``length`` bytes; ``offset`` is a multiple of the chunk size. Safe from several threads."""

    def clone_from(self, fd: int) -> bool:
        """Share the extents of another file; False where the file system cannot (or across devices)."""

    def discard(self) -> None:
        """Throw the file away, or keep what it has for the next run where it was staged to be kept.

        Safe to repeat, and after publishing it does nothing.
        """

    def drop(self) -> None:
        """Throw the file away with all that was kept of it: its bytes turned out to be wrong."""


class StoreWriter(Protocol):
    """The right to change a store, held by one process at a time."""

    def stage(self, size: int, keep: Digest | None = None) -> StagedFile:
        """A new file beside the store's blobs (G1); its first write raises DiskFull where it will not fit (D1).

        ``keep`` names the blob of a long transfer: what a run that was cut off had brought is gone on with.
        """

    def require_space(self, blobs: Mapping[Digest, int]) -> None:
        """Raise DiskFull unless these blobs (size in bytes) fit beside the reserve, less what was kept of them (D1)."""

    def publish_blob(self, staged: StagedFile, blob: Digest) -> None:
        """fsync and put the staged file under the blob's name with the store's owner, mode and a fresh mtime.

        What stood there is kept in quarantine first (R1, R5). The caller has proved the staged bytes.
        """

    def open_for_patch(self, blob: Digest) -> int:
        """A descriptor to read and write the blob in place; the caller closes it."""

    def keep_undo(self, blob: Digest, fd: int, spans: Sequence[Span]) -> None:
        """Keep the bytes that a patch in place is going to replace, durable before this returns (R1, R3)."""

    def patch(self, fd: int, offset: int, view: memoryview) -> None:
        """Write proved bytes over damaged ones in place, through the page cache; never shrinks the file."""

    def sync(self, fd: int) -> None:
        """fsync the patched file; a failure raises WriteFailed and is never tried again on this file."""

    def set_aside(self, blob: Digest) -> str:
        """Move what stands under the blob's name to quarantine, and return what it is called there (R4)."""

    def put_back(self, blob: Digest, aside: str) -> None:
        """Bring a file back from quarantine, unless something stands under the blob's name by now."""

    def put_manifest(self, name: ModelName, raw: bytes, owner: Owner | None) -> None:
        """Put the manifest's exact bytes in place, last of all; a damaged one is kept in quarantine."""

    def fix_owner(self, blob: Digest, owner: Owner) -> None:
        """Give the blob the owner and mode that the runtime needs (R5)."""

    def reclaim(self, blobs: Sequence[Digest], partials: Sequence[str], kept_before: int) -> int:
        """Remove orphan blobs, leftovers of downloads (names in the blobs folder), and our own unfinished transfers.

        Of ours those go that did not change since ``kept_before`` (Unix seconds). Returns the bytes freed. The caller
        has made sure that nobody names any of them.
        """

    def release_quarantine(self, proved: Mapping[str, int]) -> int:
        """Drop what was set aside for blobs proved (hex digest, Unix seconds) since; returns the bytes freed."""


class Store(Protocol):
    """A folder that a runtime serves models from."""

    @property
    def path(self) -> str:
        """The folder, links resolved."""

    def identity(self) -> StoreIdentity:
        """Which store this is, now (I1)."""

    def inventory(self) -> Inventory:
        """One picture of manifests and blobs by folder entries alone; damage in it is findings, not errors."""

    def read_manifest(self, name: ModelName) -> Manifest:
        """The manifest as it is now; raises BadManifest, BlobMissing or NotARegularFile."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading; raises BlobMissing or NotARegularFile (T1). The caller closes it."""

    def blob_path(self, blob: Digest) -> str:
        """The blob's path relative to the store's folder, for messages."""

    def default_owner(self) -> Owner:
        """Owner and mode that a new blob of this store gets (R5)."""

    def space(self) -> Space:
        """The disk that the store lies on, and what of ours lies in it."""

    def writing(self) -> AbstractContextManager[StoreWriter]:
        """Take the store's write lock, sweep what a killed writer left; raises WriteFailed or Locked."""


class Ledgers(Protocol):
    """Where receipts and cursors are kept; what is lost here costs time, never truth."""

    def ledger(self, key: str) -> Ledger:
        """What is kept under ``key`` (``vault``, or a store's); an empty ledger when there is nothing readable."""

    def update(self, key: str, change: LedgerChange) -> None:
        """Merge what a run learned into what is kept; does nothing where nothing can be written."""


class VaultWriter(Protocol):
    """The right to change a vault, held by one process at a time (L1)."""

    def add_blob(self, fd: int, blob: Digest, size: int) -> int:
        """Copy or clone a blob in, proving its SHA-256 and making its chunk list in the same read.

        Returns the bytes written. A blob that is there proved costs nothing; one that is there unproved is
        proved first, and replaced when it is bad (W3). Raises HashMismatch, ChangedWhileRead, ReadFailed, DiskFull.
        """

    def stage(self, size: int) -> StagedFile:
        """A new file for an object that comes from elsewhere than a file; raises DiskFull at its first write (D1)."""

    def publish_blob(self, staged: StagedFile, blob: Digest, chunk_list: ChunkList | None = None) -> None:
        """fsync and put the staged file under the object's name; a damaged one that stood there goes to quarantine.

        The caller has proved the staged bytes, and gives the chunk list that it made on the way: a blob above one
        chunk without one is read once more when a snapshot needs it.
        """

    def add_snapshot(
        self, model: ModelName, manifest: Manifest, store: str, owner: Owner, newest: Snapshot | None = None
    ) -> Snapshot:
        """Add manifest, wrapper and record, in the order of W2; every blob has been added before.

        ``newest`` is the model's newest record: when it is of the same version, it is returned and none is added.
        """

    def make_newest(self, snapshot: Snapshot) -> Snapshot:
        """Record a version that is served again: a new record of the same wrapper, dated now."""

    def forget(self, snapshots: Sequence[Snapshot]) -> None:
        """Move records to the trash."""

    def undelete(self, snapshot: Snapshot) -> None:
        """Bring a record back from the trash."""

    def drop(self, trashed: Sequence[Trashed], objects: Sequence[Digest]) -> int:
        """Drop trashed records, then the objects that nothing names; returns the bytes freed."""

    def release_quarantine(self) -> int:
        """Drop damaged objects whose place holds proved bytes again; returns the bytes freed (R1)."""

    def know_store(self, known: KnownStore) -> None:
        """Record a store's identity (I1)."""

    def protect(self, protected: Protected) -> None:
        """Keep which models are released, and which are pinned."""


class Vault(Protocol):
    """The place that models are protected in."""

    @property
    def path(self) -> str:
        """The vault's folder, links resolved."""

    @property
    def identity(self) -> StoreIdentity:
        """The folder and the mount that the vault lies on."""

    def snapshots(self) -> tuple[Snapshot, ...]:
        """All records, the newest first.

        A damaged one is made anew from the rest of the vault; VaultUnreadable where that cannot be done.
        """

    def trashed(self) -> tuple[Trashed, ...]:
        """Forgotten snapshots that can still be brought back; damaged ones as in ``snapshots``."""

    def damaged_records(self) -> tuple[RecordDamaged, ...]:
        """The records that lie damaged and are made anew in memory; the next ``writing`` puts them in place."""

    def content(self, snapshot: Snapshot) -> SnapshotContent:
        """Wrapper and manifest, proved against the record's digests; raises HashMismatch or BlobMissing."""

    def wrapper(self, digest: Digest) -> Wrapper:
        """What a wrapper names, proved by its digest; raises HashMismatch, BlobMissing or BadObject."""

    def chunk_list(self, blob: Digest) -> ChunkList | None:
        """The blob's chunk list, proved; None when there is none or it is damaged."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading; raises BlobMissing or NotARegularFile. The caller closes it."""

    def intact(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and unchanged since it was last proved."""

    def holds(self, blob: Digest, size: int) -> bool:
        """Whether the object is there, of this size, and was good when it was last read.

        Weaker than ``intact``: a vault that was copied to another disk holds its objects, and proves them when
        they are read. One that was found damaged is not held.
        """

    def objects(self) -> Mapping[Digest, BlobStat]:
        """Every object that lies in the vault, by its folder entry."""

    def blob_path(self, blob: Digest) -> str:
        """The object's path relative to the vault's folder, for messages."""

    def known_store(self, path: str) -> KnownStore | None:
        """The store's identity as recorded, or None."""

    def protected(self) -> Protected:
        """Which models are released, and which are pinned."""

    def audit(self, action: str, **keys: object) -> None:
        """Append one entry to the hash-chained audit log (A1).

        Needs no writer and waits for none: safe from several threads and processes. Raises StorageError.
        """

    def audit_entries(self) -> Iterator[AuditEntry]:
        """Every entry of the audit log that can be read, the oldest first."""

    def audit_faults(self) -> tuple[str, ...]:
        """Every edit, drop, reorder or cut of the audit log, in words that name the line; empty when it is sound."""

    def keep_manifests(self, newest: Iterable[tuple[ModelName, bytes, Owner]]) -> None:
        """Keep the newest manifest of each of these models, durable before this returns (G2).

        Needs no writer and waits for none. Raises BadManifest, before any is kept, for bytes that are none, and
        StorageError.
        """

    def kept_manifests(self) -> Mapping[ModelName, KeptManifest]:
        """The newest manifest of each model, as far as they can be read."""

    def space(self) -> Space:
        """The disk that the vault lies on, and what lies in its quarantine and staging."""

    def writing(self, verb: str) -> AbstractContextManager[VaultWriter]:
        """Take the vault's lock (L1), sweep staging, mend records; what is derived is brought up to date on leaving."""


class Source(Protocol):
    """Where good bytes can come from. What it gives is checked against hashes that did not come from it (R2)."""

    @property
    def name(self) -> str:
        """The word for plans, results and logs: ``vault``, ``sibling``, ``upstream``; one for each source."""

    @property
    def rank(self) -> int:
        """The order in which sources are asked: lower is cheaper."""

    @property
    def local(self) -> bool:
        """Whether reading from it costs no traffic."""

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that it can give, each with the spans that are known to be bad there; says no rather than raise."""

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` with the blob's bytes from ``offset``; returns how many; raises SourceFailed."""

    def local_file(self, blob: Digest) -> LocalFile | None:
        """A local file with the blob's bytes, to clone from; None where there is none. The caller closes it."""


class Registry(Protocol):
    """Where models are downloaded from. Every call has a deadline; raises Unreachable."""

    def manifest(self, name: ModelName) -> Manifest:
        """The manifest that the name's tag names now, exact bytes; RegistryRefused where there is none."""


class Runtime(Protocol):
    """The server that answers prompts. Every call has a deadline; raises RuntimeUnreachable.

    RuntimeRefused, which is one, says that it answered, and what.
    """

    @property
    def url(self) -> str:
        """Where it listens."""

    def version(self) -> str:
        """The server's version."""

    def tags(self) -> tuple[ServedModel, ...]:
        """The models that the server lists."""

    def loaded(self) -> tuple[str, ...]:
        """Names of the models that are in memory now."""

    def busy(self) -> tuple[str, ...]:
        """Names of the models that are surely answering someone now; of others in memory that is not known."""

    def unload(self, name: str) -> None:
        """Take a model out of memory, so that its next request opens the file anew (R3)."""

    def show(self, name: str) -> ModelCard:
        """What the server says of a model, by the files that it reads."""

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:
        """Let the server download a model; yields its progress, raises RuntimeRefused when it says that it failed.

        ``insecure`` speaks plain HTTP to the registry. Closing the iterator cancels the download. Files that the
        server finds under a blob's name are not looked at (R4).
        """

    def probe(self, name: str, *, seconds: float) -> ProbeResult:
        """Ask the model for one real token, or one embedding where it makes those; never raises for a bad model."""

    def create(self, name: str, files: Mapping[str, Digest]) -> None:
        """Make a model of blobs that the server has: file name to digest."""

    def copy(self, source: str, target: str) -> None:
        """Give a model a second name, byte for byte; what had that name is replaced."""

    def delete(self, name: str) -> None:
        """Take a name away, with the blobs that no other name needs."""


class Surroundings(Protocol):
    """What doctor looks at around a store, and in its damage; reads only, and says in notes what it could not read."""

    def scene(self, site_store: Store, compose: Sequence[str]) -> Scene:
        """Stores, server processes and definitions; raises BadSetting for a Compose file that is none."""

    def real(self, path: str) -> tuple[int, int] | None:
        """Which folder (device, inode) a path leads to; None where it leads to none."""

    def damage(
        self, inventory: Inventory, report: Report, server: str, recalled: Mapping[ModelName, Manifest]
    ) -> tuple[Cause, ...]:
        """Why what the report found is damaged; ``server`` is the server's version, or empty.

        ``recalled`` are the manifests that a repair would put in place.
        """

    def notes(self) -> tuple[str, ...]:
        """What the last look at damage could not read."""


class Served(Protocol):
    """A model that is being served to another server."""

    @property
    def reference(self) -> str:
        """The name to pull it by: ``host:port/token/model:tag``."""

    @property
    def sent(self) -> int:
        """Bytes of blobs sent so far."""


class Serving(Protocol):
    """A place from which another server can pull one model."""

    def serving(self, name: ModelName, manifest: Manifest) -> AbstractContextManager[Served]:
        """Serve the manifest and its blobs as long as the block lasts."""


class OciRegistry(Protocol):
    """Registries of the OCI distribution specification; a repository is named ``host[:port]/path``.

    Every call has a deadline; raises RegistryUnreachable, or RegistryRefused where it answers that it will not.
    """

    def manifest_bytes(self, repository: str, reference: str) -> bytes:
        """The exact bytes of the manifest that a tag or digest names; RegistryRefused where there is none."""

    def has_blob(self, repository: str, blob: Digest, size: int) -> bool:
        """Whether the registry says that it holds the blob, in this size."""

    def read_range(self, repository: str, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` with the blob's bytes from ``offset``; returns how many. Safe from several threads."""

    def upload_blob(self, repository: str, blob: Digest, size: int, parts: Iterable[bytes]) -> None:
        """Send a blob piece by piece; the registry proves its digest. An error of ``parts`` ends it; nothing stays."""

    def put_manifest(self, repository: str, reference: str, raw: bytes, media_type: str) -> None:
        """Let a tag, or the manifest's own digest, name these bytes; all that they name was sent before."""


class Notifier(Protocol):
    """A channel that notices go through."""

    @property
    def name(self) -> str:
        """What the channel is called in messages and in the outbox; holds no secret."""

    def send(self, notice: Notice) -> None:
        """Deliver it within a bounded time; raises DeliveryFailed, whose text holds no secret."""


class Collector(Protocol):
    """Where spans and metrics are told."""

    def send(self, parcel: Parcel, seconds: float = 25.0) -> Sent:
        """Deliver it within so many seconds; raises DeliveryFailed, whose text holds no secret, if that fails."""


class Deadman(Protocol):
    """A monitor elsewhere that raises an alarm when it has not heard of us for long."""

    @property
    def name(self) -> str:
        """What it is called in messages; holds no secret."""

    def ping(self) -> None:
        """Say that all is well, within a bounded time; raises DeliveryFailed, whose text holds no secret."""


class Journal(Protocol):
    """The history of a host. Safe from several threads; what a method that writes returned from is durable.

    Raises DiskFull, WriteFailed, Locked and JournalBroken (all StorageError): then nothing of the call was kept.
    """

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows, all or none."""

    def flip(self, flips: Sequence[Flip]) -> None:
        """Keep changes of health, all or none."""

    def rows(
        self, kind: type[R], since: datetime, until: datetime | None = None, model: str = "", limit: int = 1000
    ) -> tuple[R, ...]:
        """Rows of one kind from ``since`` up to and without ``until``, the newest first.

        ``model`` is a full name, for kinds that have models; samples (checks, probes, scrubs, space, server) are kept
        for 14 days, the others for two years. A job's time is when it began.
        """

    def flips(
        self, since: datetime, until: datetime | None = None, subject: str = "", limit: int = 1000
    ) -> tuple[Flip, ...]:
        """Changes of health, the newest first."""

    def job_begin(self, row: JobRow) -> None:
        """Keep that a job began."""

    def job_end(self, job: str, outcome: str, detail: str, at: datetime) -> None:
        """Keep how a job ended; does nothing for one that never began or has ended."""

    def interrupt_jobs(self, at: datetime) -> int:
        """Call every running job interrupted: its guard was killed. Returns how many there were."""

    def get(self, key: str, kind: type[D]) -> D | None:
        """The small document kept under ``key``; None where there is none, or none of this kind."""

    def put(self, key: str, value: object) -> None:
        """Keep a small document under ``key``, in the place of what was there."""

    def series(
        self, series: Series, since: datetime, until: datetime | None = None, subject: str = "", span: int = 3_600
    ) -> tuple[Point, ...]:
        """Rolled-up points of an hour (kept 90 days) or a day (86,400; kept five years), the oldest first.

        Without a subject the points are those of all subjects together.
        """

    def totals(
        self, series: Series, since: datetime, until: datetime | None = None, span: int = 3_600
    ) -> dict[str, Point]:
        """All points that begin in a time in one, without histogram, for each subject; fast with many subjects."""

    def subjects(self, series: Series) -> tuple[str, ...]:
        """The subjects that a series has points of, sorted."""

    def compact(self, now: datetime) -> int:
        """Drop what is past its time, and return how many rows; to be called once a day.

        The time up to which rows count as old moves on by two days a call at most, so that a clock that jumped and
        came back costs next to nothing.
        """

    def close(self) -> None:
        """Give files and connection back; safe to repeat."""
