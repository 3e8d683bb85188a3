"""Forecasts of a host come from its journal: every kind, with the right subject, and silence where nothing is known."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from modelward.domain.errors import ChildFailed, WriteFailed
from modelward.domain.forecast import DriveReading, Forecast, ForecastKind, ForecastReport
from modelward.domain.history import JobRow, ProbeRow, ScrubRow, SpaceRow
from modelward.forecast.rot import START as FIRST_PERIOD
from modelward.forecast.trees import HABITS, Features
from modelward.services.forecast import Known, Learned, forecasts, remember_drives, scrub_pace
from modelward.testing import MemoryJournal

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MODEL = "registry.ollama.ai/library/llama3:latest"
GB = 10**9
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal()


def found(report: ForecastReport, kind: ForecastKind) -> Forecast:
    """The one forecast of a kind."""
    (one,) = [forecast for forecast in report.forecasts if forecast.kind is kind]
    return one


def fill(journal: MemoryJournal, of: str, device: str, daily: int) -> None:
    """A disk that grows for 20 days, and has ten times its daily growth left."""
    hours = 20 * 24
    rows = [
        SpaceRow(
            at=NOW - (hours - number) * HOUR,
            of=of,
            device=device,
            total=1000 * GB,
            free=10 * daily + (hours - number) * daily // 24,
        )
        for number in range(hours + 1)
    ]
    journal.add(rows)


def probe(journal: MemoryJournal, *, slow_since: timedelta, bad_since: timedelta) -> None:
    """A probe every 20 minutes for 14 days: a second, then three; failures in the last hours."""
    rng = random.Random(1)
    rows: list[ProbeRow] = []
    for number in range(14 * 72):
        at = NOW - 14 * DAY + number * HOUR / 3
        seconds = rng.lognormvariate(0, 0.1) * (3 if at > NOW - slow_since else 1)
        outcome = "timeout" if at > NOW - bad_since and number % 2 else "ok"
        rows.append(ProbeRow(at=at, model=MODEL, outcome=outcome, seconds=seconds))
    journal.add(rows)


def scrub(journal: MemoryJournal, days: int, *, damaged: int = 0, slow_days: int = 0) -> None:
    """A slice a day of 70 GB of the store; damage in the last ten days, slowness in the last ``slow_days``."""
    rng = random.Random(2)
    rows = [
        ScrubRow(
            at=NOW - (days - number) * DAY,
            of="store",
            device="/dev/sda1",
            bytes=70 * GB,
            seconds=140 * rng.lognormvariate(0, 0.05) * (3 if days - number <= slow_days else 1),
            damaged=damaged if days - number <= 10 else 0,
        )
        for number in range(days)
    ]
    journal.add(rows)


def work(journal: MemoryJournal, days: int, hours_more: float) -> None:
    """A nightly maintenance that takes an hour, and ``hours_more`` more each night."""
    for number in range(days):
        began = NOW - (days - number) * DAY
        journal.job_begin(JobRow(id=f"j{number}", kind="maintenance", models=(), cause="schedule", began_at=began))
        journal.job_end(f"j{number}", "done", "", began + HOUR * (1 + number * hours_more))


def test_nothing_known_is_nothing_said(journal: MemoryJournal) -> None:
    """Without rows, and without a journal, there is no forecast and no error."""
    assert forecasts(journal, NOW, Known()).forecasts == ()
    assert forecasts(None, NOW, Known(notes=("no drives",))).notes == ("no drives",)


def test_a_filling_disk_is_told_once_for_store_and_vault(journal: MemoryJournal) -> None:
    """Two folders on one device are one disk, with its date about ten days ahead."""
    fill(journal, "store", "/dev/sda1", 20 * GB)
    fill(journal, "vault", "/dev/sda1", 20 * GB)
    disk = found(forecasts(journal, NOW, Known()), ForecastKind.DISK)
    assert disk.subject == "disk of store and vault"
    assert disk.alarm
    assert disk.when is not None
    assert abs(disk.when - NOW - 10 * DAY) < 1.5 * DAY


def test_two_devices_are_two_disks(journal: MemoryJournal) -> None:
    """The vault on another device has its own forecast; alarms come first."""
    fill(journal, "store", "/dev/sda1", GB)
    fill(journal, "vault", "/dev/sdb1", 40 * GB)
    report = forecasts(journal, NOW, Known())
    assert {one.subject for one in report.forecasts} == {"disk of store", "disk of vault"}
    assert [one.alarm for one in report.forecasts] == sorted((one.alarm for one in report.forecasts), reverse=True)


def test_a_slow_and_failing_model_is_named_as_people_do(journal: MemoryJournal) -> None:
    """Latency and errors are told of the model's short name, with the command to look at it."""
    probe(journal, slow_since=2 * DAY, bad_since=6 * HOUR)
    report = forecasts(journal, NOW, Known(deadline=60))
    for kind in (ForecastKind.LATENCY, ForecastKind.ERRORS):
        one = found(report, kind)
        assert one.alarm, kind
        assert one.subject == "llama3:latest"
        assert one.action == "modelward verify llama3:latest"


