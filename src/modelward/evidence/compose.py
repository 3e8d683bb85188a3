"""Read Compose files as far as it takes to know where a server keeps its models (compose-spec, Docker's defaults)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from modelward.domain.errors import BadSetting
from modelward.domain.scene import Definition, Mount

_LIMIT = 1 << 20
_MOST_NODES = 100_000  # with every alias counted as what it stands for
_MOST_DEPTH = 64
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+)|(\$))")
_NAME = re.compile(r"[^a-z0-9_-]")


def definitions(path: Path, environ: Mapping[str, str]) -> list[Definition]:
    """The servers that a Compose file defines. Raises BadSetting for a file that cannot be read as one."""
    document = _load(path)
    known = _dotenv(path.parent) | dict(environ)
    services = document.get("services")
    if not isinstance(services, dict):
        raise _bad(path, "there are no services in it")
    volumes = _volumes(document, _project(document, path, known), known)
    return [
        _definition(path, str(name), service, volumes, known)
        for name, service in services.items()
        if isinstance(service, dict) and _is_server(service, known)
    ]


def _project(document: Mapping[str, Any], path: Path, known: Mapping[str, str]) -> str:
    """The project's name: the environment's, else the file's, else the folder's as Compose normalises it."""
    named = known.get("COMPOSE_PROJECT_NAME") or _fill(str(document.get("name") or ""), known)
    return named or _NAME.sub("", path.resolve().parent.name.lower()).lstrip("_-")


def _volumes(document: Mapping[str, Any], project: str, known: Mapping[str, str]) -> Callable[[str], str]:
    """What Docker calls a named volume: as its ``name:`` says, as it stands when ``external``, else by project."""
    given = document.get("volumes")
    declared = given if isinstance(given, dict) else {}

    def name(volume: str) -> str:
        entry = declared.get(volume)
        settings = entry if isinstance(entry, dict) else {}
        if named := _fill(str(settings.get("name") or ""), known):
            return named
        return volume if settings.get("external") else f"{project}_{volume}"

    return name


def _load(path: Path) -> dict[str, Any]:
    import yaml  # only where a file is given

    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise _bad(path, str(error.strerror).lower()) from error
    if len(data) > _LIMIT:
        raise _bad(path, "too large for a Compose file")
    try:
        if not _modest(yaml.parse(data, Loader=yaml.SafeLoader)):
            raise _bad(path, "too large or too deep for a Compose file, with its aliases")
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _bad(path, f"not YAML ({(str(error).splitlines() or ['damaged'])[0]})") from error
    if not isinstance(document, dict):
        raise _bad(path, "not a Compose file")
    return document


def _modest(events: Iterable[object]) -> bool:
    """Whether the document stays small once aliases are filled in; a few lines of them can make billions of values.

    Ends with the first event too many: what comes after is not even read.
    """
    from yaml import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

    sizes: dict[str, int] = {}
    open_: list[tuple[str, int]] = []  # each collection that is not closed yet: its anchor, and the total before it
    total = 0
    for event in events:
        if isinstance(event, AliasEvent):
            anchor = event.anchor or ""
            # One inside of what it names has no end; one that names nothing is for the loader to refuse.
            endless = any(anchor == name for name, _ in open_)
            total += _MOST_NODES + 1 if endless else sizes.get(anchor, 0)
        elif isinstance(event, CollectionStartEvent):
            open_.append((event.anchor or "", total))
            total += 1
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_.pop()
            sizes[anchor] = total - before
        elif isinstance(event, NodeEvent):
            total += 1
            sizes[event.anchor or ""] = 1
        if total > _MOST_NODES or len(open_) > _MOST_DEPTH:
            return False
    return True


def _is_server(service: Mapping[str, Any], known: Mapping[str, str]) -> bool:
    image = _fill(str(service.get("image") or ""), known)
    command = " ".join(map(str, _listed(service.get("command")) + _listed(service.get("entrypoint"))))
    return "ollama/ollama" in image or "ollama serve" in command or "OLLAMA_MODELS" in _environment(service, known)


def _definition(
    path: Path, name: str, service: Mapping[str, Any], volumes: Callable[[str], str], known: Mapping[str, str]
) -> Definition:
    environment = _environment(service, known)
    return Definition(
        where=f"{path.name}: service {name}",
        models=environment.get("OLLAMA_MODELS", "").strip().strip("\"'"),
        home=environment.get("HOME", "") or "/root",
        mounts=tuple(_mounts(service, path.resolve().parent, volumes, known)),
    )


def _environment(service: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Both forms, a mapping and a list of ``NAME=value``; a name without a value has the one that Compose runs with."""
    given = service.get("environment")
    if isinstance(given, dict):
        pairs = [(str(key), value) for key, value in given.items()]
    else:
        words = (str(item).partition("=") for item in _listed(given))
        pairs = [(name, value if found else None) for name, found, value in words]
    return {key: known.get(key, "") if value is None else _fill(str(value), known) for key, value in pairs}


def _mounts(
    service: Mapping[str, Any], folder: Path, volumes: Callable[[str], str], known: Mapping[str, str]
) -> Iterator[Mount]:
    for item in _listed(service.get("volumes")):
        if isinstance(item, dict):
            source, target = str(item.get("source") or ""), str(item.get("target") or "")
        else:
            parts = _fill(str(item), known).split(":")
            source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
        source, target = _fill(source, known), _fill(target, known)
        if source and target:
            yield Mount(source=_source(source, folder, volumes, known), target=str(PurePosixPath(target)))


def _source(text: str, folder: Path, volumes: Callable[[str], str], known: Mapping[str, str]) -> str:
    """A folder of the host by its path; a named volume by the name that Docker gives it."""
    if text == "~" or text.startswith("~/"):
        return known.get("HOME", "~") + text[1:]
    if text.startswith("/"):
        return str(PurePosixPath(text))
    if text.startswith("."):
        return str((folder / text).resolve())
    return volumes(text)


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _fill(text: str, known: Mapping[str, str]) -> str:
    """Variables in their place: ``$NAME``, ``${NAME}``, ``${NAME:-default}``."""

    def value(found: re.Match[str]) -> str:
        if found[5]:
            return "$"
        name, operator, other = found[1] or found[4], found[2] or "", found[3] or ""
        given = known.get(name)
        there = bool(given) if operator.startswith(":") else given is not None
        if operator.endswith("+"):
            return other if there else ""
        return given if there and given else other if operator.endswith("-") and not there else ""

    return _VARIABLE.sub(value, text)


def _dotenv(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / ".env").read_text(encoding="utf-8", errors="replace").splitlines()[:1000]
    except OSError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _bad(path: Path, why: str) -> BadSetting:
    return BadSetting(why, thing=path, next_step="give a Compose file of yours with --compose")
