"""With the real Ollama and a real registry: no vault at all, and the model comes back, a chunk or a file at a time."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.testing import corrupt, fingerprint
from modelward.testing.registry import FakeRegistry
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


@pytest.fixture
def pulled(ollama_server: OllamaServer, tmp_path: Path) -> Iterator[tuple[Stage, str]]:
    """A model that the server pulled from a registry which it accepts, and its name there."""
    stage = Stage(ollama_server, tmp_path)
    raw = stage.manifest.read_bytes().rstrip()
    with FakeRegistry().running() as registry:
        registry.manifests["library/llama3:latest"] = raw
        for blob in stage.store.glob("blobs/*"):
            registry.hold(blob.read_bytes())
        name = f"{registry.address}/library/llama3"
        assert stage.server.run("rm", "llama3").returncode == 0
        assert stage.server.run("pull", "--insecure", name).returncode == 0
        yield stage, name


def test_a_pull_says_success_and_the_blob_stays_bad(pulled: tuple[Stage, str]) -> None:
    """Our reason to be: the file under the right name is not looked at; repair has it downloaded in truth (R4)."""
    stage, name = pulled
    good = stage.blob.read_bytes()
    corrupt.zero(stage.blob, 5 * MIB, MIB)
    again = stage.server.run("pull", "--insecure", name)
    print(f"$ ollama pull --insecure {name}\n{again.stdout}{again.stderr.splitlines()[-1]}")
    assert again.returncode == 0
    assert "success" in again.stdout + again.stderr
    assert stage.blob.read_bytes() != good
    code, printed = stage.modelward("repair", "--json", MODELWARD_UPSTREAM="false")
    assert code == 0
    assert [action["step"] for action in json.loads(printed)["actions"]] == ["PullModel"]
    assert stage.blob.read_bytes() == good
    assert stage.server.generate(name)


def test_one_damaged_mib_costs_one_mib_once_it_was_backed_up(pulled: tuple[Stage, str]) -> None:
    """With the chunk list of a backup and its blob gone from the vault, upstream gives the very chunk (R2)."""
    stage, _ = pulled
    assert stage.modelward("backup")[0] == 0
    max((stage.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size).unlink()
    corrupt.flip_bit(stage.blob, 7 * MIB + 99, 3)
    code, printed = stage.modelward("repair", "--json")
    assert (code, json.loads(printed)["bytes_moved"]) == (0, MIB)
    assert json.loads(printed)["actions"][0]["source"] == "upstream"
