"""The operating system says no, does half, or lies: a typed error or a finished verb, nothing lost, staging freed."""

import errno
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from modelward.domain.errors import ModelwardError
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.services.backup import backup
from modelward.services.retention import forget, prune
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore
from tests.campaign.hooked import LIE, SHORT, FaultyOs, HookedOs, counted, replaced
from tests.campaign.plan import Run, limited
from tests.campaign.test_crash import SCENES, Stage, check
from tests.disks import mounted
from tests.faults.scripted import ScriptedOs
from tests.faults.test_crash import acknowledged, check_nothing_lost, finish
from tests.faults.verbs import VERBS, Verb
from tests.places import Place
from tests.program import Program

MIB = 1 << 20
ERRORS = (
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EMFILE,
)
FAULTS: tuple[int | str, ...] = (*ERRORS, SHORT, LIE)


def name_of(fault: int | str) -> str:
    """The fault in words."""
    return errno.errorcode[fault] if isinstance(fault, int) else fault


@limited(little=24, share=0.4)
def test_any_fault_at_any_call(quick: Path, run: Run) -> None:
    """A fault at the n-th call, once or from then on: typed, with a next step, nothing lost, and the work is finished.

    A short write is gone on with, and an fsync that lies cannot be seen, so both end well (W1, D1).
    """
    calls: dict[tuple[str, int | str], int] = {}
    for number in run.numbers():
        rng = run.rng(number)
        verb, fault, sticky = rng.choice(VERBS), rng.choice(FAULTS), rng.random() < 0.4
        if (verb.name, fault) not in calls:
            probe = prepared(quick / f"probe {verb.name} {fault}", verb)
            calls[verb.name, fault] = counted(fault, lambda: verb.work(probe))  # noqa: B023 - called at once
        at = rng.randint(1, max(1, calls[verb.name, fault]))
        place = prepared(quick / f"at{number}", verb)
        with run.case(number, (verb.name, name_of(fault), at, sticky)):
            struck = strike(place, verb, FaultyOs(fault, at, sticky=sticky))
            run.figures[f"{name_of(fault)}{', sticky' if sticky else ''}: {struck}"] += 1
        shutil.rmtree(place.base)


def prepared(base: Path, verb: Verb) -> Place:
    """A place in which the verb has work to do."""
    place = Place(base)
    verb.prepare(place)
    return place


def strike(place: Place, verb: Verb, script: FaultyOs) -> str:
    """Let the verb meet the fault; what came of it, in a word."""
    before, outcome = acknowledged(place), "finished"
    with replaced(script):
        try:
            verb.work(place)
        except ModelwardError as problem:
            outcome = "typed error"
            assert problem.next_step, repr(problem)
    if script.fault in (SHORT, LIE):
        assert outcome == "finished" or script.sticky
    check_nothing_lost(place, before, verb.name)
    finish(place, verb)
    return outcome if script.fired else "not reached"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that faults a whole process, compiled; skips where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on PATH")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


SHIMMED = ("backup", "restore", "repair in place", "repair of a loss", "repair of the vault", "forget", "import")
DEEDS = {
    "write": ("5", "28", "122", "30", "short"),
    "sync": ("5", "28", "lie"),
    "name": ("5", "28", "30", "13"),
    "create": ("24", "13", "28", "30"),
    "read": ("5", "flip"),
}


@limited(little=2, share=0.25)
def test_faults_of_the_whole_process(tmp_path: Path, shim: Path, run: Run) -> None:
    """Below the interpreter, threads and direct reads included: no traceback, nothing lost, the next run ends well."""
    stages: dict[str, Stage] = {}
    counts: dict[tuple[str, str], int] = {}
    for number in run.numbers():
        rng = run.rng(number)
        name, kind = rng.choice(SHIMMED), rng.choice(sorted(DEEDS))
        deed, sticky = rng.choice(DEEDS[kind]), rng.random() < 0.3
        if name not in stages:
            (tmp_path / name).mkdir()
            stages[name] = Stage(tmp_path / name, SCENES[name])
        stage = stages[name]
        if (name, kind) not in counts:
            counts[name, kind] = shimmed(stage.copy(), shim, stage.scene.words, Fault(kind))
        at = rng.randint(1, max(1, counts[name, kind]))
        with run.case(number, (name, kind, deed, at, sticky)):
            began = time.monotonic()
            code = shimmed(stage.copy(), shim, stage.scene.words, Fault(kind, deed, at, sticky))
            assert code in (0, 1, 3, 4, 5), code
            run.figures["slowest, ms"] = max(run.figures["slowest, ms"], int(1000 * (time.monotonic() - began)))
            run.figures[f"{kind} {deed}{', sticky' if sticky else ''}: exit {code}"] += 1
            check(Program(stage.base / "run"), stage)


@dataclass(frozen=True)
class Fault:
    """What the library does: ``deed`` at the n-th call (0: nothing) of a ``kind``."""

    kind: str
    deed: str = "5"
    at: int = 0
    sticky: bool = False

    def environ(self, shim: Path, base: Path) -> dict[str, str]:
        """What the library asks of its environment."""
        return {
            "LD_PRELOAD": str(shim),
            "SHIM_UNDER": str(base),
            "SHIM_KIND": self.kind,
            "SHIM_DO": self.deed,
            "SHIM_AT": str(self.at),
            "SHIM_LOG": "" if self.at else str(base / "count"),
            **({"SHIM_STICKY": "1"} if self.sticky else {}),
        }


def shimmed(program: Program, shim: Path, words: tuple[str, ...], fault: Fault) -> int:
    """Run a verb below the library; its exit code, or without a fault how many calls of the kind it made."""
    done = program.run(*words, **fault.environ(shim, program.base))
    return done.code if fault.at else int((program.base / "count").read_text())


