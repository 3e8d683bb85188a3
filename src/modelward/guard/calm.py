"""Be a quiet neighbour: the idle class of the kernel's I/O scheduler for scrubs, and memory given back after work."""

import gc
import sys
from contextlib import suppress

_IDLE = 3 << 13  # ioprio_set(2): class IDLE
_WHO_THREAD = 1
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h of glibc
_LARGE = 64 << 10  # bytes
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


def few_arenas() -> bool:
    """Let all threads share two heaps: each has a heap of its own by default, and none of them is ever given back."""
    return _malloc("mallopt", _M_ARENA_MAX, 2)


def large_apart() -> bool:
    """Let large pieces lie outside of the heaps, and go when they are freed, whatever was freed before.

    By default glibc takes pieces of up to 32 MiB from a heap once one of that size was freed: small things that live
    long come to lie between them, and the heap grows for hours.
    """
    return _malloc("mallopt", _M_MMAP_THRESHOLD, _LARGE)


def set_apart() -> None:
    """Let Python's collector leave alone what is there now and lives as long as the process.

    It looks through the old things only once the new ones among them are a quarter: without what the program itself
    is made of that is soon, and quick. Else circles wait for it by the megabyte.
    """
    gc.collect()
    gc.freeze()


def free_circles() -> None:
    """Free what only goes round and round. Left to itself the collector may wait minutes, and heaps grow meanwhile.

    What was set apart is not looked at, so it takes a millisecond.
    """
    gc.collect()


def give_back() -> bool:
    """Hand memory that is free in our heaps back to the system; False where the C library has no such thing."""
    return _malloc("malloc_trim", 0)


def _malloc(name: str, *arguments: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    with suppress(OSError, AttributeError):
        return bool(getattr(ctypes.CDLL(None), name)(*arguments))
    return False
