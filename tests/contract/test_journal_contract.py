"""What every journal promises, whatever it is made of."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelward.domain.alert import Flip, Kind
from modelward.domain.history import (
    ActionRow,
    AnyRow,
    CheckRow,
    DrillRow,
    FindingRow,
    JobRow,
    ProbeRow,
    Row,
    ScrubRow,
    ServerRow,
    SpaceRow,
)
from modelward.domain.series import DAY, HOUR, Series, merged, quantile
from modelward.journal.sqlite import open_journal
from modelward.ports import Journal
from modelward.testing import FrozenClock, MemoryJournal
from tests.domain.strategies_domain import values

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EVER = datetime(1970, 1, 1, tzinfo=UTC)
LLAMA, PHI = "registry.ollama.ai/library/llama3:latest", "registry.ollama.ai/library/phi:latest"
KINDS = sorted(get_args(Row), key=lambda kind: kind.__name__)
SAMPLES = (CheckRow, ProbeRow, ScrubRow, SpaceRow, ServerRow)


def sqlite(folder: Path) -> Journal:
    """A journal in a file."""
    return open_journal(folder, FrozenClock(NOON)).journal


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An empty journal of each kind."""
    found = MemoryJournal() if request.param == "memory" else sqlite(tmp_path)
    yield found
    found.close()


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Journal]:
    """As many empty journals of each kind as a test draws."""
    if request.param == "memory":
        return MemoryJournal
    return lambda: sqlite(tmp_path_factory.mktemp("journal"))


