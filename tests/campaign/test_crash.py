"""Real processes, really killed: at every system call of every verb, inside the recovery that follows, at random."""

import random
import shutil
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.testing import FakeStore
from modelward.testing.registry import FakeRegistry
from tests.campaign.plan import Run, limited
from tests.campaign.scenes import SCENES, Known, Play, Stage, check, stocked, wrong
from tests.campaign.striker import SUPPORTED, Striker, striking
from tests.campaign.tracer import CALLS, calls_of, killed
from tests.program import Program

MIB = 1 << 20
UNSAFE = "no staging"
MOST = 20  # failures, after which no more are needed
warm = pytest.mark.skipif(not SUPPORTED, reason="system calls are told apart on x86-64 Linux only")
traced = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on PATH")


class Stages:
    """The scenes, each set up when it is first asked for."""

    def __init__(self, base: Path, striker: Striker, registry: FakeRegistry) -> None:
        self._base, self._striker, self._registry = base, striker, registry
        self._made: dict[str, Stage] = {}

    def __getitem__(self, name: str) -> Stage:
        if name not in self._made:
            base = self._base / name.replace(" ", "-")
            self._made[name] = Stage(name, base, self._striker, self._registry)
        return self._made[name]


@pytest.fixture
def stages(quick: Path) -> Iterator[Stages]:
    """The scenes, in memory where there is some."""
    with striking(quick) as striker, FakeRegistry().running() as registry:
        yield Stages(quick, striker, registry)


@warm
def test_the_call_that_is_struck_is_not_made(quick: Path) -> None:
    """What was done before the n-th call is there, the n-th and what follows is not, in whichever thread it is."""
    with striking(quick) as striker:
        for at in range(1, 7):
            program = Program(quick / f"at{at}")
            program.base.mkdir()
            struck = striker.ask(program, ("@folders",), at)
            assert (struck.code, struck.call is not None and struck.call[1]) == (-signal.SIGKILL, "mkdir")
            assert {path.name for path in program.base.iterdir()} == {f"folder{number}" for number in range(at - 1)}
        whole = Program(quick / "whole")
        whole.base.mkdir()
        calls = striker.ask(whole, ("@folders",), 0).calls
        assert [call[:2] for call in calls[:4]] == [(thread, "mkdir") for thread in (0, 1, 0, 2)]


def points(run: Run, stages: Stages) -> Iterator[tuple[int, str, int]]:
    """Number, scene and call of every case: each call of each scene once, the scenes in turn, in an order by chance."""
    scenes = sorted(SCENES)
    orders: dict[str, list[int]] = {}
    for number in run.numbers():
        name, turn = scenes[number % len(scenes)], number // len(scenes)
        if name not in orders:
            orders[name] = list(range(1, len(stages[name].calls) + 1))
            random.Random(f"{run.seed} {name}").shuffle(orders[name])
        if turn < len(orders[name]):
            yield number, name, orders[name][turn]
        elif len(orders) == len(scenes) and turn >= max(map(len, orders.values())):
            return


@warm
@limited(little=3, share=0.9)
def test_killed_at_every_call(stages: Stages, run: Run) -> None:
    """Death at the n-th mutating call of any thread, and every other time in what follows, loses nothing (W1, W2)."""
    total: dict[str, int] = {}
    for number, name, at in points(run, stages):
        total[name] = len(stages[name].calls)
        run.figures["points there are"] = sum(total.values())
        try:
            strike(run, stages[name], number, at)
        except AssertionError:  # noted with its seed: one bad point must not hide the others
            traceback.print_exc()
            if len(run.failed) == MOST:
                break
    assert not run.failed, f"{len(run.failed)} of {run.figures['points there are']} points"


def strike(run: Run, stage: Stage, number: int, at: int) -> None:
    """One case: kill the verb at a call, maybe kill what follows, and look."""
    with run.case(number, (stage.name, at, stage.calls[at - 1])) as rng:
        play = stage.play()
        known = Known.of(play)
        struck = stage.struck(play, at)
        run.figures[f"{stage.name}: {_how(struck.call)}"] += 1
        run.figures["points struck"] += struck.killed
        if struck.killed and turned(number):
            again(stage, at, rng, run)
        check(play, known)


def turned(number: int) -> bool:
    """Whether this case is one with a second kill: every other one of each scene."""
    return bool(number // len(SCENES) % 2)


def _how(call: tuple[int, str, str] | None) -> str:
    if call is None:
        return "ended before"
    return "struck in the main thread" if not call[0] else "struck in another thread"


def again(stage: Stage, at: int, rng: random.Random, run: Run) -> None:
    """Kill the recovery too, and mostly the one after it."""
    play, name = stage.here(), stage.name
    for _ in range(rng.choice((1, 1, 1, 2))):
        left = max(20, len(stage.calls) - at)  # what is left to do, and what every run does first
        if not stage.struck(play, rng.randint(1, left)).killed:
            break
        run.figures[f"{name}: struck again inside the recovery"] += 1
        run.figures["kills inside recovery"] += 1


@warm
@limited(little=6, share=0.04)
def test_an_unsafe_writer_is_caught(stages: Stages, run: Run) -> None:
    """The test of the test: a writer without staging, under the same kills and the same look, is caught."""
    stage = stages["backup"]
    calls = stage.struck(stage.play(), 0, CAMPAIGN_BROKEN=UNSAFE).calls
    order = list(range(1, len(calls) + 1))
    random.Random(run.seed).shuffle(order)
    order.sort(key=lambda at: not (calls[at - 1][1] == "write" and "/blobs/sha256/" in calls[at - 1][2]))
    for number in run.numbers():
        if number >= len(order):
            break
        with run.case(number, order[number]):
            play = stage.play()
            known = Known.of(play)
            stage.struck(play, order[number], CAMPAIGN_BROKEN=UNSAFE)
            run.figures["caught" if _fails(play, known) else "nothing to see at this call"] += 1
    assert run.figures["caught"], "a writer without staging passed: the matrix finds nothing"


def _fails(play: Play, known: Known) -> bool:
    try:
        check(play, known)
    except AssertionError:
        return True
    return False


@traced
@limited(little=1, share=0.03)
def test_killed_by_strace_in_a_process_of_its_own(tmp_path: Path, run: Run) -> None:
    """By another tracer, in a program that starts anew: what the warm process shows is no artefact."""
    calls = calls_of(fresh(tmp_path / "count"), ("backup",), tmp_path / "log")
    for number in run.numbers():
        with run.case(number) as rng:
            program = fresh(tmp_path / f"case{number}")
            kind = rng.choice([kind for kind in CALLS if calls[kind]])
            struck = killed(program, ("backup",), kind, rng.randint(1, calls[kind]))
            run.figures["killed" if struck else "ended before"] += 1
            assert not wrong(program)
            assert program.run("backup").code == 0
            assert program.run("verify", "--vault-copy").code == 0
            shutil.rmtree(program.base)


def fresh(base: Path) -> Program:
    """A store that was never backed up."""
    base.mkdir(parents=True)
    stocked(Program(base), 0)
    return Program(base)


@limited(little=3, share=0.03)
def test_killed_at_random_moments(tmp_path: Path, run: Run) -> None:
    """A slow backup, killed again and again at random moments: each run goes on, the last one ends."""
    program = fresh(tmp_path / "place")
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
