"""The guard: memory while it scrubs, idle time, how soon a lost manifest is back, and what health checks cost."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.ground import Ground, crowded_store
from benchmarks.process import Failed
from benchmarks.race import Contender
from benchmarks.result import MB, Result, Target, under
from modelward.domain.history import JobRow, ScrubRow
from modelward.journal.sqlite import read_journal
from modelward.testing import FakeStore

_MODELS, _BLOBS = 50, 10
_LOSSES = 50
_PATIENCE = 600.0
_PAGES = ("/", "/models/bench", "/vault", "/activity", "/alerts", "/settings", "/metrics", "/api/v1/openapi.json")
# The store again and again at full speed, the vault never.
SCRUBS = {"MODELWARD_SCRUB_STORE": "20s", "MODELWARD_SCRUB_VAULT": "1000d", "MODELWARD_SCRUB_RATE": "0"}
# Fifty losses within minutes would stop a guard from healing alone.
_NO_BRAKE = {"MODELWARD_BRAKE_MODELS": "1000", "MODELWARD_BRAKE_PERCENT": "100"}
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def by_itself(bench: Bench) -> Result:
    """A guard with API and dashboard, on 50 models and on the big one."""
    return Result(job="guard", tables=(), targets=(*_crowd(bench), *_big(bench)))


def _crowd(bench: Bench) -> tuple[Target, ...]:
    """Fifty models in five hundred files."""
    ground = Ground(bench.base / "crowd", bench.environ, bench.say)
    crowded_store(ground.store, _MODELS, _BLOBS)
    with guarding(ground, **_NO_BRAKE) as first:
        verdict = first.until_answered()
        first.until_backed_up(_MODELS)
        losses = [first.lose(f"crowd{number % _MODELS:04}") for number in range(_LOSSES)]
    with guarding(ground) as guard:
        again = guard.until_answered()
        guard.until_ready()
        guard.until_at_rest()
        idle = guard.busy_share(bench.watching)
        health = ground.measure(Contender.ours("health", environ={"MODELWARD_LISTEN": guard.address}))
    gate = ground.measure(Contender.ours("gate"))
    return (
        under("start to first verdict, 500 files, no vault yet: under 1 s", verdict, 1.0, "s"),
        under("start to first verdict, 500 files: under 1 s", again, 1.0, "s"),
        under("a lost manifest is back (median of 50): under 2 s", median(losses), 2.0, "s"),
        under("a lost manifest is back (worst of 50): under 2 s", max(losses), 2.0, "s"),
        under("of that ours, there being no server: median under 0.5 s", median(losses), 0.5, "s"),
        under("idle with 50 models: under 0.5 % of a core", idle * 100, 0.5, "%"),
        under("modelward health: under 0.3 s", health.seconds, 0.3, "s"),
        under("modelward gate, 500 files: under 2 s", gate.seconds, 2.0, "s"),
    )


def _big(bench: Bench) -> tuple[Target, ...]:
    """The big model: backed up for the first time, looked at on every page, and scrubbed again and again."""
    ground, blob = bench.ground, bench.blob
    ground.drop(ground.vault, ground.base / "state")
    with guarding(ground, **SCRUBS) as guard:
        guard.until_answered()
        start = guard.memory()
        guard.until_backed_up(2)
        backup = guard.memory()
        for path in _PAGES:
            guard.get(path)
        pages = guard.memory()
        began = datetime.now(UTC)
        most = guard.most_memory(bench.watching)
    ground.need_vault()
    verify = min(ground.measure(Contender.ours("verify")).seconds for _ in range(bench.rounds))
    rows = scrubs(guard.state, began)
    speed = speed_of(rows)
    ratio = (blob.size / verify) / speed if speed else float("inf")
    read, minutes = sum(row.bytes for row in rows) / blob.size, bench.watching / 60
    return (
        under("memory of the guard after its start: under 50 MB", start / MB, 50.0, "MB"),
        under("memory of the guard after the first backup: under 50 MB", backup / MB, 50.0, "MB"),
        under("memory of the guard after every page was opened: under 50 MB", pages / MB, 50.0, "MB"),
        under(f"memory at most, {minutes:.3g} minutes with {read:.1f} scrubs: under 50 MB", most / MB, 50.0, "MB"),
        under("a scrub at full speed: at most 1.2 times verify's time a byte", ratio, 1.2, "times"),
    )


def speed_of(rows: Iterable[ScrubRow]) -> float:
    """Bytes a second of these scrubs; 0 for none."""
    kept = tuple(rows)
    return sum(row.bytes for row in kept) / max(0.001, sum(row.seconds for row in kept))


def scrubs(state: Path, since: datetime) -> tuple[ScrubRow, ...]:
    """The scrubs of the store that ended since then."""
    journal = read_journal(state)
    if journal is None:
        return ()
    rows = journal.rows(ScrubRow, since)
    journal.close()
    return tuple(row for row in rows if row.of == "store")


def ended_jobs(state: Path) -> set[str]:
    """The kinds of all jobs that ended."""
    journal = read_journal(state)
    if journal is None:
        return set()
    rows = journal.rows(JobRow, _LONG_AGO)
    journal.close()
    return {row.kind for row in rows if row.ended_at is not None}


@dataclass
class Guarding:
    """A guard that runs."""

    ground: Ground
    process: "subprocess.Popen[bytes]"
    address: str
    state: Path
    began: float

    def get(self, path: str) -> float:
        """Seconds to the first byte of an answer with status 200, which is read whole."""
        began = time.monotonic()
        with _OPENER.open(f"http://{self.address}{path}", timeout=60) as answer:
            first = time.monotonic() - began
            answer.read()
        return first

    def until_answered(self) -> float:
        """Seconds from the start to the first verdict on readiness."""
        while self._status() not in (200, 503) or b"not looked" in self._words:
            self._wait()
        return time.monotonic() - self.began

    def until_ready(self) -> None:
        """Wait until all is well."""
        while self._status() != 200:
            self._wait()

    def until_backed_up(self, models: int) -> None:
        """Wait until every model has a snapshot."""
        while len(list((self.ground.vault / "modelward" / "snapshots").glob("*.json"))) < models:
            self._wait()

    def until_at_rest(self) -> None:
        """Wait until the first slices of both scrubs are read, soon after a start: later it rests for an hour."""
        while not {"scrub store", "scrub vault"} <= ended_jobs(self.state):
            self._wait()
            time.sleep(1)
        time.sleep(10)

    def _wait(self) -> None:
        if self.process.poll() is not None or time.monotonic() - self.began > _PATIENCE:
            raise Failed("the guard did not come as far as it was waited for")
        time.sleep(0.01)

    def _status(self) -> int:
        self._words = b""
        try:
            with _OPENER.open(f"http://{self.address}/readyz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self._words = error.read()
            return error.code
        except OSError:
            return 0

    def lose(self, name: str) -> float:
        """Delete a manifest; seconds until it is back."""
        path = FakeStore(self.ground.store).manifest_path(name)
        path.unlink()
        began = time.monotonic()
        while not path.exists():
            if time.monotonic() - began > _PATIENCE:
                raise Failed(f"the manifest of {name} did not come back")
            time.sleep(0.002)
        seconds = time.monotonic() - began
        time.sleep(0.3)
        return seconds

    def busy_share(self, seconds: float) -> float:
        """The share of one core that the guard uses over a while."""
        before = self._cpu()
        time.sleep(seconds)
        return (self._cpu() - before) / seconds

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """The resident memory now, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def most_memory(self, seconds: float) -> int:
        """The most resident memory, in bytes, over a while, in which it is asked for its readiness."""
        most, give_up = self.memory(), time.monotonic() + seconds
        while time.monotonic() < give_up:
            most = max(most, self.memory())
            self._status()
            time.sleep(0.5)
        return most


@contextmanager
def guarding(ground: Ground, **more: str) -> Iterator[Guarding]:
    """A guard over the ground's store, on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    state = ground.base / "state"
    environ = {**ground.environ, "MODELWARD_STATE": str(state), "MODELWARD_LISTEN": address, **more}
    process = subprocess.Popen(
        [sys.executable, "-m", "modelward", "guard"],
        env=environ,
        cwd=ground.base,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Guarding(ground, process, address, state, time.monotonic())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
