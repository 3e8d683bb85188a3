"""The one list of settings, and the one precedence: flag, environment, file, default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from modelward.domain.errors import BadName, BadSetting
from modelward.domain.name import ModelName
from modelward.domain.timetable import Timetable
from modelward.domain.units import LONGEST, parse_bytes, parse_duration

PREFIX = "MODELWARD_"
FILE_NAME = "modelward.toml"
_LISTS = frozenset({"models", "siblings", "mirrors", "plain_http"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting with its value, parsed."""

    store: str
    vault: str
    models: tuple[ModelName, ...]
    ollama_host: str
    siblings: tuple[str, ...]
    upstream: bool
    mirrors: tuple[str, ...]
    plain_http: tuple[str, ...]
    download_rate: int
    download_hours: str
    keep_last: int
    keep_daily: int
    keep_weekly: int
    keep_within: timedelta | None
    trash_days: int
    limit_rate: int
    threads: int
    buffered: bool
    sample_percent: float
    lock_wait: timedelta
    reserve: int
    log_level: str


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as text, where its value comes from, and what it means."""

    name: str
    value: str
    origin: str
    environment: str
    help: str


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and the origin of each."""

    settings: Settings
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting's name, what it means, its default as text, how its text is read, and names of others for it."""

    name: str
    help: str
    default: str
    parse: Callable[[str], Any]
    also: str = ""

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment names, the one that wins first."""
        return (PREFIX + self.name.upper(), *((self.also,) if self.also else ()))


def _text(text: str) -> str:
    return text.strip().strip("\"'").strip()


def _whole(text: str, most: int = 1_000_000) -> int:
    digits = text.strip()
    if not (digits.isdecimal() and len(digits) < 10 and int(digits) <= most):
        raise BadSetting(f"not a whole number from 0 to {most:,}", next_step="write for example 5")
    return int(digits)


def _days(text: str) -> int:
    return _whole(text, most=LONGEST.days)


def _percent(text: str) -> float:
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 < number <= 100:
        raise BadSetting("not a percentage above 0 up to 100", next_step="write for example 5")
    return number


def _yes(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("", "0", "false", "no", "off"):
        return False
    raise BadSetting("not yes or no", next_step="write true or false")


def _names(text: str) -> tuple[ModelName, ...]:
    return tuple(ModelName.parse(part) for part in text.split(",") if part.strip())


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _hours(text: str) -> str:
    """Two times of day, checked; the parsed form lives in domain.timetable."""
    return str(Timetable.parse(text)) if text.strip() else ""


def _within(text: str) -> timedelta | None:
    return parse_duration(text) if text.strip() else None


def _level(text: str) -> str:
    word = text.strip().lower()
    if word not in ("debug", "info", "warning", "error"):
        raise BadSetting("not a log level", next_step="write debug, info, warning or error")
    return word


SETTINGS = (
    Setting(name="store", help="the store's folder; empty: find it", default="", parse=_text, also="OLLAMA_MODELS"),
    Setting(name="vault", help="the vault's folder", default="", parse=_text),
    Setting(name="models", help="protected models, by comma; empty: all", default="", parse=_names, also="MODEL"),
    Setting(name="ollama_host", help="where the server listens", default="", parse=_text, also="OLLAMA_HOST"),
    Setting(name="siblings", help="folders that may hold the same blobs, by comma", default="", parse=_list),
    Setting(name="upstream", help="fetch missing bytes from the models' registries", default="true", parse=_yes),
    Setting(name="mirrors", help="where to ask for a registry instead: host=url, by comma", default="", parse=_list),
    Setting(name="plain_http", help="registry hosts spoken to without TLS, by comma", default="", parse=_list),
    Setting(name="download_rate", help="bytes a second to download at most; 0: any", default="0", parse=parse_bytes),
    Setting(name="download_hours", help="when to download, for example 22:00-06:00", default="", parse=_hours),
    Setting(
        name="keep_last",
        help="distinct versions to keep of a model",
        default="5",
        parse=_whole,
        also="BACKUP_RETENTION_COUNT",
    ),
    Setting(name="keep_daily", help="days of which to keep the newest version", default="0", parse=_whole),
    Setting(name="keep_weekly", help="weeks of which to keep the newest version", default="0", parse=_whole),
    Setting(name="keep_within", help="keep every version younger than this", default="", parse=_within),
    Setting(name="trash_days", help="days that forgotten versions can be brought back", default="14", parse=_days),
    Setting(name="limit_rate", help="bytes a second to read at most; 0: no limit", default="0", parse=parse_bytes),
    Setting(name="threads", help="threads that read and hash; 0: by cores", default="0", parse=_whole),
    Setting(name="buffered", help="read through the page cache", default="false", parse=_yes),
    Setting(name="sample_percent", help="share of a full pass that a sample reads", default="5", parse=_percent),
    Setting(name="lock_wait", help="how long to wait for another writer", default="10s", parse=parse_duration),
    Setting(name="reserve", help="bytes to leave free on every disk written to", default="64MiB", parse=parse_bytes),
    Setting(
        name="log_level",
        help="events from this level up are logged to standard error",
        default="warning",
        parse=_level,
        also="LOG_LEVEL",
    ),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def resolve(flags: Mapping[str, str], environ: Mapping[str, str], *, platform: str, home: Path, cwd: Path) -> Resolved:
    """Every setting from the first place that gives it. Raises BadSetting for an unknown name or a bad value."""
    path = _file(flags, environ, platform, home, cwd)
    in_file = _read(path) if path is not None else {}
    _refuse_unknown(environ, in_file, path)
    found = {setting.name: _find(setting, flags, environ, in_file, path) for setting in SETTINGS}
    for name in ("store", "vault"):
        found[name] = _from_file(*found[name], path, home)
    if not found["vault"][0]:
        found["vault"] = (str(default_vault(path, environ, platform, home)), "default")
    parsed = {name: _parse(_BY_NAME[name], *given) for name, given in found.items()}
    settings = msgspec.convert(parsed, Settings, dec_hook=_keep)
    origins = tuple(
        Origin(
            name=setting.name,
            value=found[setting.name][0],
            origin=found[setting.name][1],
            environment=" or ".join(setting.environment),
            help=setting.help,
        )
        for setting in SETTINGS
    )
    return Resolved(settings=settings, origins=origins)


def default_vault(path: Path | None, environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """``model_backups`` beside the settings file, else in the platform's data folder."""
    return (path.parent if path is not None else data_folder(environ, platform, home)) / "model_backups"


