"""Build the package so that equal sources give equal bytes, look into it, and install it with its needs alone."""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
# The date of every file in the archives. It is the builder's own default, so that a plain build gives the same bytes.
EPOCH = "1580601600"
CACHES = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache")
# What a wheel may hold: the endings by folder; the first folder that fits decides.
MAY_HOLD = {
    "modelward/web/static/": (".js", ".css", ".svg"),
    "modelward/web/templates/": (".html",),
    "modelward/learned/": (".py", "/record.json"),
    "modelward/": (".py", "/py.typed"),
    ".dist-info/": ("/METADATA", "/WHEEL", "/RECORD", "/entry_points.txt", "/licenses/LICENSE"),
}


@dataclass(frozen=True)
class Surroundings:
    """What must not show in the bytes that are built: folder, mask of modes, time zone, language, dates of files."""

    folder: str
    umask: int
    zone: str
    language: str
    seed: str
    touched: int


HERE = Surroundings("a", 0o022, "UTC", "C", "0", 1_700_000_000)
ELSEWHERE = Surroundings("b/deeper, with a space", 0o077, "Pacific/Kiritimati", "tr_TR.UTF-8", "4242", 1_000_000_000)


@dataclass(frozen=True)
class Built:
    """The folder that was built, and the two archives that came of it."""

    tree: Path
    wheel: Path
    sdist: Path

    @property
    def sums(self) -> dict[str, str]:
        """The SHA-256 of each archive, by its name."""
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.wheel, self.sdist)}


def quietly(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None, umask: int = -1) -> str:
    """Run a command; give what it printed.

    Raises:
        RuntimeError: It failed; the text is what it said on standard error.

    """
    done = subprocess.run(command, cwd=cwd, env=env, umask=umask, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr}")
    return done.stdout


def parts(sources: Path) -> Iterator[Path]:
    """The files and folders that the source archive is made of."""
    with (sources / "pyproject.toml").open("rb") as file:
        include = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    yield from (sources / name.lstrip("/") for name in [*include, "pyproject.toml", "LICENSE", ".gitignore"])


def build(sources: Path, scratch: Path, around: Surroundings) -> Built:
    """Copy the sources into ``scratch`` and build them there, in these surroundings.

    Raises:
        RuntimeError: The build failed; the text is what it said.

    """
    tree = copied(sources, scratch / around.folder / "tree")
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~around.umask | path.stat().st_mode & 0o100)
        os.utime(path, (around.touched, around.touched))
    return built(tree, scratch / around.folder / "dist", around)


def copied(sources: Path, tree: Path) -> Path:
    """Copy what the archives are made of into a new folder, ``tree``, without what tools left."""
    tree.mkdir(parents=True)
    for part in filter(Path.exists, parts(sources)):
        if part.is_dir():
            shutil.copytree(part, tree / part.name, ignore=CACHES)
        else:
            shutil.copyfile(part, tree / part.name)
    return tree


def built(tree: Path, dist: Path, around: Surroundings) -> Built:
    """Build the sources in ``tree``, into ``dist``."""
    environ = {
        "PATH": os.defpath,
        "SOURCE_DATE_EPOCH": EPOCH,
        "TZ": around.zone,
        "LC_ALL": around.language,
        "PYTHONHASHSEED": around.seed,
    }
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(dist)]
    quietly(command, cwd=tree, env=environ, umask=around.umask)
    return Built(tree, next(dist.glob("*.whl")), next(dist.glob("*.tar.gz")))


def again(scratch: Path, sdist: Path) -> Built:
    """Build once more, from the source archive alone."""
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # there is none before Python 3.11.4
        archive.extractall(scratch)  # noqa: S202 - our own archive, made a moment ago
    return built(scratch / sdist.name.removesuffix(".tar.gz"), scratch / "dist", ELSEWHERE)


def strays(tree: Path, wheel: Path) -> list[str]:
    """What the wheel holds and should not, and what it lacks (with a minus in front)."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {str(path.relative_to(tree / "src")) for path in (tree / "src").rglob("*") if path.is_file()}
    return sorted(name for name in names if not _may_hold(name)) + sorted(f"-{name}" for name in ours - names)


def _may_hold(name: str) -> bool:
    for folder, endings in MAY_HOLD.items():
        if name.startswith(folder) or (folder.startswith(".") and folder in name):
            return name.endswith(endings)
    return False


def locked(lock: Path) -> Iterator[tuple[Requirement, list[str]]]:
    """Each requirement of a lock file, with its hashes, as ``sha256:...``."""
    for line in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            named, *hashes = line.split(" --hash=")
            yield Requirement(named.strip()), [one.strip() for one in hashes]


def needed(lock: Path) -> list[Requirement]:
    """What this lock file asks of this machine and this Python."""
    return [need for need, _ in locked(lock) if need.marker is None or need.marker.evaluate()]


def install(scratch: Path, wheel: Path, lock: Path) -> Path:
    """An environment with this wheel, what ``lock`` names, and nothing else; no network is asked. Gives its Python.

    The needs are copied from the environment that runs this, so that it must have the locked versions.

    Raises:
        RuntimeError: A need is not installed here in the version that is locked, or the wheel cannot be installed.

    """
    home = scratch / "environment"
    quietly([sys.executable, "-m", "venv", "--without-pip", str(home)])
    python = home / "bin" / "python"
    site = next(home.glob("lib/python*/site-packages"))
    for need in needed(lock):
        _copy(importlib.metadata.distribution(need.name), need, site)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python)]
    quietly([*pip, "install", "--no-index", "--no-deps", "--no-compile", str(wheel)])
    return python


def _copy(found: importlib.metadata.Distribution, need: Requirement, site: Path) -> None:
    if not need.specifier.contains(found.version, prereleases=True):
        raise RuntimeError(f"{need.name} {found.version} is installed here, and {need} is locked: run make test once")
    for file in found.files or ():
        if ".." not in file.parts and (source := Path(str(found.locate_file(file)))).exists():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, site / file)  # with its date, so that what is compiled need not be compiled again
