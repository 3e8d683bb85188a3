"""Hours of a guard under random faults, with a served model: everything is healed, and nothing grows."""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.test_guard import SECRET, Receiver
from tests.campaign import soaking
from tests.campaign.meter import Every, Sample, Visitor, growth, look, probes_answered
from tests.campaign.plan import Run, limited, out
from tests.campaign.served import NAMES, serving
from tests.campaign.soaking import Fault, Scene
from tests.disks import mounted
from tests.ports import free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs the /proc of Linux")

BUSY = {
    "MODELWARD_MAINTENANCE_INTERVAL": "20s",
    "MODELWARD_CHECK_INTERVAL": "2s",
    "MODELWARD_SETTLE": "2s",
    "MODELWARD_PROBE": "all",
    "MODELWARD_PROBE_INTERVAL": "5s",
    "MODELWARD_SCRUB_STORE": "60s",
    "MODELWARD_SCRUB_VAULT": "60s",
    "MODELWARD_SCRUB_RATE": "0",
    "MODELWARD_DRILL_EVERY": "60s",
    "MODELWARD_KEEP_LAST": "3",
    "MODELWARD_TRASH_DAYS": "0",
    "MODELWARD_BRAKE_MODELS": "100000",  # all of this is damage on purpose: the brake would hold, as it should
    "MODELWARD_BRAKE_PERCENT": "100",
    "MODELWARD_ALERT_PENDING": "1s",
    "MODELWARD_ALERT_GROUP": "1s",
    "MODELWARD_LOG_SIZE": "1MB",
    "MODELWARD_LOG_FILES": "3",
    "MODELWARD_RESERVE": "4MiB",
    "MODELWARD_UPSTREAM": "false",
    "MODELWARD_WEBHOOK_SECRET": SECRET,
}
LITTLE = {"MODELWARD_SETTLE": "1s", "MODELWARD_CHECK_INTERVAL": "1s", "MODELWARD_MAINTENANCE_INTERVAL": "2s"}
PAGES = (
    *("/", "/vault", "/activity", "/alerts", "/settings", "/models/llama3", "/metrics", "/livez", "/readyz"),
    *(f"/api/v1/{name}" for name in ("health", "standing", "models", "findings", "snapshots", "space", "schedules")),
    *(f"/api/v1/{name}" for name in ("jobs", "alerts", "actions", "drills", "forecast", "audit", "events")),
    *("/api/v1/models/llama3", "/api/v1/models/llama3/chunks", "/api/v1/history/llama3", "/api/v1/audit/verify"),
)
POINTS = 240  # in what is kept of a run
AT_MOST = 1.05  # of the memory of the first quarter; of descriptors and threads one more, for what is just being asked


