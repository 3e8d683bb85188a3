"""With real servers, the tested one and a second one where there is one: a model comes over the API alone."""

import os
import shutil
from pathlib import Path

import pytest

from modelward.testing import fingerprint
from tests.acceptance.stage import Stage
from tests.ollama_server import OllamaServer

pytestmark = pytest.mark.ollama


@pytest.mark.parametrize("which", ["ollama", "second ollama"])
def test_a_model_comes_over_the_api(ollama_server: OllamaServer, tmp_path: Path, which: str) -> None:
    """Blobs and manifest byte for byte in a store that only the other server reaches, and no temporary name left."""
    program = shutil.which("ollama") if which == "ollama" else os.environ.get("MODELWARD_SECOND_OLLAMA")
    if not program:
        pytest.skip("skipped: no second ollama (MODELWARD_SECOND_OLLAMA)")
    stage = Stage(ollama_server, tmp_path)
    assert stage.modelward("backup")[0] == 0
    there = tmp_path / "there"
    other = OllamaServer(program, there, tmp_path / "other home")
    other.start()
    try:
        assert stage.modelward("restore", "llama3", "--via", other.url)[0] == 0
        listed = other.run("list").stdout
        print("$ ollama list (the other server)\n" + listed)
        assert [line.split()[0] for line in listed.splitlines()[1:]] == ["llama3:latest"]
        assert fingerprint(there / "blobs") == fingerprint(stage.store / "blobs", ignore="-partial")
        manifest = there / "manifests/registry.ollama.ai/library/llama3/latest"
        assert manifest.read_bytes() == stage.manifest.read_bytes()
        if which == "ollama":
            assert other.generate("llama3") == stage.answer
    finally:
        other.stop()
