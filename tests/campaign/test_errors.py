"""The operating system says no, does half, or lies: a typed error or a finished verb, nothing lost, staging freed."""

import errno
import gc
import os
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
from modelward.domain.retention import Policy
from modelward.domain.snapshot import Snapshot
from modelward.services.retention import forget, prune
from modelward.testing.registry import FakeRegistry
from tests.campaign.block_log import failing, logged
from tests.campaign.disks import flush, make
from tests.campaign.hooked import LIE, SHORT, FaultyOs, HookedOs, counted, replaced
from tests.campaign.plan import Run, limited
from tests.campaign.scenes import SCENES, Known, Play, Stage, check
from tests.campaign.striker import striking
from tests.disks import mounted
from tests.faults.scripted import ScriptedOs
from tests.faults.test_crash import acknowledged, check_nothing_lost, finish
from tests.faults.verbs import VERBS, Verb, far
from tests.places import Place

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
OURS = tuple(verb for verb in VERBS if verb.name != "re-pull")  # there a stand-in for the server writes, not we
PATIENCE = 5.0  # seconds in which an error is said


def name_of(fault: int | str) -> str:
    """The fault in words."""
    return errno.errorcode[fault] if isinstance(fault, int) else fault


@limited(little=24, share=0.35)
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
            struck = strike(place, verb, FaultyOs(fault, at, sticky=sticky), run)
            run.figures[f"{name_of(fault)}{', sticky' if sticky else ''}: {struck}"] += 1
        shutil.rmtree(place.base)


def prepared(base: Path, verb: Verb) -> Place:
    """A place in which the verb has work to do."""
    place = Place(base)
    verb.prepare(place)
    return place


def strike(place: Place, verb: Verb, script: FaultyOs, run: Run) -> str:
    """Let the verb meet the fault; what came of it, in a word."""
    before = acknowledged(place)
    with replaced(script), soon(run):
        outcome = met(verb, place)
    if script.fault in (SHORT, LIE):
        assert outcome == "finished" or script.sticky
    check_nothing_lost(place, before, verb.name)
    finish(place, verb)
    return outcome if script.fired else "not reached"


def met(verb: Verb, place: Place) -> str:
    """Do the verb; what came of it, in a word. Any other error than a typed one with a next step is raised."""
    try:
        report = verb.work(place)
    except ModelwardError as problem:
        assert problem.next_step, repr(problem)
        return "typed error"
    return "its report says so" if getattr(report, "exit_code", 0) else "finished"


