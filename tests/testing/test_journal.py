"""The journal in memory: what it does beyond the contract of all journals."""

from datetime import UTC, datetime

import pytest

from modelward.domain.alert import Flip, Kind
from modelward.domain.errors import DiskFull
from modelward.domain.history import CheckRow, JobRow
from modelward.testing import MemoryJournal

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CHECK = CheckRow(at=NOON, model="llama3", healthy=True, recoverable=True, ready=True)
JOB = JobRow(id="1", kind="repair", models=(), cause="flip", began_at=NOON)


def test_it_fails_when_it_is_told_to() -> None:
    """Every method that writes raises what it was told, keeps nothing, and reading goes on."""
    journal = MemoryJournal()
    journal.job_begin(JOB)
    journal.fail_with = DiskFull("no room")
    for action in (
        lambda: journal.add([CHECK]),
        lambda: journal.flip([Flip(NOON, Kind.DISK, "/", bad=True, detail="")]),
        lambda: journal.job_begin(JobRow(id="2", kind="x", models=(), cause="", began_at=NOON)),
        lambda: journal.job_end("1", "done", "", NOON),
        lambda: journal.interrupt_jobs(NOON),
        lambda: journal.put("key", 1),
        lambda: journal.compact(NOON),
    ):
        with pytest.raises(DiskFull):
            action()
    assert journal.rows(CheckRow, NOON) == ()
    assert journal.flips(NOON) == ()
    assert journal.rows(JobRow, NOON) == (JOB,)
    assert journal.get("key", int) is None
    journal.fail_with = None
    journal.add([CHECK])
    assert journal.rows(CheckRow, NOON) == (CHECK,)


def test_it_can_be_looked_at_after_it_was_closed() -> None:
    """What a test closes is still there to be looked at."""
    journal = MemoryJournal()
    journal.add([CHECK])
    journal.close()
    assert journal.rows(CheckRow, NOON) == (CHECK,)
