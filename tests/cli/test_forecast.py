"""``modelward forecast`` as a user meets it: on a host without history, on one with it, and its back-test."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelward.domain.history import SpaceRow
from modelward.journal.sqlite import open_journal
from modelward.testing import FakeStore, FrozenClock
from tests.program import Program

GB = 10**9


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a store with one model."""
    program = Program(tmp_path)
    FakeStore(program.store).add_model("llama3", b"weights")
    return program


def fill(state: Path) -> None:
    """A journal of a disk that grew by 20 GB a day for 20 days, with 100 GB left."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    hours = range(480, -1, -1)
    rows = [
        SpaceRow(
            at=now - ago * hour, of="store", device="/dev/sda1", total=1000 * GB, free=100 * GB + ago * 20 * GB // 24
        )
        for ago in hours
    ]
    journal = open_journal(state, FrozenClock(now)).journal
    journal.add(rows)
    journal.close()


def test_a_host_without_history_is_told_when_it_begins(program: Program) -> None:
    """No journal is no error: it says what has to run first."""
    ran = program.run("forecast")
    assert ran.code == 0
    assert "no history yet" in ran.out
    assert program.run("forecast", "--json").document["schema"] == "modelward/forecast/1"


def test_a_filling_disk_with_base_rate_hit_rate_and_what_to_do(program: Program, tmp_path: Path) -> None:
    """The forecast names its date and band, how often such alarms were right, and the command to act with."""
    fill(tmp_path / "state")
    ran = program.run("forecast", MODELWARD_STATE=str(tmp_path / "state"))
    assert ran.code == 0
    for words in ("disk full: disk of store (likely)", "8 of 10 times between", "right so far: 99%", "base rate:"):
        assert words in ran.out
    assert "next: modelward space --reclaim" in ran.out
    told = program.run("forecast", "--json", MODELWARD_STATE=str(tmp_path / "state")).document["forecasts"][0]
    assert (told["kind"], told["alarm"], told["enough"], told["samples"]) == ("disk full", True, True, 481)
    assert told["low"] < told["when"] < told["high"]


def test_the_back_test_prints_its_scores(program: Program) -> None:
    """Precision, recall, lead and false alarms of every kind, and the two ways to scrub."""
    shown = program.run("forecast", "backtest", "--months", "2", "--json").document
    assert shown["schema"] == "modelward/backtest/1"
    assert len(shown["scores"]) == 7
    assert set(shown["scores"][0]) >= {"kind", "precision", "recall", "lead", "false_a_month", "coverage"}
    assert shown["scrubs"][0]["gain"] > 0.3


def test_the_trees_need_their_extra(program: Program) -> None:
    """The back-test says so before its half minute; the forecasts go on with our own detectors and a note."""
    if find_spec("river") is not None:
        pytest.skip("the extra ml (river) is installed")
    ran = program.run("forecast", "backtest", "--trees")
    assert ran.code == 2
    assert "pip install 'modelward[ml]'" in ran.err
    for choice, noted in (("on", True), ("off", False)):
        shown = program.run("forecast", MODELWARD_FORECAST_TREES=choice)
        assert shown.code == 0
        assert ("modelward[ml]" in shown.out) is noted
    assert program.run("forecast", MODELWARD_FORECAST_TREES="perhaps").code == 2


def test_bad_numbers_are_refused(program: Program) -> None:
    """A back-test of no months, and an action that does not exist, are errors of the command line."""
    assert program.run("forecast", "backtest", "--months", "0").code == 2
    assert program.run("forecast", "guess").code == 2
