"""Damage files the way disks, kills and people do, and say exactly what was changed.

Everything but ``delete`` works inside the same file (the same inode), keeps its mode, and also works on read-only
files of this user's.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LENGTHS = (1, 512, 4096, 1 << 20)
_EXTRA_BYTES = 4096
# A mask that holds no zero changes each byte that it is laid over.
_NO_ZERO = bytes([1, *range(1, 256)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What was done to ``path``; ``spans`` are (offset, length) in bytes, none when no byte differs.

    A span goes from the first to the last byte that changed, was cut off or was added. ``other`` is the second
    file of a swap.
    """

    kind: str
    path: Path
    spans: tuple[tuple[int, int], ...]
    other: Path | None = None


def flip_bit(path: Path, offset: int, bit: int) -> Damage:
    """Flip one bit (0 is the lowest) of the byte at ``offset``; ValueError when there is none."""
    if bit not in range(8):
        raise ValueError(f"a byte has bits 0 to 7, not {bit}")
    return _overwrite("flip_bit", path, offset, 1, lambda old: bytes([old[0] ^ (1 << bit)]))


def zero(path: Path, offset: int, length: int) -> Damage:
    """Overwrite a range with zeros; ValueError when it does not lie inside the file."""
    return _overwrite("zero", path, offset, length, lambda old: bytes(len(old)))


def garble(path: Path, offset: int, length: int, seed: int) -> Damage:
    """Change each byte of a range at random; ValueError when it does not lie inside the file."""
    return _overwrite("garble", path, offset, length, lambda old: _xor(old, _mask(len(old), seed)))


def truncate(path: Path, size: int) -> Damage:
    """Cut the file down to ``size`` bytes; ValueError when it is not longer than that."""
    with _writable(path) as fd:
        old = os.fstat(fd).st_size
        if not 0 <= size < old:
            raise ValueError(f"{path} has {old} bytes and cannot be cut down to {size}")
        os.ftruncate(fd, size)
    return Damage(kind="truncate", path=path, spans=((size, old - size),))


def empty(path: Path) -> Damage:
    """Cut the file down to nothing, as a power cut does with what was never flushed."""
    with _writable(path) as fd:
        old = os.fstat(fd).st_size
        os.ftruncate(fd, 0)
    return Damage(kind="empty", path=path, spans=_span(0, old))


def extend(path: Path, extra: bytes) -> Damage:
    """Add bytes at the file's end."""
    with _writable(path) as fd:
        old = os.fstat(fd).st_size
        _write_at(fd, extra, old)
    return Damage(kind="extend", path=path, spans=_span(old, len(extra)))


def swap(path_a: Path, path_b: Path) -> Damage:
    """Let two files have each other's content; the spans are those of ``path_a``."""
    data_a, data_b = path_a.read_bytes(), path_b.read_bytes()
    _replace_content(path_a, data_b)
    _replace_content(path_b, data_a)
    return Damage(kind="swap", path=path_a, spans=_changed(data_a, data_b, 0), other=path_b)


def delete(path: Path) -> Damage:
    """Remove the file."""
    size = path.stat().st_size
    path.unlink()
    return Damage(kind="delete", path=path, spans=_span(0, size))


def random_damage(path: Path, rng: random.Random) -> Damage:
    """Do one kind of damage to one file; afterwards its bytes differ, or it is gone. Repeatable by the seed."""
    size = path.stat().st_size
    kinds: list[Callable[[], Damage]] = [
        lambda: extend(path, rng.randbytes(rng.randint(1, _EXTRA_BYTES))),
        lambda: delete(path),
    ]
    if size:
        kinds += [
            lambda: flip_bit(path, rng.randrange(size), rng.randrange(8)),
            lambda: garble(path, *_some_range(size, rng), rng.getrandbits(32)),
            lambda: _zero_or_garble(path, *_some_range(size, rng), rng.getrandbits(32)),
            lambda: truncate(path, rng.randrange(size)),
            lambda: empty(path),
        ]
    return rng.choice(kinds)()


def _zero_or_garble(path: Path, offset: int, length: int, seed: int) -> Damage:
    """Zeros where there were zeros are no damage."""
    damage = zero(path, offset, length)
    return damage if damage.spans else garble(path, offset, length, seed)


def _some_range(size: int, rng: random.Random) -> tuple[int, int]:
    offset = rng.randrange(size)
    return offset, min(rng.choice(_LENGTHS), size - offset)


def _overwrite(kind: str, path: Path, offset: int, length: int, change: Callable[[bytes], bytes]) -> Damage:
    with _writable(path) as fd:
        size = os.fstat(fd).st_size
        if offset < 0 or length < 1 or offset + length > size:
            raise ValueError(f"{length} bytes at {offset} do not lie inside {path} ({size} bytes)")
        old = os.pread(fd, length, offset)
        new = change(old)
        _write_at(fd, new, offset)
    return Damage(kind=kind, path=path, spans=_changed(old, new, offset))


def _replace_content(path: Path, data: bytes) -> None:
    with _writable(path) as fd:
        os.ftruncate(fd, 0)
        _write_at(fd, data, 0)


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _mask(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length).translate(_NO_ZERO)


def _xor(one: bytes, two: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(two)).to_bytes(len(one))


def _changed(old: bytes, new: bytes, offset: int) -> tuple[tuple[int, int], ...]:
    """The span from the first to the last byte that differ; a byte that only one of them has differs."""
    if old == new:
        return ()
    length = max(len(old), len(new))
    first = _alike(old, new)
    last = length - (_alike(old[::-1], new[::-1]) if len(old) == len(new) else 0)
    return _span(offset + first, last - first)


def _alike(old: bytes, new: bytes) -> int:
    """How many bytes the two have in common at their beginnings."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _span(offset: int, length: int) -> tuple[tuple[int, int], ...]:
    return ((offset, length),) if length else ()


@contextmanager
def _writable(path: Path) -> Iterator[int]:
    """A descriptor for reading and writing the file, even where its owner took the right to write away."""
    fd = _open(path)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        mode = path.stat().st_mode & 0o7777
        path.chmod(mode | 0o600)
        try:
            return os.open(path, os.O_RDWR)
        finally:
            path.chmod(mode)
