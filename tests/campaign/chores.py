"""Chores for whole processes that no verb does by itself: they run in a fork, in the place of the program."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from modelward.bootstrap import SystemClock
from modelward.domain.alert import Flip, Kind
from modelward.domain.history import CheckRow, JobRow, ScrubRow
from modelward.journal.sqlite import SqliteJournal, open_journal

ACKNOWLEDGED = "acknowledged"


def journal() -> None:
    """Jobs, samples, changes and documents, one transaction after the other, each noted once it is acknowledged."""
    opened = open_journal(Path(os.environ["MODELWARD_STATE"]), SystemClock())
    opened.journal.interrupt_jobs(_now())
    for number in range(4):
        _one(opened.journal, f"{os.getpid()}-{number}")
    opened.journal.compact(_now())
    opened.journal.close()


def folders() -> None:
    """Six folders, one after the other, every second one in a thread of its own."""
    for number in range(6):
        if number % 2:
            thread = threading.Thread(target=Path(f"folder{number}").mkdir)
            thread.start()
            thread.join()
        else:
            Path(f"folder{number}").mkdir()


def _one(journal: SqliteJournal, name: str) -> None:
    journal.job_begin(JobRow(id=name, kind="maintenance", models=("llama3",), cause="chore", began_at=_now()))
    _note(f"{name} interrupted")
    check = CheckRow(at=_now(), model="llama3", healthy=True, recoverable=True, ready=True)
    journal.add([check, ScrubRow(at=_now(), of="store", device="disk", bytes=1 << 20, seconds=0.1)])
    journal.flip([Flip(_now(), Kind.JOURNAL, name, bad=True, detail="chore")])
    journal.put("chore", name)
    journal.job_end(name, "done", "", _now())
    _note(f"{name} done")


def _note(text: str) -> None:
    fd = os.open(ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, f"{text}\n".encode())
    os.close(fd)


def _now() -> datetime:
    return datetime.now(UTC)


CHORES: dict[str, Callable[[], None]] = {"@journal": journal, "@folders": folders}
