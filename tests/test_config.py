"""Settings: one list, one precedence, one message for every mistake."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelward.config import SETTINGS, Resolved, resolve
from modelward.domain.errors import BadSetting, UsageError
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
    with pytest.raises(UsageError):
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


def test_a_bad_model_name_says_where_it_stands(tmp_path: Path) -> None:
    """MODEL is a foreign name that another program may have set: the message has to name it."""
    with pytest.raises(BadSetting, match="environment MODEL"):
        settle(tmp_path, MODEL="../x")


@pytest.mark.parametrize("name", ["KEEP_LAST", "THREADS", "TRASH_DAYS", "LIMIT_RATE", "RESERVE"])
def test_a_number_without_end_is_refused(tmp_path: Path, name: str) -> None:
    """Five thousand digits are a bad setting, never an internal error."""
    with pytest.raises(BadSetting):
        settle(tmp_path, **{f"MODELWARD_{name}": "9" * 5000})


def test_the_trash_is_kept_a_hundred_years_at_most(tmp_path: Path) -> None:
    """A day count that leads out of the calendar is refused where it is set."""
    with pytest.raises(BadSetting):
        settle(tmp_path, MODELWARD_TRASH_DAYS="9999999")


@pytest.mark.parametrize(
    "file", ['store = ["a", "b"]', "store = {a = 1}", "vault = 1979-05-27", "[store]\na = 1", "models = {a = 1}"]
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, file: str) -> None:
    """A path is a text; only the models are a list."""
    with pytest.raises(BadSetting):
        settle(tmp_path, file=file)


def test_a_file_without_a_bottom_is_refused(tmp_path: Path) -> None:
    """Brackets in brackets end with an error that names the file."""
    with pytest.raises(BadSetting, match=r"modelward\.toml"):
        settle(tmp_path, file="models = " + "[" * 5000 + "]" * 5000)


def test_a_home_of_nobody_is_no_settings_file(tmp_path: Path) -> None:
    """A named file has to be there, whatever its name looks like."""
    with pytest.raises(BadSetting):
        settle(tmp_path, MODELWARD_CONFIG="~nobody-of-this-name/modelward.toml")


def test_a_closed_home_holds_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run for another user (sudo keeps HOME): the folder that cannot be entered is passed by."""

    def closed(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)
    assert settle(tmp_path).settings.keep_last == 5


@pytest.mark.parametrize("name", ["store", "vault"])
def test_a_folder_in_the_file_is_seen_from_the_file(tmp_path: Path, name: str) -> None:
    """A relative folder of the user's settings file is the same folder from wherever the program is started."""
    folder = tmp_path / "home" / ".config" / "modelward"
    folder.mkdir(parents=True)
    (folder / "modelward.toml").write_text(f'{name} = "there"\n')
    assert getattr(settle(tmp_path).settings, name) == str(folder / "there")


def test_a_tilde_in_the_file_is_the_home(tmp_path: Path) -> None:
    """No shell reads the file, and people write ~ all the same."""
    assert settle(tmp_path, file='vault = "~/kept"').settings.vault == str(tmp_path / "home" / "kept")


def test_windows_keeps_settings_where_they_roam(tmp_path: Path) -> None:
    """%APPDATA%/modelward/modelward.toml is the settings file there."""
    roaming = tmp_path / "roaming"
    (roaming / "modelward").mkdir(parents=True)
    (roaming / "modelward" / "modelward.toml").write_text("threads = 7")
    environ = {"APPDATA": str(roaming), "LOCALAPPDATA": str(tmp_path / "local")}
    assert resolve({}, environ, platform="win32", home=tmp_path, cwd=tmp_path).settings.threads == 7


def test_a_mac_keeps_settings_in_its_library(tmp_path: Path) -> None:
    """Application Support is the folder of both settings and vault."""
    folder = tmp_path / "Library" / "Application Support" / "modelward"
    folder.mkdir(parents=True)
    (folder / "modelward.toml").write_text("threads = 7")
    settings = resolve({}, {}, platform="darwin", home=tmp_path, cwd=tmp_path).settings
    assert (settings.threads, settings.vault) == (7, str(folder / "model_backups"))


def test_a_named_file_wins_over_the_one_in_the_folder(tmp_path: Path) -> None:
    """--config before MODELWARD_CONFIG before ./modelward.toml."""
    for name, count in (("flag.toml", 1), ("named.toml", 2), ("modelward.toml", 3)):
        (tmp_path / name).write_text(f"threads = {count}")
    environ = {"MODELWARD_CONFIG": str(tmp_path / "named.toml")}
    flags = {"config": str(tmp_path / "flag.toml")}

    def threads(flags: dict[str, str], environ: dict[str, str]) -> int:
        return resolve(flags, environ, platform="linux", home=tmp_path, cwd=tmp_path).settings.threads

    assert (threads(flags, environ), threads({}, environ), threads({}, {})) == (1, 2, 3)


@given(
    st.sampled_from([setting.environment[0] for setting in SETTINGS]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
@example("MODELWARD_MODELS", "../x")
def test_any_text_is_a_value_or_a_bad_setting(name: str, text: str) -> None:
    """Whatever the environment holds, there is a value or a message that names the setting."""
    nowhere = Path("/nonexistent")
    try:
        resolved = resolve({}, {name: text}, platform="linux", home=nowhere, cwd=nowhere)
    except BadSetting as error:
        assert name.removeprefix("MODELWARD_").lower() in error.thing
    else:
        assert len(resolved.origins) == len(SETTINGS)
