"""Real processes, really killed: SIGKILL at the n-th system call of every verb, by strace, and at random moments."""

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelward.testing import FakeStore, corrupt
from tests.program import Program

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on PATH"),
]
CALLS = (
    "fsync",
    "link,linkat",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "ftruncate",
    "pwrite64",
    "mkdir,mkdirat",
)
MIB = 1 << 20
WEIGHTS = random.Random(1).randbytes(2 * MIB + 5)
BUDGET = float(os.environ.get("MODELWARD_CAMPAIGN_BUDGET", "600"))


@dataclass(frozen=True)
class Scene:
    """A verb, and the state in which it has work to do."""

    words: tuple[str, ...]
    versions: int = 1
    damage: str = ""


SCENES = {
    "backup": Scene(("backup",), versions=0),
    "restore": Scene(("restore", "llama3"), damage="lost"),
    "repair in place": Scene(("repair",), damage="zeroed"),
    "repair of a loss": Scene(("repair",), damage="lost"),
    "forget": Scene(("forget", "--keep-last", "1"), versions=2),
    "prune": Scene(("prune", "--trash-days", "0"), versions=2, damage="forgotten"),
    "release": Scene(("release", "llama3")),
}


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
            time.sleep(1.05 if version + 1 < scene.versions else 0)
    weights = max(program.store.glob("blobs/*"), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))
    if scene.damage == "lost":
        store.delete_manifest("llama3")
        weights.unlink()
    elif scene.damage == "zeroed":
        corrupt.zero(weights, MIB + 5, 5000)
    elif scene.damage == "forgotten":
        assert program.run("forget", "--keep-last", "1").code == 0
    return program


def killed(program: Program, words: tuple[str, ...], calls: str, at: int) -> bool:
    """Run the verb and kill it at the n-th of these calls; False when it ended before."""
    inject = f"inject={calls}:signal=KILL:when={at}"
    done = subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-o/dev/null",
            f"-etrace={calls}",
            f"-e{inject}",
            sys.executable,
            "-mmodelward",
            *words,
        ],
        env=program.environ(),
        capture_output=True,
        check=False,
    )
    return done.returncode in (-9, 137)


def check(program: Program, scene: Scene, before: int) -> None:
    """Nothing acknowledged is lost, no name holds wrong bytes, and the second run ends well."""
    assert program.run("verify", "--vault-copy").code == 0
    listed = program.run("snapshots", "--json")
    if before:
        lines = [line for line in listed.document["snapshots"] if line["sound"]]
        assert len({line["id"] for line in lines}) >= (1 if "prune" in scene.words else before)
    again = program.run(*scene.words)
    assert again.code == 0, again
    assert program.run("verify").code == 0
    assert program.run("verify", "--vault-copy").code == 0
    sums = subprocess.run(
        ["sha256sum", "--quiet", "-c", "model_checksums.sha256"], cwd=program.vault, capture_output=True, check=False
    )
    assert sums.returncode == 0, sums.stdout
    assert program.run("prune").code == 0
    assert not list((program.vault / "modelward" / "staging").iterdir())


@pytest.fixture(scope="module")
def deadline() -> float:
    """When this part of the campaign ends: half of the budget."""
    return time.monotonic() + BUDGET / 2


@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_killed_at_every_system_call(tmp_path: Path, scene: Scene, calls: str, deadline: float) -> None:
    """For every n until the verb runs through, or the budget is used up."""
    master = tmp_path / "master"
    prepared = prepare(master, scene)
    before = 0
    if scene.versions:
        before = len(prepared.run("snapshots", "--json").document["snapshots"])
    at, struck = 1, True
    while struck and time.monotonic() < deadline:
        shutil.copytree(master, tmp_path / "run", symlinks=True)
        program = Program(tmp_path / "run")
        struck = killed(program, scene.words, calls, at)
        if struck:
            check(program, scene, before)
        shutil.rmtree(tmp_path / "run")
        at += 1
    print(f"{' '.join(scene.words)}: killed at {at - 1 - (not struck)} calls of {calls}")


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """A slow backup, killed again and again at random moments: each run goes on, the last one ends."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng, end = random.Random(seed), time.monotonic() + BUDGET / 4
    base = tmp_path / "place"
    program = prepare(base, Scene(("backup",), versions=0))
    kills = 0
    while time.monotonic() < end and kills < 200:
        process = program.start("backup", MODELWARD_LIMIT_RATE="20M")
        time.sleep(rng.uniform(0.05, 0.5))
        process.kill()
        process.communicate()
        kills += 1
        if kills % 20 == 0:
            FakeStore(program.store).add_model("llama3", rng.randbytes(3 * MIB), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    assert program.run("verify", "--vault-copy").code == 0
    print(f"{kills} random kills")
