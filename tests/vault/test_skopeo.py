"""Other people's tools read a vault: skopeo copies it into a registry and back, and no byte changes."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.snapshot import Snapshot
from tests.docker_registry import running_registry
from tests.models import add_model, make_model, pattern
from tests.vault.conftest import Shelf

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo on PATH"),
]
NAMES = ("llama3", "hf.co/bartowski/Some_Model-GGUF:Q4_K_M", "localhost:5000/team/model:v1.2")


@pytest.fixture
def filled(shelf: Shelf) -> tuple[Shelf, list[Snapshot]]:
    """A vault with two versions of a model that has a chunk list, and models of other registries."""
    shelf.create()
    snapshots = []
    for number, name in enumerate((NAMES[0], *NAMES)):
        shelf.clock.advance(minutes=1)
        with shelf.open().writing("backup") as writer:
            model = make_model(name, pattern(2 * CHUNK + number, number), b"{{ .Prompt }}")
            snapshots.append(add_model(writer, model))
    return shelf, snapshots


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry of our own on the loopback, ``host:port``."""
    with running_registry(tmp_path) as address:
        yield address


def skopeo(*arguments: str) -> bytes:
    """What it prints; its own words when it fails."""
    command = ["skopeo", "--insecure-policy", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sha256(data: bytes) -> str:
    """The digest as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_every_name_is_found(filled: tuple[Shelf, list[Snapshot]]) -> None:
    """The plain name is the newest version, name@id each of them: the wrapper's exact bytes."""
    shelf, snapshots = filled
    newest = {snapshot.model: snapshot for snapshot in snapshots}
    for snapshot in snapshots:
        raw = skopeo("inspect", "--raw", f"oci:{shelf.root}:{snapshot.model}@{snapshot.id}")
        assert sha256(raw) == str(snapshot.wrapper)
    for model, snapshot in newest.items():
        assert sha256(skopeo("inspect", "--raw", f"oci:{shelf.root}:{model}")) == str(snapshot.wrapper)


def test_a_model_goes_to_a_registry_and_back(
    filled: tuple[Shelf, list[Snapshot]], registry: str, tmp_path: Path
) -> None:
    """Every version of every model: the wrapper's digest and each object's bytes are what they were."""
    shelf, snapshots = filled
    back = tmp_path / "back"
    for number, snapshot in enumerate(snapshots):
        there = f"docker://{registry}/models/m{number}:tag"
        here = f"oci:{shelf.root}:{snapshot.model}@{snapshot.id}"
        skopeo("copy", here, there, "--dest-tls-verify=false")
        assert sha256(skopeo("inspect", "--raw", "--tls-verify=false", there)) == str(snapshot.wrapper)
        skopeo("copy", there, f"oci:{back}:m{number}", "--src-tls-verify=false")
        assert sha256(skopeo("inspect", "--raw", f"oci:{back}:m{number}")) == str(snapshot.wrapper)
    assert contents(back) == contents(shelf.root)
    index = json.loads((back / "index.json").read_bytes())
    assert [item["digest"] for item in index["manifests"]] == [str(snapshot.wrapper) for snapshot in snapshots]


def contents(layout: Path) -> dict[str, str]:
    """Every object of an image layout by its name, with its true digest."""
    found = {path.name: sha256(path.read_bytes()) for path in (layout / "blobs" / "sha256").iterdir()}
    assert all(digest == f"sha256:{name}" for name, digest in found.items())
    return found


def test_a_rotten_object_is_not_taken(filled: tuple[Shelf, list[Snapshot]], tmp_path: Path) -> None:
    """Digests are checked on the way out by skopeo itself: the vault's rot cannot spread."""
    shelf, snapshots = filled
    weights = max(shelf.path("blobs", "sha256").iterdir(), key=lambda path: path.stat().st_size)
    weights.chmod(0o600)
    with weights.open("r+b") as file:
        file.seek(CHUNK)
        file.write(b"rot")
    named = f"oci:{shelf.root}:{snapshots[-1].model}@{snapshots[-1].id}"
    command = ["skopeo", "--insecure-policy", "copy", named, f"oci:{tmp_path / 'back'}:m"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    assert b"igest" in done.stderr