@contextmanager
def disk(kind: str, base: Path) -> Iterator[Path]:
    """A small file system of its own, tmpfs among them."""
    if kind != "tmpfs":
        with mounted(kind, base, kind) as point:
            yield point
        return
    point = base / kind
    point.mkdir()
    options = "size=48m,nr_inodes=400"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def fill_bytes(point: Path, left: int) -> list[Path]:
    """Leave about so many bytes free; the files that took the rest."""
    path = point / "filler"
    space = os.statvfs(point)
    with path.open("wb") as file, suppress(OSError):  # btrfs says more than it then gives
        os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - left))
    return [path]


def fill_inodes(point: Path, left: int) -> list[Path]:
    """Leave about so many files that can be made."""
    folder, made = point / "many", list[Path]()
    folder.mkdir()
    with suppress(OSError):
        for number in range(1 << 17):
            made.append(folder / str(number))
            made[-1].touch()
    for path in made[-left - 1 :]:
        path.unlink(missing_ok=True)
    return [*made, folder]


FILLS: dict[str, tuple[str, Callable[[Path, int], list[Path]], int]] = {
    "ext4, bytes": ("ext4", fill_bytes, 6 * MIB),
    "xfs, bytes": ("xfs", fill_bytes, 6 * MIB),
    "btrfs, bytes": ("btrfs", fill_bytes, 6 * MIB),
    "tmpfs, bytes": ("tmpfs", fill_bytes, 6 * MIB),
    "ext4, inodes": ("ext4", fill_inodes, 24),
    "tmpfs, inodes": ("tmpfs", fill_inodes, 24),
}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems")
@limited(little=6, share=0.2)
def test_a_disk_that_fills_up(tmp_path: Path, run: Run) -> None:
    """By bytes and by inodes: a typed error or success, old versions intact, staging empty, deleting works (D1)."""
    for number in run.numbers():
        rng = run.rng(number)
        name = sorted(FILLS)[number % len(FILLS)]
        kind, fill, most = FILLS[name]
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, name), disk(kind, base) as point:
            place = Place(point)
            FakeStore(place.store).add_model("llama3", rng.randbytes(2 * MIB + 5), template=b"{{ .Prompt }}")
            backup(place.site(), ())
            FakeStore(place.store).add_model("llama3", rng.randbytes(2 * MIB + 7), template=b"{{ .Prompt }}")
            place.clock.advance(minutes=1)
            fillers = fill(point, rng.randrange(most))
            run.figures[f"{name}: {full(place)}"] += 1
            unfill(fillers)
            assert backup(place.site(), ()).exit_code == 0
            assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
        shutil.rmtree(base, ignore_errors=True)


def full(place: Place) -> str:
    """What backup, then forget and prune do on the full disk."""
    before, outcome = acknowledged(place), "finished"
    try:
        backup(place.site(), ())
    except ModelwardError as problem:
        outcome = type(problem).__name__
        assert problem.next_step
    assert set(before) <= set(acknowledged(place))
    assert not list((place.vault / "modelward" / "staging").iterdir())
    with suppress(ModelwardError):
        forget(place.site(), (), Policy(keep_last=1))
        prune(place.site(), timedelta())
    for path in (place.vault / "blobs" / "sha256").iterdir():
        assert path.stat().st_size or path.name.startswith("e3b0c442")
    return outcome


def unfill(fillers: list[Path]) -> None:
    """Make room again."""
    for path in fillers:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems")
@limited(little=2, share=0.15)
def test_read_only_while_a_writer_is_at_work(tmp_path: Path, run: Run) -> None:
    """ext4 turns itself read-only in the middle of a verb: a typed error, and after fsck all is there."""
    for number in run.numbers():
        rng = run.rng(number)
        verb = rng.choice(
            [verb for verb in VERBS if verb.name in ("backup", "restore", "repair-lost", "forget", "prune")]
        )
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, verb.name):
            probe = prepared(base / "probe", verb)
            script = ScriptedOs()
            with replaced(script):
                verb.work(probe)
            at = rng.randint(1, len(script.calls))
            run.figures[f"{verb.name}: {turned(base, verb, at, rng)}"] += 1
        shutil.rmtree(base, ignore_errors=True)


def turned(base: Path, verb: Verb, at: int, rng: random.Random) -> str:
    """Do the verb with the disk turning read-only before its n-th call; what came of it."""
    image, outcome = base / "disk.img", "finished"
    with mounted("ext4", base) as point:
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", str(point)], check=True)
        device = Path(
            os.path.realpath(f"/sys/dev/block/{os.major(point.stat().st_dev)}:{os.minor(point.stat().st_dev)}")
        )
        trigger = Path("/sys/fs/ext4") / device.name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel cannot be told to find an error in ext4")
        place = prepared(point / "place", verb)
        subprocess.run(["sync", "-f", str(point)], check=True)
        before = acknowledged(place)
        with replaced(HookedOs(at, lambda: trigger.write_text(f"campaign {rng.random()}"))):
            try:
                verb.work(place)
            except ModelwardError as problem:
                outcome = "typed error"
                assert problem.next_step
    settle(point)
    assert subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False).returncode in (0, 1)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        check_nothing_lost(place, before, verb.name)
        finish(place, verb)
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
    return outcome


def settle(point: Path) -> None:
    """Wait until the loop device of a file system that was unmounted is gone."""
    give_up = time.monotonic() + 60
    while (
        str(point.with_suffix(".img"))
        in subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    ):
        assert time.monotonic() < give_up, "the loop device does not go"
        time.sleep(0.05)
