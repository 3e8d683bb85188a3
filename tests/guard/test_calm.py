"""A quiet neighbour: idle I/O for the calling thread, and memory handed back where the C library can."""

import ctypes
import platform
import subprocess
import sys

import pytest

from modelward.guard.calm import few_arenas, give_back

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="Linux with glibc only"
)


# In a process of its own, and not in the idle class: other tests let the guard work in the main thread of this one,
# which then stays idle for good and hands that on.
ASK = """
import subprocess, threading
from modelward.guard.calm import idle_io

def told():
    number = str(threading.get_native_id())
    return subprocess.run(["ionice", "-p", number], capture_output=True, text=True, check=True).stdout.split(":")[0]

def ask():
    print(idle_io(), told().strip())

thread = threading.Thread(target=ask)
thread.start()
thread.join()
print(told().strip())
"""


def test_the_thread_alone_reads_in_the_idle_class() -> None:
    """The kernel says so of the thread itself; the main thread stays as it was."""
    command = ["ionice", "-c", "best-effort", sys.executable, "-c", ASK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    thread, main = done.stdout.splitlines()
    assert thread == "True idle"
    assert main != "idle"


def test_the_heap_takes_both_wishes() -> None:
    """glibc knows how to share heaps, and how to give free memory back after a large block went."""
    assert few_arenas()
    block = [bytes(1000) for _ in range(20_000)]
    del block
    assert isinstance(give_back(), bool)


# In a process of its own: what is set apart stays so.
APART = """
import gc, weakref
from collections import deque
from modelward.guard.calm import set_apart

class Circle:
    def __init__(self):
        self.self = self

long_lived = [[number] for number in range(800_000)]
set_apart()
assert gc.get_freeze_count() > 800_000
in_use, circles = deque(maxlen=2_000), []
for _ in range(190_000):  # fewer than a quarter of what is there, were that not set apart
    in_use.append(Circle())
    circles.append(weakref.ref(in_use[-1]))
print(sum(circle() is not None for circle in circles))
"""


def test_circles_do_not_wait_for_the_program_itself() -> None:
    """What goes round and round is freed soon, however much there is that stays."""
    done = subprocess.run([sys.executable, "-c", APART], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 15_000


# In a process of its own: its collector never comes by itself.
CIRCLES = """
import gc, weakref
from modelward.guard.calm import free_circles

class Circle:
    def __init__(self):
        self.self = self

gc.disable()
circles = [weakref.ref(Circle()) for _ in range(100)]
before = sum(circle() is not None for circle in circles)
free_circles()
print(before, sum(circle() is not None for circle in circles))
"""


def test_circles_are_freed_when_it_is_time() -> None:
    """All of them, however seldom the collector comes by itself."""
    done = subprocess.run([sys.executable, "-c", CIRCLES], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["100", "0"]


# In a process of its own: the wish cannot be taken back.
FREED = """
import ctypes, sys
from modelward.guard.calm import large_apart

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks apart space us fs used free keep".split()]

lib = ctypes.CDLL(None)
lib.mallinfo2.restype = Mallinfo
if sys.argv[1] == "wished":
    assert large_apart()
large = bytes(8 << 20)
del large  # from now on glibc takes pieces of up to 8 MiB from the heap, unless it was told not to
before = lib.mallinfo2().apart
pieces = [bytes(200_000) for _ in range(10)]
print(lib.mallinfo2().apart - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc tells how its heaps are from 2.33 on")
@pytest.mark.parametrize(("wish", "apart"), [("none", "0"), ("wished", "10")])
def test_large_pieces_lie_apart(wish: str, apart: str) -> None:
    """After a still larger one was freed, too: else the heap of a guard grows for hours."""
    done = subprocess.run([sys.executable, "-c", FREED, wish], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == apart
