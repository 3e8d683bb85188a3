"""A file system of a chosen kind in a file, mounted on a loop device; needs root."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import last_words, measure


class NotMounted(Exception):
    """This file system cannot be had here; the text says why."""


_LEAST = 512 << 20  # XFS needs 300 MiB for itself


@contextmanager
def mounted(kind: str, folder: Path, content: int) -> Iterator[Path]:
    """The mount point of a fresh file system with room for ``content`` bytes; raises NotMounted with the reason."""
    if os.geteuid() != 0:
        raise NotMounted("only root mounts file systems")
    if not shutil.which(f"mkfs.{kind}"):
        raise NotMounted(f"mkfs.{kind} is not installed")
    if shutil.disk_usage(folder).free < content:
        raise NotMounted("not enough free space for its image")
    image, point = folder / f"{kind}.img", folder / kind
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(content + content // 8 + _LEAST)
    try:
        _do(f"mkfs.{kind}", "-q", str(image))
        _do("mount", "-o", "loop", str(image), str(point))
        yield point
    finally:
        if point.is_mount():
            # Lazily: if something still looks at it, its device and its bytes go with the last one that does.
            _do("umount", "-l", str(point))
        image.unlink()
        point.rmdir()


def _do(*command: str) -> None:
    run = measure(command, environ=os.environ, cwd=Path.cwd())
    if run.code:
        raise NotMounted(f"{command[0]}: {last_words(run)}")
