"""Fixtures that every folder of tests may use."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.ollama_server import OllamaServer, running_ollama

# How long an example takes says something of the machine, and nothing of the program.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def ollama_server(tmp_path: Path) -> Iterator[OllamaServer]:
    """The real Ollama over an empty store, ``tmp_path/models``; skips where there is none."""
    if shutil.which("ollama") is None:
        pytest.skip("no ollama on PATH")
    with running_ollama(tmp_path / "models", tmp_path / "home") as server:
        yield server
