"""Scrub without being felt: the idle class of the kernel's I/O scheduler for the calling thread and its children."""

import sys
from contextlib import suppress

_IDLE = 3 << 13  # ioprio_set(2): class IDLE
_WHO_THREAD = 1
_CALLS = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "armv7l": 314, "i686": 289, "ppc64le": 273, "s390x": 282}


def idle_io() -> bool:
    """Ask for what is left of the disk only; False where the system has no such thing. New threads inherit it."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes
    import platform

    number = _CALLS.get(platform.machine())
    if number is None:
        return False
    with suppress(OSError, AttributeError):
        return int(ctypes.CDLL(None, use_errno=True).syscall(number, _WHO_THREAD, 0, _IDLE)) == 0
    return False
