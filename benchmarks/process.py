"""Run one command to its end and say what it cost; nothing that was started outlives the call."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_METER = Path(__file__).with_name("meter.py")
INTERRUPTS = frozenset({signal.SIGINT, signal.SIGTERM})
_PATIENCE = 20  # seconds for a program to clean up behind itself


class Failed(Exception):
    """A command did not do its work; the text says which one and what it printed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished process: wall ``seconds``, and in bytes its peak resident memory and its writes.

    ``written`` counts the bytes handed to write calls, output included, ``dirtied`` the pages of files that have
    to go to a disk because of it; both are -1 where the kernel does not say.
    """

    seconds: float
    memory: int
    written: int
    dirtied: int
    code: int
    out: str = ""
    err: str = ""


def measure(command: Sequence[str], *, environ: Mapping[str, str], cwd: Path) -> Run:
    """Run the command below the meter. Whatever interrupts the caller ends the command as well."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as report:
        # Between the start of a process and the note that it was started no signal may come.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        try:
            process = _start(writer, command, environ, cwd)
            out, err = _finish(process)
        finally:
            os.close(writer)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        figures = report.read().split()
    if not figures:
        raise Failed(f"{command[0]}: the meter ended early: {err.strip()}")
    seconds, kib, written, dirtied, code = figures
    return Run(
        seconds=float(seconds),
        memory=int(kib) * 1024,
        written=int(written),
        dirtied=int(dirtied),
        code=int(code),
        out=out,
        err=err,
    )


def last_words(run: Run) -> str:
    """The exit code and the last lines that a failed command printed, for the report of the failure."""
    lines = [line.strip() for line in (run.out + "\n" + run.err).splitlines() if line.strip()]
    return "; ".join((f"exit code {run.code}", *lines[-2:]))


def _start(report: int, command: Sequence[str], environ: Mapping[str, str], cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_METER), str(report), *command],
        env=dict(environ),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        pass_fds=(report,),
        process_group=0,  # so that it can be ended with its children, and Ctrl-C reaches us alone
    )


def _finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What it printed, once it ended; a signal that waited strikes here."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        return process.communicate()
    except BaseException:
        _end(process)
        raise


def _end(process: "subprocess.Popen[str]") -> None:
    """End the whole group: politely, then for good. The pipes close when the last of it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_PATIENCE)
            return
