"""strace around the program: which system calls it makes, and its death at one of them (never with --seccomp-bpf)."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.program import Program

CALLS = (
    "fsync",
    "link,linkat",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "ftruncate",
    "write",
    "pwrite64",
    "mkdir,mkdirat",
    "fchmod,fchown",
)
_NAME = re.compile(r"(?:\[pid +\d+\] |\d+ +)?(\w+)\(")


def calls_of(program: Program, words: Sequence[str], log: Path) -> Counter[str]:
    """How often each class of CALLS happens while the verb runs undisturbed."""
    done = _strace(program, words, f"-o{log}", f"-etrace={','.join(CALLS)}")
    assert done == 0, f"{' '.join(words)} ended with {done}"
    found: Counter[str] = Counter()
    by_name = {name: calls for calls in CALLS for name in calls.split(",")}
    for line in log.read_text(errors="replace").splitlines():
        if (name := _NAME.match(line)) and name[1] in by_name:
            found[by_name[name[1]]] += 1
    return found


def killed(program: Program, words: Sequence[str], calls: str, at: int) -> bool:
    """Run the verb and kill it at the n-th of these calls; False when it ended before."""
    code = _strace(program, words, "-o/dev/null", f"-etrace={calls}", f"-einject={calls}:signal=KILL:when={at}")
    return code in (-9, 137)


def _strace(program: Program, words: Sequence[str], *options: str) -> int:
    command = ["strace", "-f", "-qq", *options, sys.executable, "-mmodelward", *words]
    return subprocess.run(
        command, env=program.environ(), cwd=program.base, capture_output=True, check=False, timeout=300
    ).returncode
