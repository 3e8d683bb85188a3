"""With the real Ollama: a guard keeps two served models alive through ten damages, and tells and audits all of it."""

import hashlib
import hmac
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelward.testing import corrupt, fingerprint
from tests.acceptance.stage import MIB, Stage
from tests.disks import mounted
from tests.ollama_server import running_ollama
from tests.ports import free_port

pytestmark = [
    pytest.mark.ollama,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a disk that can be filled"),
]

SECRET = "a key that nobody guesses"  # noqa: S105 - of this test only
PATIENCE = 180.0
QUICK = {
    "MODELWARD_MAINTENANCE_INTERVAL": "3s",
    "MODELWARD_CHECK_INTERVAL": "1s",
    "MODELWARD_SETTLE": "1s",
    "MODELWARD_PROBE_INTERVAL": "3s",
    "MODELWARD_ALERT_PENDING": "1s",
    "MODELWARD_ALERT_GROUP": "1s",
    "MODELWARD_RESERVE": "4MiB",
    "MODELWARD_WEBHOOK_SECRET": SECRET,
}


class Receiver:
    """A web hook's other end: checks every signature, and keeps what it was told, in order."""

    def __init__(self) -> None:
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(body, self.headers["X-Modelward-Signature"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes, signature: str) -> None:
        """Keep what is signed by our key."""
        stamp, _, given = signature.partition(",v1=")
        made = hmac.new(SECRET.encode(), stamp.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(made, given):
            self.told.put(json.loads(body))
        else:
            self.forged += 1

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Watch:
    """The scene: stage, guard, receiver; ``timeline`` is what a reader sees at the end."""

    stage: Stage
    guard: "subprocess.Popen[str]"
    hook: Receiver
    port: int
    began: float = field(default_factory=time.monotonic)
    heard: list[tuple[str, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """One line of the timeline."""
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def until(self, what: str, holds: Callable[[], object], patience: float = PATIENCE) -> float:
        """Wait until something holds, and say how long it took."""
        since = time.monotonic()
        while not holds():
            assert self.guard.poll() is None, "the guard ended"
            assert time.monotonic() - since < patience, f"not in {patience:.0f} s: {what}"
            time.sleep(0.02)
        self.say(f"{what} after {time.monotonic() - since:.2f} s")
        return time.monotonic() - since

    def told(self, kind: str, *what: str) -> None:
        """The next notices of this kind say ``what``, in this order; everything on the way is printed."""
        for word in what:
            self.told_all((word, kind))

    def told_all(self, *wanted: tuple[str, str]) -> None:
        """All of these are told, in any order."""
        left = set(wanted)
        while left:
            notice = self.hook.told.get(timeout=PATIENCE)
            self.say(f"told: {notice['title']}")
            self.heard.append((notice["what"], notice["alerts"][0]["kind"]))
            left.discard(self.heard[-1])

    def ready(self) -> bool:
        """What ``modelward health`` says."""
        done = subprocess.run(
            [sys.executable, "-m", "modelward", "health"],
            env=self.stage.environ() | {"MODELWARD_LISTEN": f"127.0.0.1:{self.port}"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0


@contextmanager
def _guarded(stage: Stage, hook: Receiver, port: int) -> Iterator["subprocess.Popen[str]"]:
    environ = (
        stage.environ()
        | QUICK
        | {
            "MODELWARD_WEBHOOK_URL": hook.url,
            "MODELWARD_LISTEN": f"127.0.0.1:{port}",
            "MODELWARD_STATE": str(stage.base / "state"),
        }
    )
    with (stage.base / "guard.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelward", "guard", "--verbose"], env=environ, stdout=log, stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            ended = time.monotonic()
            process.wait(30)
            print(f"the guard ended {time.monotonic() - ended:.1f} s after SIGTERM with {process.returncode}")


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Two models served from a disk of their own, a guard that has backed them up, and a hook that listens."""
    hook = Receiver()
    with mounted("ext4", tmp_path, mib=400) as disk, running_ollama(disk / "models", tmp_path / "home") as server:
        stage = Stage(server, disk)
        assert server.run("cp", "llama3", "mistral").returncode == 0
        port = free_port()
        with _guarded(stage, hook, port) as process:
            scene = Watch(stage=stage, guard=process, hook=hook, port=port)
            scene.until("both models are backed up and ready", lambda: _copies(stage) >= 2 and scene.ready())
            yield scene
    hook.close()


def _copies(stage: Stage) -> int:
    return len(list((stage.vault / "modelward" / "snapshots").glob("*.json")))


def _in_memory(watch: Watch) -> None:
    """One bit flips while the model is loaded and the page cache is warm."""
    watch.stage.server.generate("llama3")
    corrupt.flip_bit(watch.stage.blob, 9 * MIB, 4)


DAMAGES: tuple[tuple[str, str, Callable[[Watch], object]], ...] = (
    ("the manifest is deleted", "model missing", lambda watch: watch.stage.manifest.unlink()),
    ("the manifest is emptied", "model missing", lambda watch: corrupt.empty(watch.stage.manifest)),
    ("ollama rm llama3", "model missing", lambda watch: watch.stage.server.run("rm", "llama3")),
    ("the weights are deleted", "model missing", lambda watch: watch.stage.blob.unlink()),
    ("the weights are cut short", "integrity failure", lambda watch: corrupt.truncate(watch.stage.blob, 7 * MIB + 3)),
    ("4 MiB of zeros", "integrity failure", lambda watch: corrupt.zero(watch.stage.blob, 5 * MIB, 4 * MIB)),
    ("one bit flips, model loaded, cache warm", "integrity failure", _in_memory),
)


def test_ten_damages_of_a_served_model(watch: Watch) -> None:
    """Each is healed under a running server, told exactly once, and written down; in the end all models answer."""
    stage = watch.stage
    before = fingerprint(stage.store, ignore=".modelward")
    stage.server.generate("llama3")
    for number, (name, kind, damage) in enumerate(DAMAGES, start=1):
        watch.say(f"{number}. {name}")
        damage(watch)
        watch.until("every byte is back", lambda: _same(stage, before))
        watch.told(kind, "healed")
        stage.works()
    _server_stops(watch)
    _disk_fills(watch)
    _owner_changes(watch)
    watch.until("ready", watch.ready)
    for name in ("llama3", "mistral"):
        assert stage.server.generate(name) == stage.answer
        watch.say(f"{name} answers {stage.answer!r}")
    assert stage.modelward("audit", "verify")[0] == 0
    assert stage.modelward("verify")[0] == 0
    assert watch.hook.forged == 0
    assert sorted(watch.heard) == sorted(EXPECTED)


TOLD = ("service unavailable", "disk filling", "model missing", "restore failure")
EXPECTED = [
    *(("healed", "model missing") for _ in range(4)),
    *(("healed", "integrity failure") for _ in range(4)),
    *((what, kind) for kind in TOLD for what in ("firing", "resolved")),
]


def _same(stage: Stage, before: object) -> bool:
    try:
        return fingerprint(stage.store, ignore=".modelward") == before
    except OSError:
        return False


def _server_stops(watch: Watch) -> None:
    watch.say("8. the server stops")
    watch.stage.server.stop()
    watch.told("service unavailable", "firing")
    watch.stage.server.start()
    watch.told("service unavailable", "resolved")
    watch.stage.works()


def _disk_fills(watch: Watch) -> None:
    """A full disk is told, and so is a model that cannot come back on it; with room it does, by itself (D1)."""
    watch.say("9. the disk is filled, and the manifest deleted")
    filler = watch.stage.base / "filler"
    _fill(filler)
    watch.told("disk filling", "firing")
    watch.stage.manifest.unlink()
    watch.told_all(("firing", "model missing"), ("firing", "restore failure"))
    filler.unlink()
    watch.until("the manifest is back", watch.stage.manifest.exists)
    watch.told_all(*(("resolved", kind) for kind in ("disk filling", "model missing", "restore failure")))


def _owner_changes(watch: Watch) -> None:
    watch.say("10. the weights cannot be read by the server's user any more")
    store = watch.stage.store
    os.chown(store / "blobs", 12345, 12345)
    watch.stage.blob.chmod(0o200)
    watch.told("integrity failure", "healed")
    found = watch.stage.blob.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (12345, 0o644)
    os.chown(store / "blobs", 0, 0)


def _fill(path: Path) -> None:
    """Write until nothing more goes."""
    with path.open("wb") as file:
        try:
            while True:
                file.write(b"x" * MIB)
                file.flush()
        except OSError:
            pass
