"""Debian's docker-registry on loopback, for tests of what registries keep and give."""

import http.client
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

_CONFIG = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def running_registry(base: Path) -> Iterator[str]:
    """An empty registry while the block lasts, as ``host:port``; skips the test where there is none to start."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry on PATH")
    port = free_port()
    config = base / "registry.yml"
    config.write_text(_CONFIG.format(root=base / "registry", port=port))
    log = base / "registry.log"
    with log.open("wb") as output, running([program, "serve", str(config)], output.fileno()) as process:
        _wait_for(port, process, log)
        yield f"127.0.0.1:{port}"


@contextmanager
def running(command: Sequence[str], output: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The program while it is needed."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as link:
            try:
                link.request("GET", "/v2/")
                link.getresponse().read()
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError(log.read_text())
