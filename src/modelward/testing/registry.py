"""A registry of models on loopback that keeps its word, until it is told to break it in one of many ways."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Self

from modelward.testing.crowded import CrowdedServer

_PIECE = 1 << 16

# What one request, or every one, can get instead of the truth.
FAULTS = (
    "wrong bytes",
    "ignores ranges",
    "another range",
    "no content range",
    "longer than said",
    "shorter than said",
    "endless",
    "trickle",
    "packed",
    "reset",
    "hang",
    "status 404",
    "status 403",
    "status 412",
    "status 500",
    "status 429",
    "redirect loop",
    "redirect to file",
    "redirect to another server",
    "redirect nowhere",
    "login elsewhere",
    "login for ever",
    "login",
    "garbage",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class FakeRegistry:
    """Serves ``manifests`` (``repository:tag`` to bytes) and ``blobs``; takes uploads.

    ``faults`` maps a part of a path to one of FAULTS; ``times`` says how often each strikes (else always). ``aside`` is
    where redirects and logins of a hostile kind lead.
    """

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    aside: str = ""
    token: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._server = CrowdedServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self._server.server_port}"

    def add(self, name: str, *blobs: bytes) -> bytes:
        """A model of a small config and these layers, under ``repository:tag``; returns its manifest."""
        parts = (b'{"model_format":"gguf"}', *blobs)
        config, *layers = (
            {"mediaType": "application/vnd.ollama.image.model", "digest": self.hold(part), "size": len(part)}
            for part in parts
        )
        raw = json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
        self.manifests[name] = raw
        return raw

    def hold(self, data: bytes) -> str:
        """Have a blob; returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def fail(self, part: str, fault: str, times: int = 1 << 30) -> None:
        """Answer paths that hold ``part`` like this, so many times."""
        self.faults[part], self.times[part] = fault, times

    def fault_of(self, path: str) -> str:
        """The fault that strikes now; empty for none."""
        for part, fault in self.faults.items():
            if part in path and self.times.get(part, 0) > 0:
                self.times[part] -= 1
                return fault
        return ""

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve as long as the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One request; ``fake`` is set in a class of its own for each server."""

    fake: FakeRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.fake.asked.append(Asked(self.command, self.path, dict(self.headers)))
        fault = self.fake.fault_of(path)
        with suppress(OSError):
            if path == "/token":
                self._send(200, json.dumps({"token": self.fake.token or "t"}).encode())
            elif fault and self._refuse(fault):
                return
            elif self.fake.token and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
                self._challenge(f"http://{self.fake.address}/token")
            elif self.command in ("POST", "PUT"):
                self._take(path, body)
            else:
                self._give(path, fault)

    def _refuse(self, fault: str) -> bool:
        """Answer with anything but the thing; False where the fault is in the thing itself."""
        here = f"http://{self.fake.address}{self.path}"
        match fault.split():
            case ["status", number]:
                self._send(int(number), b'{"errors": "scripted"}', self.fake.headers)
            case ["redirect", *where]:
                to = {"loop": here, "to file": "file:///etc/passwd", "nowhere": "http://127.0.0.1:1/x"}
                self._send(307, b"", {"Location": to.get(" ".join(where), f"http://{self.fake.aside}{self.path}")})
            case ["login", *_]:
                other = self.fake.aside if fault == "login elsewhere" else self.fake.address
                if fault != "login" or "Authorization" not in self.headers:
                    self._challenge(f"http://{other}/token")
                else:
                    return False
            case ["reset"]:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case ["hang"]:
                self.fake.stop.wait(20)
            case ["garbage"]:
                self._send(200, b"<html>not what you think</html>")
            case _:
                return False
        return True

    def _challenge(self, realm: str) -> None:
        value = f'Bearer realm="{realm}",service="fake",scope="repository:x:pull"'
        self._send(401, b"", {"WWW-Authenticate": value})

    def _take(self, path: str, body: bytes) -> None:
        if self.command == "POST":
            self._send(202, b"", {"Location": f"{path}1"})
        elif "/manifests/" in path:
            repository, _, tag = path.removeprefix("/v2/").partition("/manifests/")
            self.fake.manifests[f"{repository}:{tag}"] = body
            self._send(201, b"")
        else:
            digest = self.fake.hold(body)
            self._send(201 if f"digest={digest}" in self.path else 400, b"")

    def _give(self, path: str, fault: str) -> None:
        repository, _, reference = path.removeprefix("/v2/").partition("/manifests/")
        _, _, digest = path.partition("/blobs/")
        data = self.fake.manifests.get(f"{repository}:{reference}") if reference else self.fake.blobs.get(digest)
        if data is None:
            self._send(404, b'{"errors": []}')
            return
        first, last = self._wanted(len(data))
        if fault == "wrong bytes":
            data = bytes(255 - byte for byte in data)
        if not digest or "Range" not in self.headers or fault == "ignores ranges":
            # Without a Location to read ranges from Ollama refuses a blob (server/download.go of v0.24.0).
            self._body(200, data, {"Location": self.path} if digest else {}, fault)
        else:
            shift = 1 if fault == "another range" else 0
            label = {"Content-Range": f"bytes {first + shift}-{last + shift}/{len(data)}"}
            self._body(206, data[first : last + 1], {} if fault == "no content range" else label, fault)

    def _wanted(self, size: int) -> tuple[int, int]:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        return int(first), min(int(last or size), size - 1)

    def _body(self, status: int, data: bytes, headers: dict[str, str], fault: str) -> None:
        said = len(data) + {"longer than said": -1, "shorter than said": 1, "endless": 1 << 40}.get(fault, 0)
        self.send_response(status)
        for name, value in (headers | ({"Content-Encoding": "gzip"} if fault == "packed" else {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(said))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._pour(data, fault)
        if said != len(data):
            self.close_connection = True

    def _pour(self, data: bytes, fault: str) -> None:
        size = 1 if fault == "trickle" else _PIECE
        for offset in range(0, len(data), size):
            self.fake.sent += len(data[offset : offset + size])  # before: who got them may look at once
            self.wfile.write(data[offset : offset + size])
            if fault == "trickle":
                time.sleep(0.02)
            if self.fake.stop.is_set():
                return
        while fault == "endless" and not self.fake.stop.is_set():
            self.wfile.write(bytes(_PIECE))

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
