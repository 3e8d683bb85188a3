"""Look at blobs, one by one, as deep as the level says: the findings of each, and which are proved."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from modelward.domain.chunks import CHUNK, ChunkList, Span, count, spans_of
from modelward.domain.digest import Digest
from modelward.domain.errors import BlobMissing, ModelwardError, NotARegularFile
from modelward.domain.finding import (
    Changed,
    Corrupt,
    Finding,
    Missing,
    NotRegular,
    Oversized,
    Truncated,
    Unreadable,
    UnstableRead,
)
from modelward.domain.reading import Checked, ReadMode
from modelward.domain.receipt import Cursor, FileId, KnownBad, Ledger, LedgerChange, Receipt
from modelward.domain.sampling import Candidate, Task, oldest_first
from modelward.domain.store import BlobStat
from modelward.scan import Reading, check_chunks, hash_whole, signals_held

_END_OF_TIME = 1 << 37  # a receipt with a garbled date must not end a verify; this is the year 6325


class Blobs(Protocol):
    """A folder of blobs: a store's or a vault's."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""

    def blob_path(self, blob: Digest) -> str:
        """The path for messages."""


class ChunkLists(Protocol):
    """Who knows chunk lists."""

    def chunk_list(self, blob: Digest) -> ChunkList | None:
        """The blob's chunk list, proved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Blobs to inspect: how to open them, their folder entries, and what stands there without being a plain file."""

    blobs: Blobs
    stats: Mapping[Digest, BlobStat]
    odd: Mapping[Digest, str] = field(default_factory=dict)


@dataclass(slots=True)
class Inspection:
    """What was found so far: findings by blob, when each proved blob was proved, bytes read and left unread."""

    findings: dict[Digest, list[Finding]] = field(default_factory=dict)
    proved: dict[Digest, int] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    cursor: Cursor | None = None
    cursor_moved: bool = False
    files: dict[Digest, FileId] = field(default_factory=dict)
    bytes_read: int = 0
    unread: int = 0
    modes: set[ReadMode] = field(default_factory=set)

    def add(self, blob: Digest, finding: Finding) -> None:
        """Note a finding; damage takes the blob's receipt away."""
        self.findings.setdefault(blob, []).append(finding)
        if finding.damage:
            self.dropped.add(blob.hex)
            self.proved.pop(blob, None)

    def proof_of(self, blobs: Iterable[Digest]) -> tuple[bool, datetime | None]:
        """Whether all of these blobs are proved, and since when: the oldest proof."""
        times = [self.proved.get(blob) for blob in blobs]
        known = [time for time in times if time is not None]
        complete = len(known) == len(times)
        return complete, datetime.fromtimestamp(min(*known, _END_OF_TIME), UTC) if complete and known else None

    def change(self, now: int) -> LedgerChange:
        """What the ledger learns from this: proofs, and damage in what was read."""
        return LedgerChange(
            proved={name: kept for name, kept in self.receipts.items() if name not in self.dropped},
            dropped=frozenset(self.dropped),
            damaged={
                blob.hex: KnownBad(file, now, tuple(self.findings[blob]))
                for blob, file in self.files.items()
                if blob.hex in self.dropped
            },
            cursor=self.cursor,
            cursor_moved=self.cursor_moved,
        )


