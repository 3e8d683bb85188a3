"""File systems in files: made, mounted, cut off, and mounted again at the same place."""

import fcntl
import gc
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1 << 20
SIZES = {"ext4": 48, "xfs": 320, "btrfs": 128}
_GOING_DOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: linux/ext4.h, xfs_fs.h
FLUSH, DROP = 1, 2  # with the log flushed first, or without


@dataclass(frozen=True)
class Disk:
    """A file system of a kind in the file ``image``, to be mounted at ``point``."""

    kind: str
    image: Path
    point: Path

    @contextmanager
    def mounted(self, image: Path | None = None) -> Iterator[Path]:
        """Mounted, from another file where one is given; the loop device is gone when the block ends."""
        source = image or self.image
        options = "loop,nouuid" if self.kind == "xfs" else "loop"
        command = ["mount", "-t", self.kind, "-o", options, str(source), str(self.point)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        try:
            yield self.point
        finally:
            self._unmount(source)

    def _unmount(self, source: Path) -> None:
        give_up = time.monotonic() + 20
        gc.collect()  # folders that nobody refers to give their descriptors back
        while subprocess.run(["umount", str(self.point)], capture_output=True, check=False).returncode:
            gc.collect()
            if time.monotonic() > give_up:
                # An error on its way holds folders open: they let go later, and the error is what matters.
                subprocess.run(["umount", "-l", str(self.point)], check=True)
                return
            time.sleep(0.05)
        while str(source) in subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout:
            assert time.monotonic() < give_up + 40, f"the loop device of {source} does not go"
            time.sleep(0.02)


def make(kind: str, base: Path) -> Disk:
    """A new, empty file system; skips where there is no program that makes it."""
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"no mkfs.{kind}")
    base.mkdir(parents=True, exist_ok=True)
    disk = Disk(kind, base / "disk.img", base / "disk")
    disk.point.mkdir()
    with disk.image.open("wb") as file:
        file.truncate(SIZES[kind] * MIB)
    subprocess.run([f"mkfs.{kind}", "-q", str(disk.image)], check=True, capture_output=True)
    return disk


def shut_down(point: Path, how: int) -> None:
    """Cut a file system off as a power cut does: what is in memory only is lost."""
    fd = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _GOING_DOWN, struct.pack("I", how))
    finally:
        os.close(fd)


def flush(point: Path) -> None:
    """All that was written to the file system is on its disk."""
    subprocess.run(["sync", "-f", str(point)], check=True)
