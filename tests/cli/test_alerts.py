"""``modelward alerts`` as a user meets it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.alert import Flip, Kind
from modelward.domain.alerting import Book, Rules, advance
from modelward.journal.sqlite import open_journal
from modelward.services.alerts import BOOK
from tests.notify.receiver import Receiver, receiving
from tests.program import Program, Ran

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a machine without store and vault."""
    return Program(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback."""
    with receiving() as found:
        yield found


def run(program: Program, *words: str, **more: str) -> Ran:
    """The verb with a state folder of its own."""
    return program.run("alerts", *words, MODELWARD_STATE=str(program.base / "state"), **more)


def keep_book(program: Program) -> None:
    """What a guard would leave: a told alert in its journal."""
    bad = Flip(AT, Kind.DISK, "/models", bad=True, detail="4 % free", next="make room: modelward space")
    book, _ = advance(Book(), [bad], (), AT, Rules(pending=timedelta(), group=timedelta()), AT)
    opened = open_journal(program.base / "state", SystemClock())
    opened.journal.put(BOOK, book)
    opened.journal.close()


def test_without_a_guard_it_says_so(program: Program) -> None:
    """Nobody has looked is not the same as nothing is wrong; nothing is made by looking."""
    ran = run(program)
    assert (ran.code, "no guard" in ran.out, "next: modelward guard" in ran.out) == (0, True, True)
    assert not (program.base / "state").exists()
    assert run(program, "list", "--json").document["watched"] is False


def test_open_alerts_are_listed_with_what_to_do(program: Program) -> None:
    """As a table, and as one document."""
    keep_book(program)
    ran = run(program, "list")
    assert "warning   disk filling  /models  2026-01-05 12:00" in ran.out
    assert "  next: make room: modelward space" in ran.out
    document = run(program, "--json").document
    assert document["schema"] == "modelward/alerts/1"
    [alert] = document["alerts"]
    assert (alert["kind"], alert["state"], alert["severity"]) == ("disk filling", "firing", "warning")


def test_a_silence_is_made_listed_and_ended(program: Program) -> None:
    """Beside a journal that a guard has open, or before there is one."""
    made = run(program, "silence", "llama*", "--kind", "backup-overdue", "--for", "2h", "--why", "moving disks")
    assert made.code == 0
    assert "silence 1 (backup overdue, llama*) holds until" in made.out
    assert "moving disks" in run(program).out
    ended = run(program, "unsilence", "1", "--json").document
    assert (ended["schema"], ended["ended"], ended["silences"]) == ("modelward/alerts-silence/1", True, [])
    again = run(program, "unsilence", "1")
    assert (again.code, "next: list them: modelward alerts list" in again.err) == (2, True)


@pytest.mark.parametrize(
    "words", [("silence",), ("silence", "a", "--for", "soon"), ("silence", "a", "--kind", "flood"), ("shout",)]
)
def test_what_makes_no_sense_is_refused(program: Program, words: tuple[str, ...]) -> None:
    """As every usage error: exit code 2."""
    assert run(program, *words).code == 2


def test_a_test_goes_through_the_channels_that_are_set(program: Program, receiver: Receiver) -> None:
    """Webhook, Apprise and dead-man ping; each says what it answered."""
    ran = run(
        program,
        "test",
        MODELWARD_WEBHOOK_URL=f"{receiver.url}/hook",
        MODELWARD_WEBHOOK_SECRET="key",  # noqa: S106 - of a test
        MODELWARD_ALERT_URLS=f"json://127.0.0.1:{receiver.port}/apprise",
        MODELWARD_DEADMAN_URL=f"{receiver.url}/ping",
    )
    assert ran.code == 0
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == ["webhook", "apprise 1 (json)", "dead-man ping"]
    assert [got.path.partition("?")[0] for got in receiver.got] == ["/hook", "/apprise", "/ping"]
    assert b'"what":"test"' in receiver.got[0].body
    assert receiver.got[0].headers["X-Modelward-Signature"].startswith("t=")


def test_a_channel_that_fails_makes_the_exit_code_4(program: Program, receiver: Receiver) -> None:
    """With what it answered and what to check, as text and as a document."""
    receiver.status = 500
    ran = run(program, "test", MODELWARD_WEBHOOK_URL=receiver.url)
    assert (ran.code, "webhook: answered 500" in ran.out, "next: check webhook_url" in ran.out) == (4, True, True)
    document = run(program, "test", "--json", MODELWARD_WEBHOOK_URL=receiver.url).document
    assert (document["exit_code"], document["channels"][0]["error"]) == (4, "answered 500")


def test_without_any_channel_it_says_how_to_set_one(program: Program) -> None:
    """That is no failure: the guard's log is a channel."""
    ran = run(program, "test")
    assert (ran.code, "next: set alert_urls" in ran.out) == (0, True)
