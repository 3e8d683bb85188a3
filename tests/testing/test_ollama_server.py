"""The helper that runs a real Ollama ends what it began, and says why when it cannot begin."""

import os
from pathlib import Path

import pytest

from modelward.testing import FakeStore, tiny_gguf
from tests.ollama_server import OllamaServer, ServerNotReady, running_ollama


def stand_in(folder: Path, script: str) -> str:
    """A program that stands in for Ollama."""
    path = folder / "ollama"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_server_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    """The error holds the status and the last words, and no process is left."""
    server = OllamaServer(
        stand_in(tmp_path, "echo cannot find the disk; exit 3"), tmp_path / "models", tmp_path / "home"
    )
    with pytest.raises(ServerNotReady, match=r"status 3[\s\S]*cannot find the disk"):
        server.start()
    with pytest.raises(ServerNotReady, match="not running"):
        _ = server.pid


def test_a_taken_port_is_not_the_end(tmp_path: Path) -> None:
    """When somebody was quicker, other ports are tried, three in all."""
    program = stand_in(tmp_path, 'echo "$OLLAMA_HOST" >> hosts; echo "bind: address already in use"; exit 1')
    server = OllamaServer(program, tmp_path / "models", tmp_path / "home")
    with pytest.raises(ServerNotReady, match="already in use"):
        server.start()
    hosts = (tmp_path / "home" / "hosts").read_text(encoding="utf-8").split()
    assert len(set(hosts)) == 3
    assert all(host.startswith("127.0.0.1:") for host in hosts)


def test_the_environment_is_small_and_its_own(tmp_path: Path) -> None:
    """The server gets its store, its home and what the test gives it; nothing of the user's."""
    program = stand_in(tmp_path, "env; exit 1")
    server = OllamaServer(program, tmp_path / "models", tmp_path / "home", {"OLLAMA_NOPRUNE": "0"})
    with pytest.raises(ServerNotReady):
        server.start()
    seen = dict(line.split("=", 1) for line in server.log.read_text(encoding="utf-8").splitlines() if "=" in line)
    assert seen["HOME"] == str(tmp_path / "home")
    assert seen["OLLAMA_MODELS"] == str(tmp_path / "models")
    assert seen["OLLAMA_NOPRUNE"] == "0"
    allowed = {"HOME", "PATH", "OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_NOPRUNE", "OLLAMA_NO_CLOUD"}
    assert set(seen) - {"PWD", "OLDPWD", "SHLVL", "_"} == allowed


def test_without_ollama_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Ollama the helper says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotReady, match="no ollama on PATH"), running_ollama(tmp_path / "m", tmp_path / "h"):
        pytest.fail("there is no server")


@pytest.mark.ollama
def test_stopping_ends_the_process_and_may_be_said_twice(ollama_server: OllamaServer) -> None:
    """A stopped server is gone; stopping it again does nothing, and it can be started again."""
    pid, url = ollama_server.pid, ollama_server.url
    ollama_server.stop()
    ollama_server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(OSError, match="refused"):
        ollama_server.ask("/api/version", seconds=1)
    ollama_server.start()
    assert ollama_server.url == url
    assert ollama_server.ask("/api/version")[0] == 200


@pytest.mark.ollama
def test_errors_are_answers(ollama_server: OllamaServer) -> None:
    """What Ollama refuses comes back as status and text; a missing answer of a model is an error."""
    status, answer = ollama_server.ask("/api/show", {"model": "nobody"})
    assert status == 404
    assert isinstance(answer, dict)
    assert "nobody" in answer["error"]
    assert ollama_server.run("rm", "nobody").returncode != 0
    with pytest.raises(ServerNotReady, match="nobody"):
        ollama_server.generate("nobody")


@pytest.mark.ollama
def test_unloading_lets_go_of_the_model(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """A model that answered is loaded; after unloading it is not."""
    FakeStore(tmp_path / "models").add_model("tiny", tiny_gguf())
    ollama_server.generate("tiny")
    assert ollama_server.loaded() == ["tiny:latest"]
    ollama_server.unload("tiny")
    assert ollama_server.loaded() == []