@contextmanager
def _guard(environ: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("w") as file:
        guard = subprocess.Popen([sys.executable, "-m", "modelward", "guard"], env=environ, stdout=file, stderr=file)
        try:
            yield guard
        finally:
            guard.send_signal(signal.SIGTERM)
            guard.wait(30)


def _environ(base: Path, disk: Path, server: str, hook: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HOME": str(base / "home"),
        "OLLAMA_HOST": server,
        "MODELWARD_STORE": str(disk / "models"),
        "MODELWARD_VAULT": str(disk / "vault"),
        "MODELWARD_STATE": str(base / "state"),
        "MODELWARD_LISTEN": f"127.0.0.1:{port}",
        "MODELWARD_WEBHOOK_URL": hook,
    }


@contextmanager
def _scene(base: Path, *, whole: bool) -> Iterator[Scene]:
    """The whole one has a disk of its own where it may have one, and the real server where there is one."""
    with ExitStack() as stack:
        own_disk = whole and os.geteuid() == 0 and shutil.which("mkfs.ext4") is not None
        disk = stack.enter_context(mounted("ext4", base, mib=400)) if own_disk else base
        server = stack.enter_context(serving(base, disk / "models", 8 if whole else 2, real=whole))
        hook = Receiver()
        stack.callback(hook.close)
        port = free_port()
        environ = _environ(base, disk, server.url, hook.url, port) | BUSY | ({} if whole else LITTLE)
        guard = stack.enter_context(_guard(environ, base / "guard.txt"))
        visitor = Visitor(f"http://127.0.0.1:{port}", PAGES)
        scene = Scene(base, disk, server, hook, visitor, environ, guard, patience=240.0 if whole else 150.0)
        scene.expect()
        scene.until("every model is backed up, and all is well", lambda: scene.kept() and scene.ready())
        yield scene


@limited(little=5)
def test_a_guard_under_random_faults(run: Run, quick: Path, tmp_path: Path) -> None:
    """Every fault is healed in time; memory, descriptors and threads do not grow; pages answer all the while."""
    whole = not run.cases
    faults: list[tuple[float, str, float]] = []
    samples: list[Sample] = []
    # What lies in memory counts as resident where it is mapped: the whole one has its journal on a disk.
    with _scene(tmp_path if whole else quick, whole=whole) as scene:
        answers = {name: scene.server.ask(name) for name in NAMES}
        began, state = time.monotonic(), scene.base / "state"

        def sample() -> None:
            probes = probes_answered(scene.visitor.get("/metrics")[1].decode())
            samples.append(look(scene.guard.pid, state, time.monotonic() - began, probes))

        with (
            _kept(run, scene, faults, samples),
            Every(3.0 if whole else 0.3, sample) as meter,
            Every(1.0 if whole else 0.05, scene.visitor.visit) as pages,
        ):
            for number in run.numbers():
                with run.case(number) as rng:
                    faults.append(_one(scene, rng, whole=whole, began=began))
                    meter.check()
                    pages.check()
            scene.until("all is well", scene.ready)
            sample()
        assert {name: scene.server.ask(name) for name in NAMES} == answers
        assert scene.modelward("audit", "verify") == scene.modelward("verify", "--level", "full") == 0
        assert scene.modelward("verify", "--vault-copy") == 0
        assert scene.hook.forged == 0
    if whole:
        _did_not_grow(samples)


def _one(scene: Scene, rng: random.Random, *, whole: bool, began: float) -> tuple[float, str, float]:
    """One fault and its healing; then a pause."""
    kinds: dict[Fault, int] = soaking.EVERYWHERE | (soaking.WITH_A_DISK if scene.disk != scene.base else {})
    (fault,) = rng.choices(list(kinds), list(kinds.values()))
    name = fault.__name__.replace("_", " ")
    at = time.monotonic() - began
    with fault(scene, rng) as healed:
        seconds = scene.until(f"{name} is healed", healed)
    print(f"{at:7.1f} s  {name}: healed after {seconds:.2f} s", flush=True)
    time.sleep(rng.expovariate(1 / 3) if whole else 0)
    return round(at, 1), name, round(seconds, 2)


@contextmanager
def _kept(run: Run, scene: Scene, faults: list[tuple[float, str, float]], samples: list[Sample]) -> Iterator[None]:
    """What was measured is kept, of a soak that fails as well."""
    try:
        yield
    finally:
        if faults and samples:
            _count(run, scene, faults, samples)
            if not run.cases:
                _keep(scene.server.what, faults, samples)


def _count(run: Run, scene: Scene, faults: list[tuple[float, str, float]], samples: list[Sample]) -> None:
    run.figures.update(f"healed: {name}" for _, name, _ in faults)
    run.figures["faults"] = run.figures["faults healed"] = len(faults)
    run.figures["slowest, ms"] = round(max(seconds for *_, seconds in faults) * 1000)
    run.figures["median time to heal, ms"] = round(statistics.median(seconds for *_, seconds in faults) * 1000)
    run.figures["pages and API answers"] = scene.visitor.asked.total()
    run.figures["slowest page, ms"] = round(scene.visitor.slowest * 1000)
    run.figures["probes answered"] = samples[-1].probes
    run.figures["notices told"] = scene.hook.told.qsize()
    for of, unit in (("resident", "KiB"), ("anonymous", "KiB"), ("descriptors", "open"), ("threads", "running")):
        found = growth(samples, of)
        run.figures[f"{of}, first quarter, {unit}"] = round(found.first)
        run.figures[f"{of}, last quarter, {unit}"] = round(found.last)


def _did_not_grow(samples: list[Sample]) -> None:
    for of in ("resident", "anonymous"):
        found = growth(samples, of)
        assert found.ratio <= AT_MOST, f"{of} memory: {found.first:.0f} KiB became {found.last:.0f} KiB"
    for of in ("descriptors", "threads"):
        found = growth(samples, of)
        assert found.last <= found.first + 1, f"{of}: {found.first:.0f} became {found.last:.0f}"


def _keep(server: str, faults: list[tuple[float, str, float]], samples: list[Sample]) -> None:
    """What the chart is made of: a few hundred points."""
    step = max(1, -(-len(samples) // POINTS))
    kept = {"server": server, "columns": Sample._fields, "samples": samples[::step], "faults": faults}
    out().mkdir(parents=True, exist_ok=True)
    (out() / "soak.json").write_text(json.dumps(kept) + "\n", encoding="utf-8")
