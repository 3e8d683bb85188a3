"""Run whole processes and weigh them: wall seconds, peak resident memory, bytes handed to write calls."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: seconds, peak resident memory in MB, and bytes written."""

    seconds: float
    memory: float
    written: int


def run(command: Sequence[str], *, environ: Mapping[str, str] | None = None, okay: Sequence[int] = (0,)) -> Sample:
    """Run a command to its end, its output thrown away; another exit code than those in ``okay`` is an error."""
    env = {**os.environ, **(environ or {})}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0.0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        # The kernel's own peak of a child begins with its parent's size; the high-water mark in /proc does not.
        peak = max(peak, _high_water(process.pid))
        time.sleep(0.004)
    seconds = time.perf_counter() - began
    written = _written(process.pid)
    process.wait()
    error = process.stderr.read().decode(errors="replace") if process.stderr is not None else ""
    if process.stderr is not None:
        process.stderr.close()
    if process.returncode not in okay:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {error[-500:]}")
    return Sample(seconds=seconds, memory=peak, written=written)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure."""
    return Sample(
        seconds=statistics.median(sample.seconds for sample in samples),
        memory=statistics.median(sample.memory for sample in samples),
        written=int(statistics.median(sample.written for sample in samples)),
    )


def interleaved(work: Mapping[str, Callable[[], Sample]], repeat: int, say: Callable[[str], None]) -> dict[str, Sample]:
    """Run every candidate in turn, ``repeat`` times, so that the machine's moods fall on all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in work}
    for _ in range(repeat):
        for name, job in work.items():
            samples[name].append(job())
            say(f"  {name}: {samples[name][-1].seconds:.2f} s")
    return {name: median(found) for name, found in samples.items()}


def settle(folder: Path) -> None:
    """Let the disk finish what the last run left it, so that the next one does not pay for it."""
    subprocess.run(["sync", "-f", str(folder)], check=True)


def _high_water(pid: int) -> float:
    """Peak resident memory in MB so far, 0 once the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024 / 1e6


def _written(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines)["wchar"])
