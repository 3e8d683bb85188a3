"""What the machine itself allows: disk, memory, hashes and small files, measured in the same run as the programs."""

import hashlib
import mmap
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from blake3 import blake3

_BYTES, _CHUNK = 256 << 20, 1 << 20
_FILES = 50
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds a GB: read from and write to the disk past the page cache, copy in memory, SHA-256, BLAKE3 on all cores.

    ``file`` is the seconds in which a small file is made durable, ``look`` those in which one is opened and read.
    """

    read: float
    write: float
    copy: float
    sha256: float
    blake3: float
    file: float
    look: float


def limits(folder: Path, rounds: int, size: int = _BYTES) -> Limits:
    """Measure them in ``folder`` with ``size`` bytes, each as the median of the rounds."""
    data, work = os.urandom(_CHUNK) * (size // _CHUNK), folder / "limits"

    def per_gb(act: Callable[[], object]) -> float:
        return median(_seconds(act) for _ in range(rounds)) / len(data) * _GB

    work.mkdir(parents=True)
    big = work / "big"
    found = Limits(
        write=per_gb(lambda: _write(big, data)),
        read=per_gb(lambda: _read(big)),
        copy=per_gb(lambda: bytearray(data)),
        sha256=per_gb(lambda: hashlib.sha256(data)),
        blake3=per_gb(lambda: _all_cores(data)),
        file=median(_seconds(lambda: _durable(work)) for _ in range(rounds)) / _FILES,
        look=median(_seconds(lambda: _look(work)) for _ in range(rounds)) / _FILES,
    )
    for path in work.iterdir():
        path.unlink()
    work.rmdir()
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _direct(path: Path, flags: int) -> int:
    """Past the page cache, where the file system can."""
    try:
        return os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:
        return os.open(path, flags, 0o600)


def _write(path: Path, data: bytes) -> None:
    fd, buffer = _direct(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), mmap.mmap(-1, 4 * _CHUNK)
    for start in range(0, len(data), len(buffer)):
        buffer[:] = data[start : start + len(buffer)]
        os.write(fd, buffer)
    os.fsync(fd)
    os.close(fd)


def _read(path: Path) -> None:
    fd, buffer = _direct(path, os.O_RDONLY), mmap.mmap(-1, 4 * _CHUNK)
    while os.readv(fd, [buffer]):
        pass
    os.close(fd)


def _all_cores(data: bytes) -> None:
    cores = os.cpu_count() or 1
    view = memoryview(data)

    def work(number: int) -> None:
        for start in range(number * _CHUNK, len(view), cores * _CHUNK):
            blake3(view[start : start + _CHUNK]).digest()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _durable(folder: Path) -> None:
    for number in range(_FILES):
        path = folder / f"small{number}"
        with path.open("wb") as file:
            file.write(b"small")
            file.flush()
            os.fsync(file.fileno())


def _look(folder: Path) -> None:
    for number in range(_FILES):
        (folder / f"small{number}").read_bytes()
