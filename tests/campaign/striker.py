"""Run verbs in forks of a warm process, and kill them at a system call, whichever thread makes it.

strace counts the calls of each thread by itself and costs a start of its own; here every mutating call of every thread
has a number, and the program is loaded once. The call that is struck is not made: its thread stands at the entry of it
when the whole process gets SIGKILL. Run as a program this serves; imported it asks.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tests.program import Program, Ran

HERE = Path(__file__).resolve()
SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"
# Calls that change a file system, by their numbers (asm/unistd_64.h), and which argument is a descriptor.
MUTATING = {
    1: "write", 18: "pwrite64", 20: "writev", 40: "sendfile", 74: "fsync", 75: "fdatasync", 76: "truncate",
    77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 88: "symlink", 90: "chmod",
    91: "fchmod", 92: "chown", 93: "fchown", 94: "lchown", 235: "utimes", 258: "mkdirat", 260: "fchownat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 266: "symlinkat", 268: "fchmodat", 280: "utimensat",
    285: "fallocate", 296: "pwritev", 316: "renameat2", 326: "copy_file_range", 328: "pwritev2",
}  # fmt: skip
_OPENING = {2: 1, 257: 2}  # open, openat: where the flags stand
_IOCTL, _FICLONE = 16, 0x40049409
# linux/ptrace.h
_SYSCALL, _SEIZE, _INTERRUPT, _INFO = 24, 0x4206, 0x4207, 0x420E
_OPTIONS = 0x1 | 0x8 | 0x100000  # mark stops at system calls, follow new threads, kill all when the tracer ends
_ENTRY = 1
_HERE = 0xFFFFFF9C  # AT_FDCWD: the path that follows begins in the working folder
_WALL = 0x40000000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_CALL = struct.Struct("<B3xIQQQ6Q")
_ANSWERS = 300.0


@dataclass(frozen=True)
class Struck:
    """What a run came to: its exit code (minus the signal), and the call it was struck at, empty when there was none.

    ``calls`` are those that an undisturbed run made, each as thread (0 is the main one), name and file.
    """

    code: int
    call: tuple[int, str, str] | None
    calls: tuple[tuple[int, str, str], ...]


class Striker:
    """The warm process; ``preload`` is a library that it is loaded with, ``scratch`` where output goes."""

    def __init__(self, scratch: Path, preload: str = "") -> None:
        self._said = scratch / "said"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.striker", str(self._said)],
            cwd=HERE.parents[2],
            env={**os.environ, **({"LD_PRELOAD": preload} if preload else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:  # noqa: ANN401 - whatever JSON says
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the warm process has ended"
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def ask(self, program: Program, words: tuple[str, ...], at: int | None, **more: str) -> Struck:
        """Run a verb and kill it at its ``at``-th mutating call; 0 lists the calls, None only runs it."""
        assert self._process.stdin is not None
        task = {"words": words, "cwd": str(program.base), "env": program.environ(**more), "at": at}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        found = self._answer()
        call = found["struck"]
        return Struck(found["code"], tuple(call) if call else None, tuple(tuple(each) for each in found["calls"]))

    def ran(self, program: Program, words: tuple[str, ...], **more: str) -> Ran:
        """Run a verb to its end; a traceback fails, as in a process of its own."""
        code = self.ask(program, words, None, **more).code
        return Ran(code, *self.said())

    def said(self) -> tuple[str, str]:
        """What the last run printed; a traceback or an internal error fails."""
        out, err = (self._said.with_suffix(ending).read_text(errors="replace") for ending in (".out", ".err"))
        assert "Traceback" not in out + err, err
        assert "internal error" not in err, err
        return out, err


@contextmanager
def striking(scratch: Path, preload: str = "") -> Iterator[Striker]:
    """A warm process for a while."""
    striker = Striker(scratch, preload)
    try:
        yield striker
    finally:
        striker.close()


@dataclass(frozen=True)
class Warm(Program):
    """The program, run in forks of the warm process."""

    striker: Striker = field(repr=False)

    def run(self, *words: str, **more: str) -> Ran:
        """Run it to its end; a traceback fails the test."""
        return self.striker.ran(self, words, **more)


class Tracer:
    """Follows a process and its threads from system call to system call."""

    def __init__(self, pid: int, at: int) -> None:
        self.pid, self.at = pid, at
        self.calls: list[tuple[int, str, str]] = []
        self.struck: tuple[int, str, str] | None = None
        self._threads: dict[int, int] = {pid: 0}
        self._count = 0
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._libc.ptrace.restype = ctypes.c_long
        self._info = ctypes.create_string_buffer(128)

    def _ptrace(self, request: int, thread: int, at: int, data: object) -> int:
        return int(self._libc.ptrace(request, thread, at, data))

    def attach(self) -> None:
        """From here on the process and all threads that it starts are followed."""
        if self._ptrace(_SEIZE, self.pid, 0, _OPTIONS) or self._ptrace(_INTERRUPT, self.pid, 0, None):
            raise OSError(ctypes.get_errno(), "ptrace")
        _, status = os.waitpid(self.pid, _WALL)
        self._stopped(self.pid, status)

    def follow(self) -> int:
        """To its end: the exit code, minus the signal for one that was killed."""
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == self.pid:
                return os.waitstatus_to_exitcode(status)

    def _stopped(self, thread: int, status: int) -> None:
        number, deliver = os.WSTOPSIG(status), 0
        if number == signal.SIGTRAP | 0x80:
            self._at_call(thread)
        elif not status >> 16:  # no event of the tracer's own: a signal on its way
            deliver = number
        self._ptrace(_SYSCALL, thread, 0, deliver)  # one that was killed meanwhile says no

    def _at_call(self, thread: int) -> None:
        if self._ptrace(_INFO, thread, len(self._info), ctypes.addressof(self._info)) < _CALL.size - 48:
            return
        kind, _, _, _, number, *arguments = _CALL.unpack_from(self._info)
        if kind != _ENTRY or not _mutates(number, arguments):
            return
        self._count += 1
        if self.at not in (0, self._count):
            return
        call = (self._threads.setdefault(thread, len(self._threads)), *self._named(number, arguments))
        if self.at:
            self.struck = call
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.calls.append(call)

    def _named(self, number: int, arguments: list[int]) -> tuple[str, str]:
        """Its name and the file or folder that it is about: by a descriptor, or by a path."""
        name = MUTATING.get(number, "ioctl" if number == _IOCTL else "open")
        with suppress(OSError):
            return name, str(Path(f"/proc/{self.pid}/fd/{arguments[0]}").readlink())
        return name, self._text(arguments[1] if arguments[0] & 0xFFFFFFFF == _HERE else arguments[0])

    def _text(self, address: int) -> str:
        with suppress(OSError, OverflowError), Path(f"/proc/{self.pid}/mem").open("rb", 0) as memory:
            memory.seek(address)
            return memory.read(200).partition(b"\0")[0].decode(errors="replace")
        return ""


def _mutates(number: int, arguments: list[int]) -> bool:
    if number in _OPENING:
        return bool(arguments[_OPENING[number]] & os.O_CREAT)
    return number in MUTATING or (number == _IOCTL and arguments[1] & 0xFFFFFFFF == _FICLONE)


def main() -> None:
    """For each line: fork, run the verb, and print what came of it."""
    said = Path(sys.argv[1])
    _load()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        come, go = os.pipe()
        outputs = [os.open(said.with_suffix(ending), _NEW, 0o600) for ending in (".out", ".err")]
        pid = os.fork()
        if not pid:
            _run(task, outputs, come)
        for fd in (come, *outputs):
            os.close(fd)
        print(json.dumps(_watch(pid, go, task["at"])), flush=True)


def _load() -> None:
    """Every module of the program, so that no fork has to find and compile one; and nothing of it moves any more."""
    import modelward

    for module in pkgutil.walk_packages(modelward.__path__, "modelward."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads must not fork"
    gc.collect()
    gc.freeze()


def _watch(pid: int, go: int, at: int | None) -> dict[str, object]:
    tracer = Tracer(pid, at or 0)
    if at is not None:
        tracer.attach()
    os.write(go, b"g")
    os.close(go)
    return {"code": tracer.follow(), "struck": tracer.struck, "calls": tracer.calls}


def _run(task: dict[str, Any], outputs: list[int], come: int) -> NoReturn:
    """What the fork does: it becomes the program, as far as the program can see. It may be followed from any moment on.

    So nothing here is a call that counts.
    """
    for fd, output in enumerate(outputs, 1):
        os.dup2(output, fd)
        os.close(output)
    sys.dont_write_bytecode = True  # what is left to import is no deed of the program
    whole = task["at"] is not None or "LD_PRELOAD" in os.environ
    os.environ.clear()
    os.environ.update(task["env"])
    os.chdir(task["cwd"])
    os.read(come, 1)
    try:
        _do(task["words"])
    except SystemExit as end:
        if whole:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)  # taking all of it apart is most of a short run
    raise SystemExit(0)


def _do(words: list[str]) -> None:
    """A verb, or a chore; broken on purpose where that is asked for."""
    from modelward.cli.app import main as program

    if breaker := os.environ.get("CAMPAIGN_BROKEN"):
        from tests.campaign import unsafe

        unsafe.WRITERS[breaker]()
    if words[0].startswith("@"):
        from tests.campaign import chores

        chores.CHORES[words[0]]()
        raise SystemExit(0)
    sys.argv = ["modelward", *words]
    program()


if __name__ == "__main__":
    main()
