"""The guard's logs: two files of JSON lines, rotated, without secrets, and never a reason to stop."""

import errno
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward import config
from modelward.domain.digest import Digest
from modelward.domain.errors import WriteFailed
from modelward.domain.name import ModelName
from modelward.guard.logs import MAINTENANCE, MONITOR, GuardLog, console_line, json_line, level_of
from modelward.ports import Progress  # noqa: TC001 - the check is that GuardLog is one

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 60), 1 << 60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., GuardLog]]:
    """Logs in the test's folder, closed when the test is over."""
    with ExitStack() as stack:

        def made(*, size: int = 10_000, files: int = 1, console: io.StringIO | None = None) -> GuardLog:
            return stack.enter_context(closing(GuardLog(tmp_path, size=size, files=files, console=console)))

        yield made


Make = Callable[..., GuardLog]


def logged(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("step", MAINTENANCE),
        ("snapshot_stored", MAINTENANCE),
        ("guard_started", MAINTENANCE),
        ("backup_refused", MAINTENANCE),
        ("probe", MONITOR),
        ("check", MONITOR),
        ("flip", MONITOR),
        ("alert", MONITOR),
        ("alert_failed", MONITOR),
        ("look_failed", MONITOR),
    ],
)
def test_every_event_has_its_log(tmp_path: Path, make: Make, event: str, name: str) -> None:
    """What was done is in model_maintenance.log, what was seen in model-monitor.log, and in one of them only."""
    log: Progress = make()
    log.begin("verify", 10)
    log.advance(5)
    log.say(event, model="llama3", bytes=7)
    other = ({MAINTENANCE, MONITOR} - {name}).pop()
    (line,) = logged(tmp_path, name)
    assert (line["event"], line["model"], line["bytes"]) == (event, "llama3", 7)
    assert datetime.fromisoformat(line["at"]).tzinfo == UTC
    assert logged(tmp_path, other) == []


def test_the_settings_say_where_and_how_much(tmp_path: Path) -> None:
    """``log_folder``, ``log_size`` and ``log_files``; the folder is made for its owner only."""
    flags = {"log_folder": str(tmp_path / "deep" / "logs"), "log_size": "2000", "log_files": "2"}
    settings = config.resolve(flags, {}, platform="linux", home=tmp_path, cwd=tmp_path).settings
    with GuardLog.opened(settings, console=False) as log:
        for number in range(200):
            log.say("step", number=number)
    folder = tmp_path / "deep" / "logs"
    assert folder.stat().st_mode & 0o777 == 0o700
    found = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(found) == {MAINTENANCE, f"{MAINTENANCE}.1", f"{MAINTENANCE}.2", MONITOR}
    assert max(found.values()) <= 2_000
    newest = [line["number"] for name in (f"{MAINTENANCE}.1", MAINTENANCE) for line in logged(folder, name)]
    assert newest == list(range(newest[0], 200))


def test_a_later_guard_goes_on_in_the_same_file(tmp_path: Path, make: Make) -> None:
    """Nothing that was logged is overwritten."""
    for number in range(2):
        log = make()
        log.say("step", number=number)
        log.close()
        log.close()
    assert [line["number"] for line in logged(tmp_path, MAINTENANCE)] == [0, 1]


@pytest.mark.parametrize(
    "keys",
    [
        {"token": "hunter2"},
        {"webhook_secret": "hunter2"},
        {"alert_urls": ["mailto://hunter2"]},
        {"deadman_url": "https://ping/hunter2"},
        {"headers": {"Authorization": "Bearer hunter2"}},
        {"url": "https://user:hunter2@example.org/x"},
        {"error": "cannot reach https://hunter2@example.org: refused"},
        {"error": "GET https://example.org/x?a=1&access_token=hunter2&b=2"},
        {"items": [{"password": "hunter2"}]},
    ],
)
def test_secrets_are_never_logged(tmp_path: Path, make: Make, keys: dict[str, object]) -> None:
    """Neither in a file nor on the console."""
    screen = io.StringIO()
    log = make(console=screen)
    log.say("alert_failed", **keys)
    text = (tmp_path / MONITOR).read_text(encoding="utf-8") + screen.getvalue()
    assert text.count("(hidden)") == 2
    assert "hunter2" not in text


def test_what_is_no_secret_is_shown(tmp_path: Path, make: Make) -> None:
    """Names that only look a little like one, and addresses without credentials."""
    log = make()
    log.say("step", url="http://127.0.0.1:11434/api/tags?verbose=1", source="vault", email="me@example.org", token="")
    (line,) = logged(tmp_path, MAINTENANCE)
    assert line["url"] == "http://127.0.0.1:11434/api/tags?verbose=1"
    assert (line["email"], line["token"]) == ("me@example.org", "")


