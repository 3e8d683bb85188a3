"""Real processes, really killed: at system calls of every verb, inside the recovery that follows, at random moments."""

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.domain.reading import Level
from modelward.services.retention import prune
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, FrozenClock, corrupt
from tests.campaign.plan import Run, limited
from tests.campaign.tracer import CALLS, calls_of, killed
from tests.campaign.world import sha256
from tests.places import Place
from tests.program import Program

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on PATH")
MIB = 1 << 20
WEIGHTS = random.Random(1).randbytes(2 * MIB + 5)


@dataclass(frozen=True)
class Scene:
    """A verb, and what is done before so that it has work to do; ``versions`` of llama3 are backed up first."""

    words: tuple[str, ...]
    versions: int = 1
    ready: Callable[[Program], None] = lambda _: None
    drops: bool = False


def lost(program: Program) -> None:
    """The manifest and the weights are gone."""
    FakeStore(program.store).delete_manifest("llama3")
    weights(program.store / "blobs").unlink()


def zeroed(program: Program) -> None:
    """A chunk of the weights is zeroed."""
    corrupt.zero(weights(program.store / "blobs"), MIB + 5, 5000)


def rotten(program: Program) -> None:
    """The vault's copy of the weights is damaged, and its smallest object gone."""
    blobs = program.vault / "blobs" / "sha256"
    corrupt.zero(weights(blobs), MIB + 5, 5000)
    min(blobs.iterdir(), key=lambda path: path.stat().st_size).unlink()


def forgotten(program: Program) -> None:
    """The older version lies in the trash."""
    assert program.run("forget", "--keep-last", "1").code == 0


def bundled(program: Program) -> None:
    """There is a bundle, and a new vault that has nothing of it."""
    assert program.run("export", "llama3", "bundle.mw").code == 0
    program.vault.rename(program.base / "old vault")
    assert program.run("backup", "mini").code == 0


def littered(program: Program) -> None:
    """An orphan and the leftovers of a download."""
    FakeStore(program.store).add_orphan(b"nobody")
    FakeStore(program.store).add_partial()


def weights(folder: Path) -> Path:
    """The newest of the largest files."""
    return max(folder.iterdir(), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))


SCENES = {
    "backup": Scene(("backup",), versions=0),
    "restore": Scene(("restore", "llama3"), ready=lost),
    "repair in place": Scene(("repair",), ready=zeroed),
    "repair of a loss": Scene(("repair",), ready=lost),
    "repair of the vault": Scene(("repair", "--vault-copy"), ready=rotten),
    "forget": Scene(("forget", "--keep-last", "1"), versions=2),
    "prune": Scene(("prune", "--trash-days", "0"), versions=2, ready=forgotten, drops=True),
    "import": Scene(("import", "bundle.mw"), ready=bundled),
    "export": Scene(("export", "llama3", "new.mw", "--force")),
    "release": Scene(("release", "llama3")),
    "pin": Scene(("pin", "llama3")),
    "reclaim": Scene(("space", "--reclaim", "--grace", "0s"), ready=littered),
}


class Stage:
    """A scene, prepared once; each run works on a copy of it."""

    def __init__(self, base: Path, scene: Scene) -> None:
        self.base, self.scene = base, scene
        self.master = prepare(base / "master", scene)
        self.records = records(self.master)
        self.calls = calls_of(self.copy(), scene.words, base / "trace")
        self.throw_away()

    def copy(self) -> Program:
        """A copy of the prepared place; an older one goes."""
        self.throw_away()
        shutil.copytree(self.master.base, self.base / "run", symlinks=True)
        return Program(self.base / "run")

    def throw_away(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self.base / "run", ignore_errors=True)


def prepare(base: Path, scene: Scene) -> Program:
    """Bring a store and a vault into the scene's state."""
    program = Program(base)
    base.mkdir(parents=True)
    store = FakeStore(program.store)
    store.add_model("mini", b"mini", template=b"{{ .Prompt }}")
    for version in range(max(1, scene.versions)):
        store.add_model("llama3", WEIGHTS + bytes([version]), template=b"{{ .Prompt }}")
        if scene.versions:
            assert program.run("backup").code == 0
            time.sleep(1.05 if version + 1 < scene.versions else 0)  # records of one second would have one name
    scene.ready(program)
    return program


