"""What this process has open, told apart by what it is, not by how many.

A count is wrong as soon as a thread of another test gives one back late; of a set, the new ones can be asked for.
"""

import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Descriptor(NamedTuple):
    """An open file by its number, and the file system's name for it: the next file under that number is another."""

    number: int
    device: int
    inode: int


def open_now(*, collected: bool = True) -> frozenset[Descriptor]:
    """Every descriptor of this process; what only Python's collector would close is closed first, unless asked."""
    if collected:
        gc.collect()
    found = set[Descriptor]()
    for number in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # the listing's own is closed by now
            state = os.fstat(number)
            found.add(Descriptor(number, state.st_dev, state.st_ino))
    return frozenset(found)
