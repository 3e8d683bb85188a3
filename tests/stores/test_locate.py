"""Which store is this machine's: the named one, the service's, the user's."""

from pathlib import Path

import pytest

from modelward.domain.errors import StoreNotFound
from modelward.stores.locate import candidates, find_store
from modelward.testing import FakeStore


def unit(root: Path, text: str, name: str = "etc/systemd/system/ollama.service") -> None:
    """Write a unit file below ``root``."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def store(path: Path, *, models: bool = True) -> Path:
    """A store at ``path``, with a model or without."""
    fake = FakeStore(path)
    if models:
        fake.add_model("llama3", b"w")
    return path


def test_the_environment_wins(tmp_path: Path) -> None:
    """OLLAMA_MODELS, blanks and quotes trimmed as Ollama does it, comes first."""
    named, default = store(tmp_path / "named"), store(tmp_path / "home/.ollama/models")
    found = find_store({"OLLAMA_MODELS": f' "{named}" '}, tmp_path / "home", "linux", root=tmp_path)
    assert found.path == named
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == default


@pytest.mark.parametrize(
    "text",
    [
        '[Service]\nEnvironment="OLLAMA_MODELS={}"\n',
        "[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0 OLLAMA_MODELS={}\n",
        "[Service]\nUser=ollama\nEnvironment='A=b c' 'OLLAMA_MODELS={}'\n",
    ],
)
def test_the_services_unit_is_read(tmp_path: Path, text: str) -> None:
    """The service's own setting is found in the forms that systemd takes."""
    path = store(tmp_path / "srv")
    unit(tmp_path, text.format(path))
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == path


def test_a_drop_in_wins_over_the_unit(tmp_path: Path) -> None:
    """`systemctl edit` writes a drop-in, which counts last."""
    old, new = store(tmp_path / "old"), store(tmp_path / "new")
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_MODELS={old}\n")
    unit(
        tmp_path,
        f"[Service]\nEnvironment=OLLAMA_MODELS={new}\n",
        "etc/systemd/system/ollama.service.d/override.conf",
    )
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == new


def test_a_store_with_models_is_preferred(tmp_path: Path) -> None:
    """An empty default folder does not hide the service's full one."""
    store(tmp_path / "home/.ollama/models", models=False)
    full = store(tmp_path / "usr/share/ollama/.ollama/models")
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == full


def test_nothing_found_names_every_place(tmp_path: Path) -> None:
    """The error lists where was looked, and how to name the store."""
    with pytest.raises(StoreNotFound) as caught:
        find_store({}, tmp_path / "home", "linux", root=tmp_path)
    assert str(tmp_path / "home/.ollama/models") in caught.value.what
    assert "--store" in caught.value.next_step


def test_other_platforms_have_one_place(tmp_path: Path) -> None:
    """No systemd on a Mac."""
    assert [c.path for c in candidates({}, tmp_path, "darwin", root=tmp_path)] == [tmp_path / ".ollama/models"]


LIB = "lib/systemd/system/ollama.service"
DROP_IN = "etc/systemd/system/ollama.service.d/override.conf"


def test_the_administrators_unit_hides_the_packages(tmp_path: Path) -> None:
    """Of two units of one name systemd reads the one below /etc only (systemd.unit(5))."""
    ours, theirs = store(tmp_path / "ours"), store(tmp_path / "theirs")
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_MODELS={ours}\n")
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_MODELS={theirs}\n", LIB)
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == ours


def test_a_packages_drop_in_is_read(tmp_path: Path) -> None:
    """Drop-ins lie below every folder of units."""
    path = store(tmp_path / "srv")
    unit(tmp_path, "[Service]\nUser=ollama\n", LIB)
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_MODELS={path}\n", f"usr/{LIB}.d/10-models.conf")
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == path


def test_the_last_value_counts(tmp_path: Path) -> None:
    """Set twice, a variable has its last value (systemd.exec(5))."""
    old, new = store(tmp_path / "old"), store(tmp_path / "new")
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_MODELS={old} OLLAMA_MODELS={new}\n")
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == new


def test_a_line_may_go_on_in_the_next(tmp_path: Path) -> None:
    """A backslash at the end joins two lines (systemd.syntax(7))."""
    path = store(tmp_path / "srv")
    unit(tmp_path, f"[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0 \\\n  OLLAMA_MODELS={path}\n")
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == path


@pytest.mark.parametrize(
    ("text", "drop_in"),
    [
        ("[X-Note]\nEnvironment=OLLAMA_MODELS={}\n", ""),
        ("[Service]\nEnvironment=OLLAMA_MODELS={}\n", "[Service]\nEnvironment=\n"),
    ],
)
def test_what_systemd_does_not_take_is_not_taken(tmp_path: Path, text: str, drop_in: str) -> None:
    """Only [Service] counts, and an empty assignment takes back what stood before."""
    unit(tmp_path, text.format(store(tmp_path / "srv")))
    unit(tmp_path, drop_in, DROP_IN)
    default = store(tmp_path / "home/.ollama/models")
    assert find_store({}, tmp_path / "home", "linux", root=tmp_path).path == default


@pytest.mark.parametrize("text", ["User=keeper", "User=nobody-here\nEnvironment=HOME={}"])
def test_the_services_user_has_a_home(tmp_path: Path, text: str) -> None:
    """A service without OLLAMA_MODELS serves from its user's home, or from the HOME that its unit sets."""
    home = tmp_path / "srv" / "keeper"
    path = store(home / ".ollama" / "models")
    unit(tmp_path, f"root:x:0:0:root:/root:/bin/sh\nkeeper:x:990:990::{home}:/bin/false\n", "etc/passwd")
    unit(tmp_path, "[Service]\n" + text.format(home) + "\n")
    assert find_store({}, tmp_path / "nobody", "linux", root=tmp_path).path == path


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Reading units and folders leaves every file and time as it was (V2)."""
    store(tmp_path / "home/.ollama/models")
    unit(tmp_path, "[Service]\nEnvironment=OLLAMA_MODELS=/nowhere\n")

    def picture() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    before = picture()
    find_store({}, tmp_path / "home", "linux", root=tmp_path)
    assert picture() == before
