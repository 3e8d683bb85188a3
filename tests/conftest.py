"""Fixtures that every folder of tests may use."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.ollama_server import OllamaServer, running_ollama

# How long an example takes says something of the machine, and nothing of the program. A change is judged by the same
# examples every time; --hypothesis-profile=drawn draws new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("drawn", deadline=None)
settings.load_profile("same")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """No test that is marked ``ollama`` begins where there is none, whatever it is made of."""
    if item.get_closest_marker("ollama") and shutil.which("ollama") is None:
        pytest.skip("skipped: no ollama on PATH")


@pytest.fixture
def ollama_server(tmp_path: Path) -> Iterator[OllamaServer]:
    """The real Ollama over an empty store, ``tmp_path/models``."""
    with running_ollama(tmp_path / "models", tmp_path / "home") as server:
        yield server
