"""Real file systems on loop devices, for tests that need a disk of their own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20
SIZES = {"ext4": 64, "xfs": 320, "btrfs": 128}


@contextmanager
def mounted(kind: str, base: Path, name: str = "disk", mib: int = 0, options: tuple[str, ...] = ()) -> Iterator[Path]:
    """A file system of this kind, made with these options, on a loop device; skips where that is not possible."""
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"no mkfs.{kind}")
    image, point = base / f"{name}.img", base / name
    point.mkdir()
    with image.open("wb") as file:
        file.truncate((mib or SIZES[kind]) * MIB)
    made = subprocess.run([f"mkfs.{kind}", "-q", *options, str(image)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    put = subprocess.run(["mount", "-o", "loop", str(image), str(point)], capture_output=True, text=True, check=False)
    if put.returncode:
        pytest.skip(f"cannot mount {kind} here: {put.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
