"""Write docs/settings.md and deploy/modelward.toml from the one list of settings."""

from collections.abc import Iterator
from pathlib import Path

from modelward.config import SETTINGS, Setting
from scripts import reference

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "settings.md"
SAMPLE = ROOT / "deploy" / "modelward.toml"

# Each part of the page opens with the setting named here, and ends where the next one opens.
PARTS = {
    "store": "Store, vault and server",
    "siblings": "Where good bytes come from",
    "keep_last": "Versions that are kept",
    "limit_rate": "Reading and writing",
    "log_level": "Program",
    "state": "Guard",
    "on_loss": "Damage, and the brake",
    "scrub_store": "Scrubs and drills",
    "backup_overdue": "Limits that raise an alert",
    "probe": "Probes",
    "forecast_trees": "Forecasts",
    "alert_urls": "Alerts",
    "otlp_endpoint": "OpenTelemetry",
    "log_folder": "Logs of the guard",
    "listen": "API and dashboard",
}
# What the reader of a value takes, by its name.
TAKES = {
    "text": "text",
    "whole": "whole number",
    "days": "whole number",
    "percent": "percentage",
    "yes": "true or false",
    "names": "list of models",
    "listed": "list",
    "hours": "HH:MM-HH:MM",
    "within": "duration",
    "period": "duration",
    "minutes": "minutes, or a duration",
    "parse_duration": "duration",
    "parse_bytes": "size",
    "level": "debug, info, warning or error",
    "policy": "restore, alert or ignore",
    "policies": "list of model=policy",
    "probe": "one, loaded, all or off",
    "trees": "off, auto or on",
}
_BARE = frozenset({"whole", "days", "percent", "minutes", "yes"})
_LISTS = frozenset({"names", "listed", "policies"})

HEAD = """# Settings

Made from the program by `make docs`; a test fails when the two differ. `modelward config` prints every setting with its
value and where the value comes from.

A flag wins over the environment, the environment over the settings file, the file over the default. The settings file
is `modelward.toml` in the working folder, else in the user's configuration folder (`~/.config/modelward/` on Linux), or
the one that `--config` or `MODELWARD_CONFIG` names. A sample with every setting is
[deploy/modelward.toml](../deploy/modelward.toml). An unknown key, or an unknown `MODELWARD_` name, is an error.
A folder that the file names is seen from the file.

Empty folders are found: `store` as the [tutorial](tutorial.md) says; `vault` is `model_backups` and `state` is
`modelward_state`, both beside the settings file or in the user's data folder (`~/.local/share/modelward/` on Linux);
`log_folder` is `logs` in `state`.

- A **duration** is a number with `s`, `m`, `h`, `d` or `w`, such as `90s`, `36h` or `14d`; a bare number is seconds.
- A **size** is a number with `k`, `M`, `G` or `T`, or in powers of 1024 with `Ki`, `Mi`, `Gi` or `Ti`: `20MB`, `64MiB`.
- A **list** is written with commas in the environment, and in the file with commas or as a list of texts.
- **Secret** settings are never printed and never logged. The `_file` ones keep them out of the environment as well.
"""
SAMPLE_HEAD = """# Every setting with its meaning and its default. Take the "# " off a line to change it.
# Made from the program by "make docs". Where this file is looked for, and what values may be: docs/settings.md.
"""


def main() -> None:
    """Write both files."""
    PAGE.write_text(page(), encoding="utf-8")
    SAMPLE.write_text(sample(), encoding="utf-8")


def parts() -> Iterator[tuple[str, list[Setting]]]:
    """The settings in the order of the list, part by part; a new one belongs to the part that it stands in."""
    starts = [number for number, setting in enumerate(SETTINGS) if setting.name in PARTS]
    for first, end in zip(starts, [*starts[1:], len(SETTINGS)], strict=True):
        yield PARTS[SETTINGS[first].name], list(SETTINGS[first:end])


def page() -> str:
    """The page of the documentation."""
    head = ("key in the file", "flag", "environment", "default", "takes", "meaning")
    tables = [reference.table(head, [_row(each) for each in part], f"## {title}") for title, part in parts()]
    return "\n".join([HEAD, *tables])


def sample() -> str:
    """The sample of a settings file; every setting is a comment, with its default."""
    blocks = ["\n".join(_lines(title, part)) for title, part in parts()]
    return "\n".join([SAMPLE_HEAD, "\n\n".join(blocks), ""])


def _row(setting: Setting) -> tuple[str, ...]:
    flag = f"--{setting.name.replace('_', '-')}"
    environment = ", ".join(f"`{name}`" for name in setting.environment)
    meaning = setting.help + (" (secret)" if setting.secret else "")
    default = f"`{setting.default}`" if setting.default else ""
    known = f"`{flag}`" if flag in reference.flags() else ""
    return f"`{setting.name}`", known, environment, default, TAKES[setting.parse.__name__], meaning


def _lines(title: str, settings: list[Setting]) -> Iterator[str]:
    yield f"# === {title} ==="
    for setting in settings:
        yield ""
        yield f"## {setting.help} ({TAKES[setting.parse.__name__]})"
        yield f"# {setting.name} = {_value(setting)}"


def _value(setting: Setting) -> str:
    """The default as TOML writes it."""
    reader = setting.parse.__name__
    if reader in _LISTS:
        return "[]"
    return setting.default if reader in _BARE else f'"{setting.default}"'


if __name__ == "__main__":
    main()
