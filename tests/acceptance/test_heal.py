"""With the real Ollama and a real registry: no vault at all, and the model comes back, a chunk or a file at a time."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.testing import corrupt, fingerprint
from tests.acceptance.stage import MIB, Stage
from tests.docker_registry import running_registry
from tests.ollama_server import OllamaServer

pytestmark = [pytest.mark.ollama, pytest.mark.registry]


class Healing(Stage):
    """A served model, a registry that has it too, and an empty vault."""

    def __init__(self, server: OllamaServer, base: Path, registry: str) -> None:
        super().__init__(server, base)
        self.registry = registry
        there = f"{registry}/library/llama3"
        assert server.run("cp", "llama3", there).returncode == 0
        pushed = server.run("push", "--insecure", there)
        assert pushed.returncode == 0, pushed.stderr
        assert server.run("rm", there).returncode == 0

    def environ(self) -> dict[str, str]:
        """The public registry is the one on loopback, and nothing else is asked."""
        return super().environ() | {"MODELWARD_MIRRORS": f"registry.ollama.ai=http://{self.registry}"}


@pytest.fixture
def healing(ollama_server: OllamaServer, tmp_path: Path) -> Iterator[Healing]:
    """The stage; what it serves was never backed up."""
    with running_registry(tmp_path) as registry:
        yield Healing(ollama_server, tmp_path, registry)


def test_a_zeroed_range_is_healed_by_range_from_the_registry(healing: Healing) -> None:
    """An empty vault, one damaged MiB: what looks lost is all that comes; the model answers (R2).

    The tiny model has a chunk and a tail of its own that look lost as well.
    """
    before = fingerprint(healing.store, ignore=".modelward")
    corrupt.zero(healing.blob, 5 * MIB + 4096, MIB // 2)
    code, printed = healing.modelward("repair", "--json")
    assert code == 0
    assert MIB <= json.loads(printed)["bytes_moved"] < 3 * MIB
    assert json.loads(printed)["actions"][0]["source"] == "upstream"
    assert fingerprint(healing.store, ignore=".modelward") == before
    healing.works()


def test_everything_lost_comes_back_from_the_registry(healing: Healing) -> None:
    """Manifest and blobs are gone, nobody has a copy here: pull brings them, proved."""
    blobs, manifest = fingerprint(healing.store / "blobs"), healing.manifest.read_bytes()
    healing.server.run("rm", "llama3")
    assert healing.modelward("pull", "llama3")[0] == 0
    assert fingerprint(healing.store / "blobs") == blobs
    assert healing.manifest.read_bytes() == manifest.rstrip()  # what Ollama pushes has no newline at its end
    healing.works()


def test_a_sibling_folder_heals_without_a_network(healing: Healing) -> None:
    """A folder with the GGUF file under a name of its own is enough."""
    folder = healing.base / "downloads"
    folder.mkdir()
    (folder / "my-llama.gguf").write_bytes(healing.blob.read_bytes())
    corrupt.flip_bit(healing.blob, 9 * MIB, 4)
    code, printed = healing.modelward(
        "repair", "--json", MODELWARD_SIBLINGS=str(folder), MODELWARD_UPSTREAM="false", MODELWARD_MIRRORS=""
    )
    assert code == 0
    assert json.loads(printed)["actions"][0]["source"].startswith("sibling")
    healing.works()


def test_a_damaged_blob_costs_the_whole_where_nothing_shows(healing: Healing) -> None:
    """One flipped bit and no chunk list: the whole blob comes, and its SHA-256 decides."""
    size, good = healing.blob.stat().st_size, hashlib.sha256(healing.blob.read_bytes()).hexdigest()
    corrupt.flip_bit(healing.blob, 9 * MIB, 4)
    code, printed = healing.modelward("repair", "--json")
    assert (code, json.loads(printed)["bytes_moved"]) == (0, size)
    assert hashlib.sha256(healing.blob.read_bytes()).hexdigest() == good
    healing.works()
