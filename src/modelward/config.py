"""The one list of settings, and the one precedence: flag, environment, file, default."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from modelward.domain import setting_text as read
from modelward.domain.codec import learned
from modelward.domain.errors import BadName, BadSetting
from modelward.domain.name import ModelName
from modelward.domain.units import parse_bytes, parse_duration

PREFIX = "MODELWARD_"
_PATHS = (
    "store",
    "vault",
    "state",
    "log_folder",
    "alert_urls_file",
    "webhook_secret_file",
    "tls_cert",
    "tls_key",
    "otlp_headers_file",
)
FILE_NAME = "modelward.toml"
_LISTS = frozenset(
    {"models", "siblings", "mirrors", "plain_http", "policies", "alert_urls", "allowed_hosts", "otlp_headers"}
)


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
    state: str
    maintenance_interval: timedelta
    check_interval: timedelta
    settle: timedelta
    job_deadline: timedelta
    on_loss: str
    policies: tuple[tuple[ModelName, str], ...]
    brake_models: int
    brake_percent: float
    brake_window: timedelta
    scrub_store: timedelta
    scrub_vault: timedelta
    scrub_rate: int
    scrub_hours: str
    drill_every: timedelta
    backup_overdue: timedelta
    disk_free: float
    probe: str
    probe_interval: timedelta
    probe_deadline: timedelta
    probe_failures: int
    forecast_trees: str
    alert_urls: tuple[str, ...]
    alert_urls_file: str
    webhook_url: str
    webhook_secret: str
    webhook_secret_file: str
    alert_pending: timedelta
    alert_group: timedelta
    alert_reminder: timedelta
    alert_healed: bool
    quiet_hours: str
    deadman_url: str
    deadman_interval: timedelta
    otlp_endpoint: str
    otlp_headers: tuple[str, ...]
    otlp_headers_file: str
    otlp_interval: timedelta
    log_folder: str
    log_size: int
    log_files: int
    listen: str
    allowed_hosts: tuple[str, ...]
    tls_cert: str
    tls_key: str
    behind_proxy: bool


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
    """A setting's name, what it means, its default as text, how its text is read, and names of others for it.

    The value of a ``secret`` one is never shown.
    """

    name: str
    help: str
    default: str
    parse: Callable[[str], Any]
    also: str = ""
    secret: bool = False

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment names, the one that wins first."""
        return (PREFIX + self.name.upper(), *((self.also,) if self.also else ()))


