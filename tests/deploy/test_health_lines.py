"""The health checks of the containers: the very lines of the files, run under bash against a live server."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.deploy.containers import DEPLOY, pod, script, services

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on PATH")


def compose_line() -> str:
    """The check of the server in the Compose file."""
    return script(services()["ollama"]["healthcheck"]["test"])


def readiness_line() -> str:
    """The server's readiness probe in the Pod."""
    return script(pod()["containers"][0]["readinessProbe"]["exec"]["command"])


def liveness_line() -> str:
    """The guard's liveness probe in the Pod."""
    return script(pod()["containers"][1]["livenessProbe"]["exec"]["command"])


class Guard(BaseHTTPRequestHandler):
    """Answers as a guard does: by path, and only to a host that it goes by."""

    status = 200
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        """One answer, with a body as a problem document has one."""
        self.asked.append((self.path, self.headers["Host"]))
        body = b'{"ready": true}\n'
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def guard(status: int) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A live guard that answers with this status; its port, and what it was asked."""
    asked: list[tuple[str, str]] = []
    handler = type("Handler", (Guard,), {"status": status, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port that takes connections, gives this answer to each, or says nothing, and stays open."""
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            taken.append(connection)
            if answer is not None:
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def code(line: str, *, guard_port: int, server_port: int) -> int:
    """The exit code of the line, with the ports of this test in the place of the containers'."""
    assert line.count("/8484") == 1
    line = line.replace("/dev/tcp/modelward/8484", f"/dev/tcp/127.0.0.1/{guard_port}")
    line = line.replace("/dev/tcp/127.0.0.1/8484", f"/dev/tcp/127.0.0.1/{guard_port}")
    line = line.replace("/dev/tcp/127.0.0.1/11434", f"/dev/tcp/127.0.0.1/{server_port}")
    ran = subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=60)
    assert ran.stdout == b""
    return ran.returncode


LINES = pytest.mark.parametrize("line", [compose_line, readiness_line, liveness_line])


@LINES
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (500, False), (401, False), (404, False)])
def test_the_guards_answer_decides(line: Callable[[], str], status: int, healthy: bool) -> None:  # noqa: FBT001 - a table
    """200 is healthy and nothing else is; the guard is asked on the right path, by a name that it goes by."""
    with listening(None) as server, guard(status) as (port, asked):
        assert (code(line(), guard_port=port, server_port=server) == 0) is healthy
    path = "/livez" if line is liveness_line else "/readyz"
    name = "modelward:8484" if line is compose_line else "127.0.0.1:8484"
    assert asked == [(path, name)]


@LINES
def test_a_guard_that_hangs(line: Callable[[], str]) -> None:
    """A connection that is taken and never answered is not healthy, and ends."""
    with listening(None) as port:
        assert code(line(), guard_port=port, server_port=port) != 0


@LINES
@pytest.mark.parametrize(
    "answer", [b"\n", b"200\n", b"HTTP/1.1\n", b"HTTP/1.1 2000 OK\r\n", b"\0\xff\n", b"SSH-2.0 x 200\r\n"]
)
def test_something_else_at_the_port(line: Callable[[], str], answer: bytes) -> None:
    """What is no answer of HTTP with 200 is not healthy."""
    with listening(answer) as port:
        assert code(line(), guard_port=port, server_port=port) != 0


@LINES
def test_a_guard_that_is_not_there(line: Callable[[], str]) -> None:
    """A closed port is not healthy."""
    with listening(None) as server:
        assert code(line(), guard_port=closed_port(), server_port=server) != 0


@pytest.mark.parametrize("line", [compose_line, readiness_line])
def test_a_server_that_is_not_there(line: Callable[[], str]) -> None:
    """A guard that is content does not make up for a server's closed port."""
    with guard(200) as (port, _):
        assert code(line(), guard_port=port, server_port=closed_port()) != 0


def test_the_documents_show_the_line_that_runs() -> None:
    """docs/compose.md explains the check of the Compose file, word for word."""
    page = (DEPLOY.parent / "docs" / "compose.md").read_text(encoding="utf-8")
    shown = " ".join(page[page.index("    exec 3<>") :].split("\n\n")[0].split())
    assert shown == " ".join(compose_line().split())


def test_the_checks_outlast_their_own_deadline() -> None:
    """The container's time limit leaves room for the five seconds that the line itself waits."""
    assert services()["ollama"]["healthcheck"]["timeout"] == "10s"
    probes = (pod()["containers"][0]["readinessProbe"], pod()["containers"][1]["livenessProbe"])
    assert [probe["timeoutSeconds"] for probe in probes] == [10, 10]
