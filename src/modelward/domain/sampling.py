"""Which blobs a sample reads next: the longest unproved first, so that samples add up to a full pass."""

from collections.abc import Iterable

import msgspec

from modelward.domain.chunks import CHUNK, count
from modelward.domain.digest import Digest
from modelward.domain.receipt import Cursor, FileId


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A blob that could be read.

    ``proved_at`` is when it was last proved, or found damaged, in Unix seconds, 0 for never; a ``chunked`` one has a
    chunk list and can be read in parts.
    """

    blob: Digest
    file: FileId
    size: int
    proved_at: int
    chunked: bool


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Chunks ``first`` to before ``last`` of a blob to read; the whole when there is no chunk list."""

    blob: Digest
    size: int
    first: int
    last: int

    @property
    def bytes(self) -> int:
        """How much there is to read."""
        return min(self.size, self.last * CHUNK) - self.first * CHUNK


def oldest_first(candidates: Iterable[Candidate], cursor: Cursor | None) -> list[Candidate]:
    """The order of a pass: the blob under the cursor, then by the time of the last proof, then by digest."""

    def order(candidate: Candidate) -> tuple[bool, int, Digest]:
        return (not _under(candidate, cursor), candidate.proved_at, candidate.blob)

    return sorted(candidates, key=order)


def plan_sample(candidates: Iterable[Candidate], cursor: Cursor | None, budget: int) -> list[Task]:
    """Tasks of about ``budget`` bytes, and at least one chunk, going on where the cursor stands."""
    tasks: list[Task] = []
    left = max(budget, 1)
    for candidate in oldest_first(candidates, cursor):
        if left <= 0:
            break
        task = _task(candidate, cursor, left)
        tasks.append(task)
        left -= max(task.bytes, 1)
    return tasks


def _task(candidate: Candidate, cursor: Cursor | None, left: int) -> Task:
    chunks = count(candidate.size)
    if not candidate.chunked:
        return Task(blob=candidate.blob, size=candidate.size, first=0, last=chunks)
    first = cursor.next_chunk if cursor is not None and _under(candidate, cursor) else 0
    last = min(chunks, first + max(1, -(-left // CHUNK)))
    return Task(blob=candidate.blob, size=candidate.size, first=first, last=last)


def _under(candidate: Candidate, cursor: Cursor | None) -> bool:
    """Whether the cursor stands in this very file; one that changed is read from its start."""
    return cursor is not None and cursor.blob == candidate.blob and cursor.file == candidate.file