def test_a_good_model_is_left_alone(journal: MemoryJournal) -> None:
    """Fourteen quiet days are no alarm."""
    probe(journal, slow_since=timedelta(), bad_since=timedelta())
    assert forecasts(journal, NOW, Known(deadline=60)).alarms == ()


def test_a_busy_model_was_not_asked(journal: MemoryJournal) -> None:
    """Probes that found the server busy are no failures."""
    journal.add([ProbeRow(at=NOW - number * HOUR / 3, model=MODEL, outcome="busy", seconds=0) for number in range(90)])
    journal.add([ProbeRow(at=NOW - number * HOUR, model=MODEL, outcome="ok", seconds=1) for number in range(60, 0, -1)])
    one = found(forecasts(journal, NOW, Known()), ForecastKind.ERRORS)
    assert (one.alarm, one.samples) == (False, 60)


def test_a_rotting_and_slowing_device_is_told(journal: MemoryJournal) -> None:
    """Damage of the last days makes more of it likely, and shortens the period; a lost speed is told beside it."""
    scrub(journal, 60, damaged=2, slow_days=14)
    report = forecasts(journal, NOW, Known(whole={"store": 490 * GB}))
    assert found(report, ForecastKind.ROT).alarm
    assert found(report, ForecastKind.FAIL_SLOW).alarm
    assert found(report, ForecastKind.ROT).subject == "/dev/sda1"
    assert scrub_pace(journal, NOW, "/dev/sda1", 490 * GB).period < FIRST_PERIOD / 2


def test_a_clean_device_is_quiet_and_read_less_often(journal: MemoryJournal) -> None:
    """Sixty clean slices lengthen the period; an unknown device has the first one."""
    scrub(journal, 60)
    assert forecasts(journal, NOW, Known(whole={"store": 490 * GB})).alarms == ()
    assert scrub_pace(journal, NOW, "/dev/sda1", 490 * GB).period > FIRST_PERIOD
    assert scrub_pace(journal, NOW, "/dev/sdz", 0).period == FIRST_PERIOD


def test_a_job_that_will_miss_its_window_is_told(journal: MemoryJournal) -> None:
    """Only done jobs of a kind with a window count."""
    work(journal, 60, 0.05)
    assert forecasts(journal, NOW, Known()).forecasts == ()
    one = found(forecasts(journal, NOW, Known(windows={"maintenance": 4.3 * 3600})), ForecastKind.WINDOW)
    assert (one.subject, one.alarm, one.samples) == ("maintenance", True, 60)


def test_jobs_behind_many_others_count(journal: MemoryJournal) -> None:
    """A window is foretold from the jobs of its kind, however many of other kinds came since."""
    work(journal, 60, 0.05)
    for number in range(600):
        began = NOW - (600 - number) * HOUR / 60
        journal.job_begin(JobRow(id=f"d{number}", kind="drill", models=(), cause="schedule", began_at=began))
    one = found(forecasts(journal, NOW, Known(windows={"maintenance": 4.3 * 3600})), ForecastKind.WINDOW)
    assert (one.alarm, one.samples) == (True, 60)


def reading(day: int, wear: int) -> DriveReading:
    """What a drive says on a day."""
    return DriveReading(at=(NOW - (100 - day) * DAY).timestamp(), device="nvme0n1", passed=True, wear=wear)