GUARD_SETTINGS = (
    Setting(name="state", help="where the guard keeps its journal, metrics and logs", default="", parse=read.text),
    Setting(
        name="maintenance_interval",
        help="how often to back up, scrub and tidy up; a bare number is minutes",
        default="60",
        parse=read.minutes,
        also="MAINTENANCE_INTERVAL",
    ),
    Setting(name="check_interval", help="how often to look at the server", default="60s", parse=read.period),
    Setting(
        name="settle", help="how long a store must be quiet before it is backed up", default="10s", parse=read.period
    ),
    Setting(name="job_deadline", help="how long one piece of work may take", default="6h", parse=read.period),
    Setting(
        name="on_loss",
        help="what to do with damage: restore it, alert only, or ignore it",
        default="restore",
        parse=read.policy,
    ),
    Setting(
        name="policies",
        help="models with an on_loss of their own: name=alert, by comma",
        default="",
        parse=read.policies,
    ),
    Setting(
        name="brake_models",
        help="stop healing alone above this many damaged models in brake_window",
        default="3",
        parse=read.whole,
    ),
    Setting(
        name="brake_percent",
        help="or above this share of all bytes, in more than one model",
        default="5",
        parse=read.percent,
    ),
    Setting(name="brake_window", help="the time in which the brake counts damage", default="1h", parse=read.period),
    Setting(name="scrub_store", help="time for one full scrub of the store", default="7d", parse=read.period),
    Setting(name="scrub_vault", help="time for one full scrub of the vault", default="14d", parse=read.period),
    Setting(
        name="scrub_rate",
        help="bytes a second to scrub at most, unless that is too slow to finish in time; 0: any",
        default="20MB",
        parse=parse_bytes,
    ),
    Setting(
        name="scrub_hours", help="when to scrub, for example 01:00-06:00; empty: any time", default="", parse=read.hours
    ),
    Setting(name="drill_every", help="how often to rehearse a restore", default="7d", parse=read.period),
    Setting(
        name="backup_overdue",
        help="alert when a model has had no backup of its present version for so long",
        default="26h",
        parse=read.period,
    ),
    Setting(
        name="disk_free",
        help="alert when less than this share of a disk is free, in percent",
        default="5",
        parse=read.percent,
    ),
    Setting(
        name="probe", help="which models to ask for a token: one, loaded, all or off", default="one", parse=read.probe
    ),
    Setting(name="probe_interval", help="how often to ask", default="10m", parse=read.period),
    Setting(name="probe_deadline", help="how long an answer may take", default="60s", parse=read.period),
    Setting(
        name="probe_failures", help="failed probes in a row that count as an outage", default="2", parse=read.whole
    ),
    Setting(
        name="forecast_trees",
        help="let half-space trees foretell latency, errors and slowing devices: off, on, or auto where they won the"
        " back-test; needs the extra ml",
        default="off",
        parse=read.trees,
    ),
    Setting(
        name="alert_urls", help="where alerts go: Apprise URLs, by comma", default="", parse=read.listed, secret=True
    ),
    Setting(name="alert_urls_file", help="a file with one Apprise URL a line", default="", parse=read.text),
    Setting(
        name="webhook_url", help="where alerts are posted as signed JSON", default="", parse=read.text, secret=True
    ),
    Setting(name="webhook_secret", help="the key that signs them", default="", parse=read.text, secret=True),
    Setting(name="webhook_secret_file", help="a file with that key", default="", parse=read.text),
    Setting(
        name="alert_pending", help="how long a trouble must last before it is told", default="30s", parse=parse_duration
    ),
    Setting(
        name="alert_group", help="how long to collect troubles into one message", default="10s", parse=parse_duration
    ),
    Setting(name="alert_reminder", help="how often to tell it again while it lasts", default="24h", parse=read.period),
    Setting(
        name="alert_healed", help="tell also what was healed before it had to be told", default="true", parse=read.yes
    ),
    Setting(
        name="quiet_hours",
        help="when to hold back all but critical alerts, for example 22:00-07:00",
        default="",
        parse=read.hours,
    ),
    Setting(
        name="deadman_url",
        help="address to fetch while all is well, at a monitor elsewhere",
        default="",
        parse=read.text,
        secret=True,
    ),
    Setting(name="deadman_interval", help="how often to fetch it", default="5m", parse=read.period),
    Setting(
        name="otlp_endpoint",
        help="a collector of OpenTelemetry to send spans and metrics to, without /v1/traces; empty: nothing is sent;"
        " needs the extra otlp",
        default="",
        parse=read.text,
    ),
    Setting(
        name="otlp_headers", help="headers for it: name=value, by comma", default="", parse=read.listed, secret=True
    ),
    Setting(name="otlp_headers_file", help="a file with one such header a line", default="", parse=read.text),
    Setting(name="otlp_interval", help="how often to send", default="60s", parse=read.period),
    Setting(name="log_folder", help="where the logs go; empty: below state", default="", parse=read.text),
    Setting(name="log_size", help="size at which a log is rotated", default="100MB", parse=parse_bytes),
    Setting(name="log_files", help="rotated logs to keep", default="10", parse=read.whole),
    Setting(
        name="listen",
        help="where the guard serves API and dashboard: address:port or unix:PATH; empty: nowhere",
        default="127.0.0.1:8484",
        parse=read.text,
    ),
    Setting(
        name="allowed_hosts",
        help="names by which the guard may be called, beside its own address, by comma",
        default="",
        parse=read.listed,
    ),
    Setting(name="tls_cert", help="certificate chain (PEM) for HTTPS", default="", parse=read.text),
    Setting(name="tls_key", help="key (PEM) of that certificate", default="", parse=read.text),
    Setting(name="behind_proxy", help="a proxy in front does TLS", default="false", parse=read.yes),
)
SETTINGS = (
    Setting(name="store", help="the store's folder; empty: find it", default="", parse=read.text, also="OLLAMA_MODELS"),
    Setting(name="vault", help="the vault's folder", default="", parse=read.text),
    Setting(name="models", help="protected models, by comma; empty: all", default="", parse=read.names, also="MODEL"),
    Setting(name="ollama_host", help="where the server listens", default="", parse=read.text, also="OLLAMA_HOST"),
    Setting(name="siblings", help="folders that may hold the same blobs, by comma", default="", parse=read.listed),
    Setting(name="upstream", help="fetch missing bytes from the models' registries", default="true", parse=read.yes),
    Setting(
        name="mirrors", help="where to ask for a registry instead: host=url, by comma", default="", parse=read.listed
    ),
    Setting(name="plain_http", help="registry hosts spoken to without TLS, by comma", default="", parse=read.listed),
    Setting(name="download_rate", help="bytes a second to download at most; 0: any", default="0", parse=parse_bytes),
    Setting(name="download_hours", help="when to download, for example 22:00-06:00", default="", parse=read.hours),
    Setting(
        name="keep_last",
        help="distinct versions to keep of a model",
        default="5",
        parse=read.whole,
        also="BACKUP_RETENTION_COUNT",
    ),
    Setting(name="keep_daily", help="days of which to keep the newest version", default="0", parse=read.whole),
    Setting(name="keep_weekly", help="weeks of which to keep the newest version", default="0", parse=read.whole),
    Setting(name="keep_within", help="keep every version younger than this", default="", parse=read.within),
    Setting(name="trash_days", help="days that forgotten versions can be brought back", default="14", parse=read.days),
    Setting(name="limit_rate", help="bytes a second to read at most; 0: no limit", default="0", parse=parse_bytes),
    Setting(name="threads", help="threads that read and hash; 0: by cores", default="0", parse=read.whole),
    Setting(name="buffered", help="read through the page cache", default="false", parse=read.yes),
    Setting(name="sample_percent", help="share of a full pass that a sample reads", default="5", parse=read.percent),
    Setting(name="lock_wait", help="how long to wait for another writer", default="10s", parse=parse_duration),
    Setting(name="reserve", help="bytes to leave free on every disk written to", default="64MiB", parse=parse_bytes),
    Setting(
        name="log_level",
        help="events from this level up are logged to standard error",
        default="warning",
        parse=read.level,
        also="LOG_LEVEL",
    ),
    *GUARD_SETTINGS,
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


def resolve(flags: Mapping[str, str], environ: Mapping[str, str], *, platform: str, home: Path, cwd: Path) -> Resolved:
    """Every setting from the first place that gives it. Raises BadSetting for an unknown name or a bad value."""
    path = _file(flags, environ, platform, home, cwd)
    in_file = _read(path) if path is not None else {}
    _refuse_unknown(environ, in_file, path)
    found = {setting.name: _find(setting, flags, environ, in_file, path) for setting in SETTINGS}
    for name in _PATHS:
        found[name] = _from_file(*found[name], path, home)
    if not found["vault"][0]:
        found["vault"] = (str(default_vault(path, environ, platform, home)), "default")
    if not found["state"][0]:
        found["state"] = (str(default_vault(path, environ, platform, home).with_name("modelward_state")), "default")
    if not found["log_folder"][0]:
        found["log_folder"] = (str(Path(found["state"][0]) / "logs"), "default")
    parsed = {name: _parse(_BY_NAME[name], *given) for name, given in found.items()}
    settings = msgspec.convert(parsed, learned(Settings), dec_hook=_keep)
    origins = tuple(
        Origin(
            name=setting.name,
            value=str(_hidden(setting, found[setting.name][0])),
            origin=found[setting.name][1],
            environment=" or ".join(setting.environment),
            help=setting.help,
        )
        for setting in SETTINGS
    )
    return Resolved(settings=settings, origins=origins)


def without_secrets(resolved: Resolved) -> Resolved:
    """The same for other eyes: secrets say only that they are set, and addresses have lost what stands before an @."""
    fields = {
        name: _hidden(_BY_NAME[name], getattr(resolved.settings, name)) for name in resolved.settings.__struct_fields__
    }
    return Resolved(settings=msgspec.structs.replace(resolved.settings, **fields), origins=resolved.origins)


def _hidden(setting: Setting, value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_hidden(setting, item) for item in value)
    if type(value) is not str:
        return value
    return (_SET if value else "") if setting.secret else _USER.sub(rf"//{_SET}@", value)


_SET: Final = "(set)"
_USER: Final = re.compile(r"//[^/@\s,]*@")


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
    from difflib import get_close_matches  # only where there is a mistake

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
        shown = "its value" if setting.secret else repr(text[:60])
        raise BadSetting(
            f"{shown} is {error.what}", thing=f"{setting.name} ({origin})", next_step=error.next_step
        ) from error
