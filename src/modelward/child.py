"""A process of our own that does one job: it gets it by standard input, and answers by standard output."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress


def ask(module: str, job: bytes, *, seconds: float, environ: Mapping[str, str] | None = None) -> bytes:
    """The answer of a module of ours to a job, which nobody else sees; its standard error goes nowhere.

    It has our own environment where none is given.
    Raises TimeoutError when it is not done in time, and OSError when it cannot be started. It and all that it started
    are ended in any case.
    """
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    try:
        return child.communicate(job, timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
