"""With the real Ollama: its served model is damaged in every way, and healed without a restart of the server."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.testing import corrupt, fingerprint
from tests.acceptance.stage import MIB, Stage
from tests.ollama_server import OllamaServer, running_ollama

pytestmark = pytest.mark.ollama


@pytest.fixture
def stage(ollama_server: OllamaServer, tmp_path: Path) -> Stage:
    """The stage, with the model backed up by the main job."""
    stage = Stage(ollama_server, tmp_path)
    assert stage.modelward("run")[0] == 0
    return stage


def test_a_zeroed_range_of_the_served_model_is_found_and_healed(stage: Stage) -> None:
    """4 MiB of zeros, size kept, page cache warm, model in memory: the span is named, one repair, it answers."""
    corrupt.zero(stage.blob, 5 * MIB, 4 * MIB)
    code, printed = stage.modelward("verify", "--json")
    model = json.loads(printed)["models"][0]
    assert (code, model["healthy"], model["recoverable"]) == (1, False, True)
    assert model["findings"][0]["spans"] == [[5 * MIB, 4 * MIB]]
    pid = stage.server.pid
    assert stage.modelward("repair")[0] == 0
    assert stage.server.pid == pid
    assert stage.modelward("verify")[0] == 0
    stage.works()


DAMAGES: dict[str, Callable[[Stage], object]] = {
    "manifest deleted": lambda stage: stage.manifest.unlink(),
    "manifest emptied": lambda stage: corrupt.empty(stage.manifest),
    "blob deleted": lambda stage: stage.blob.unlink(),
    "blob truncated": lambda stage: corrupt.truncate(stage.blob, 7 * MIB + 3),
    "blob grown": lambda stage: corrupt.extend(stage.blob, b"garbage"),
    "one bit flipped": lambda stage: corrupt.flip_bit(stage.blob, 9 * MIB, 4),
    "all gone by ollama rm": lambda stage: stage.server.run("rm", "llama3"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_of_a_served_model_heals(stage: Stage, damage: Callable[[Stage], object]) -> None:
    """Found by verify, healed by repair (by restore where the store was emptied), listed, and answering again."""
    before = fingerprint(stage.store, ignore=".modelward")
    damage(stage)
    assert stage.modelward("verify")[0] == 1
    code, _ = stage.modelward("repair")
    if code == 2:
        # The store's only model went with all its blobs: such a store is filled only when the user says so (I1).
        assert stage.modelward("restore", "llama3")[0] == 0
    assert fingerprint(stage.store, ignore=".modelward") == before
    stage.works()
    assert stage.modelward("verify")[0] == 0


def test_the_servers_start_up_prune_leaves_ours_alone(stage: Stage) -> None:
    """What a repair leaves in the store survives a start with pruning on, and the model does too (G1)."""
    corrupt.zero(stage.blob, MIB, 100)
    assert stage.modelward("repair")[0] == 0
    kept = fingerprint(stage.store)
    old = stage.blob.stat().st_mtime - 7200
    for path in stage.store.rglob("*"):
        os.utime(path, (old, old))
    stage.server.stop()
    with running_ollama(stage.store, stage.base / "second", env={"OLLAMA_NOPRUNE": ""}) as pruning:
        assert fingerprint(stage.store) == kept
        assert pruning.generate("llama3") == stage.answer


def test_manifests_that_the_server_wrote_are_written_anew(stage: Stage) -> None:
    """Of older versions that nobody else has: one from a file, one from another model, and a copy of that."""
    _create(stage, "own", "FROM llama3\nSYSTEM one\n")
    assert stage.server.run("cp", "own", "another").returncode == 0
    assert stage.modelward("backup")[0] == 0
    older = {path: path.read_bytes() for path in _manifests_kept(stage)}
    assert {json.loads(raw)["layers"][0].get("from", "")[:6] for raw in older.values()} >= {"llama3"}
    for name in ("own", "another", "llama3"):
        _create(stage, name, f"FROM {stage.base / 'tiny.gguf'}\nSYSTEM two\n")
    assert stage.modelward("backup")[0] == 0
    for path in older:
        path.unlink()
    code, printed = stage.modelward("verify", "--vault-copy")
    assert (code, printed.count("DAMAGED, repairable")) == (1, 3)
    assert stage.modelward("repair", "--vault-copy")[0] == 0
    assert {path: path.read_bytes() for path in older} == older
    assert stage.modelward("rollback", "own")[0] == 0
    assert stage.server.generate("own")


def _create(stage: Stage, name: str, modelfile: str) -> None:
    path = stage.base / "Another"
    path.write_text(modelfile)
    assert stage.server.run("create", name, "-f", str(path)).returncode == 0


def _manifests_kept(stage: Stage) -> set[Path]:
    """Where the vault's copies of the manifests of all versions lie."""
    records = [json.loads(path.read_bytes()) for path in (stage.vault / "modelward/snapshots").iterdir()]
    return {stage.vault / "blobs" / record["manifest"].replace(":", "/") for record in records}
