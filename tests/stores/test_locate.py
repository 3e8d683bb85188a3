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
