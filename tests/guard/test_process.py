"""The guard as a process: started, watched from outside, told of signals, and stopped; with what bad input gets."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelward.testing import FakeStore
from tests.ports import free_port
from tests.program import Program

MIB = 1 << 20
PATIENCE = 60.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Guarded:
    """A running guard over a store with two models."""

    program: Program
    more: dict[str, str]
    process: subprocess.Popen[str]

    @property
    def manifest(self) -> Path:
        """A model's manifest."""
        return FakeStore(self.program.store).manifest_path("llama3")

    def until(self, holds: Callable[[], object]) -> None:
        """Wait for something; the guard must not end meanwhile."""
        give_up = time.monotonic() + PATIENCE
        while not holds():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < give_up, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        """Everything that was logged."""
        folder = Path(self.more["MODELWARD_STATE"]) / "logs"
        return "".join(path.read_text() for path in sorted(folder.glob("*.log")))

    def says(self, event: str) -> bool:
        """Whether an event was logged."""
        return any(json.loads(line)["event"] == event for line in self.log().splitlines())

    def get(self, path: str) -> tuple[int, str]:
        """Status and first line of an answer; 0 where nobody listens."""
        try:
            with _OPENER.open(f"http://{self.more['MODELWARD_LISTEN']}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        """Whether it says so."""
        return self.get("/readyz")[0] == 200

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)


def _more(base: Path, **more: str) -> dict[str, str]:
    return {
        "MODELWARD_STATE": str(base / "state"),
        "MODELWARD_LISTEN": f"127.0.0.1:{free_port()}",
        "MODELWARD_CHECK_INTERVAL": "1s",
        "MODELWARD_SETTLE": "1s",
        "MODELWARD_PROBE": "off",
        **more,
    }


@contextmanager
def guarding(base: Path, *, ready: bool = True, **given: str) -> Iterator[Guarded]:
    """A guard that has looked once; it is ended with the block."""
    program, more = Program(base), _more(base, **given)
    with program.start("guard", **more) as process:
        guarded = Guarded(program, more, process)
        try:
            guarded.until(guarded.ready if ready else lambda: guarded.get("/livez")[0] == 200)
            models = len(FakeStore(program.store).models()) if ready else 0
            kept = program.vault / "modelward" / "manifests"
            guarded.until(lambda: len(list(kept.glob("*.json"))) >= models)
            yield guarded
        finally:
            with suppress(ProcessLookupError):
                process.kill()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a store of two models."""
    store = FakeStore(tmp_path / "store")
    store.add_model("llama3", b"GGUF" + os.urandom(MIB), template=b"{{ .Prompt }}")
    store.add_model("mistral", b"GGUF" + os.urandom(MIB))
    return tmp_path


def test_a_lost_manifest_is_back_by_the_event(base: Path) -> None:
    """G2: file events, not the regular look, bring it back: that comes once an hour here."""
    with guarding(base, MODELWARD_CHECK_INTERVAL="1h") as guard:
        before = guard.manifest.read_bytes()
        time.sleep(1)  # the watch is set up within the first second; without it only an hour would help
        guard.manifest.unlink()
        guard.until(guard.manifest.exists)
        assert guard.manifest.read_bytes() == before
        guard.until(guard.ready)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(base: Path, number: int) -> None:
    """Exit code 0, the last picture in the metrics file, and the locks given back."""
    with guarding(base) as guard:
        assert guard.end(number) == 0
        assert guard.says("guard_stopped")
        document = json.loads((base / "state" / "model-metrics.json").read_text())
        assert document["ready"] is True
        assert len(document["models"]) == 2
    with guarding(base) as again:
        assert again.ready()


def test_a_second_guard_is_refused_and_names_the_first(base: Path) -> None:
    """By the state folder, and by the store where the state folders differ."""
    with guarding(base) as guard:
        for more in (guard.more, _more(base, MODELWARD_STATE=str(base / "other"))):
            second = guard.program.run("guard", **more)
            assert second.code == 5
            assert f"pid {guard.process.pid}" in second.err
            assert "another guard" in second.err
        assert guard.ready()


def test_health_is_one_line_and_an_exit_code(base: Path) -> None:
    """H1: 0 while all is well; 1 and the reason when it is not; 1 when no guard answers."""
    with guarding(base, MODELWARD_ON_LOSS="alert") as guard:
        healthy = guard.program.run("health", **guard.more)
        assert (healthy.code, healthy.out) == (0, "ready\n")
        guard.manifest.unlink()
        guard.until(lambda: not guard.ready())
        sick = guard.program.run("health", **guard.more)
        assert sick.code == 1
        assert sick.out.startswith("not ready: llama3:latest: the manifest is gone")
        assert sick.out.count("\n") == 1
        assert guard.get("/livez") == (200, "ok")
        guard.end()
        gone = guard.program.run("health", **guard.more)
        assert gone.code == 1
        assert "no guard answers" in gone.out


def test_hangup_reads_the_settings_anew(base: Path) -> None:
    """SIGHUP takes a changed file up; a bad one leaves the old settings in place, and says so."""
    file = base / "modelward.toml"
    file.write_text('on_loss = "alert"\n')
    with guarding(base) as guard:
        file.write_text('on_loss = "nonsense"\n')
        guard.process.send_signal(signal.SIGHUP)
        guard.until(lambda: guard.says("reload_failed"))
        guard.manifest.unlink()
        guard.until(lambda: not guard.ready())
        file.write_text('on_loss = "restore"\n')
        guard.process.send_signal(signal.SIGHUP)
        guard.until(guard.manifest.exists)


def test_a_broken_journal_is_set_aside(base: Path) -> None:
    """The guard begins a new one, keeps the old, tells of it, and protects as before."""
    with guarding(base) as guard:
        guard.end()
    journal = next(path for path in (base / "state").iterdir() if path.name.endswith((".db", ".sqlite")))
    journal.write_bytes(b"this is no database" * 1000)
    with guarding(base, MODELWARD_ALERT_GROUP="0s") as guard:
        guard.until(lambda: "journal begun anew" in guard.log())
        assert [
            path for path in (base / "state").glob("*journal*") if path.read_bytes().startswith(b"this is no database")
        ]
        guard.manifest.unlink()
        guard.until(guard.manifest.exists)


def test_a_vault_that_vanishes_is_told_and_comes_back(base: Path) -> None:
    """A guard outlives its vault's disk, does not make another vault in its place, and goes on with it."""
    with guarding(base) as guard:
        guard.until(lambda: list((base / "vault" / "modelward" / "snapshots").glob("*")))
        (base / "vault").rename(base / "unplugged")
        time.sleep(2)
        assert not (base / "vault" / "oci-layout").exists()
        assert guard.process.poll() is None
        (base / "unplugged").rename(base / "vault")
        guard.manifest.unlink()
        guard.until(guard.manifest.exists)


def test_a_store_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """Started before its disk is mounted, a guard lives, is not ready, and begins when the store is there."""
    with guarding(tmp_path, ready=False) as guard:
        assert guard.get("/readyz")[0] == 503
        FakeStore(tmp_path / "store").add_model("llama3", b"GGUF" + os.urandom(MIB))
        guard.until(guard.ready)


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"MODELWARD_SCRUBB": "1"}, 2, "unknown setting"),
        ({"MODELWARD_SCRUB_STORE": "0s"}, 2, "shorter than a second"),
        ({"MODELWARD_LISTEN": "0.0.0.0:1"}, 2, "token"),
        ({"MODELWARD_WEBHOOK_URL": "ftp://x"}, 2, "webhook"),
    ],
)
def test_bad_settings_are_one_clear_error(base: Path, more: dict[str, str], code: int, words: str) -> None:
    """Nothing is started, and the message says what to write instead."""
    done = Program(base).run("guard", **_more(base) | more)
    assert (done.code, words.lower() in done.err.lower()) == (code, True), done.err
    assert "next:" in done.err


