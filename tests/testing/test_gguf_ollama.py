"""The real Ollama takes the tiny model and answers with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.testing import tiny_gguf
from tests.ollama_server import OllamaServer

pytestmark = pytest.mark.ollama
MIB = 1 << 20


SHAPES: dict[str, Callable[[], bytes]] = {
    "default": tiny_gguf,
    "narrow and deep": lambda: tiny_gguf(embedding=32, heads=1, blocks=3, seed=1),
    "12 MiB": lambda: tiny_gguf(at_least_bytes=12 * MIB),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_creates_and_answers(ollama_server: OllamaServer, tmp_path: Path, shape: str) -> None:
    """``ollama create`` takes the file as it is, and the model's likeliest answer is four printable characters."""
    (tmp_path / "tiny.gguf").write_bytes(SHAPES[shape]())
    (tmp_path / "Modelfile").write_text("FROM ./tiny.gguf\n", encoding="utf-8")
    created = ollama_server.run("create", "tiny", "-f", "Modelfile", cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    answer = ollama_server.generate("tiny", tokens=4)
    assert len(answer) == 4
    assert answer.isprintable()
    assert answer.isascii()


def test_answers_the_same_after_a_restart(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """A restarted server has the same address and gives the same answer."""
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    (tmp_path / "Modelfile").write_text("FROM ./tiny.gguf\n", encoding="utf-8")
    assert ollama_server.run("create", "tiny", "-f", "Modelfile", cwd=tmp_path).returncode == 0
    before = ollama_server.url, ollama_server.generate("tiny")
    pid = ollama_server.pid
    ollama_server.restart()
    assert ollama_server.pid != pid
    assert (ollama_server.url, ollama_server.generate("tiny")) == before