def data_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    """Where a program of this platform keeps its user's data."""
    if platform == "darwin":
        return home / "Library" / "Application Support" / "modelward"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "modelward"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "modelward"


def _config_folder(environ: Mapping[str, str], platform: str, home: Path) -> Path:
    if platform == "darwin":
        return data_folder(environ, platform, home)
    if platform == "win32":
        return Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "modelward"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "modelward"


def _file(flags: Mapping[str, str], environ: Mapping[str, str], platform: str, home: Path, cwd: Path) -> Path | None:
    """The settings file: the one that was named (it has to be there), else the first that is found."""
    if named := flags.get("config") or environ.get(f"{PREFIX}CONFIG"):
        path = cwd / _home(named, home)
        if not _is_file(path):
            raise BadSetting("no such settings file", thing=path, next_step="check --config or MODELWARD_CONFIG")
        return path
    places = (cwd / FILE_NAME, _config_folder(environ, platform, home) / FILE_NAME)
    return next((path for path in places if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder of another user: no place for settings of ours
        return False


def _home(text: str, home: Path) -> Path:
    """The path that the text names; no shell has read a settings file's ``~``."""
    return home / text[2:] if text.startswith("~/") else Path(text)


def _from_file(text: str, origin: str, path: Path | None, home: Path) -> tuple[str, str]:
    """A folder that the settings file names, seen from that file: the same from wherever we are started."""
    if path is None or not text or not origin.startswith("file "):
        return text, origin
    return str(path.parent / _home(text, home)), origin


def _read(path: Path) -> dict[str, object]:
    import tomllib  # only where there is a file

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadSetting(f"cannot be read: {error}", thing=path, next_step="mend the file: it is TOML") from error


def _as_text(name: str, value: object) -> str:
    """A TOML value as the text that the setting's parser takes; a list of model names with commas."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if name in _LISTS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise BadSetting(
        "a list, a table or a date",
        thing=name,
        next_step=f"write a text, a number, true or false; {', '.join(sorted(_LISTS))} take a list",
    )


def _refuse_unknown(environ: Mapping[str, str], in_file: Mapping[str, object], path: Path | None) -> None:
    for name in in_file:
        if name not in _BY_NAME:
            _unknown(name, str(path), list(_BY_NAME))
    known = [setting.environment[0] for setting in SETTINGS]
    for name in environ:
        if name.startswith(PREFIX) and name not in (*known, f"{PREFIX}CONFIG", f"{PREFIX}DEBUG"):
            _unknown(name, "the environment", known)


def _unknown(name: str, where: str, known: list[str]) -> None:
    near = get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "list them with: modelward config"
    raise BadSetting(f"unknown setting in {where}", thing=name, next_step=hint)


def _find(
    setting: Setting,
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    in_file: Mapping[str, object],
    path: Path | None,
) -> tuple[str, str]:
    """The setting's text and its origin."""
    if setting.name in flags:
        return flags[setting.name], f"flag --{setting.name.replace('_', '-')}"
    for name in setting.environment:
        if environ.get(name):
            return environ[name], f"environment {name}"
    if setting.name in in_file:
        return _as_text(setting.name, in_file[setting.name]), f"file {path}"
    return setting.default, "default"


def _keep(_: type, value: object) -> object:
    """What a parser made is of the right type already."""
    return value


def _parse(setting: Setting, text: str, origin: str) -> object:
    try:
        return setting.parse(text)
    except (BadName, BadSetting) as error:
        raise BadSetting(
            f"{text[:60]!r} is {error.what}", thing=f"{setting.name} ({origin})", next_step=error.next_step
        ) from error
