"""Find the Ollama store of this machine: the service's, the user's, or the one that the environment names."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelward.domain.errors import StoreNotFound

_UNIT = "ollama.service"
# The order in which systemd looks for units (systemd.unit(5)): an administrator's wins over a package's.
_UNIT_FOLDERS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
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
    service = _service(root) if platform == "linux" else {}
    if service.get("OLLAMA_MODELS"):
        yield Candidate(path=Path(service["OLLAMA_MODELS"]), why="the ollama service's OLLAMA_MODELS")
    yield Candidate(path=home / ".ollama" / "models", why="this user's default")
    if service.get("HOME"):
        yield Candidate(path=Path(service["HOME"], ".ollama", "models"), why="the default of the ollama service's user")
    if platform == "linux":
        for path in _KNOWN:
            yield Candidate(path=root / path, why="a known place of packages and containers")


def service_environment(root: Path) -> dict[str, str]:
    """The environment that systemd gives the service, empty without a unit; HOME is that of its ``User=``."""
    return _service(root) if _units(root) else {}


def _service(root: Path) -> dict[str, str]:
    """The environment that systemd gives the service; HOME is that of its ``User=`` (systemd.exec(5))."""
    variables: dict[str, str] = {}
    user = ""
    for key, value in _assignments(_units(root)):
        if key == "User":
            user = value
        elif key == "Environment":
            variables = variables | _variables(value) if value else {}
    return {"HOME": _home_of(user, root)} | variables


def _units(root: Path) -> list[Path]:
    """The unit file that counts, then its drop-ins by name; of equal names the first folder's counts."""
    folders = [root / folder for folder in _UNIT_FOLDERS]
    unit = next((folder / _UNIT for folder in folders if _lines(folder / _UNIT)), None)
    drop_ins = {path.name: path for folder in reversed(folders) for path in (folder / f"{_UNIT}.d").glob("*.conf")}
    return [*([unit] if unit else []), *(drop_ins[name] for name in sorted(drop_ins))]


def _assignments(units: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Every ``key=value`` of the ``[Service]`` sections; comments begin with ``#`` or ``;``."""
    for unit in units:
        section = ""
        for line in _lines(unit):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and not line.startswith(("#", ";")):
                key, _, value = line.partition("=")
                yield key.strip(), value.strip()


def _lines(path: Path) -> list[str]:
    """The file's lines without blanks around them, those that end with a backslash joined with the next."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.replace("\\\n", " ").splitlines()]


def _variables(value: str) -> dict[str, str]:
    try:
        words = shlex.split(value)
    except ValueError:
        return {}
    return {name: text for name, found, text in (word.partition("=") for word in words) if found}


def _home_of(user: str, root: Path) -> str:
    """The home folder of a user of this machine (passwd(5)); empty when there is none."""
    entries = (line.split(":") for line in _lines(root / "etc" / "passwd"))
    return next((entry[5] for entry in entries if len(entry) > 5 and user and entry[0] == user), "")


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
