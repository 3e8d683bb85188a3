"""Do something as a user for whom permission bits count, whoever runs the tests."""

import os
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
