"""A busy guard, killed at random: it always comes back, and nothing that it had acknowledged is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from modelward.domain.brake import Brake
from modelward.domain.history import JobRow
from modelward.domain.schedule import Runs
from modelward.durable import Folder
from modelward.guard.tasks import DRILL, MAINTENANCE, SCRUB_STORE, SCRUB_VAULT
from modelward.journal.sqlite import LARGEST, SqliteJournal
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
    "MODELWARD_ALERT_PENDING": "1s",
    "MODELWARD_LISTEN": "",
    "MODELWARD_PROBE": "off",
}
PATIENCE = 120.0
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = (MAINTENANCE, "repair", SCRUB_STORE, SCRUB_VAULT, DRILL)
ENOUGH = 200  # kills after which each kind of work must have been hit


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
        store.add_model(name, b"GGUF" + random.Random(name).randbytes(12 * MIB), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    return program


@contextmanager
def _journal(program: Program) -> Iterator[SqliteJournal]:
    """The journal, while no guard runs."""
    folder = Folder.open(program.base / "state", create=True)
    journal = SqliteJournal(folder, LARGEST)
    try:
        yield journal
    finally:
        journal.close()
        folder.close()


def _ready_for_work(program: Program) -> None:
    """What would keep a guard from its work: a brake that all this damage engages, and first runs after a minute."""
    with _journal(program) as journal:
        journal.put("guard.brake", Brake())
        journal.put("guard.runs", Runs(began=dict.fromkeys((SCRUB_STORE, SCRUB_VAULT, DRILL), LONG_AGO)))


def _struck(program: Program) -> Counter[str]:
    """How many jobs of each kind a kill interrupted, and how many ended: what the kills really hit."""
    with _journal(program) as journal:
        journal.interrupt_jobs(datetime.now(UTC))
        rows = journal.rows(JobRow, LONG_AGO, limit=1_000_000)
    return Counter(f"{row.kind}: {row.outcome}" for row in rows)


def _records(program: Program) -> dict[str, str]:
    """The model of every live record, by the record's file; one that goes while we look is not there."""
    found = {}
    for path in (program.vault / "modelward" / "snapshots").glob("*.json"):
        with suppress(FileNotFoundError):
            found[path.name] = str(json.loads(path.read_bytes())["model"])
    return found


def _same_scene(program: Program, mark: str) -> None:
    """Whoever else is on this machine has left the scene alone; else what follows would say nothing of the guard."""
    found = program.base / "mark"
    here = found.read_text() if found.exists() else "nothing"
    assert here == mark, "the scene was removed by somebody else: run this alone"


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
            store.add_model(name, b"GGUF" + rng.randbytes(8 * MIB), template=b"{{ .Prompt }}")
        case _:
            for blob in list((program.store / "blobs").iterdir())[:1]:
                blob.unlink()


@limited(6)
def test_a_guard_killed_at_random_comes_back(run: Run, quick: Path) -> None:
    """SIGKILL during backup, repair, scrub, prune and drill: no final name has wrong bytes, and all is healed after."""
    program = _prepared(quick / "scene")
    mark = f"seed {run.seed}"
    (program.base / "mark").write_text(mark)
    with _forking(program) as forker:
        for number in run.numbers():
            with run.case(number) as rng:
                before = _records(program)
                _stir(program, rng)
                _ready_for_work(program)
                pid = forker.start()
                time.sleep(rng.random() * (1.2 if rng.random() < 0.6 else 3.0))
                _end(pid)
                run.figures["kills"] += 1
                _same_scene(program, mark)
                after = _records(program)
                assert set(after.values()) >= set(before.values()), "a model lost its last version (S1)"
                run.figures["records forgotten by policy"] += len(set(before) - set(after))
                if number % 10 == 9:
                    _sound(program)
        run.figures.update(_struck(program))
        _ready_for_work(program)
        pid = forker.start()
        try:
            _heals(program)
        finally:
            _end(pid)
    _sound(program)
    if run.figures["kills"] >= ENOUGH:
        assert [kind for kind in KINDS if not run.figures[f"{kind}: interrupted"]] == [], "a kind of work was never hit"


def _heals(program: Program) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if program.run("verify").code == 0 and len(FakeStore(program.store).models()) == 3:
            return
        time.sleep(0.2)
    raise AssertionError("a model stays damaged after the last start")
