"""Put something that is no plain file under a name, and never wait for it for ever (T1)."""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

KINDS = ("symlink", "symlink to a folder", "dangling symlink", "folder", "FIFO", "socket", "device")


def put(kind: str, path: Path, secret: Path) -> None:
    """Make it; a plain symlink leads to the file ``secret``, which is made too. Skips where only root may."""
    match kind:
        case "symlink":
            secret.write_bytes(b"secret")
            path.symlink_to(secret)
        case "symlink to a folder":
            path.symlink_to(path.parent)
        case "dangling symlink":
            path.symlink_to(path.parent / "nothing")
        case "folder":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case _:
            _device(path)


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device files")


class Hung(BaseException):
    """A call did not come back; no handler of errors may swallow it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End a call that hangs with Hung; in the main thread only."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hung(f"still not back after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
