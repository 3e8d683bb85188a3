"""Rows in parts are the rows that come at once, in the same order, whatever times they share; and few lie in memory."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.history import CheckRow, JobRow
from modelward.journal.sqlite import open_journal
from modelward.services import parts
from modelward.services.parts import rows_in_parts
from modelward.testing import FrozenClock
from modelward.testing.journal import MemoryJournal

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def check(at: datetime, model: str = "llama3", *, ready: bool = True) -> CheckRow:
    """A look at a model."""
    return CheckRow(at=at, model=model, healthy=None, recoverable=True, ready=ready)


@given(times=st.lists(st.integers(0, 12), max_size=60), some=st.integers(1, 7), most=st.integers(0, 70))
def test_parts_are_the_whole(times: list[int], some: int, most: int) -> None:
    """None is left out and none comes twice, also where many have one time and a part ends among them."""
    journal = MemoryJournal()
    for number, second in enumerate(times):
        journal.add([check(NOON + second * SECOND, ready=number % 3 == 0)])
    end = NOON + 10 * SECOND
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_SOME", some)
        found = tuple(rows_in_parts(journal, CheckRow, NOON + SECOND, end, most=most))
    assert found == journal.rows(CheckRow, NOON + SECOND, end, "", most)


@pytest.mark.parametrize("kept", ["in memory", "in a file"])
def test_both_journals_give_them(kept: str, tmp_path: Path) -> None:
    """Rows of one model, and jobs, which have their time under another name."""
    journal = MemoryJournal() if kept == "in memory" else open_journal(tmp_path, FrozenClock(NOON)).journal
    for number in range(700):
        at = NOON + (number // 3) * SECOND
        journal.add([check(at, f"model-{number % 2}")])
        journal.job_begin(JobRow(id=f"j{number}", kind="drill", models=(), cause="guard", began_at=at))
    since, until = NOON + 5 * SECOND, NOON + 200 * SECOND
    mine = journal.rows(CheckRow, since, until, "model-1", 10_000)
    assert tuple(rows_in_parts(journal, CheckRow, since, until, "model-1")) == mine
    jobs = journal.rows(JobRow, since, until, "", 10_000)
    assert tuple(rows_in_parts(journal, JobRow, since, until)) == jobs
    assert (len(mine), len(jobs)) == (293, 585)


def test_few_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    journal, counts = MemoryJournal(), list[int]()
    journal.add([check(NOON + number * SECOND) for number in range(3_000)])
    whole = journal.rows

    def rows(kind: type[CheckRow], *asked: Any) -> tuple[CheckRow, ...]:  # noqa: ANN401 - as the port has it
        found = whole(kind, *asked)
        counts.append(len(found))
        return found

    monkeypatch.setattr(journal, "rows", rows)
    assert sum(1 for _ in rows_in_parts(journal, CheckRow, NOON, NOON + 9_999 * SECOND)) == 3_000
    assert max(counts) < 300
