"""Debian's docker-registry on loopback with the big model in it, for jobs that download."""

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.ground import MODEL, Blob, Ground
from benchmarks.process import Failed
from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.manifest import DOCKER_MANIFEST, Manifest
from modelward.domain.wrapper import OCI_MANIFEST
from modelward.registry.client import RegistryClient

_PIECE = 8 << 20
_CONFIG = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class NoRegistry(Exception):
    """There is no docker-registry on this machine."""


@contextmanager
def serving(ground: Ground, blob: Blob) -> Iterator[str]:
    """A registry that holds the ground's big model, as ``host:port``, while the block lasts."""
    program = shutil.which("docker-registry")
    if program is None:
        raise NoRegistry("docker-registry is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = ground.base / "registry"
    config = ground.base / "registry.yml"
    config.write_text(_CONFIG.format(root=root, port=port))
    with subprocess.Popen(
        [program, "serve", str(config)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port, process)
            _fill(f"127.0.0.1:{port}", ground, blob)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
            ground.drop(root)


def _fill(address: str, ground: Ground, blob: Blob) -> None:
    raw = ground.manifest.read_bytes()
    with closing(RegistryClient(SystemClock())) as client:
        repository = f"{address}/library/{MODEL}"
        for item in Manifest.parse(raw).blobs:
            path = ground.store / "blobs" / f"sha256-{item.digest.hex}"
            client.upload_blob(repository, Digest(item.digest.hex), item.size, _parts(path))
        client.put_manifest(repository, "latest", raw, DOCKER_MANIFEST)
        # The same blobs for skopeo, which refuses Ollama's media types in a manifest of Docker's.
        oci = json.loads(raw) | {"mediaType": OCI_MANIFEST}
        client.put_manifest(repository, "oci", json.dumps(oci).encode(), OCI_MANIFEST)
        if client.blob_size(repository, Digest(blob.hex)) != blob.size:
            raise Failed("the registry does not hold what was sent to it")


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_PIECE):
            yield part


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as link:
            try:
                link.request("GET", "/v2/")
                link.getresponse().read()
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise Failed("docker-registry does not answer")
