"""A year of a host with ten models: small on disk, and whole in the answer."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.domain.history import CheckRow, DrillRow, FindingRow, JobRow
from modelward.domain.name import ModelName
from modelward.domain.series import DAY, Series
from modelward.journal.sqlite import SqliteJournal, open_journal
from modelward.services.model_history import model_history
from modelward.testing import FrozenClock
from tests.journal.year import MODELS, keep_a_year

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LARGEST = 50_000_000


def kept(folder: Path, *, every_minute: bool) -> SqliteJournal:
    """The journal after a year; without fsync, which only a crash would miss."""
    journal = open_journal(folder, FrozenClock(NOW)).journal
    journal._connection.execute("PRAGMA synchronous = OFF")  # noqa: SLF001 - for the test's time only
    keep_a_year(journal, NOW, every_minute=every_minute)
    journal.compact(NOW)
    return journal


def holds_a_year(folder: Path, journal: SqliteJournal) -> None:
    """The file is small, samples are those of 14 days, and the history reaches back a year."""
    assert 1_000_000 < sum(path.stat().st_size for path in folder.iterdir()) < LARGEST
    name = ModelName.parse(MODELS[0])
    assert len(journal.rows(CheckRow, NOW - timedelta(days=365), model=name, limit=10**6)) == 14 * 1_440
    found = model_history(journal, name, NOW, NOW - timedelta(days=365))
    assert len(found.up) == len(found.latency) == 366
    assert found.availability[-1].share == pytest.approx(0.999, abs=0.002)
    assert found.p50 == pytest.approx(0.6, rel=0.2)
    assert (len(found.findings), len(found.flips)) == (13, 26)
    assert [each.bytes for each in found.devices] == [2_100_000_000 * 24 * 365] * 2
    assert len(journal.rows(DrillRow, NOW - timedelta(days=365))) == 53
    assert len(journal.rows(FindingRow, NOW - timedelta(days=365))) == 13
    assert len(journal.rows(JobRow, NOW - timedelta(days=365), limit=10**6)) == 365 * 24
    assert len(journal.series(Series.SPACE, NOW - timedelta(days=365), subject="store", span=DAY)) == 366
    journal.close()


def test_a_year_of_ten_models_is_small(tmp_path: Path) -> None:
    """Under 50 MB with a check a minute, a probe each ten minutes, hourly scrubs and weekly drills."""
    holds_a_year(tmp_path, kept(tmp_path, every_minute=False))


@pytest.mark.campaign
def test_a_year_of_ten_models_minute_by_minute_is_small(tmp_path: Path) -> None:
    """The same with every sample kept when its time came."""
    holds_a_year(tmp_path, kept(tmp_path, every_minute=True))
