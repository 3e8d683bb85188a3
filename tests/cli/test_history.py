"""``modelward history`` as a user meets it."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.cli.text_history import blocks
from modelward.domain.alert import Flip, Kind
from modelward.domain.history import ActionRow, CheckRow, DrillRow, FindingRow, ProbeRow, ScrubRow
from modelward.domain.name import ModelName
from modelward.journal.sqlite import FILE, open_journal
from modelward.testing import FrozenClock
from tests.program import Program

LLAMA = ModelName.parse("llama3")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, and a state folder with two hours of history; no guard is running."""
    now = datetime.now(UTC)
    journal = open_journal(tmp_path / "state", FrozenClock(now)).journal
    for number in range(120):
        at = now - (120 - number) * MINUTE
        journal.add([CheckRow(at=at, model=LLAMA, healthy=True, recoverable=True, ready=number not in (30, 31))])
    for number in range(12):
        outcome = "timeout" if number == 3 else "ok"
        journal.add([ProbeRow(at=now - number * 10 * MINUTE, model=LLAMA, outcome=outcome, seconds=0.4)])
    journal.flip([Flip(now - 60 * MINUTE, Kind.INTEGRITY, LLAMA.short, bad=True, detail="wrong bytes\x1b[2J")])
    journal.flip([Flip(now - 58 * MINUTE, Kind.INTEGRITY, LLAMA.short, bad=False, detail="wrong bytes")])
    journal.add(
        [
            FindingRow(at=now - 60 * MINUTE, model=LLAMA, kind="Corrupt", text="blob 0123 has wrong bytes"),
            ActionRow(at=now - 59 * MINUTE, cause="flip", verb="repair", step="PatchBlob", model=LLAMA, source="vault"),
            DrillRow(
                at=now - 30 * MINUTE, model=LLAMA, snapshot="s", bytes=9, restore_seconds=9.5, verify_seconds=1, ok=True
            ),
            ScrubRow(at=now - MINUTE, of="store", device="/dev/sda1", bytes=2 * 10**12, seconds=9, damaged=1),
        ]
    )
    journal.close()
    return Program(tmp_path)


def environment(program: Program) -> dict[str, str]:
    """Where the state is."""
    return {"MODELWARD_STATE": str(program.base / "state")}


def test_people_see_availability_answers_and_what_happened(program: Program) -> None:
    """Windows, a chart, response times, events and damage over bytes read; nothing that moves a cursor."""
    ran = program.run("history", "llama3", **environment(program))
    assert ran.code == 0
    for text in (
        "llama3:latest",
        "2 min 0 s",
        "100.00 %",
        "12 probes, 8.33 % of them failed",
        "integrity failure",
        "over: integrity failure",
        "found Corrupt",
        "repair PatchBlob",
        "restored in 9.5 s",
        "/dev/sda1  2 TB",
        "0.5",
    ):
        assert text in ran.out
    assert "\x1b" not in ran.out


def test_programs_get_one_document(program: Program) -> None:
    """Its schema is named, and the points are by the hour for a day."""
    document = program.run("history", "llama3", "--since", "1d", "--json", **environment(program)).document
    assert document["schema"] == "modelward/history/1"
    assert document["model"] == LLAMA
    assert {point["seconds_span"] for point in document["up"]} == {3_600}
    assert sum(point["count"] for point in document["latency"]) == 12
    assert document["availability"][0]["window_seconds"] == 3_600
    assert len(document["flips"]) == 2


def test_spreadsheets_get_csv(program: Program) -> None:
    """A head, and one line an hour; what is not known is empty."""
    ran = program.run("history", "llama3", "--since", "1d", "--csv", **environment(program))
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert ran.code == 0
    assert sum(int(row["probes"]) for row in rows) == 12
    assert {row["seconds"] for row in rows} == {"3600"}
    assert min(float(row["availability"]) for row in rows if row["availability"]) < 1
    assert any(float(row["p95_seconds"]) == pytest.approx(0.4, rel=0.05) for row in rows if row["p95_seconds"])


def test_a_model_without_history_is_a_mistake_with_a_way_out(program: Program) -> None:
    """Exit code 2, and the models that have one."""
    ran = program.run("history", "phi", **environment(program))
    assert ran.code == 2
    assert "llama3:latest" in ran.err


def test_no_guard_was_ever_here(program: Program) -> None:
    """Exit code 2 and the next step; and nothing is made."""
    ran = program.run("history", "llama3", MODELWARD_STATE=str(program.base / "nowhere"))
    assert ran.code == 2
    assert "modelward guard" in ran.err
    assert not (program.base / "nowhere").exists()


def test_a_broken_journal_is_named(program: Program) -> None:
    """Exit code 5, the file, and that the guard sets it aside; it stays where it is."""
    path = program.base / "state" / FILE
    path.write_bytes(b"garbage" * 1_000)
    ran = program.run("history", "llama3", **environment(program))
    assert ran.code == 5
    assert str(path) in ran.err
    assert "guard" in ran.err
    assert path.exists()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_every_terminal_can_show_the_chart(program: Program, encoding: str) -> None:
    """Blocks where it has them, plain signs where it has none."""
    ran = program.run("history", "llama3", PYTHONIOENCODING=encoding, **environment(program))
    assert ran.code == 0
    assert ("█" in ran.out) == (encoding == "utf-8")


def test_blocks_are_as_high_as_their_values() -> None:
    """The least is the lowest, the most the highest, and what is not known is blank."""
    shown = blocks([0.0, 0.5, None, 1.0], 0.0, 1.0)
    assert len(shown) == 4
    assert shown[2] == " "
    assert len(set(shown)) == 4
    assert blocks([3.0], 3.0, 3.0) == blocks([0.0], 0.0, 1.0)
