"""A process that does one job: what it answers, how it is ended, and what cannot be started."""

import os
import sys
import time
from pathlib import Path

import pytest

from modelward.child import ask

CONSOLE = "code"  # of the standard library: does what it is told by its standard input
PATIENCE = 20.0


def test_the_answer_is_what_it_prints() -> None:
    """The job comes in by standard input, the answer by standard output."""
    found = ask("json.tool", b'{"model":"llama3"}', seconds=PATIENCE, environ=os.environ)
    assert found.split() == [b"{", b'"model":', b'"llama3"', b"}"]


def test_it_has_our_environment_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else only what it is given."""
    monkeypatch.setenv("MODELWARD_CANARY", "here")
    job = b"import os; print(os.environ.get('MODELWARD_CANARY'))"
    assert b"here" in ask(CONSOLE, job, seconds=PATIENCE)
    assert b"None" in ask(CONSOLE, job, seconds=PATIENCE, environ={})


def test_it_sees_the_environment_that_it_is_given() -> None:
    """What is not handed on is not there."""
    job = b"import os; print(sorted(os.environ))\n"
    assert b"MODELWARD_SECRET" not in ask(CONSOLE, job, seconds=PATIENCE, environ={"PATH": "/usr/bin"})


def test_one_that_is_late_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """A job that hangs raises TimeoutError, and leaves no process behind."""
    note = tmp_path / "pid"
    job = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"written = pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(TimeoutError):
        ask(CONSOLE, job.encode(), seconds=5.0, environ=os.environ)
    assert _gone(int(note.read_text()))


def _gone(pid: int) -> bool:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text():
            return True  # dead, and only not yet collected by whoever adopted it
        time.sleep(0.01)
    return False


def test_what_cannot_be_started_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an interpreter there is an OSError, as the system gives it."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FileNotFoundError):
        ask(CONSOLE, b"", seconds=PATIENCE, environ=os.environ)