def records(program: Program) -> set[str]:
    """The records of the vault, in the trash or not."""
    own = program.vault / "modelward"
    folders = [own / name for name in ("snapshots", "trash") if (own / name).exists()]
    return {path.name for folder in folders for path in folder.iterdir()}


def check(program: Program, stage: Stage) -> None:
    """Nothing acknowledged is lost, no name holds wrong bytes, and the next run ends well with nothing by hand."""
    scene = stage.scene
    if not scene.drops:
        assert stage.records <= records(program)
    damaged = scene.ready in (zeroed, rotten)
    if not damaged:
        assert not wrong(program)
    again = program.run(*scene.words)
    assert again.code == 0, again
    assert not wrong(program)
    if (program.vault / "modelward" / "vault.json").exists():
        place = Place(program.base, FrozenClock(datetime.now(UTC) + timedelta(minutes=1)))
        assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
        prune(place.site(), timedelta(days=1000))
        assert not list((program.vault / "modelward" / "staging").iterdir())
        sums = ["sha256sum", "--quiet", "-c", "model_checksums.sha256"]
        assert subprocess.run(sums, cwd=program.vault, capture_output=True, check=False).returncode == 0
    assert not list(program.store.glob(".modelward/staging/*"))


def wrong(program: Program) -> list[Path]:
    """Files under a digest's name that have other bytes."""
    vault = program.vault / "blobs" / "sha256"
    named = [*program.store.glob("blobs/sha256-" + "?" * 64), *(vault.iterdir() if vault.exists() else ())]
    return [path for path in named if sha256(path) != path.name.removeprefix("sha256-")]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Stage]:
    """The scenes, each prepared when it is first asked for."""
    made: dict[str, Stage] = {}

    def stage(name: str) -> Stage:
        if name not in made:
            made[name] = Stage(tmp_path_factory.mktemp("stage"), SCENES[name])
        return made[name]

    return stage


@limited(little=3, share=0.8)
def test_killed_at_the_nth_call(stages: Callable[[str], Stage], run: Run) -> None:
    """Death at the n-th call of a class, and mostly once or twice more inside what follows, loses nothing (W1, W2)."""
    seen: set[tuple[str, str, int]] = set()
    scenes = sorted(SCENES)
    for number in run.numbers():
        name = scenes[number % len(scenes)]
        stage = stages(name)
        points = [(name, calls, at) for calls in CALLS for at in range(1, stage.calls[calls] + 1)]
        random.Random(f"{run.seed} {name}").shuffle(points)
        point, rng = points[number // len(scenes) % len(points)], run.rng(number)
        with run.case(number, point):
            program = stage.copy()
            struck = killed(program, stage.scene.words, point[1], point[2])
            run.figures[f"{name}: {'killed' if struck else 'ended before'}"] += 1
            for _ in range(rng.choice((0, 1, 1, 2)) if struck else 0):
                calls = rng.choice([calls for calls in CALLS if stage.calls[calls]])
                if killed(program, stage.scene.words, calls, rng.randint(1, stage.calls[calls])):
                    run.figures["killed again inside the recovery"] += 1
            check(program, stage)
        seen.add(point)
    run.figures["points struck once at least"] = len(seen)
    stages_of = {name: stages(name) for name in {point[0] for point in seen}}
    run.figures["points there are"] = sum(sum(stage.calls.values()) for stage in stages_of.values())


@limited(little=3, share=0.2)
def test_killed_at_random_moments(tmp_path: Path, run: Run) -> None:
    """A slow backup, killed again and again at random moments: each run goes on, the last one ends."""
    program = prepare(tmp_path / "place", Scene(("backup",), versions=0))
    for number in run.numbers():
        with run.case(number) as rng:
            process = program.start("backup", MODELWARD_LIMIT_RATE="20M")
            time.sleep(rng.uniform(0.05, 0.5))  # the moment is what is drawn
            process.kill()
            process.communicate()
            assert not wrong(program)
            if number % 20 == 19:
                FakeStore(program.store).add_model("llama3", rng.randbytes(3 * MIB), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    assert program.run("verify", "--vault-copy").code == 0