@given(keys=st.dictionaries(st.text(max_size=8), VALUES, max_size=4), event=st.text(min_size=1, max_size=20))
def test_a_line_is_one_printable_line(keys: dict[str, object], event: str) -> None:
    """T19: whatever is logged, a line is one line, holds nothing that moves a terminal's cursor, and reads back."""
    line = json_line(1e9, "info", event, keys)
    assert line.isprintable()
    read = json.loads(line)
    assert read["event"] == event
    expected = {**keys, "at": read["at"], "level": "info", "event": event}
    assert read == expected
    assert console_line(1e9, "info", event, keys).isprintable()


def test_our_own_values_are_logged_as_text(tmp_path: Path, make: Make) -> None:
    """Names, digests, times, sets, and things that have no JSON form; a file's name that is no UTF-8."""
    log = make()
    keys: dict[str, object] = {
        "model": ModelName.parse("llama3"),
        "blob": Digest("0" * 64),
        "since": datetime(2026, 3, 2, tzinfo=UTC),
        "thing": object,
        "names": frozenset({"a"}),
        "path": Path("/m"),
        "odd": "a\udcff",
        "error": ValueError("broken"),
    }
    log.say("step", **keys)
    (line,) = logged(tmp_path, MAINTENANCE)
    assert line["model"] == "registry.ollama.ai/library/llama3:latest"
    assert line["blob"] == "sha256:" + "0" * 64
    assert line["since"] == "2026-03-02T00:00:00Z"
    assert (line["names"], line["path"], line["odd"], line["error"]) == (["a"], "/m", "a\\udcff", "broken")


def test_keys_cannot_forge_a_line(tmp_path: Path, make: Make) -> None:
    """Time, level and event are the log's own."""
    log = make()
    log.say("step", at="never", level="none", error="x\n{}")
    (line,) = logged(tmp_path, MAINTENANCE)
    assert (line["event"], line["level"], line["error"]) == ("step", "warning", "x\n{}")
    assert line["at"] != "never"


@pytest.mark.parametrize(
    ("event", "keys", "level"),
    [
        ("step", {}, "info"),
        ("step", {"error": "no room"}, "warning"),
        ("source_failed", {}, "warning"),
        ("backup_refused", {}, "warning"),
        ("flip", {"bad": True}, "warning"),
        ("flip", {"bad": False}, "info"),
        ("alert", {"severity": "critical", "what": "firing"}, "error"),
        ("alert", {"severity": "critical", "what": "resolved"}, "info"),
    ],
)
def test_levels(event: str, keys: dict[str, object], level: str) -> None:
    """Errors are critical alerts, warnings what went wrong."""
    assert level_of(event, keys) == level


def test_the_console_is_for_people(make: Make) -> None:
    """Time, level, event and keys on one line; empty ones are left out."""
    screen = io.StringIO()
    make(console=screen).say("step", model="llama3", why="two words", empty="")
    (line,) = screen.getvalue().splitlines()
    assert line.split(" ", 1)[1] == 'info    step model=llama3 why="two words"'


def test_a_console_that_is_gone_stops_nothing(tmp_path: Path, make: Make) -> None:
    """The file gets the line all the same."""
    screen = io.StringIO()
    log = make(console=screen)
    screen.close()
    log.say("step")
    assert len(logged(tmp_path, MAINTENANCE)) == 1


class Full(io.TextIOWrapper):
    """A file on a full disk."""

    def write(self, _text: str, /) -> int:
        """Never."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_nothing_and_is_told_afterwards(tmp_path: Path, make: Make) -> None:
    """D1: lines that cannot be written are counted, and the first one that can be is preceded by the count."""
    log = make()
    file = log._files[MAINTENANCE]  # noqa: SLF001 - a disk that fills up and is emptied again is not at hand
    healthy, file.stream = file.stream, Full(io.BytesIO())
    for number in range(3):
        log.say("step", number=number)
    file.stream = healthy
    log.say("step", number=3)
    log.say("step", number=4)
    found = [(line["event"], line.get("count", line.get("number"))) for line in logged(tmp_path, MAINTENANCE)]
    assert found == [("log_lines_lost", 3), ("step", 3), ("step", 4)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_stays_full_stops_no_guard_from_ending(make: Make) -> None:
    """D1: what was never written is given up; ending is no error."""
    log = make()
    file = log._files[MAINTENANCE]  # noqa: SLF001 - no other way to a file on a full disk
    file.close()
    file.stream = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closed by the log
    log.say("step")
    assert file.lost == 1
    log.close()
    assert file.stream is None


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    """At start, not when the first line is lost."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / MONITOR).mkdir()
    with pytest.raises(WriteFailed) as caught:
        GuardLog(tmp_path / "logs", size=10_000, files=1)
    assert MONITOR in str(caught.value)


def test_threads_never_mix_their_lines(tmp_path: Path, make: Make) -> None:
    """Four threads, through many rotations: every line is whole, and none is lost."""
    log = make(size=4_000, files=100)

    def work(thread: int) -> None:
        for number in range(100):
            log.say("step", thread=thread, number=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = {
        (line["thread"], line["number"])
        for path in tmp_path.glob(f"{MAINTENANCE}*")
        for line in logged(tmp_path, path.name)
    }
    assert found == {(thread, number) for thread in range(4) for number in range(100)}
