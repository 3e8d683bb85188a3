"""Run one command as a child and report its time, memory and writes; a program of its own, started by process.py.

A child's peak memory counts from the process that it was forked from, so that process has to be small:
this one imports next to nothing and is started without site packages.
"""

import os
import signal
import sys
import time

_NOT_STARTED = 127  # what shells use


def main(report: int, command: list[str]) -> None:
    """Write to the file descriptor ``report``: seconds, peak KiB, bytes in write calls, bytes dirtied, exit code."""
    os.set_inheritable(report, False)  # noqa: FBT003 - the call has no name for it
    # They were held back until we run; nothing that we start may inherit that.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    started = time.perf_counter()
    child = os.fork()
    if not child:
        _become(command)
    # Not reaped yet: the kernel's count of what it wrote goes with the process.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - started
    calls, dirtied = _writes(child)
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os.write(report, f"{seconds} {usage.ru_maxrss} {calls} {dirtied} {code}".encode())


def _become(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_STARTED)


def _writes(process: int) -> tuple[int, int]:
    """``wchar`` and ``write_bytes`` of proc_pid_io(5), of the process and the children it waited for; -1 unknown."""
    try:
        with open(f"/proc/{process}/io", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be half its memory
            fields = dict(line.split(": ") for line in file)
    except OSError:
        return -1, -1
    return int(fields["wchar"]), int(fields["write_bytes"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