@contextmanager
def soon(run: Run) -> Iterator[None]:
    """What is done in the block ends within PATIENCE, errors and all."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    run.figures["slowest, ms"] = max(run.figures["slowest, ms"], int(1000 * took))
    assert took < PATIENCE, f"an error took {took:.1f} s"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that faults a whole process, compiled; skips where there is no compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on PATH")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


SHIMMED = tuple(name for name, scene in SCENES.items() if not scene.words[0].startswith("@"))
DEEDS = {
    "write": ("5", "28", "122", "30", "short"),
    "sync": ("5", "28", "122", "lie"),
    "name": ("5", "28", "122", "30", "13"),
    "create": ("5", "13", "24", "28", "30", "122"),
    "open": ("5", "13", "24"),
    "read": ("5", "flip"),
}


class Below:
    """Scenes whose verbs run below the library, and how many calls of each kind they make."""

    def __init__(self, base: Path, shim: Path) -> None:
        self._base, self._shim = base, shim
        self._stages: dict[str, Stage] = {}
        self._counts: dict[str, dict[str, int]] = {}

    @contextmanager
    def at_work(self) -> Iterator["Below"]:
        """With the warm process that has the library, and a registry."""
        with striking(self._base, str(self._shim)) as self._striker, FakeRegistry().running() as self._registry:
            yield self

    def stage(self, name: str) -> Stage:
        """A scene."""
        if name not in self._stages:
            self._stages[name] = Stage(name, self._base / name.replace(" ", "-"), self._striker, self._registry)
        return self._stages[name]

    def count(self, name: str, kind: str) -> int:
        """How many calls of the kind the verb makes."""
        if name not in self._counts:
            play = self.stage(name).play()
            self.shimmed(play, Fault(kind))
            lines = (line.split() for line in (play.base / "counts").read_text().splitlines())
            self._counts[name] = {word: int(count) for word, count in lines}
        return self._counts[name][kind]

    def shimmed(self, play: Play, fault: "Fault") -> int:
        """The exit code of the verb with this fault; a traceback fails."""
        return play.run(*play.words(), **fault.environ(play.base)).code


@limited(little=3, share=0.3)
def test_faults_of_the_whole_process(quick: Path, shim: Path, run: Run) -> None:
    """Below the interpreter, SQLite, threads and direct reads included: no traceback, nothing lost, all well after."""
    with Below(quick, shim).at_work() as below:
        for number in run.numbers():
            rng = run.rng(number)
            name, kind = SHIMMED[number % len(SHIMMED)], rng.choice(sorted(DEEDS))
            deed, sticky = rng.choice(DEEDS[kind]), rng.random() < 0.3
            at = rng.randint(1, max(1, below.count(name, kind)))
            with run.case(number, (name, kind, deed, at, sticky)):
                play = below.stage(name).play()
                known = Known.of(play)
                with soon(run):
                    code = below.shimmed(play, Fault(kind, deed, at, sticky))
                assert code in (0, 1, 2, 3, 4, 5), code
                run.figures[f"{kind} {deed}{', sticky' if sticky else ''}: exit {code}"] += 1
                run.figures[f"{name}: faults"] += 1
                if not sticky and kind != "name":
                    assert not [*play.vault.glob("modelward/staging/*"), *play.store.glob(".modelward/staging/*")]
                check(play, known, reading=kind != "read")


@dataclass(frozen=True)
class Fault:
    """What the library does: ``deed`` at the n-th call (0: nothing) of a ``kind``."""

    kind: str
    deed: str = "5"
    at: int = 0
    sticky: bool = False

    def environ(self, base: Path) -> dict[str, str]:
        """What the library asks of its environment."""
        return {
            "SHIM_UNDER": str(base),
            "SHIM_KIND": self.kind,
            "SHIM_DO": self.deed,
            "SHIM_AT": str(self.at),
            "SHIM_LOG": "" if self.at else str(base / "counts"),
            **({"SHIM_STICKY": "1"} if self.sticky else {}),
        }


@contextmanager
def disk(name: str, base: Path) -> Iterator[Path]:
    """A small file system of its own, tmpfs among them; ``name`` as in FILLS."""
    kind = name.partition(",")[0]
    if kind != "tmpfs":
        with mounted(kind, base, kind, options=MADE.get(name, ())) as point:
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
    """Leave about so many bytes free; the file that took the rest."""
    path, size = point / "filler", 0
    with path.open("wb") as file:
        for step in (MIB, 1 << 16, 4096):  # no file system says beforehand what it will give
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
        file.truncate(max(0, size - left))
    return [path]


def fill_inodes(point: Path, left: int, content: bytes = b"") -> list[Path]:
    """Leave about so many files that can be made."""
    folder, made = point / "many", list[Path]()
    folder.mkdir()
    with suppress(OSError):
        for number in range(1 << 17):
            made.append(folder / str(number))
            made[-1].write_bytes(content)
    for path in made[-left - 1 :]:
        path.unlink(missing_ok=True)
    return [*made, folder]


def fill_inline(point: Path, left: int) -> list[Path]:
    """btrfs has no inodes to run out of, but room for metadata: small files lie in it, bytes and all."""
    return [*fill_bytes(point, 3 * MIB), *fill_inodes(point, left, bytes(2000))]


FILLS: dict[str, tuple[Callable[[Path, int], list[Path]], int]] = {
    "ext4, bytes": (fill_bytes, 6 * MIB),
    "xfs, bytes": (fill_bytes, 6 * MIB),
    "btrfs, bytes": (fill_bytes, 6 * MIB),
    "tmpfs, bytes": (fill_bytes, 6 * MIB),
    "ext4, inodes": (fill_inodes, 24),
    "xfs, inodes": (fill_inodes, 24),
    "btrfs, metadata": (fill_inline, 24),
    "tmpfs, inodes": (fill_inodes, 24),
}
MADE = {"ext4, inodes": ("-N", "600"), "xfs, inodes": ("-i", "maxpct=1"), "btrfs, metadata": ("--mixed",)}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems")
@limited(little=8, share=0.2)
def test_a_disk_that_fills_up(tmp_path: Path, run: Run) -> None:
    """By bytes and by inodes, under any verb: a typed error or success, old versions intact, staging empty (D1)."""
    for number in run.numbers():
        rng = run.rng(number)
        name, verb = sorted(FILLS)[number % len(FILLS)], rng.choice(OURS)
        fill, most = FILLS[name]
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, (name, verb.name)), disk(name, base) as point:
            place = prepared(point / "place", verb)
            far(place)  # what upstream has is no part of what the disk is about
            before = acknowledged(place)
            fillers = fill(point, rng.randrange(most))
            with soon(run):
                outcome = met(verb, place)
            run.figures[f"{name}: {outcome}"] += 1
            look_while_full(place, before, verb)
            unfill(fillers)
            assert outcome != "finished" or verb.done(place), "what was said to be done is done"
            check_nothing_lost(place, before, verb.name)
            finish(place, verb)
        shutil.rmtree(base, ignore_errors=True)


def look_while_full(place: Place, before: tuple[Snapshot, ...], verb: Verb) -> None:
    """The versions are there, staging is freed, no name stands for nothing, and what frees room does no harm."""
    if verb.name != "prune":
        assert {s.id for s in before} <= kept(place)
    own = place.vault / "modelward" / "staging"
    assert not [*(own.iterdir() if own.exists() else ()), *place.store.glob(".modelward/staging/*")]
    with suppress(ModelwardError):
        forget(place.site(make_vault=False), (), Policy(keep_last=5))
        prune(place.site(make_vault=False), timedelta(days=1000))
    blobs = place.vault / "blobs" / "sha256"
    for path in blobs.iterdir() if blobs.exists() else ():
        assert path.stat().st_size or path.name.startswith("e3b0c442")


def kept(place: Place) -> set[str]:
    """The records of the vault, in the trash or not."""
    vault = place.site(make_vault=False).vault
    return set() if vault is None else {s.id for s in vault.snapshots()} | {i.snapshot.id for i in vault.trashed()}


def unfill(fillers: list[Path]) -> None:
    """Make room again."""
    for path in fillers:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems")
@limited(little=2, share=0.07)
def test_read_only_while_a_writer_is_at_work(tmp_path: Path, run: Run) -> None:
    """ext4 turns itself read-only in the middle of a verb: a typed error, and after fsck all is there."""
    for number in run.numbers():
        rng = run.rng(number)
        verb = rng.choice(OURS)
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, verb.name):
            at = rng.randint(1, calls_of(verb, base / "probe"))
            run.figures[f"{verb.name}: {turned(base, verb, at, run)}"] += 1
        shutil.rmtree(base, ignore_errors=True)


def calls_of(verb: Verb, base: Path) -> int:
    """How many mutating calls the verb makes."""
    probe, script = prepared(base, verb), ScriptedOs()
    with replaced(script):
        verb.work(probe)
    return len(script.calls)


def turned(base: Path, verb: Verb, at: int, run: Run) -> str:
    """Do the verb with the disk turning read-only before its n-th call; what came of it."""
    image = base / "disk.img"
    with mounted("ext4", base) as point:
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", str(point)], check=True)
        device = Path(
            os.path.realpath(f"/sys/dev/block/{os.major(point.stat().st_dev)}:{os.minor(point.stat().st_dev)}")
        )
        trigger = Path("/sys/fs/ext4") / device.name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel cannot be told to find an error in ext4")
        place = prepared(point / "place", verb)
        far(place)  # what upstream has is no part of what the disk is about
        flush(point)
        before = acknowledged(place)
        with replaced(HookedOs(at, lambda: trigger.write_text("campaign"))), soon(run):
            outcome = met(verb, place)
    settle(point)
    assert subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False).returncode in (0, 1)
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
    try:
        check_nothing_lost(place, before, verb.name)
        assert outcome != "finished" or verb.done(place), "what was said to be done is done"
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
        gc.collect()  # an error's frames hold folders open, in a circle
        time.sleep(0.05)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems")
@limited(little=3, share=0.08)
def test_a_disk_that_dies(tmp_path: Path, run: Run) -> None:
    """From the n-th call on the disk takes no write: a typed error, and after a mount all is there.

    ext4 goes on and fails, XFS shuts itself down, btrfs turns read-only, under writers that have files open.
    """
    for number in run.numbers():
        rng = run.rng(number)
        kind, verb = ("ext4", "xfs", "btrfs")[number % 3], rng.choice(OURS)
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, (kind, verb.name)):
            at = rng.randint(1, calls_of(verb, base / "probe"))
            run.figures[f"{kind}: {died(kind, base / kind, verb, at, run)}"] += 1
        shutil.rmtree(base, ignore_errors=True)


def died(kind: str, base: Path, verb: Verb, at: int, run: Run) -> str:
    """Do the verb with the disk failing every write from before its n-th call on; what came of it."""
    medium = make(kind, base)
    place = Place(medium.point / "place")
    with logged(base, medium.image) as (served, log), medium.mounted(served) as point:
        verb.prepare(place)
        far(place)  # what upstream has is no part of what the disk is about
        flush(point)
        before = acknowledged(place)
        with replaced(HookedOs(at, lambda: failing(log))), soon(run):
            outcome = met(verb, place)
    with medium.mounted():
        check_nothing_lost(place, before, verb.name)
        assert outcome != "finished" or verb.done(place), "what was said to be done is done"
        finish(place, verb)
    return outcome