def test_a_server_that_nobody_runs_is_told_and_costs_nothing(base: Path) -> None:
    """Unreachable hosts are an alert; models are guarded all the same."""
    with guarding(base, MODELWARD_ALERT_PENDING="0s", MODELWARD_ALERT_GROUP="0s") as guard:
        guard.until(lambda: "service unavailable" in guard.log())
        assert guard.ready()


def test_the_brake_is_let_go_from_the_command_line(base: Path) -> None:
    """G4: four lost models wait for a person, who looks with one verb and lets go with it."""
    store = FakeStore(base / "store")
    for number in range(4):
        store.add_model(f"extra{number}", b"GGUF" + os.urandom(1000))
    with guarding(base) as guard:
        guard.until(lambda: len(list((base / "vault" / "modelward" / "snapshots").glob("*"))) == 6)
        (base / "store" / "manifests").rename(base / "store" / "gone")
        guard.until(lambda: guard.program.run("brake", **guard.more).code == 1)
        (base / "store" / "gone" / "registry.ollama.ai").rename(base / "gone")
        released = guard.program.run("brake", "--release", **guard.more)
        assert released.code == 0
        guard.until(lambda: all(store.manifest_path(f"extra{number}").exists() for number in range(4)))
        guard.until(lambda: guard.program.run("brake", **guard.more).code == 0)


def test_once_does_one_round_and_ends(base: Path) -> None:
    """Backed up and scrubbed, with the exit code of how everything stands."""
    program, more = Program(base), _more(base)
    done = program.run("guard", "--once", "--json", **more)
    assert done.code == 0
    assert {job["kind"] for job in done.document["jobs"]} >= {"maintenance"}
    assert all(model["healthy"] and model["recoverable"] for model in done.document["standing"]["models"])
    FakeStore(base / "store").delete_manifest("llama3")
    assert program.run("guard", "--once", "--no-maintenance", **more).code == 1
    assert not FakeStore(base / "store").manifest_path("llama3").exists()
    assert program.run("guard", "--once", **more).code == 0
    assert FakeStore(base / "store").manifest_path("llama3").exists()
