"""A busy guard, killed at random: it always comes back, and nothing that it had acknowledged is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from modelward.testing import FakeStore, random_damage
from tests.campaign.plan import Run, limited
from tests.program import Program

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
BUSY = {
    "MODELWARD_MAINTENANCE_INTERVAL": "1s",
    "MODELWARD_CHECK_INTERVAL": "1s",
    "MODELWARD_SETTLE": "1s",
    "MODELWARD_SCRUB_STORE": "2s",
    "MODELWARD_SCRUB_VAULT": "2s",
    "MODELWARD_SCRUB_RATE": "0",
    "MODELWARD_DRILL_EVERY": "1s",
    "MODELWARD_TRASH_DAYS": "0",
    "MODELWARD_KEEP_LAST": "2",
    "MODELWARD_BRAKE_MODELS": "1000",
    "MODELWARD_BRAKE_PERCENT": "100",
    "MODELWARD_LISTEN": "",
    "MODELWARD_PROBE": "off",
}
PATIENCE = 120.0


class Forker:
    """The process that forks guards."""

    def __init__(self, program: Program) -> None:
        self._log = program.base / "guard.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.forker"],
            cwd=ROOT,
            env=program.environ(**BUSY, MODELWARD_STATE=str(program.base / "state")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def start(self) -> int:
        """A new guard's process number."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._log}\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        """No more guards."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def _forking(program: Program) -> Iterator[Forker]:
    forker = Forker(program)
    try:
        yield forker
    finally:
        forker.close()


def _end(pid: int) -> None:
    """Kill it, and wait until the kernel has let go of its locks."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.002)
    raise AssertionError("a killed guard did not end")


def _prepared(base: Path) -> Program:
    program = Program(base)
    base.mkdir(parents=True, exist_ok=True)
    store = FakeStore(program.store)
    for name in ("llama3", "mistral", "phi"):
        store.add_model(name, b"GGUF" + random.Random(name).randbytes(2 * MIB), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    return program


def _records(program: Program) -> set[str]:
    return {path.name for path in (program.vault / "modelward" / "snapshots").glob("*.json")}


def _sound(program: Program) -> None:
    """What stands under a final name has the right bytes, and every record reads; the vault opens."""
    for path in (program.vault / "blobs" / "sha256").iterdir():
        assert sha256(path.read_bytes()).hexdigest() == path.name
    for path in (program.vault / "modelward" / "snapshots").glob("*.json"):
        assert json.loads(path.read_bytes())["model"]
    assert program.run("snapshots").code == 0
    assert program.run("audit", "verify").code == 0


def _stir(program: Program, rng: random.Random) -> None:
    """Give the guard something to do: damage, a loss, or a new version."""
    store = FakeStore(program.store)
    name = rng.choice(("llama3", "mistral", "phi"))
    match rng.randrange(4):
        case 0:
            with suppress(FileNotFoundError):
                store.delete_manifest(name)
        case 1:
            blobs = sorted((program.store / "blobs").iterdir())
            if blobs:
                random_damage(rng.choice(blobs), rng)
        case 2:
            store.add_model(name, b"GGUF" + rng.randbytes(MIB), template=b"{{ .Prompt }}")
        case _:
            for blob in list((program.store / "blobs").iterdir())[:1]:
                blob.unlink()


@limited(6)
def test_a_guard_killed_at_random_comes_back(run: Run, quick: Path) -> None:
    """SIGKILL during backup, repair, scrub, prune and drill: no final name has wrong bytes, and all is healed after."""
    program = _prepared(quick / "scene")
    with _forking(program) as forker:
        for number in run.numbers():
            with run.case(number) as rng:
                _stir(program, rng)
                pid = forker.start()
                time.sleep(rng.random() * 1.5)
                before = _records(program)
                _end(pid)
                run.figures["kills"] += 1
                lost = before - _records(program)
                run.figures["records forgotten by policy"] += len(lost)
                if number % 10 == 9:
                    _sound(program)
        pid = forker.start()
        try:
            _heals(program)
        finally:
            _end(pid)
    _sound(program)


def _heals(program: Program) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if program.run("verify").code == 0 and len(FakeStore(program.store).models()) == 3:
            return
        time.sleep(0.2)
    raise AssertionError("a model stays damaged after the last start")
