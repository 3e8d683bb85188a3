"""A quiet neighbour: idle I/O for the calling thread, and memory handed back where the C library can."""

import platform
import subprocess
import sys
import threading

import pytest

from modelward.guard.calm import few_arenas, give_back, idle_io

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="Linux with glibc only"
)


def test_the_thread_and_what_it_starts_read_in_the_idle_class() -> None:
    """The kernel says so of the thread itself; the main thread stays as it was."""
    said: list[str] = []

    def ask() -> None:
        if idle_io():
            number = threading.get_native_id()
            said.append(
                subprocess.run(["ionice", "-p", str(number)], capture_output=True, text=True, check=True).stdout
            )

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert [word.strip() for word in said] == ["idle"]
    main = subprocess.run(["ionice", "-p", str(threading.get_native_id())], capture_output=True, text=True, check=True)
    assert "idle" not in main.stdout


def test_the_heap_takes_both_wishes() -> None:
    """glibc knows how to share heaps, and how to give free memory back after a large block went."""
    assert few_arenas()
    block = [bytes(1000) for _ in range(20_000)]
    del block
    assert isinstance(give_back(), bool)
