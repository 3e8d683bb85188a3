"""An independent reader: skopeo copies a vault to a registry and back, and not a bit changes."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.services.backup import backup
from modelward.testing import FakeStore
from tests.places import Place

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo on PATH"),
    pytest.mark.skipif(shutil.which("docker-registry") is None, reason="no docker-registry on PATH"),
]
CHUNK = 1 << 20
NAME = "registry.ollama.ai/library/llama3:latest"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault with a model of a bit over two chunks, and a second version of it."""
    place = Place(tmp_path)
    for byte in (1, 2):
        FakeStore(place.store).add_model("llama3", bytes([byte]) * (2 * CHUNK + 7), template=b"{{ .Prompt }}")
        backup(place.site(), ())
        place.clock.advance(minutes=1)
    return place


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _await(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the registry did not answer within 20 s")


def skopeo(*words: str) -> bytes:
    """Run skopeo; its output."""
    done = subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def blobs(layout: Path) -> dict[str, bytes]:
    """The objects of an OCI layout by digest."""
    return {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}


def test_every_version_can_be_inspected(place: Place) -> None:
    """The newest under the model's name, each under name@id."""
    snapshots = place.site().the_vault().snapshots()
    for ref, digest in [(NAME, snapshots[0].wrapper), *((f"{NAME}@{s.id}", s.wrapper) for s in snapshots)]:
        raw = skopeo("inspect", "--raw", f"oci:{place.vault}:{ref}")
        assert raw == (place.vault / "blobs" / "sha256" / digest.hex).read_bytes()
        assert json.loads(raw)["artifactType"] == "application/vnd.modelward.model.v1"


def test_there_and_back_not_a_bit_changes(place: Place, registry: str, tmp_path: Path) -> None:
    """Pushed to a registry and pulled into another layout: same wrapper digest, same blobs."""
    newest = place.site().the_vault().snapshots()[0]
    content = place.site().the_vault().content(newest)
    remote = f"docker://{registry}/models/llama3:latest"
    skopeo("copy", "--dest-tls-verify=false", f"oci:{place.vault}:{NAME}", remote)
    back = tmp_path / "back"
    skopeo("copy", "--src-tls-verify=false", remote, f"oci:{back}:{NAME}")
    index = json.loads((back / "index.json").read_bytes())
    assert [item["digest"] for item in index["manifests"]] == [newest.wrapper]
    ours = blobs(place.vault)
    expected = {newest.wrapper.hex, *(item.digest.hex for item in content.wrapper.objects)}
    assert blobs(back) == {name: ours[name] for name in expected}
