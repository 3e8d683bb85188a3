"""Do something as a user for whom permission bits count, whoever runs the tests."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def unprivileged(*theirs: Path) -> Iterator[None]:
    """Within this block root is a user without rights; the trees ``theirs`` are given to that user."""
    if os.geteuid() != 0:
        yield
        return
    for root in theirs:
        for path in (root, *root.rglob("*")):
            os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder
