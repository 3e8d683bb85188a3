"""Settings: one list, one precedence, one message for every mistake."""

from pathlib import Path

import pytest

from modelward.config import SETTINGS, Resolved, resolve
from modelward.domain.errors import BadName, BadSetting
from modelward.domain.name import ModelName


def settle(tmp_path: Path, *, file: str = "", keep_last: str = "", **environ: str) -> Resolved:
    """Resolve with this file in the current folder, this environment, and perhaps the flag --keep-last."""
    if file:
        (tmp_path / "modelward.toml").write_text(file)
    flags = {"keep_last": keep_last} if keep_last else {}
    return resolve(flags, environ, platform="linux", home=tmp_path / "home", cwd=tmp_path)


def origin(resolved: Resolved, name: str) -> str:
    """Where a setting's value comes from."""
    return next(item.origin for item in resolved.origins if item.name == name)


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    """The one precedence, with the origin of each value."""
    file = "keep_last = 2\ntrash_days = 3\nthreads = 4\n"
    resolved = settle(tmp_path, keep_last="9", file=file, MODELWARD_KEEP_LAST="8", MODELWARD_TRASH_DAYS="7")
    settings = resolved.settings
    assert (settings.keep_last, settings.trash_days, settings.threads, settings.keep_daily) == (9, 7, 4, 0)
    assert origin(resolved, "keep_last") == "flag --keep-last"
    assert origin(resolved, "trash_days") == "environment MODELWARD_TRASH_DAYS"
    assert origin(resolved, "threads") == f"file {tmp_path / 'modelward.toml'}"
    assert origin(resolved, "keep_daily") == "default"


def test_our_own_environment_names_win_over_the_others(tmp_path: Path) -> None:
    """MODELWARD_STORE before OLLAMA_MODELS."""
    resolved = settle(tmp_path, OLLAMA_MODELS="/theirs", MODELWARD_STORE="/ours")
    assert resolved.settings.store == "/ours"
    assert settle(tmp_path, OLLAMA_MODELS=' "/theirs" ').settings.store == "/theirs"


def test_models_are_parsed_names(tmp_path: Path) -> None:
    """MODEL is a list by comma; a TOML list does as well; a bad name is refused."""
    names = (ModelName.parse("llama3"), ModelName.parse("user/m:1b"))
    assert settle(tmp_path, MODEL="llama3, user/m:1b").settings.models == names
    assert settle(tmp_path, file='models = ["llama3", "user/m:1b"]').settings.models == names
    with pytest.raises(BadName):
        settle(tmp_path, MODEL="../x")


def test_the_vault_lies_beside_the_settings_file_or_in_the_data_folder(tmp_path: Path) -> None:
    """The default place, by what there is."""
    assert settle(tmp_path).settings.vault == str(tmp_path / "home/.local/share/modelward/model_backups")
    assert settle(tmp_path, XDG_DATA_HOME="/data").settings.vault == "/data/modelward/model_backups"
    assert settle(tmp_path, file="threads = 1").settings.vault == str(tmp_path / "model_backups")


@pytest.mark.parametrize(
    ("file", "environ", "says"),
    [
        ("keep_lats = 3", {}, "keep_last"),
        ("", {"MODELWARD_KEEP_LATS": "3"}, "MODELWARD_KEEP_LAST"),
        ("keep_last = -3", {}, "whole number"),
        ("", {"MODELWARD_LIMIT_RATE": "fast"}, "50M"),
        ("", {"MODELWARD_LOCK_WAIT": "soon"}, "14d"),
        ("", {"LOG_LEVEL": "loud"}, "warning"),
        ("", {"MODELWARD_BUFFERED": "maybe"}, "true or false"),
        ("sample_percent = 0", {}, "percentage"),
        ("this is no toml", {}, "TOML"),
        ("", {"MODELWARD_CONFIG": "/not/there.toml"}, "MODELWARD_CONFIG"),
    ],
)
def test_every_mistake_has_its_message(tmp_path: Path, file: str, environ: dict[str, str], says: str) -> None:
    """What is wrong, where it stands, and what to write instead."""
    with pytest.raises(BadSetting) as caught:
        settle(tmp_path, file=file, **environ)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_setting_explains_itself() -> None:
    """A name, a meaning and an environment name of its own."""
    names = [setting.environment[0] for setting in SETTINGS]
    assert len(set(names)) == len(SETTINGS)
    assert all(setting.help and setting.environment[0].startswith("MODELWARD_") for setting in SETTINGS)
