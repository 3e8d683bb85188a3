"""Stores and servers of this host, as far as this user may look; nothing is ever written."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from modelward.domain.cause import StoreSeen
from modelward.domain.errors import BadName
from modelward.domain.name import ModelName
from modelward.domain.scene import Definition, ServerSeen

_MOST = 64
_PARTS = frozenset({"blobs", "manifests", ".modelward"})
_ASKED = ("OLLAMA_MODELS", "HOME", "OLLAMA_HOST")  # no other value of an environment is looked at


def servers(root: Path = Path("/")) -> tuple[list[ServerSeen], list[str]]:
    """The ``ollama serve`` processes, and notes on those that could not be looked into."""
    found: list[ServerSeen] = []
    notes: list[str] = []
    for folder in _processes(root / "proc"):
        words = _read(folder / "cmdline").split(b"\0")
        if b"serve" not in words[1:3] or not words[0].rpartition(b"/")[2].startswith(b"ollama"):
            continue
        environ = _environ(folder)
        if environ is None:
            notes.append(f"process {folder.name} is a server of another user: run doctor as root to see its store")
            continue
        found.append(_server(folder, environ))
    return found, notes


def _processes(proc: Path) -> Iterator[Path]:
    try:
        found = [folder for folder in proc.iterdir() if folder.name.isdecimal()]
    except OSError:
        return
    yield from sorted(found, key=lambda folder: int(folder.name))


def _server(folder: Path, environ: Mapping[str, str]) -> ServerSeen:
    store = environ.get("OLLAMA_MODELS", "").strip().strip("\"'") or f"{environ.get('HOME', '')}/.ollama/models"
    # The path as the process sees it: below its own root, which is another one in a container. Never one of ours by
    # the same name: in a container that is another folder.
    seen = folder / "root" / store[1:] if store.startswith("/") else folder / "cwd" / store
    return ServerSeen(
        pid=int(folder.name),
        store=store,
        folder=identity(seen) or (0, 0),
        listens=environ.get("OLLAMA_HOST", ""),
        container=identity(folder / "root") != identity(Path("/")),
    )


def _environ(folder: Path) -> dict[str, str] | None:
    try:
        data = (folder / "environ").read_bytes()
    except OSError:
        return None
    pairs = (item.decode(errors="replace").partition("=") for item in data.split(b"\0"))
    return {name: value for name, _, value in pairs if name in _ASKED}


def stores(
    ours: Path, candidates: Iterable[tuple[Path, str]], served: tuple[int, int] | None, *, root: Path = Path("/")
) -> list[StoreSeen]:
    """Every store there is: the known places, those around ours on its volume, and Docker's volumes."""
    places = [(ours, "the one that we look at"), *candidates, *_around(ours), *_volumes(root)]
    found: dict[tuple[int, int], StoreSeen] = {}
    mine = identity(ours)
    for path, why in places:
        key = identity(path)
        if key is None or key in found or len(found) >= _MOST or not is_store(path):
            continue
        models, size = _look(path)
        found[key] = StoreSeen(
            path=str(path),
            why=why,
            models=tuple(models),
            size=size,
            ours=key == mine,
            served=None if served is None else key == served,
        )
    return list(found.values())


def _around(ours: Path) -> Iterator[tuple[Path, str]]:
    """Above ours by two levels, beside it, and two below: where other definitions put the store in the same volume."""
    near = [ours.parent, ours.parent.parent, *_inner(ours), *_inner(ours.parent), ours.parent / ".ollama" / "models"]
    near += [deeper for folder in _inner(ours) for deeper in _inner(folder)]
    yield from ((path, "near the one that we look at") for path in near)


def _inner(folder: Path) -> list[Path]:
    """The folders in a folder, those of a store left out; a bounded number, none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = (Path(entry) for entry in entries if entry.name not in _PARTS and entry.is_dir())
            return sorted(islice(found, _MOST))
    except OSError:
        return []


def _volumes(root: Path) -> Iterator[tuple[Path, str]]:
    for volume in _inner(root / "var/lib/docker/volumes"):
        for inner in ("_data", "_data/models", "_data/.ollama/models"):
            yield volume / inner, f"Docker volume {volume.name}"


def unit(environment: Mapping[str, str]) -> Definition | None:
    """The systemd unit as a definition, from its environment; None where there is no unit."""
    if not environment:
        return None
    home = environment.get("HOME") or "/usr/share/ollama"
    return Definition(
        where="unit ollama.service", models=environment.get("OLLAMA_MODELS", ""), home=home, container=False
    )


def is_store(path: Path) -> bool:
    """Whether a folder looks like a store."""
    try:
        return (path / "blobs").is_dir() and (path / "manifests").is_dir()
    except OSError:
        return False


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a folder, links followed; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def read_only(path: Path) -> bool:
    """Whether the file system under a folder is mounted read-only."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _look(path: Path) -> tuple[list[ModelName], int]:
    names: list[ModelName] = []
    try:
        for manifest in sorted((path / "manifests").glob("*/*/*/*"))[:10_000]:
            try:
                names.append(ModelName(*manifest.parts[-4:]))
            except BadName:
                continue
        with os.scandir(path / "blobs") as entries:
            size = sum(entry.stat().st_size for entry in entries if entry.is_file())
    except OSError:
        return names, 0
    return names, size


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
