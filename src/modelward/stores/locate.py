"""Find the Ollama store of this machine: the service's, the user's, or the one that the environment names."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelward.domain.errors import StoreNotFound

_UNITS = (
    "etc/systemd/system/ollama.service",
    "lib/systemd/system/ollama.service",
    "usr/lib/systemd/system/ollama.service",
)
_DROP_INS = "etc/systemd/system/ollama.service.d"
_KNOWN = ("usr/share/ollama/.ollama/models", "var/lib/ollama/.ollama/models", "var/lib/ollama", "root/.ollama/models")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A folder that may be a store, and why it was looked at."""

    path: Path
    why: str


def find_store(environ: Mapping[str, str], home: Path, platform: str, *, root: Path = Path("/")) -> Candidate:
    """The store to protect: of those that are there, the first with models, else the first.

    Raises StoreNotFound with every place that was looked at.
    """
    tried = list(candidates(environ, home, platform, root=root))
    there = [candidate for candidate in tried if _is_store(candidate.path)]
    for candidate in there:
        if _holds_models(candidate.path):
            return candidate
    if there:
        return there[0]
    raise StoreNotFound(
        "no Ollama store on this machine; looked at " + ", ".join(str(candidate.path) for candidate in tried),
        next_step="name the folder that holds blobs/ and manifests/ with --store or OLLAMA_MODELS",
    )


def candidates(environ: Mapping[str, str], home: Path, platform: str, *, root: Path = Path("/")) -> Iterator[Candidate]:
    """The places in the order in which they count; ``root`` is where the machine's file system begins."""
    if named := environ.get("OLLAMA_MODELS", "").strip().strip("\"'"):
        yield Candidate(path=Path(named), why="OLLAMA_MODELS")
    if platform == "linux" and (service := _service(root)) is not None:
        yield Candidate(path=service, why="the ollama service's OLLAMA_MODELS")
    yield Candidate(path=home / ".ollama" / "models", why="this user's default")
    if platform == "linux":
        for path in _KNOWN:
            yield Candidate(path=root / path, why="a known place of packages and containers")


def _service(root: Path) -> Path | None:
    """OLLAMA_MODELS as the systemd unit and its drop-ins set it; the last one counts (systemd.exec(5))."""
    found = None
    drop_ins = sorted((root / _DROP_INS).glob("*.conf")) if (root / _DROP_INS).is_dir() else []
    for unit in (*(root / path for path in _UNITS), *drop_ins):
        for line in _lines(unit):
            key, _, value = line.partition("=")
            if key.strip() == "Environment":
                found = _models_in(value) or found
    return Path(found) if found else None


def _lines(unit: Path) -> list[str]:
    try:
        return unit.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _models_in(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:
        return ""
    return next((word.partition("=")[2] for word in words if word.startswith("OLLAMA_MODELS=")), "")


def _is_store(path: Path) -> bool:
    try:
        return (path / "blobs").is_dir() or (path / "manifests").is_dir()
    except OSError:
        return False


def _holds_models(path: Path) -> bool:
    try:
        return any((path / "manifests").glob("*/*/*/*"))
    except OSError:
        return False
