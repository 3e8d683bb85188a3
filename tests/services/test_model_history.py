"""History of one model: availability of what is known, response times, what happened, and damage over bytes read."""

from datetime import UTC, datetime, timedelta

import pytest

from modelward.domain.alert import Flip, Kind
from modelward.domain.errors import UnknownModel
from modelward.domain.history import ActionRow, CheckRow, DrillRow, FindingRow, ModelHistory, ProbeRow, ScrubRow
from modelward.domain.name import ModelName
from modelward.domain.series import DAY, HOUR
from modelward.services.model_history import WINDOWS, known_history, model_history
from modelward.testing import MemoryJournal

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
LLAMA, PHI = ModelName.parse("llama3"), ModelName.parse("phi")
MINUTE = timedelta(minutes=1)


def watched(journal: MemoryJournal, begin: datetime, minutes: int, *, ready: bool = True) -> datetime:
    """A check a minute; returns when the next one would be."""
    for number in range(minutes):
        at = begin + number * MINUTE
        journal.add([CheckRow(at=at, model=LLAMA, healthy=True, recoverable=True, ready=ready)])
    return begin + minutes * MINUTE


def history(journal: MemoryJournal, **back: float) -> ModelHistory:
    """The history of llama3."""
    return model_history(journal, LLAMA, NOW, NOW - timedelta(**back) if back else None)


def shares(journal: MemoryJournal) -> list[float | None]:
    """The shares of the five windows."""
    found = history(journal).availability
    assert [each.window_seconds for each in found] == list(WINDOWS)
    return [each.share for each in found]


def test_nothing_known_is_not_a_share() -> None:
    """An empty journal says unknown, not 0 % and not 100 %."""
    assert shares(MemoryJournal()) == [None] * 5


def test_an_outage_counts_in_every_window_that_holds_it() -> None:
    """A quarter of an hour down, two hours ago: not in the last hour, more in a day than in a week."""
    journal = MemoryJournal()
    at = watched(journal, NOW - timedelta(days=3), 3 * 24 * 60 - 120)
    at = watched(journal, at, 15, ready=False)
    watched(journal, at, 105)
    hour, day, *longer = shares(journal)
    assert hour == 1.0
    assert day == pytest.approx(1 - 15 / 1_440, abs=1e-4)
    known = history(journal).availability[-1].known_seconds
    assert longer == [pytest.approx(1 - 15 * 60 / known)] * 3


def test_time_without_a_guard_is_not_counted() -> None:
    """Ten minutes up, hours of silence, ten minutes down: a half, of what is known, and five minutes for the gap."""
    journal = MemoryJournal()
    watched(journal, NOW - timedelta(hours=10), 10)
    watched(journal, NOW - timedelta(minutes=10), 10, ready=False)
    (hour, day, week, _, _) = history(journal).availability
    assert hour.known_seconds == 600
    assert hour.share == 0.0
    assert day.known_seconds == 9 * 60 + 300 + 600
    assert day.good_seconds == 9 * 60 + 300
    assert week.known_seconds == day.known_seconds - 60  # the last check tells of its minute with the next one


def test_points_are_hours_for_a_week_and_days_beyond() -> None:
    """Each with its share; the total of the response times is over all of them."""
    journal = MemoryJournal()
    watched(journal, NOW - timedelta(hours=3), 120)
    for number, seconds in enumerate([0.1, 0.2, 0.4, 5.0]):
        row = ProbeRow(at=NOW - number * timedelta(hours=1), model=LLAMA, outcome="ok", seconds=seconds)
        journal.add([row, ProbeRow(at=row.at, model=PHI, outcome="timeout", seconds=60)])
    journal.add([ProbeRow(at=NOW - MINUTE, model=LLAMA, outcome="timeout", seconds=60)])
    week, month = history(journal, days=7), history(journal, days=8)
    for each, span in ((week, HOUR), (month, DAY)):
        assert {point.seconds_span for point in each.up} == {point.seconds_span for point in each.latency} == {span}
    assert [point.count for point in week.latency] == [1, 1, 1, 2]
    for each in (week, month):
        assert each.p50 == pytest.approx(0.2, rel=0.05)
        assert each.p95 == pytest.approx(5.0, rel=0.05)
        assert each.error_rate == pytest.approx(1 / 5)
    assert all(point.share == 1.0 for point in week.up)


def test_what_happened_is_that_of_this_model_and_time() -> None:
    """Flips by either form of the name, findings, actions and drills, the newest first."""
    journal = MemoryJournal()
    before, at = NOW - timedelta(days=9), NOW - timedelta(days=1)
    for when in (before, at):
        for name in (LLAMA, PHI):
            journal.flip([Flip(when, Kind.INTEGRITY, str(name), bad=True, detail="x")])
            journal.flip([Flip(when + MINUTE, Kind.INTEGRITY, name.short, bad=False, detail="x")])
            drill = DrillRow(
                at=when, model=name, snapshot="s", bytes=1, restore_seconds=2.0, verify_seconds=1.0, ok=True
            )
            finding = FindingRow(at=when, model=name, kind="Missing", text="x")
            journal.add([drill, finding, ActionRow(at=when, cause="flip", verb="repair", model=name)])
    found = history(journal, days=7)
    assert [(flip.at, flip.bad) for flip in found.flips] == [(at + MINUTE, False), (at, True)]
    assert {flip.subject for flip in found.flips} == {LLAMA.short, str(LLAMA)}
    for rows in (found.findings, found.actions, found.drills):
        assert [(row.at, row.model) for row in rows] == [(at, LLAMA)]
    assert found.drills[0].restore_seconds == 2.0


def test_a_subject_that_is_full_and_short_at_once_counts_once() -> None:
    """The short form of a foreign host's model is its full name."""
    journal, name = MemoryJournal(), ModelName.parse("hf.co/someone/model:q4")
    journal.flip([Flip(NOW - MINUTE, Kind.TAG, name.short, bad=True, detail="")])
    assert len(model_history(journal, name, NOW).flips) == 1


def test_damage_is_told_over_the_bytes_read() -> None:
    """By device, of the time asked for."""
    journal = MemoryJournal()
    for days, damaged in ((40, 9), (2, 1), (1, 0)):
        at = NOW - timedelta(days=days)
        journal.add([ScrubRow(at=at, of="store", device="8:1", bytes=10**12, seconds=9, damaged=damaged)])
    journal.add([ScrubRow(at=NOW - MINUTE, of="vault", device="8:2", bytes=0, seconds=0)])
    found = history(journal).devices
    assert [(each.device, each.bytes, each.damaged) for each in found] == [("8:1", 2 * 10**12, 1), ("8:2", 0, 0)]
    assert [each.per_terabyte for each in found] == [0.5, None]


def test_a_model_that_nothing_is_known_of() -> None:
    """Is a mistake that names those with a history; and so is a host without a journal."""
    journal = MemoryJournal()
    watched(journal, NOW - timedelta(minutes=9), 5)
    assert known_history(journal, LLAMA, NOW, NOW - timedelta(days=1)).up
    with pytest.raises(UnknownModel) as caught:
        known_history(journal, PHI, NOW, NOW - timedelta(days=1))
    assert "llama3:latest" in caught.value.next_step
    with pytest.raises(UnknownModel) as caught:
        known_history(None, PHI, NOW, NOW - timedelta(days=1))
    assert "modelward guard" in caught.value.next_step