def after(**span: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(**span)


def check(at: datetime, *, ready: bool = True, model: str = LLAMA) -> CheckRow:
    """A look at a model."""
    return CheckRow(at=at, model=model, healthy=True, recoverable=True, ready=ready)


def probe(at: datetime, seconds: float, outcome: str = "ok", model: str = LLAMA) -> ProbeRow:
    """A probe of a model."""
    return ProbeRow(at=at, model=model, outcome=outcome, seconds=seconds)


def flip(at: datetime, *, bad: bool = True, subject: str = LLAMA) -> Flip:
    """A model that went missing, or came back."""
    return Flip(at, Kind.MODEL_MISSING, subject, bad, "the manifest is gone", "modelward repair llama3")


def job(name: str, at: datetime = NOON, models: tuple[str, ...] = (LLAMA,)) -> JobRow:
    """A job that has begun."""
    return JobRow(id=name, kind="repair", models=models, cause="flip", began_at=at)


def one_of_each(at: datetime) -> tuple[Row, ...]:
    """A row of every kind."""
    return (
        check(at),
        probe(at, 0.5),
        FindingRow(at=at, model=LLAMA, kind="Missing", text="blob is missing", bytes=7, device="8:1"),
        ActionRow(at=at, cause="flip", verb="repair", step="PlaceBlob", model=LLAMA, source="vault", bytes=7),
        ScrubRow(at=at, of="store", device="8:1", bytes=1 << 40, seconds=3.5, damaged=1),
        DrillRow(
            at=at, model=LLAMA, snapshot="s1", bytes=7, restore_seconds=1.5, verify_seconds=0.5, ok=False, why="no room"
        ),
        SpaceRow(at=at, of="vault", device="8:2", total=100, free=40),
        ServerRow(at=at, up=True, seconds=0.01, version="0.24.0"),
    )


def test_every_kind_of_row_comes_back(journal: Journal) -> None:
    """What was kept is given back equal, each kind by itself."""
    kept = one_of_each(NOON)
    journal.add(kept)
    assert {type(row) for row in kept} == set(KINDS)
    for row in kept:
        assert journal.rows(type(row), EVER) == (row,)


@pytest.mark.parametrize("kind", [*KINDS, Flip, JobRow], ids=lambda kind: kind.__name__)
def test_any_row_leads_back(make: Callable[[], Journal], kind: type[Any]) -> None:
    """Whatever stands in its fields."""

    @settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
    @given(values(kind))
    def run(row: Any) -> None:  # noqa: ANN401 - a row of any kind
        journal = make()
        if isinstance(row, Flip):
            journal.flip([row])
            assert journal.flips(EVER) == (row,)
        elif isinstance(row, JobRow):
            journal.job_begin(row)
            assert journal.rows(JobRow, EVER) == (row,)
        else:
            journal.add([row])
            assert journal.rows(kind, EVER) == (row,)
        journal.close()

    run()


def test_rows_are_newest_first_and_no_more_than_asked(journal: Journal) -> None:
    """The newest first, whatever the order in which they came; of one time, the later added first."""
    journal.add([check(after(minutes=2)), check(NOON), check(after(minutes=1)), check(after(minutes=1), ready=False)])
    found = journal.rows(CheckRow, EVER)
    assert [(row.at, row.ready) for row in found] == [
        (after(minutes=2), True),
        (after(minutes=1), False),
        (after(minutes=1), True),
        (NOON, True),
    ]
    assert journal.rows(CheckRow, EVER, limit=2) == found[:2]


def test_a_window_has_its_begin_and_not_its_end(journal: Journal) -> None:
    """``since`` belongs to the answer, ``until`` does not."""
    journal.add([check(after(minutes=number)) for number in range(4)])
    found = journal.rows(CheckRow, after(minutes=1), after(minutes=3))
    assert [row.at for row in found] == [after(minutes=2), after(minutes=1)]
    journal.flip([flip(NOON), flip(after(minutes=1))])
    assert journal.flips(NOON, after(minutes=1)) == (flip(NOON),)


def test_rows_of_one_model(journal: Journal) -> None:
    """Only those that name it; a kind without models has none."""
    journal.add([check(NOON), check(NOON, model=PHI), *one_of_each(NOON)[4:]])
    journal.job_begin(job("1"))
    journal.job_begin(job("2", models=(PHI, LLAMA)))
    journal.job_begin(job("3", models=(PHI,)))
    journal.flip([flip(NOON), flip(NOON, subject=PHI)])
    assert journal.rows(CheckRow, EVER, model=PHI) == (check(NOON, model=PHI),)
    assert {row.id for row in journal.rows(JobRow, EVER, model=LLAMA)} == {"1", "2"}
    assert journal.flips(EVER, subject=PHI) == (flip(NOON, subject=PHI),)
    assert journal.rows(ScrubRow, EVER, model=LLAMA) == ()
    assert journal.rows(CheckRow, EVER, model="nobody") == ()


def test_a_job_ends_once(journal: Journal) -> None:
    """Its first end stays; one that never began has none."""
    journal.job_begin(job("1"))
    journal.job_end("1", "done", "2 models", after(minutes=1))
    journal.job_end("1", "failed", "late", after(minutes=2))
    journal.job_end("2", "done", "", after(minutes=2))
    (found,) = journal.rows(JobRow, EVER)
    assert (found.outcome, found.detail, found.ended_at) == ("done", "2 models", after(minutes=1))


def test_running_jobs_of_a_killed_guard_are_interrupted(journal: Journal) -> None:
    """Only those, and only once."""
    for name in ("1", "2", "3"):
        journal.job_begin(job(name))
    journal.job_end("2", "cancelled", "", after(minutes=1))
    assert journal.interrupt_jobs(after(hours=1)) == 2
    assert journal.interrupt_jobs(after(hours=2)) == 0
    outcomes = {row.id: (row.outcome, row.ended_at) for row in journal.rows(JobRow, EVER)}
    assert outcomes["1"] == outcomes["3"] == ("interrupted", after(hours=1))
    assert outcomes["2"] == ("cancelled", after(minutes=1))


def test_documents(journal: Journal) -> None:
    """The last one kept under a key is there; none, or one of another kind, is None."""
    assert journal.get("cursor", dict[str, int]) is None
    journal.put("cursor", {"a": 1})
    journal.put("cursor", {"a": 2})
    journal.put("job", job("1"))
    assert journal.get("cursor", dict[str, int]) == {"a": 2}
    assert journal.get("job", JobRow) == job("1")
    assert journal.get("job", int) is None


def test_availability_counts_the_time_between_checks(journal: Journal) -> None:
    """A check tells of the time until the next one; what follows a gap is unknown after five minutes."""
    journal.add([check(NOON), check(after(minutes=1), ready=False)])
    journal.add([check(after(minutes=3)), check(after(minutes=33))])
    (point,) = journal.series(Series.CHECKS, NOON, subject=LLAMA)
    assert (point.at, point.seconds_span, point.count, point.errors) == (NOON, HOUR, 4, 1)
    assert (point.good_seconds, point.known_seconds) == (60 + 300, 180 + 300)


def test_time_over_a_border_belongs_to_both_sides(journal: Journal) -> None:
    """Two minutes around midnight give each hour, and each day, one."""
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    journal.add([check(midnight - timedelta(minutes=1)), check(midnight + timedelta(minutes=1))])
    for span in (HOUR, DAY):
        points = journal.series(Series.CHECKS, NOON, subject=LLAMA, span=span)
        assert [point.known_seconds for point in points] == [60, 60]
        assert [point.count for point in points] == [1, 1]
    assert [point.at for point in journal.series(Series.CHECKS, midnight, subject=LLAMA)] == [midnight]


def test_a_clock_that_jumps_invents_no_time(journal: Journal) -> None:
    """Back and forth by thirty days: never more known time than five minutes a check."""
    times = [NOON, after(days=30), after(days=30, minutes=1), NOON, after(minutes=1)]
    for at in times:
        journal.add([check(at)])
    points = journal.series(Series.CHECKS, EVER, subject=LLAMA)
    assert sum(point.known_seconds for point in points) == 300 + 60 + 60
    assert sum(point.count for point in points) == len(times)


def test_response_times_are_merged_by_hour_and_day(journal: Journal) -> None:
    """Quantiles of the day come from the same answers as those of its hours; failures count, busy does not."""
    seconds = [0.1 * number for number in range(1, 101)]
    journal.add([probe(after(minutes=index), value) for index, value in enumerate(seconds)])
    journal.add([probe(NOON, 60, "timeout"), probe(NOON, 0, "busy")])
    hours = journal.series(Series.PROBES, NOON, subject=LLAMA)
    (day,) = journal.series(Series.PROBES, NOON, subject=LLAMA, span=DAY)
    assert [point.count for point in hours] == [61, 40]
    assert (day.count, day.errors, sum(day.buckets.values())) == (101, 1, 100)
    assert quantile(day.buckets, 0.5) == pytest.approx(5.0, rel=0.05)
    assert quantile(day.buckets, 0.95) == pytest.approx(9.5, rel=0.05)
    assert day.seconds == pytest.approx(sum(seconds))


def test_series_of_scrubs_space_and_server(journal: Journal) -> None:
    """Bytes and findings by device, the least free space by place, the server's time."""
    for number in range(3):
        at = after(minutes=number)
        journal.add(
            [
                ScrubRow(at=at, of="store", device="8:1", bytes=100, seconds=2, damaged=number),
                ScrubRow(at=at, of="vault", device="8:2", bytes=10, seconds=1),
                SpaceRow(at=at, of="store", device="8:1", total=1000, free=500 - 100 * number),
                ServerRow(at=at, up=number != 1, seconds=0.25),
            ]
        )
    (scrub,) = journal.series(Series.SCRUBS, NOON, subject="8:1")
    assert (scrub.count, scrub.errors, scrub.bytes, scrub.seconds) == (3, 3, 300, 6)
    (both,) = journal.series(Series.SCRUBS, NOON)
    assert (both.count, both.bytes) == (6, 330)
    (space,) = journal.series(Series.SPACE, NOON, subject="store", span=DAY)
    assert (space.low, space.total) == (300, 1000)
    (server,) = journal.series(Series.SERVER, NOON)
    assert (server.errors, server.good_seconds, server.known_seconds) == (1, 60, 120)
    assert journal.subjects(Series.SCRUBS) == ("8:1", "8:2")
    assert journal.subjects(Series.PROBES) == ()


def test_a_series_ends_before_until(journal: Journal) -> None:
    """A point that begins at ``until`` or later is left out; the one that holds ``since`` is not."""
    journal.add([check(after(hours=number)) for number in range(4)])
    found = journal.series(Series.CHECKS, after(hours=1, minutes=30), after(hours=3), subject=LLAMA)
    assert [point.at for point in found] == [after(hours=1), after(hours=2)]


def test_totals_are_those_of_the_points(journal: Journal) -> None:
    """For each subject the sum of its points that begin in the time, without a histogram."""
    journal.add([check(after(minutes=number), ready=number % 7 > 0) for number in range(200)])
    journal.add([check(after(minutes=number), model=PHI) for number in range(10)])
    journal.add([probe(NOON, 1.5), SpaceRow(at=NOON, of="store", device="d", total=9, free=4)])
    found = journal.totals(Series.CHECKS, NOON, after(hours=2))
    assert set(found) == {LLAMA, PHI}
    points = journal.series(Series.CHECKS, NOON, after(hours=2), subject=LLAMA)
    assert found[LLAMA] == merged(points)
    assert found[PHI].count == 10
    assert journal.totals(Series.CHECKS, after(minutes=1), after(hours=2))[LLAMA] == points[1]
    assert journal.totals(Series.CHECKS, NOON.replace(hour=0), span=DAY)[LLAMA].count == 200
    assert journal.totals(Series.PROBES, NOON)[LLAMA].buckets == {}
    assert journal.totals(Series.SPACE, NOON)["store"].low == 4
    assert journal.totals(Series.CHECKS, after(days=1)) == {}


def test_compaction_keeps_what_is_promised(make: Callable[[], Journal]) -> None:
    """Samples 14 days, hours 90 days, days five years, what is rare two years; points outlive their samples."""
    for samples, hours, days, rare, first, last in (
        (True, True, True, True, 0, 14),
        (False, True, True, True, 15, 90),
        (False, False, True, True, 91, 731),
        (False, False, True, False, 732, 1_825),
        (False, False, False, False, 1_827, 9_000),
    ):
        for age in (first, last):
            journal = make()
            journal.add(one_of_each(NOON))
            journal.flip([flip(NOON)])
            journal.job_begin(job("1"))
            journal.compact(after(days=age))
            assert {bool(journal.rows(kind, EVER)) for kind in SAMPLES} == {samples}, age
            assert bool(journal.series(Series.PROBES, EVER)) is hours, age
            assert bool(journal.series(Series.PROBES, EVER, span=DAY)) is days, age
            kept = {bool(journal.rows(kind, EVER)) for kind in (FindingRow, ActionRow, DrillRow, JobRow)}
            assert kept | {bool(journal.flips(EVER))} == {rare}, age
            journal.close()


def test_compaction_says_how_much_it_dropped(journal: Journal) -> None:
    """Rows and points together, and nothing the second time."""
    journal.add([check(NOON), probe(NOON, 1)])
    assert journal.compact(NOON) == 0
    for day in range(2, 15, 2):
        assert journal.compact(after(days=day)) == 0
    assert journal.compact(after(days=16)) == 2
    assert journal.compact(after(days=16)) == 0


def test_a_clock_that_jumps_ahead_drops_little(journal: Journal) -> None:
    """One compaction ten years ahead costs what two days would, and the next one knows the time again."""
    journal.add(one_of_each(NOON))
    journal.compact(NOON)
    assert journal.compact(after(days=3_650)) == 0
    assert journal.compact(after(hours=1)) == 0
    assert journal.rows(CheckRow, EVER) == (check(NOON),)


def test_nothing_of_an_empty_call(journal: Journal) -> None:
    """No rows, no flips: nothing happens."""
    journal.add([])
    journal.flip([])
    assert journal.rows(CheckRow, EVER) == ()
    assert journal.flips(EVER) == ()
    assert journal.series(Series.CHECKS, EVER) == ()


def test_threads_write_at_once(journal: Journal) -> None:
    """Four threads, each with rows of its own model: all are there, counted once."""
    problems: list[BaseException] = []

    def work(model: str) -> None:
        try:
            for number in range(40):
                journal.add([check(after(seconds=number), model=model)])
                journal.rows(CheckRow, EVER, model=model, limit=1)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert len(journal.rows(CheckRow, EVER)) == 160
    assert [point.count for point in journal.series(Series.CHECKS, NOON)] == [160]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 20_000), st.booleans(), st.sampled_from([LLAMA, PHI])), max_size=4),
        max_size=8,
    )
)
def test_both_journals_agree(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Any]]) -> None:
    """Any rows in any batches give the same points in a file and in memory."""
    memory, file = MemoryJournal(), sqlite(tmp_path_factory.mktemp("journal"))
    for batch in batches:
        rows: list[AnyRow] = [check(after(seconds=at), ready=ready, model=model) for at, ready, model in batch]
        rows += [probe(after(seconds=at), at / 1_000) for at, _, _ in batch]
        for journal in (memory, file):
            journal.add(rows)  # type: ignore[arg-type] # no job is among them
    for series in Series:
        for subject in ("", LLAMA, PHI):
            assert memory.series(series, EVER, subject=subject) == file.series(series, EVER, subject=subject)
    assert memory.rows(CheckRow, EVER) == file.rows(CheckRow, EVER)
    file.close()
