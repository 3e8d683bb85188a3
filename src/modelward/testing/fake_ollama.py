"""A server that speaks as much of Ollama's API as we use, over a real store folder, and fails as it is told to."""

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

_HUGE = 32 << 20
_BODIES = {
    "garbage": b"<html>not what you think</html>",
    "wrong shape": b'{"models": "none", "version": 7}',
    "not UTF-8": b'{"models": [{"name": "\xff"}], "version": "\xff"}',
    "deep": b'{"more": ' + b"[" * 100_000,
    "null": b'{"models": null}',
    "endless": b'{"models": [' + b" " * _HUGE + b"]}",
}
FAULTS = ("status 500", "status 404", "hang", "garbage", "close", "endless", "wrong shape", "not UTF-8", "deep")


class FakeOllama:
    """Lists the manifests of ``models`` anew at each call, as Ollama does; ``fail`` scripts faults by path."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.faults: dict[str, str] = {}
        self.memory: list[str] = []
        self.stuck = False
        """True: models stay in memory whatever is asked, as with a request that does not end."""
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, path: str, fault: str) -> None:
        """From now on answer ``path`` with one of FAULTS, "null", "slow" or "packed"; an empty fault ends that."""
        self.faults[path] = fault

    @contextmanager
    def running(self) -> Iterator["FakeOllama"]:
        """Serve as long as the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def tags(self) -> list[dict[str, object]]:
        """What it lists: name, digest without its prefix, and bytes."""
        found = []
        for path in sorted((self.models / "manifests").glob("*/*/*/*")):
            try:
                manifest = json.loads(path.read_bytes())
                layers = [manifest["config"], *(manifest["layers"] or [])]
            except (ValueError, KeyError, OSError):
                continue
            host, namespace, model, tag = path.parts[-4:]
            lead = [host] * (host != "registry.ollama.ai") + [namespace] * (namespace != "library")
            name = "/".join([*lead, f"{model}:{tag}"])
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found.append({"name": name, "digest": digest, "size": sum(layer["size"] for layer in layers)})
        return found

    def answer(self, path: str, body: dict[str, object]) -> object:
        """The JSON answer of a call; loads and unloads models on the way."""
        model = str(body.get("model", ""))
        match path:
            case "/api/version":
                return {"version": "0.24.0"}
            case "/api/tags":
                return {"models": self.tags()}
            case "/api/ps":
                return {"models": [{"name": name} for name in self.memory]}
            case "/api/generate" if body.get("keep_alive") == 0:
                self.memory = [name for name in self.memory if self.stuck or name != model]
                return {"model": model, "done": True, "done_reason": "unload"}
            case "/api/generate":
                self.memory = sorted({*self.memory, model})
                return {"model": model, "done": True, "done_reason": "load"}
            case _:
                return None


class _Handler(BaseHTTPRequestHandler):
    """One request; ``fake`` is set in a class of its own for each server."""

    fake: FakeOllama

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._serve(json.loads(self.rfile.read(length) or b"{}"))

    def _serve(self, body: dict[str, object]) -> None:
        path = urlsplit(self.path).path  # whoever takes us for a proxy sends the whole address
        self.fake.asked.append(path)
        fault = self.fake.faults.get(path, "")
        if fault:
            self._fault(fault)
            return
        if path == "/":
            self._send(200, b"Ollama is running")
            return
        found = self.fake.answer(path, body)
        self._send(200 if found is not None else 404, json.dumps(found or {"error": "not found"}).encode())

    def _fault(self, fault: str) -> None:
        match fault:
            case "hang":
                time.sleep(1.0)
            case "close":
                self.connection.close()
            case "packed":
                self._send(200, gzip.compress(b" " * _HUGE + b"{}"), {"Content-Encoding": "gzip"})
            case "slow":
                self._drip()
            case _ if fault in _BODIES:
                self._send(200, _BODIES[fault])
            case _:
                self._send(int(fault.removeprefix("status ")), b'{"error": "scripted"}')

    def _drip(self) -> None:
        """Send a byte now and then, each in time, until the client has enough of it."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            for _ in range(60):
                self.wfile.write(b" ")
                time.sleep(0.1)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""
