"""Jobs: one after the other, looked at while they run, cancelled, and remembered with how they ended."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from modelward.domain.errors import DiskFull, Interrupted, UnknownJob, WriteFailed
from modelward.domain.history import JobRow
from modelward.domain.name import ModelName
from modelward.domain.standing import JobState
from modelward.durable import Folder
from modelward.guard.board import Board
from modelward.guard.jobs import Job, Jobs
from modelward.testing import FrozenClock
from modelward.testing.journal import MemoryJournal
from tests.descriptors import open_now
from tests.places import Notes

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NAME = ModelName.parse("llama3")


class Found(msgspec.Struct, frozen=True):
    """A report."""

    number: int
    exit_code: int = 7


class Desk:
    """Jobs with all that they need."""

    def __init__(self) -> None:
        self.clock, self.notes, self.journal, self.board = (
            FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)),
            Notes(),
            MemoryJournal(),
            Board(),
        )
        self.jobs = Jobs(self.clock, self.notes, self.journal, self.board.stir)

    def do(self) -> Job:
        """Take the next job and do it."""
        job = self.jobs.take()
        assert job is not None
        self.jobs.carry_out(job)
        return job


@pytest.fixture
def desk() -> Desk:
    """An empty desk."""
    return Desk()


def test_a_job_goes_from_waiting_to_done_with_its_report(desk: Desk) -> None:
    """Its view says where it is at every moment, and the journal keeps that it ran."""
    seen: list[JobState] = []

    def run(job: Job) -> list[int]:
        seen.append(desk.jobs.get(job.view.id).state)
        return [1, 2]

    view = desk.jobs.submit("verify", (NAME,), "user", run)
    assert view.state is JobState.WAITING
    ended = desk.do().view
    assert (seen, ended.state, ended.report, ended.over) == ([JobState.RUNNING], JobState.DONE, [1, 2], True)
    rows = desk.journal.rows(JobRow, LONG_AGO)
    assert [(row.kind, row.models, row.outcome) for row in rows] == [("verify", (str(NAME),), "done")]


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (DiskFull("full", thing="/x", next_step="free some"), JobState.FAILED, 5),
        (Interrupted("stopped"), JobState.CANCELLED, 130),
        (RuntimeError("a fault of ours"), JobState.FAILED, 70),
    ],
)
def test_every_error_becomes_an_outcome(desk: Desk, error: Exception, state: JobState, code: int) -> None:
    """Nothing that a job raises ends the thread that does jobs."""

    def run(_: Job) -> None:
        raise error

    desk.jobs.submit("backup", (), "user", run)
    view = desk.do().view
    assert (view.state, view.exit_code) == (state, code)
    assert str(error) in view.error


def test_progress_is_seen_while_it_runs(desk: Desk) -> None:
    """Stages and bytes are in the view at once; watchers are told, but not at every byte."""
    seen: list[tuple[str, int, int]] = []

    def run(job: Job) -> None:
        job.begin("read", 1000)
        before = desk.board.revision
        for _ in range(1000):
            job.advance(1)
        assert desk.board.revision - before <= 101
        view = desk.jobs.get(job.view.id)
        seen.append((view.stage, view.done, view.total))

    desk.jobs.submit("verify", (), "user", run)
    desk.do()
    assert seen == [("read", 1000, 1000)]


def test_the_same_wish_waits_once(desk: Desk) -> None:
    """Asking again for what waits gives the job that waits; what runs already is asked for anew."""
    first = desk.jobs.submit("backup", (), "user", lambda _: None)
    assert desk.jobs.submit("backup", (), "user", lambda _: None).id == first.id
    assert desk.jobs.submit("backup", (NAME,), "user", lambda _: None).id != first.id
    desk.do()
    assert desk.jobs.submit("backup", (), "user", lambda _: None).id != first.id


def test_a_waiting_job_that_is_cancelled_never_begins(desk: Desk) -> None:
    """It is gone from the queue, and its view says so."""
    view = desk.jobs.submit("backup", (), "user", lambda _: pytest.fail("it began"))
    assert desk.jobs.cancel(view.id).state is JobState.CANCELLED
    assert desk.jobs.take() is None


def test_a_running_job_is_told_to_stop(desk: Desk) -> None:
    """Its reading ends at the next chunk, by the event that it was opened with."""
    stopped: list[bool] = []

    def run(job: Job) -> None:
        desk.jobs.cancel(job.view.id)
        stopped.append(job.stop.is_set())
        raise Interrupted("stopped")

    desk.jobs.submit("backup", (), "user", run)
    assert desk.do().view.state is JobState.CANCELLED
    assert stopped == [True]


def test_an_unknown_job_says_so(desk: Desk) -> None:
    """Looking at it and cancelling it are one error."""
    with pytest.raises(UnknownJob):
        desk.jobs.get("nothing")
    with pytest.raises(UnknownJob):
        desk.jobs.cancel("nothing")


def test_old_jobs_are_forgotten_and_running_ones_never(desk: Desk) -> None:
    """The memory of ended jobs is bounded; the journal has them all."""
    kept = desk.jobs.submit("kept", (), "user", lambda _: None)
    waiting = desk.jobs.take()
    assert waiting is not None
    for number in range(500):
        desk.jobs.submit(f"x{number}", (), "user", lambda _: None)
        desk.do()
    assert len(desk.jobs.list()) <= 202
    assert desk.jobs.get(kept.id).state is JobState.WAITING
    assert len(desk.journal.rows(JobRow, LONG_AGO)) == 500


def test_a_job_that_ended_long_ago_has_no_report_any_more(desk: Desk) -> None:
    """Only the newest ended jobs hold what they found, which may be large; how the others ended is still told."""
    numbers = iter(range(80))
    views = []
    for number in range(80):
        desk.jobs.submit(f"x{number}", (), "user", lambda _: Found(next(numbers)))
        views.append(desk.do().view)
    assert [view.report for view in views] == [Found(number) for number in range(80)]
    now = [view.report for view in desk.jobs.list()]
    assert now[:50] == [Found(number) for number in range(79, 29, -1)]
    assert now[51:] == [None] * 29
    oldest = desk.jobs.get(views[0].id)
    assert (oldest.state, oldest.exit_code, oldest.ended_at) == (JobState.DONE, 7, views[0].ended_at)


def test_an_ended_job_can_be_cancelled_and_nothing_comes_of_it(desk: Desk) -> None:
    """What is over stays as it ended, and those that still run hear nothing of it."""
    desk.jobs.submit("first", (), "user", lambda _: None)
    ended = desk.do().view
    seen: list[bool] = []

    def cancel_the_other(job: Job) -> None:
        seen.append(desk.jobs.cancel(ended.id) == ended)
        seen.append(job.stop.is_set())

    desk.jobs.submit("second", (), "user", cancel_the_other)
    assert desk.do().view.state is JobState.DONE
    assert seen == [True, False]


def test_a_job_done_at_once_is_seen_like_the_others(desk: Desk) -> None:
    """What the look heals itself is in the list, with its outcome; a stop that was set before reaches it."""
    stop = threading.Event()
    stop.set()
    view = desk.jobs.now("repair", (NAME,), "guard", lambda job: job.stop.is_set(), stop)
    assert (view.state, view.report) == (JobState.DONE, True)
    assert desk.jobs.list()[0].id == view.id


def test_a_journal_that_cannot_be_written_does_not_stop_a_job(desk: Desk) -> None:
    """D1: the work counts more than its record."""
    desk.journal.fail_with = WriteFailed("no space")
    desk.jobs.submit("backup", (), "user", lambda _: "done")
    assert desk.do().view.state is JobState.DONE
    assert "journal_failed" in {event for event, _ in desk.notes.events}


def test_stopping_all_empties_the_queue(desk: Desk, tmp_path: Path) -> None:
    """After a stop nothing begins any more."""
    del tmp_path
    view = desk.jobs.submit("backup", (), "user", lambda _: None)
    desk.jobs.stop_all()
    assert desk.jobs.take() is None
    assert desk.jobs.get(view.id).state is JobState.WAITING


def test_an_ended_job_holds_nothing_open(desk: Desk, tmp_path: Path) -> None:
    """What it worked on goes with its end, though the job can be looked at for long after, whichever way it ran."""
    before = open_now()
    folders = [Folder.open(tmp_path) for _ in range(3)]
    assert len(open_now() - before) == len(folders)

    def using(folder: Folder) -> Callable[[Job], object]:
        return lambda _: folder.names()

    desk.jobs.now("repair", (), "guard", using(folders.pop()), threading.Event())
    desk.jobs.submit("verify", (), "user", using(folders.pop()))
    desk.do()
    view = desk.jobs.submit("drill", (), "user", using(folders.pop()))
    desk.jobs.cancel(view.id)
    assert not open_now() - before
    assert len(desk.jobs.list()) == 3
