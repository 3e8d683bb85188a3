"""The page of settings and the sample file agree with the one list of settings."""

import re
import tomllib
from pathlib import Path

from modelward.config import SETTINGS, resolve
from scripts import settings


def test_the_page_and_the_sample_are_what_the_program_says() -> None:
    """docs/settings.md and deploy/modelward.toml are, byte for byte, what `make docs` writes now."""
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "docs/settings.md is old: run make docs"
    assert settings.SAMPLE.read_text(encoding="utf-8") == settings.sample(), (
        "deploy/modelward.toml is old: run make docs"
    )


def test_every_setting_is_in_one_part() -> None:
    """All settings, in their order, each once; and every part is found by the setting that it opens with."""
    parts = list(settings.parts())
    assert [each for _, part in parts for each in part] == list(SETTINGS)
    assert [title for title, _ in parts] == list(settings.PARTS.values())


def test_the_page_names_every_setting_with_its_environment() -> None:
    """Name, environment names, default and meaning stand in one row."""
    rows = settings.page().splitlines()
    for setting in SETTINGS:
        (row,) = [line for line in rows if line.startswith(f"| `{setting.name}` |")]
        assert all(f"`{name}`" in row for name in setting.environment)
        assert setting.help in row
        assert setting.default in row
        assert ("(secret)" in row) is setting.secret


def test_the_sample_changes_nothing() -> None:
    """As it is shipped it holds comments only."""
    assert tomllib.loads(settings.sample()) == {}


def test_the_sample_is_a_settings_file(tmp_path: Path) -> None:
    """With every line taken in, it is accepted, names every setting, and gives the very defaults."""
    lines = re.sub(r"^# (\w+ = )", r"\1", settings.sample(), flags=re.MULTILINE)
    assert list(tomllib.loads(lines)) == [setting.name for setting in SETTINGS]
    (tmp_path / "modelward.toml").write_text(lines)
    filled = resolve({}, {}, platform="linux", home=tmp_path / "home", cwd=tmp_path)
    (tmp_path / "modelward.toml").write_text(settings.sample())
    assert filled.settings == resolve({}, {}, platform="linux", home=tmp_path / "home", cwd=tmp_path).settings