def test_drives_are_remembered_a_day_in_one(journal: MemoryJournal) -> None:
    """Readings are kept one a day; from thirty on, wear has its date."""
    for day in range(60):
        remember_drives(journal, [reading(day, 40 + day // 2)])
        remember_drives(journal, [reading(day, 40 + day // 2)])
    one = found(forecasts(journal, NOW, Known(drives=(reading(60, 70),))), ForecastKind.DRIVE)
    assert one.samples == 61
    assert one.when is not None
    assert 50 < (one.when - NOW) / DAY < 70


def test_a_drive_is_judged_without_a_journal() -> None:
    """The published tables need one reading only."""
    bad = DriveReading(at=NOW.timestamp(), device="sda", attributes={197: 8})
    report = forecasts(None, NOW, Known(drives=(bad,)))
    assert [one.kind for one in report.alarms] == [ForecastKind.DRIVE]


def test_a_journal_that_cannot_write_says_so(journal: MemoryJournal) -> None:
    """What cannot be remembered raises; it is not lost in silence."""
    journal.fail_with = WriteFailed("no")
    with pytest.raises(WriteFailed):
        remember_drives(journal, [reading(0, 1)])
    assert Known().deadline == math.inf


# A detector that learns, in place of our own.


def learned(score: float, *kinds: ForecastKind) -> Learned:
    """One that gives every point the same score."""

    def trees(series: Sequence[Sequence[Features]], window: int) -> list[list[float]]:
        assert window in {HABITS[kind].window for kind in kinds}
        return [[score] * len(each) for each in series]

    return Learned(trees=trees, right=dict.fromkeys(kinds, 0.75))


def test_a_detector_that_learns_decides_its_kinds_alone(journal: MemoryJournal) -> None:
    """It takes an alarm back and gives one, says that it was it, and how often it was right; other kinds are ours."""
    probe(journal, slow_since=2 * DAY, bad_since=8 * HOUR)
    scrub(journal, 90, slow_days=12)
    ours = forecasts(journal, NOW, Known(whole={"store": 490 * GB}))
    blind = forecasts(journal, NOW, Known(learned=learned(0.0, ForecastKind.LATENCY)))
    assert found(ours, ForecastKind.LATENCY).alarm
    told = found(blind, ForecastKind.LATENCY)
    assert (told.alarm, told.when, told.hit_rate) == (False, None, 0.75)
    assert told.what.endswith("half-space trees: nothing odd")
    for kind in (ForecastKind.ERRORS, ForecastKind.FAIL_SLOW):
        assert found(blind, kind) == found(ours, kind)
    odd = forecasts(journal, NOW, Known(learned=learned(1.0, ForecastKind.LATENCY, ForecastKind.FAIL_SLOW)))
    assert found(odd, ForecastKind.LATENCY).what.endswith("odd, and worse than usual")
    assert found(odd, ForecastKind.LATENCY).alarm
    assert found(odd, ForecastKind.FAIL_SLOW).alarm


def test_until_its_window_is_full_our_own_decides(journal: MemoryJournal) -> None:
    """14 days of hours are fewer than the 500 that it learns errors from."""
    probe(journal, slow_since=2 * DAY, bad_since=8 * HOUR)
    ours = found(forecasts(journal, NOW, Known()), ForecastKind.ERRORS)
    assert ours.alarm
    assert found(forecasts(journal, NOW, Known(learned=learned(0.0, ForecastKind.ERRORS))), ForecastKind.ERRORS) == ours


def test_a_detector_that_fails_leaves_our_own(journal: MemoryJournal) -> None:
    """With a note that says so."""

    def gone(_: object, __: int) -> list[list[float]]:
        raise ChildFailed("not done within 60 s", thing="the trees")

    probe(journal, slow_since=2 * DAY, bad_since=8 * HOUR)
    report = forecasts(journal, NOW, Known(learned=Learned(trees=gone, right={ForecastKind.LATENCY: 0.9})))
    assert report.forecasts == forecasts(journal, NOW, Known()).forecasts
    (note,) = report.notes
    assert "latency rising: decided by our own detector" in note
    assert "not done within 60 s" in note
