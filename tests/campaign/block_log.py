"""Serve one file by FUSE and log what is written to it and when it is flushed: a disk whose power can be cut anywhere.

The kernel's protocol itself (linux/fuse.h, version 7.31), in a process of its own, so that no library is needed and
the loop device above it can never wait for the process that waits for the loop device. Run as a program it serves;
imported it replays.
"""

import ctypes
import errno
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_IN = struct.Struct("<IIQQIIII")
_OUT = struct.Struct("<IiQ")
_RECORD = struct.Struct("<cQQ")  # W or F, offset, length
_LOOKUP, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 3, 4, 14, 15, 16
_STATFS, _RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR = 17, 18, 20, 25, 26, 27, 29
_FORGET, _INTERRUPT, _BATCH_FORGET, _DESTROY = 2, 36, 42, 38
_MOST = 1 << 20
_BLOCK = 4096
_PIECE = 1 << 16
_FILE = 2
NAME = "disk"
# Version 7.31; big writes, and as many pages in one as we say.
_WELCOME = struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, (1 << 5) | (1 << 22), 16, 12, _MOST, 1, _MOST >> 12, 0, 0)


class Entry(NamedTuple):
    """A write (offset and data) or a flush (data is None); ``at`` is where in the log it ends."""

    offset: int
    data: bytes | None
    at: int


class Server:
    """Answers the kernel; ``image`` is the file behind, ``log`` what happened to it."""

    def __init__(self, fd: int, image: int, log: int, fails: Path) -> None:
        self._fd, self._image, self._log, self._fails = fd, image, log, fails
        self._size = os.fstat(image).st_size

    def serve(self) -> None:
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(self._fd, _MOST + 8192)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            length, opcode, unique, node, *_ = _IN.unpack_from(request)
            if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            code, answer = self._answer(opcode, node, request[_IN.size : length])
            os.write(self._fd, _OUT.pack(_OUT.size + len(answer), -code, unique) + answer)
            if opcode == _DESTROY:
                return

    def _answer(self, opcode: int, node: int, body: bytes) -> tuple[int, bytes]:
        """An errno and the body of the answer."""
        if opcode == _LOOKUP and body.rstrip(b"\0").decode() != NAME:
            return errno.ENOENT, b""
        if opcode in (_WRITE, _FSYNC) and self._fails.exists():
            return errno.EIO, b""
        answers: dict[int, Callable[[], bytes]] = {
            _INIT: lambda: _WELCOME,
            _LOOKUP: lambda: struct.pack("<QQQQII", _FILE, 0, 60, 60, 0, 0) + self._attributes(_FILE),
            _GETATTR: lambda: struct.pack("<QII", 60, 0, 0) + self._attributes(node),
            _SETATTR: lambda: struct.pack("<QII", 60, 0, 0) + self._attributes(node),
            _STATFS: lambda: struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 9, 9, _BLOCK, 255, _BLOCK, 0),
            _READ: lambda: self._read(body),
            _WRITE: lambda: self._write(body),
            _FSYNC: self._flush,
        }
        answers |= dict.fromkeys((_OPEN, _OPENDIR), lambda: struct.pack("<QII", 1, 0, 0))
        answers |= dict.fromkeys((_RELEASE, _RELEASEDIR, _FLUSH, _DESTROY), lambda: b"")
        found = answers.get(opcode)
        return (0, found()) if found is not None else (errno.ENOSYS, b"")

    def _read(self, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(self._image, size, offset)

    def _flush(self) -> bytes:
        os.write(self._log, _RECORD.pack(b"F", 0, 0))
        return b""

    def _write(self, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[40 : 40 + size]
        os.pwrite(self._image, data, offset)
        os.writev(self._log, [_RECORD.pack(b"W", offset, size), data])
        return struct.pack("<II", size, 0)

    def _attributes(self, node: int) -> bytes:
        folder = node != _FILE
        mode, size = (0o040700, 0) if folder else (0o100600, self._size)
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1 + folder, 0, 0, 0, _BLOCK, 0
        )


def main() -> None:
    """Serve ``image`` below the folder ``point``, and log to ``log``: the three arguments."""
    point, image, log = sys.argv[1:4]
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,max_read={_MOST}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"modelward-log", point.encode(), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), point)
    server = Server(
        fd, os.open(image, os.O_RDWR), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), fails(Path(log))
    )
    server.serve()


def fails(log: Path) -> Path:
    """The file that makes the disk fail as long as it is there."""
    return log.with_name("fails")


def failing(log: Path) -> None:
    """From now on the disk takes no write and no flush."""
    fails(log).touch()


@contextmanager
def logged(base: Path, image: Path) -> Iterator[tuple[Path, Path]]:
    """The file ``image`` served with a log, as the file and the log that it grows."""
    point, log = base / "served", base / "log"
    point.mkdir()
    process = subprocess.Popen([sys.executable, __file__, str(point), str(image), str(log)])
    try:
        give_up = time.monotonic() + 60
        while not (point / NAME).exists():
            assert process.poll() is None, "the file system of the log did not start"
            assert time.monotonic() < give_up, "the file system of the log does not answer"
            time.sleep(0.02)
        yield point / NAME, log
    finally:
        subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)
        process.terminate()
        process.wait(60)


def entries(log: Path) -> list[Entry]:
    """What the log says, in order."""
    found, data, at = list[Entry](), log.read_bytes(), 0
    while at + _RECORD.size <= len(data):
        kind, offset, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        content = data[at : at + length] if kind == b"W" else None
        at += length
        found.append(Entry(offset, content, at))
    return found


def content(image: Path) -> list[Entry]:
    """What an image holds, without its holes and without long runs of zeros."""
    found, at, size = list[Entry](), 0, image.stat().st_size
    with image.open("rb") as file, suppress(OSError):  # the last hole has no data behind it: ENXIO
        while at < size:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            pieces = (
                (place, os.pread(file.fileno(), min(_PIECE, at - place), place)) for place in range(start, at, _PIECE)
            )
            found += [Entry(place, data, 0) for place, data in pieces if any(data)]
    return found


def renew(image: Path, blank: list[Entry]) -> None:
    """Make an image what it was when ``blank`` was its content; holes cost nothing."""
    size = image.stat().st_size
    with image.open("r+b") as file:
        file.truncate(0)
        file.truncate(size)
        for entry in blank:
            _put(file.fileno(), entry.offset, entry.data or b"")


def replay(log: list[Entry], image: Path, cut: int, rng: random.Random) -> int:
    """Make ``image`` what a power cut behind the ``cut``-th entry can leave; returns how many writes were lost.

    All that was flushed is there. Of what was written since the last flush any part is, in any order, each write whole,
    lost, or only some of its 4 KiB blocks.
    """
    last = max((number for number in range(cut) if log[number].data is None), default=-1)
    lost = 0
    with image.open("r+b") as file:
        for entry in log[:last]:
            _put(file.fileno(), entry.offset, entry.data or b"")
        loose = [entry for entry in log[last + 1 : cut] if entry.data is not None]
        rng.shuffle(loose)
        share = rng.choice((0.0, 0.3, 0.7, 0.95, 1.0))
        for entry in loose:
            whole = rng.random() < share
            lost += not whole
            blocks = range(0, len(entry.data or b""), _BLOCK)
            torn = not whole and rng.random() < 0.3
            for start in blocks:
                if whole or (torn and rng.random() < 0.5):
                    _put(file.fileno(), entry.offset + start, (entry.data or b"")[start : start + _BLOCK])
    return lost


def _put(fd: int, offset: int, data: bytes) -> None:
    os.pwrite(fd, data, offset)


if __name__ == "__main__":
    main()
