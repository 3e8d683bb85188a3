"""Writers that are broken on purpose, for the test of the test: each spoils the process that it is called in."""

import os
from collections.abc import Callable

from modelward import durable
from modelward.domain.receipt import FileId
from modelward.durable import Folder, Staged

_PIECE = 1 << 16


def no_staging() -> None:
    """Write under the final name at once, as a plain copy does."""

    def in_place(staged: Staged, folder: Folder, name: str, *, sync: bool = True) -> FileId:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder.fd)
        at = 0
        while piece := os.pread(staged.fd, _PIECE, at):
            at += os.write(fd, piece)
        os.fsync(fd)
        os.close(fd)
        staged.discard()
        if sync:
            folder.sync()
        found = os.stat(name, dir_fd=folder.fd)
        return FileId(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    vars(durable)["Staged"].publish = in_place
    vars(durable)["Staged"].replace = in_place


WRITERS: dict[str, Callable[[], None]] = {"no staging": no_staging}
