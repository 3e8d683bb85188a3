"""Samples add up: run after run, every byte is read within a bounded number of runs, and no proof comes early."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK, count
from modelward.domain.digest import Digest
from modelward.domain.reading import Level
from modelward.domain.receipt import Cursor, FileId
from modelward.domain.sampling import Candidate, Task, oldest_first, plan_sample
from modelward.domain.verdict import Verdict
from modelward.services.backup import backup
from modelward.services.verify import verify
from modelward.testing import FakeStore, flip_bit
from tests.domain.strategies_domain import digest
from tests.places import Place

BEGIN = 1_000_000


def candidate(number: int, size: int, *, proved_at: int = 0, chunked: bool = True, inode: int = 1) -> Candidate:
    """A blob of this size; one of one chunk or less has no chunk list."""
    file = FileId(inode, size, 5, 5)
    return Candidate(blob=digest(number), file=file, size=size, proved_at=proved_at, chunked=chunked and size > CHUNK)


@dataclass
class Blobs:
    """A folder of blobs that is sampled again and again, with the bookkeeping that the inspection does."""

    blobs: list[Candidate]
    budget: int
    damaged: frozenset[Digest] = frozenset()
    cursor: Cursor | None = None
    now: int = BEGIN
    read: dict[Digest, set[int]] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)

    def run(self) -> None:
        """One sample: blobs without a list first, as a whole; a proof for each that was read to its end."""
        self.now += 60
        self.tasks = plan_sample(self.blobs, self.cursor, self.budget)
        chunked = {item.blob for item in self.blobs if item.chunked}
        for task in sorted(self.tasks, key=lambda task: task.blob in chunked):
            self.read.setdefault(task.blob, set()).update(range(task.first, task.last))
            if task.blob in chunked and (task.first or task.last < count(task.size)):
                self._move(task)
            if task.blob in self.damaged:
                self._put(candidate_with(self.of(task.blob), proved_at=self.now))
            elif task.last == count(task.size):
                self._prove(task.blob)

    def _move(self, task: Task) -> None:
        done = task.last >= count(task.size)
        self.cursor = None if done else Cursor(blob=task.blob, file=self.of(task.blob).file, next_chunk=task.last)

    def _prove(self, blob: Digest) -> None:
        assert self.missed(blob) == set(), "a proof of a blob with bytes that nobody read"
        self._put(candidate_with(self.of(blob), proved_at=self.now))

    def change(self, blob: Digest) -> None:
        """Another file stands there now: its receipt is void, and nothing of it was read."""
        old = self.of(blob)
        self._put(candidate_with(old, proved_at=0, inode=old.file.inode + 1))
        self.read.pop(blob, None)

    def of(self, blob: Digest) -> Candidate:
        """The blob as it stands there."""
        return next(item for item in self.blobs if item.blob == blob)

    def _put(self, new: Candidate) -> None:
        self.blobs = [new if item.blob == new.blob else item for item in self.blobs]

    def missed(self, blob: Digest) -> set[int]:
        """The chunks of a blob that no run has read."""
        return set(range(count(self.of(blob).size))) - self.read.get(blob, set())

    @property
    def all_read(self) -> bool:
        """Whether every byte was read."""
        return not any(self.missed(item.blob) for item in self.blobs)

    @property
    def runs(self) -> int:
        """How many runs a full pass may take: a chunk a run at least, however small the budget is."""
        if self.budget < CHUNK:
            return sum(max(1, count(item.size)) for item in self.blobs)
        return -(-sum(item.size for item in self.blobs) // self.budget) + len(self.blobs)


def candidate_with(old: Candidate, *, proved_at: int, inode: int | None = None) -> Candidate:
    """The same blob, proved at another time, and perhaps in another file."""
    file = old.file if inode is None else FileId(inode, old.size, 5, 5)
    return Candidate(blob=old.blob, file=file, size=old.size, proved_at=proved_at, chunked=old.chunked)


SIZES = st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]) | st.integers(0, 40 * CHUNK)
BUDGETS = st.sampled_from([1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK]) | st.integers(CHUNK, 30 * CHUNK)
PROVED = st.sampled_from([0, 0, 7, 8, BEGIN])


@st.composite
def folders(draw: st.DrawFn) -> Blobs:
    """Blobs of all sizes, some without a chunk list, some proved before; perhaps a cursor of an earlier pass."""
    shapes = draw(st.lists(st.tuples(SIZES, PROVED, st.booleans()), min_size=1, max_size=6))
    blobs = [candidate(n, size, proved_at=at, chunked=chunked) for n, (size, at, chunked) in enumerate(shapes)]
    folder = Blobs(blobs=blobs, budget=draw(BUDGETS))
    long = [item for item in blobs if item.chunked]
    begun = draw(st.booleans())
    if begun and long:
        item = draw(st.sampled_from(long))
        at = draw(st.integers(1, count(item.size) - 1))
        folder.cursor = Cursor(blob=item.blob, file=item.file, next_chunk=at)
        folder.read[item.blob] = set(range(at))
    return folder


@settings(max_examples=100, deadline=None)
@given(folders())
def test_samples_add_up_to_a_full_pass(folder: Blobs) -> None:
    """Every byte is read within as many runs as budgets fit into all bytes, and one more for each blob."""
    for _ in range(folder.runs):
        if folder.all_read:
            break
        folder.run()
    assert folder.all_read


@settings(max_examples=50, deadline=None)
@given(folders())
def test_pass_follows_pass(folder: Blobs) -> None:
    """After the first full pass the next one reads every byte again, within the same number of runs."""
    for _ in range(3):
        for _ in range(folder.runs + 1):
            folder.run()
        assert folder.all_read
        folder.read.clear()
        folder.cursor = None


@settings(max_examples=50, deadline=None)
@given(folders(), st.lists(st.integers(0, 9), max_size=30))
def test_no_proof_comes_before_every_byte_was_read(folder: Blobs, changes: list[int]) -> None:
    """Whenever files are replaced between the runs, a blob is proved only when all of that very file was read."""
    for number in changes:
        if number < len(folder.blobs):
            folder.change(folder.blobs[number].blob)
        folder.run()


@settings(max_examples=50, deadline=None)
@given(folders())
def test_one_run_keeps_to_its_budget(folder: Blobs) -> None:
    """It reads the budget, or everything, and beyond it only the rest of a chunk or of a blob without a list."""
    folder.run()
    taken = [task.bytes for task in folder.tasks]
    assert sum(taken[:-1]) < folder.budget
    if all(taken):  # an empty blob counts as a byte
        assert sum(taken) >= min(folder.budget, sum(item.size for item in folder.blobs) - read_before(folder))
    last = folder.of(folder.tasks[-1].blob)
    if last.chunked:
        assert sum(taken) < folder.budget + CHUNK


def read_before(folder: Blobs) -> int:
    """The bytes under the cursor that the run did not have to read."""
    return sum(task.first * CHUNK for task in folder.tasks)


@settings(max_examples=50, deadline=None)
@given(folders())
def test_tasks_lie_inside_their_blobs(folder: Blobs) -> None:
    """Each blob once; only the last task may end before its blob does, so that one cursor is enough."""
    folder.run()
    assert len({task.blob for task in folder.tasks}) == len(folder.tasks)
    for task in folder.tasks:
        assert 0 <= task.first <= task.last <= count(task.size)
        assert task.first < task.last or task.size == 0
        assert task.bytes == sum(min(CHUNK, task.size - index * CHUNK) for index in range(task.first, task.last))
    assert all(task.last == count(task.size) for task in folder.tasks[:-1])
    assert all(task.first == 0 for task in folder.tasks[1:])


# One by one.

LONG = candidate(1, 10 * CHUNK)
CURSOR = Cursor(blob=LONG.blob, file=LONG.file, next_chunk=4)


def test_a_sample_goes_on_where_the_cursor_stands() -> None:
    """Before every other blob, even one that was never proved."""
    others = [candidate(0, 3 * CHUNK), LONG, candidate(2, 3 * CHUNK)]
    (task,) = plan_sample(others, CURSOR, 2 * CHUNK)
    assert task == Task(blob=LONG.blob, size=LONG.size, first=4, last=6)


def test_a_sample_goes_on_with_the_next_blob() -> None:
    """When the blob under the cursor ends before the budget does."""
    tasks = plan_sample([LONG, candidate(2, 3 * CHUNK)], CURSOR, 8 * CHUNK)
    assert [(task.blob, task.first, task.last) for task in tasks] == [(digest(1), 4, 10), (digest(2), 0, 2)]


@pytest.mark.parametrize(
    "file",
    [FileId(2, 10 * CHUNK, 5, 5), FileId(1, 10 * CHUNK, 6, 5), FileId(1, 10 * CHUNK, 5, 6)],
    ids=["inode", "mtime", "ctime"],
)
def test_a_file_that_changed_is_read_from_its_start(file: FileId) -> None:
    """The cursor stands in a file, not in a name."""
    changed = Candidate(blob=LONG.blob, file=file, size=LONG.size, proved_at=0, chunked=True)
    (task,) = plan_sample([changed], CURSOR, 2 * CHUNK)
    assert (task.first, task.last) == (0, 2)


def test_a_cursor_in_a_blob_that_is_gone_is_passed_over() -> None:
    """The oldest of the others comes first then."""
    (task,) = plan_sample([candidate(5, 3 * CHUNK)], CURSOR, CHUNK)
    assert (task.blob, task.first) == (digest(5), 0)


def test_a_blob_that_lost_its_chunk_list_is_read_whole() -> None:
    """Without a list no part of it proves anything."""
    bare = Candidate(blob=LONG.blob, file=LONG.file, size=LONG.size, proved_at=0, chunked=False)
    (task,) = plan_sample([bare], CURSOR, CHUNK)
    assert (task.first, task.last) == (0, 10)


def test_the_longest_unproved_comes_first() -> None:
    """Never proved before proved long ago before proved lately; equal ones by digest."""
    blobs = [candidate(4, 1, proved_at=9), candidate(3, 1), candidate(2, 1, proved_at=5), candidate(1, 1)]
    assert [item.blob for item in oldest_first(blobs, None)] == [digest(n) for n in (1, 3, 2, 4)]


@pytest.mark.parametrize("budget", [-1, 0, 1])
def test_a_budget_of_nothing_still_reads_a_chunk(budget: int) -> None:
    """So that a pass always ends."""
    (task,) = plan_sample([LONG], None, budget)
    assert (task.first, task.last) == (0, 1)


def test_no_blobs_no_tasks() -> None:
    """There is nothing to read in an empty store."""
    assert plan_sample([], CURSOR, CHUNK) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_a_damaged_blob_does_not_keep_the_others_from_being_read(*, chunked: bool) -> None:
    """The pass goes on to the others while damage waits for its repair (V1)."""
    bad = candidate(1, 10 * CHUNK, chunked=chunked)
    others = [candidate(n, 10 * CHUNK, proved_at=7) for n in (2, 3)]
    folder = Blobs(blobs=[bad, *others], budget=5 * CHUNK, damaged=frozenset({bad.blob}))
    for _ in range(10 * folder.runs):
        folder.run()
    assert folder.all_read


# The same with a real store: what an inspection feeds back into the next sample.

WEIGHTS = b"".join(bytes([number]) * CHUNK for number in range(1, 5))


def store_with_damage(base: Path, *chunks: int) -> Place:
    """A store whose only model has weights of four chunks, backed up, then damaged in these chunks."""
    place = Place(base)
    store = FakeStore(place.store)
    weights = store.blob_path(store.add_model("llama3", WEIGHTS).layers[0])
    assert backup(place.site(), ()).exit_code == 0
    for chunk in chunks:
        flip_bit(weights, chunk * CHUNK, 0)
    os.utime(weights)  # the receipt of the backup holds no longer
    return place


def sample(place: Place) -> Verdict:
    """The verdict after one more sample of half the bytes."""
    place.clock.advance(hours=1)
    (verdict,) = verify(place.site(), (), Level.SAMPLE, sample_percent=50).models
    return verdict


def test_a_share_of_a_blob_proves_nothing(tmp_path: Path) -> None:
    """The first half is good and proves nothing; the damage in the second half is found by the second sample (V1)."""
    place = store_with_damage(tmp_path, 3)
    assert sample(place).healthy is None
    assert sample(place).healthy is False


def test_a_good_blob_is_proved_by_its_last_share(tmp_path: Path) -> None:
    """After two halves every byte is vouched for (V1)."""
    place = store_with_damage(tmp_path)
    assert sample(place).healthy is None
    assert sample(place).healthy is True


def test_damage_in_one_share_is_not_forgotten_by_the_next(tmp_path: Path) -> None:
    """The first half is bad, the second is good: no sample may call such a blob healthy (V1)."""
    place = store_with_damage(tmp_path, 0)
    assert sample(place).healthy is False
    assert [sample(place).healthy for _ in range(4)].count(True) == 0