class Inspector:
    """Inspects the blobs of one shelf; ``sizes`` are the sizes that the manifests demand."""

    def __init__(self, shelf: Shelf, lists: ChunkLists | None, ledger: Ledger, reading: Reading) -> None:
        self._blobs, self._stats, self._odd = shelf.blobs, shelf.stats, shelf.odd
        self._lists, self._ledger, self._reading = lists, ledger, reading
        self._lock = threading.Lock()
        self.result = Inspection()

    def quick(self, sizes: Mapping[Digest, int]) -> None:
        """Folder entries and receipts: which blobs are there, of the right size, and unchanged since proved."""
        for blob, size in sizes.items():
            found = self._stats.get(blob)
            if found is None:
                self.result.add(blob, self._absent(blob, size))
            elif found.file.size != size:
                self.result.add(blob, self._wrong_size(blob, size, found.file.size, _tail(size, found.file.size)))
            elif (known := self._ledger.damaged.get(blob.hex)) and known.file == found.file:
                self.result.findings[blob] = list(known.findings)
            elif (receipt := self._ledger.receipts.get(blob.hex)) and receipt.holds_for(found.file):
                self.result.proved[blob] = receipt.verified_at

    def read(self, tasks: Iterable[Task]) -> None:
        """Read the tasks' chunks; small and unlisted blobs side by side, the others with all threads each."""
        tasks = list(tasks)
        self._reading.progress.begin("read", sum(task.bytes for task in tasks))
        listed: list[tuple[Task, ChunkList]] = []
        whole: list[Task] = []
        for task in tasks:
            chunk_list = self._chunk_list(task)
            if chunk_list is None:
                whole.append(task)
            else:
                listed.append((task, chunk_list))
        self._read_whole(whole)
        for task, chunk_list in listed:
            self._one(task, chunk_list)

    def _chunk_list(self, task: Task) -> ChunkList | None:
        found = self._lists.chunk_list(task.blob) if self._lists is not None and task.size > CHUNK else None
        return found if found is not None and found.size == task.size else None

    def _read_whole(self, tasks: list[Task]) -> None:
        """Blobs that have to be hashed from end to end: one lane a core, each takes the next one."""
        left = iter(tasks)
        lanes = min(len(tasks), os.cpu_count() or 1)
        with ThreadPoolExecutor(max(1, lanes)) as pool:
            try:
                with signals_held():
                    running = [pool.submit(self._lane, left) for _ in range(lanes)]
                for lane in running:
                    lane.result()
            except BaseException:
                self._reading.stop.set()
                raise

    def _lane(self, left: Iterator[Task]) -> None:
        while True:
            with self._lock:
                task = next(left, None)
            if task is None:
                return
            self._one(task, None)

    @property
    def cursor(self) -> Cursor | None:
        """Where the last sample stopped."""
        return self._ledger.cursor

    def candidates(self, sizes: Mapping[Digest, int]) -> list[Candidate]:
        """The blobs that are there with bytes to read, the longest unproved first."""
        found = [
            Candidate(
                blob=blob,
                file=self._stats[blob].file,
                size=size,
                proved_at=self._looked_at(blob),
                chunked=size > CHUNK and self._lists is not None and self._lists.chunk_list(blob) is not None,
            )
            for blob, size in sizes.items()
            if blob in self._stats
        ]
        return oldest_first(found, self._ledger.cursor)

    def _looked_at(self, blob: Digest) -> int:
        """When the blob was last proved, or found damaged: damage that waits must not keep the others unread."""
        known = self._ledger.damaged.get(blob.hex)
        if known is not None and blob in self.result.findings:
            return known.found_at
        return self.result.proved.get(blob, 0)

    def _absent(self, blob: Digest, size: int) -> Finding:
        path = self._blobs.blob_path(blob)
        if what := self._odd.get(blob):
            return NotRegular(blob=blob, size=size, path=path, what=what)
        return Missing(blob=blob, size=size, path=path)

    def _wrong_size(self, blob: Digest, size: int, actual: int, spans: tuple[Span, ...]) -> Finding:
        kind = Truncated if actual < size else Oversized
        return kind(blob=blob, size=size, path=self._blobs.blob_path(blob), actual=actual, spans=spans)

    def _one(self, task: Task, chunk_list: ChunkList | None) -> None:
        if self._reading.late():
            with self._lock:
                self.result.unread += task.bytes
            return
        try:
            fd = self._blobs.open_blob(task.blob)
        except (BlobMissing, NotARegularFile):
            self.result.findings.setdefault(task.blob, [self._absent(task.blob, task.size)])
            return
        except ModelwardError as error:
            self.result.add(task.blob, self._unreadable(task, tuple(range(task.first, task.last)), error.what))
            return
        try:
            self._examine(fd, task, chunk_list)
        finally:
            os.close(fd)

    def _examine(self, fd: int, task: Task, chunk_list: ChunkList | None) -> None:
        """Read and judge; a blob of the wrong size and without a chunk list need not be read."""
        actual = os.fstat(fd).st_size
        if chunk_list is None and actual != task.size:
            self._resize(task, actual, (Span(0, task.size),))
            return
        if chunk_list is not None:
            checked = check_chunks(fd, chunk_list, self._reading, first=task.first, last=task.last)
        else:
            checked = self._whole(fd, task)
        self._count(task, checked, listed=chunk_list is not None)
        if task.first == 0 and checked.next_chunk >= count(task.size):
            # Read whole: what was known of it before is replaced by what is seen now.
            self.result.findings.pop(task.blob, None)
        if checked.changed:
            self.result.add(task.blob, self._changed(task))
        else:
            self._judge(task, checked, actual, exact=chunk_list is not None)

    def _judge(self, task: Task, checked: Checked, actual: int, *, exact: bool) -> None:
        """What the read says; a blob of the wrong size keeps that finding, with what else is bad in its spans."""
        if checked.unreadable:
            indices = tuple(checked.unreadable)
            self.result.add(task.blob, self._unreadable(task, indices, next(iter(checked.unreadable.values()))))
        if checked.unstable:
            self.result.add(task.blob, self._unstable(task, checked.unstable))
        if actual != task.size:
            self._resize(task, actual, spans_of(checked.bad, task.size))
        elif checked.bad:
            self.result.add(task.blob, self._corrupt(task, checked.bad, exact=exact))
        self._prove(task, checked)

    def _whole(self, fd: int, task: Task) -> Checked:
        """Prove a blob by its SHA-256; a wrong one is read a second time before it is called bad (V1)."""
        checked = hash_whole(fd, task.size, self._reading)
        if checked.sha256 in ("", task.blob.hex):
            return checked
        again = hash_whole(fd, task.size, self._reading.from_disk())
        every = tuple(range(max(1, count(task.size))))
        agree = again.sha256 == checked.sha256
        return _with(again, bad=every if agree else (), unstable=() if agree else every)

    def _resize(self, task: Task, actual: int, bad: tuple[Span, ...]) -> None:
        self.result.findings[task.blob] = [
            finding
            for finding in self.result.findings.get(task.blob, [])
            if not isinstance(finding, Truncated | Oversized)
        ]
        self.result.add(task.blob, self._wrong_size(task.blob, task.size, actual, bad))

    def _count(self, task: Task, checked: Checked, *, listed: bool) -> None:
        with self._lock:
            self.result.bytes_read += checked.bytes_read
            self.result.modes.add(checked.mode)
            self.result.files[task.blob] = checked.file
            if checked.next_chunk < task.last:
                self.result.unread += task.bytes - checked.bytes_read
        if listed and (task.first or checked.next_chunk < count(task.size)):
            self._move_cursor(task, checked)

    def _move_cursor(self, task: Task, checked: Checked) -> None:
        """Remember where this blob is gone on with; only a blob with a chunk list can be read in parts."""
        done = checked.next_chunk >= count(task.size)
        self.result.cursor_moved = True
        self.result.cursor = None if done else Cursor(blob=task.blob, file=checked.file, next_chunk=checked.next_chunk)

    def _prove(self, task: Task, checked: Checked) -> None:
        """A blob read to its end, by this run or by samples before it, is proved now."""
        if task.blob in self.result.findings or checked.next_chunk < count(task.size):
            return
        now = int(self._reading.clock.now().timestamp())
        self.result.proved[task.blob] = now
        self.result.receipts[task.blob.hex] = Receipt(checked.file, now)

    def _corrupt(self, task: Task, bad: tuple[int, ...], *, exact: bool) -> Corrupt:
        spans = spans_of(bad, task.size) if exact else (Span(0, task.size),)
        return Corrupt(blob=task.blob, size=task.size, path=self._blobs.blob_path(task.blob), spans=spans, exact=exact)

    def _unreadable(self, task: Task, indices: tuple[int, ...], error: str) -> Unreadable:
        path = self._blobs.blob_path(task.blob)
        return Unreadable(blob=task.blob, size=task.size, path=path, spans=spans_of(indices, task.size), error=error)

    def _unstable(self, task: Task, indices: tuple[int, ...]) -> UnstableRead:
        path = self._blobs.blob_path(task.blob)
        return UnstableRead(blob=task.blob, size=task.size, path=path, spans=spans_of(indices, task.size))

    def _changed(self, task: Task) -> Changed:
        return Changed(blob=task.blob, size=task.size, path=self._blobs.blob_path(task.blob))


def whole_tasks(candidates: Iterable[Candidate]) -> list[Task]:
    """One task a blob, all its chunks."""
    return [Task(blob=c.blob, size=c.size, first=0, last=count(c.size)) for c in candidates]


def _tail(size: int, actual: int) -> tuple[Span, ...]:
    """The chunks that a file of ``actual`` bytes lacks of ``size``; none when it is too long."""
    return spans_of(range(actual // CHUNK, count(size)), size) if actual < size else ()


def _with(checked: Checked, *, bad: tuple[int, ...], unstable: tuple[int, ...]) -> Checked:
    return Checked(
        file=checked.file,
        mode=checked.mode,
        next_chunk=checked.next_chunk,
        bytes_read=checked.bytes_read,
        bad=bad,
        unstable=unstable,
        unreadable=checked.unreadable,
        changed=checked.changed,
    )
