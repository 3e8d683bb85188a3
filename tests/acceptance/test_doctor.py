"""With real servers: doctor says that another store is read, and that two of them work on one."""

import json
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage
from tests.ollama_server import OllamaServer, running_ollama

pytestmark = pytest.mark.ollama


def kinds(stage: Stage, *words: str, **more: str) -> set[str]:
    """The causes that the program names, printed for people before."""
    stage.modelward("doctor", *words, **more)
    causes = json.loads(stage.modelward("doctor", "--json", *words, **more)[1])["causes"]
    return {cause["kind"] for cause in causes}


def test_a_healthy_server(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """Nothing is wrong, whoever else serves on this machine."""
    stage = Stage(ollama_server, tmp_path)
    assert not {kind for kind in kinds(stage) if "another store" in kind or "two servers" in kind}


def test_the_server_reads_another_store(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """Its own modelfile gives away which one."""
    stage = Stage(ollama_server, tmp_path)
    other = tmp_path / "elsewhere/models"
    (other / "blobs").mkdir(parents=True)
    (other / "manifests").mkdir()
    assert "the server reads another store than we look at" in kinds(stage, MODELWARD_STORE=str(other))


def test_two_servers_on_one_store(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """Both processes are named."""
    stage = Stage(ollama_server, tmp_path)
    with running_ollama(stage.store, tmp_path / "second"):
        assert "two servers work on one store" in kinds(stage)
