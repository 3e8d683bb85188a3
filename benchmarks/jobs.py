"""What is measured: each job gives figures by candidate, and the targets that follow from them."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Sample, interleaved, run, settle
from benchmarks.place import Place, loop_mount

US = "modelward"
Work = dict[str, Callable[[], Sample]]
VERBS = ("status", "verify", "verify --buffered", "verify --vault-copy", "backup", "repair", "snapshots", "config")
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise of the project, what was measured, and whether it was met."""

    text: str
    measured: str
    met: bool


@dataclass(slots=True, kw_only=True)
class Result:
    """One job's table."""

    title: str
    size: int
    figures: dict[str, Sample] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    note: str = ""

    def at_least(self, peer: str, times: float, text: str) -> None:
        """We are at least ``times`` as fast as the peer, where the peer was there."""
        if peer in self.figures:
            ratio = self.figures[peer].seconds / self.figures[US].seconds
            self.targets.append(Target(text=text, measured=f"{ratio:.2f}x", met=ratio >= times))

    def under(self, value: float, limit: float, unit: str, text: str) -> None:
        """A figure of ours stays under a limit."""
        self.targets.append(Target(text=text, measured=f"{value:.3g} {unit}", met=value < limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every job gets: the place, the weights' file and size, how often to repeat, and where to report."""

    place: Place
    weights: Path
    size: int
    repeat: int
    say: Callable[[str], None]

    @property
    def scratch(self) -> Path:
        """A folder for the peers."""
        return self.place.base / "peers"

    def fresh(self, name: str) -> Path:
        """An empty folder for a peer, on a disk at rest."""
        shutil.rmtree(self.scratch / name, ignore_errors=True)
        (self.scratch / name).parent.mkdir(exist_ok=True)
        settle(self.place.base)
        return self.scratch / name

    def warm(self) -> None:
        """Read the weights once, so that every candidate finds them in the page cache."""
        run(["cat", str(self.weights)])

    def has(self, *programs: str) -> bool:
        """Whether the peer is installed."""
        return all(shutil.which(program) for program in programs)


def verify_warm(bench: Bench) -> Result:
    """Verify every byte through the page cache, beside programs that hash a file or check a repository."""
    bench.place.modelward("backup")
    work: Work = {US: lambda: bench.place.modelward("verify", "--buffered")}
    for name, command in (
        ("sha256sum", ["sha256sum"]),
        ("openssl dgst -sha256", ["openssl", "dgst", "-sha256"]),
        ("b3sum", ["b3sum"]),
    ):
        if bench.has(command[0]):
            work[name] = lambda command=command: run([*command, str(bench.weights)])  # type: ignore[misc]
    work |= _checkers(bench)
    bench.warm()
    result = Result(title="verify full, page cache warm, buffered", size=bench.size)
    result.figures = interleaved(work, bench.repeat, bench.say)
    result.at_least("sha256sum", 15, "at least 15x sha256sum")
    result.at_least("openssl dgst -sha256", 4, "at least 4x openssl")
    result.at_least("restic check --read-data", 8, "at least 8x restic check --read-data")
    return result


def _checkers(bench: Bench) -> dict[str, Callable[[], Sample]]:
    work: Work = {}
    if bench.has("restic"):
        repo = bench.fresh("restic")
        _restic(bench, repo)
        work["restic check --read-data"] = lambda: run(["restic", "-r", str(repo), "check", "--read-data"], environ=KEY)
    if bench.has("borg"):
        vault = bench.fresh("borg")
        _borg(bench, vault)
        work["borg check --verify-data"] = lambda: run(["borg", "check", "--verify-data", str(vault)], environ=KEY)
    return work


KEY = {"RESTIC_PASSWORD": "bench", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}


def _restic(bench: Bench, repo: Path) -> Sample:
    run(["restic", "-r", str(repo), "init"], environ=KEY)
    return run(["restic", "-r", str(repo), "backup", str(bench.place.store)], environ=KEY)


def _borg(bench: Bench, repo: Path) -> Sample:
    run(["borg", "init", "-e", "none", str(repo)], environ=KEY)
    return run(["borg", "create", f"{repo}::first", str(bench.place.store)], environ=KEY)


def verify_direct(bench: Bench) -> Result:
    """Verify every byte from the disk, beside a plain direct read."""
    bench.place.modelward("backup")
    settle(bench.place.base)
    dd = ["dd", f"if={bench.weights}", "of=/dev/null", "iflag=direct", "bs=4M"]
    result = Result(title="verify full, past the page cache", size=bench.size)
    work: Work = {
        US: lambda: bench.place.modelward("verify"),
        "dd iflag=direct": lambda: run(dd),
    }
    result.figures = interleaved(work, bench.repeat, bench.say)
    ratio = result.figures[US].seconds / result.figures["dd iflag=direct"].seconds
    result.targets.append(Target(text="at most 1.15x the time of dd", measured=f"{ratio:.2f}x", met=ratio <= 1.15))
    return result


def first_backup(bench: Bench) -> Result:
    """The first backup to the same disk, durable, beside copies and backup tools."""

    def ours() -> Sample:
        bench.place.forget_vault()
        return bench.place.modelward("backup")

    def copy() -> Sample:
        target = bench.fresh("copy")
        return run(["sh", "-c", f"cp -a '{bench.place.store}' '{target}' && sync -f '{target}'"])

    work: Work = {US: ours, "cp -a, then sync": copy}
    if bench.has("rsync"):
        work["rsync -a"] = lambda: run(["rsync", "-a", f"{bench.place.store}/", f"{bench.fresh('rsync')}/"])
    if bench.has("restic"):
        work["restic backup"] = lambda: _restic(bench, bench.fresh("restic"))
    if bench.has("borg"):
        work["borg create (no encryption)"] = lambda: _borg(bench, bench.fresh("borg"))
    bench.warm()
    result = Result(title="first backup, same disk, fsync", size=bench.size)
    result.figures = interleaved(work, bench.repeat, bench.say)
    shutil.rmtree(bench.scratch, ignore_errors=True)
    result.at_least("cp -a, then sync", 1, "not slower than cp -a followed by sync")
    result.at_least("restic backup", 5, "at least 5x restic")
    result.at_least("borg create (no encryption)", 2.5, "at least 2.5x borg")
    return result


def unchanged(bench: Bench) -> Result:
    """A backup with nothing changed, whatever the size."""
    bench.place.modelward("backup")
    result = Result(title="backup with nothing changed", size=bench.size)
    result.figures = interleaved({US: lambda: bench.place.modelward("backup")}, bench.repeat, bench.say)
    result.under(result.figures[US].seconds, 0.3, "s", "whole process under 0.3 s")
    result.under(result.figures[US].written / 1024, 64, "KiB", "under 64 KiB written")
    return result


def many_models(bench: Bench) -> Result:
    """The same with 1,000 models and 10,000 blobs."""
    place = Place(bench.place.base / "many")
    place.base.mkdir()
    place.make_many(1000, 10_000)
    place.modelward("backup")
    result = Result(title="backup with nothing changed, 1,000 models, 10,000 blobs", size=0)
    result.figures = interleaved({US: lambda: place.modelward("backup")}, bench.repeat, bench.say)
    result.under(result.figures[US].seconds, 2, "s", "whole process under 2 s")
    shutil.rmtree(place.base)
    return result


def repair_page(bench: Bench) -> Result:
    """One damaged 4 KiB page: how much longer than the verify that finds it, and how many bytes move."""
    bench.place.modelward("backup")

    def damage() -> None:
        with bench.weights.open("r+b") as file:
            file.seek(bench.size // 2 // 4096 * 4096)
            file.write(bytes(4096))
        settle(bench.place.base)

    def repair() -> Sample:
        damage()
        return bench.place.modelward("repair")

    bench.warm()
    result = Result(title="one damaged 4 KiB page, repaired", size=bench.size)
    work: Work = {
        "modelward verify alone": lambda: bench.place.modelward("verify"),
        US: repair,
    }
    result.figures = interleaved(work, bench.repeat, bench.say)
    more = result.figures[US].seconds - result.figures["modelward verify alone"].seconds
    result.under(more, 0.3, "s more than verify", "healing and proving adds under 0.3 s")
    damage()
    moved = int(str(bench.place.document("repair")["bytes_moved"]))
    result.under(moved / MIB, 1.10, "of the damaged chunk", "moves at most 1.10x the damaged chunks")
    return result


def restore_deleted(bench: Bench) -> Result:
    """A deleted model brought back on this disk, beside cp."""
    bench.place.modelward("backup")
    keep = bench.place.base / "kept"
    shutil.rmtree(keep, ignore_errors=True)
    copy_of = bench.place.vault / "blobs" / "sha256" / bench.weights.name.removeprefix("sha256-")

    def ours() -> Sample:
        _delete(bench.place, bench.weights)
        run(["cat", str(copy_of)])
        return bench.place.modelward("restore", "llama3")

    def copy() -> Sample:
        keep.unlink(missing_ok=True)
        settle(bench.place.base)
        run(["cat", str(copy_of)])
        return run(["cp", str(copy_of), str(keep)])

    result = Result(title="a deleted model restored, same disk", size=bench.size)
    result.note = "ours is proved and on the disk when it ends; cp's bytes are still in memory."
    result.figures = interleaved({US: ours, "cp": copy}, bench.repeat, bench.say)
    keep.unlink(missing_ok=True)
    result.at_least("cp", 1, "not slower than cp")
    return result


def _delete(place: Place, weights: Path) -> None:
    (place.store / "manifests/registry.ollama.ai/library/llama3/latest").unlink(missing_ok=True)
    weights.unlink(missing_ok=True)
    settle(place.base)


def restore_cloned(bench: Bench) -> Result:
    """The same where files can be cloned."""
    result = Result(title="a deleted model restored, file systems that clone", size=bench.size)
    for kind in ("btrfs", "xfs"):
        with loop_mount(kind, bench.place.base, bench.size + (2 << 30)) as point:
            if point is None:
                result.note += f"{kind}: not measured (needs root and mkfs.{kind}). "
                continue
            place = Place(point)
            shutil.copytree(bench.place.store, place.store, ignore=shutil.ignore_patterns(".modelward"))
            weights = place.store / "blobs" / bench.weights.name
            place.modelward("backup")
            samples = []
            for _ in range(bench.repeat):
                _delete(place, weights)
                samples.append(place.modelward("restore", "llama3"))
            figure = sorted(samples, key=lambda sample: sample.seconds)[len(samples) // 2]
            result.figures[f"{US} on {kind}"] = figure
            result.under(figure.seconds, 0.3, "s", f"under 0.3 s on {kind}")
    return result


def memory(bench: Bench) -> Result:
    """Every verb's peak resident memory on the big store, and how long --help takes."""
    bench.place.modelward("backup")
    result = Result(title="memory of every verb", size=bench.size)
    for words in (
        "status",
        "verify",
        "verify --buffered",
        "verify --vault-copy",
        "backup",
        "repair",
        "snapshots",
        "config",
    ):
        result.figures[f"{US} {words}"] = bench.place.modelward(*words.split())
    result.figures[f"{US} --help"] = interleaved({"help": lambda: bench.place.modelward("--help")}, 5, bench.say)[
        "help"
    ]
    most = max(sample.memory for sample in result.figures.values())
    result.under(most, 60, "MB", "any verb under 60 MB")
    result.under(result.figures[f"{US} --help"].seconds, 0.2, "s", "modelward --help under 0.2 s")
    return result


JOBS: dict[str, Callable[[Bench], Result]] = {
    "verify-warm": verify_warm,
    "verify-direct": verify_direct,
    "first-backup": first_backup,
    "unchanged": unchanged,
    "many-models": many_models,
    "repair-page": repair_page,
    "restore": restore_deleted,
    "restore-cloned": restore_cloned,
    "memory": memory,
}


def versions() -> dict[str, str]:
    """The peers that are installed, and their versions."""
    asked = {
        "coreutils": ["sha256sum", "--version"],
        "openssl": ["openssl", "version"],
        "b3sum": ["b3sum", "--version"],
        "rsync": ["rsync", "--version"],
        "restic": ["restic", "version"],
        "borg": ["borg", "--version"],
    }
    found = {}
    for name, command in asked.items():
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            found[name] = said.splitlines()[0][:60] if said else "?"
    return found
