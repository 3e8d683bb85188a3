"""A server that speaks as much of Ollama's API as we use, over a real store folder, and fails as it is told to.

What each call answers: server/routes.go, server/images.go and server/download.go of Ollama v0.24.0.
"""

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict
from urllib.parse import urlsplit

from modelward.testing.crowded import CrowdedServer
from modelward.testing.store import FakeStore

_HUGE = 32 << 20
_LONGEST = 60.0  # seconds that a client may take to leave
_DRIP = 0.05
_BODIES = {
    "garbage": b"<html>not what you think</html>",
    "wrong shape": b'{"models": "none", "version": 7}',
    "not UTF-8": b'{"models": [{"name": "\xff"}], "version": "\xff"}',
    "deep": b'{"more": ' + b"[" * 100_000,
    "null": b'{"models": null}',
    "endless": b'{"models": [' + b" " * _HUGE + b"]}",
}
FAULTS = ("status 500", "status 404", "hang", "garbage", "close", "endless", "wrong shape", "not UTF-8", "deep")
# What befalls a stream of lines behind its first one.
STREAM_FAULTS = (
    "error line",
    "hang mid-stream",
    "cut mid-stream",
    "endless line",
    "garbage line",
    "end without success",
    "drip mid-stream",
)


class _Layer(TypedDict):
    mediaType: str
    digest: str
    size: int


class _Manifest(TypedDict):
    layers: list[_Layer] | None
    config: _Layer


class _No(Exception):
    """An answer that is an error: a status and Ollama's words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class FakeOllama:
    """Serves the store ``models``, looking at its files anew at each call, as Ollama does; pulls from ``registry``.

    ``registry`` is another store folder. A pull does not look at a file that has a blob's name already. What a
    model can do is ``capabilities[short name]``, by default completion.
    """

    def __init__(self, models: Path, registry: Path | None = None) -> None:
        self.models = models
        self.registry = registry
        self.capabilities: dict[str, list[str]] = {}
        self.memory: list[str] = []
        self.busy: list[str] = []
        """Of the models in ``memory``, those that are past their time, as a request that does not end keeps them."""
        self.stuck = False
        """True: models stay in memory whatever is asked, as with a request that does not end."""
        self.asked: list[str] = []
        self.bodies: list[dict[str, object]] = []
        """The JSON of each request, in step with ``asked``; empty where there was none."""
        self.pauses: dict[str, dict[str, float]] = {}
        """Seconds to wait behind a line, by path and by the line's status."""
        self.hung_up = threading.Event()
        """Set when a client left before its answer was whole."""
        self._faults: dict[str, tuple[str, int]] = {}
        self._scripts: dict[str, list[Mapping[str, object]]] = {}
        self._server = CrowdedServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, path: str, fault: str, *, times: int = -1) -> None:
        """From now on, or the next ``times``, answer ``path`` with a fault; an empty fault ends that.

        One of FAULTS, STREAM_FAULTS, "null", "slow", "packed", or "status" or "page" and a number: an error in
        Ollama's words, or another program's page.
        """
        self._faults[path] = (fault, times)

    def script(self, path: str, lines: Iterable[Mapping[str, object]]) -> None:
        """From now on answer ``path`` with these lines and do nothing; no lines end that."""
        self._scripts[path] = list(lines)

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
        for path, manifest in self._manifests():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = sum(layer["size"] for layer in _layers(manifest))
            found.append({"name": _short(path), "digest": digest, "size": size})
        return found

    def answer(self, method: str, path: str, body: Mapping[str, object]) -> object:
        """The JSON answer of a call that does not stream; None where it has no body."""
        model = str(body.get("model", ""))
        calls: Mapping[str, Callable[[], object]] = {
            "GET /api/version": lambda: {"version": "0.24.0"},
            "GET /api/tags": lambda: {"models": self.tags()},
            "GET /api/ps": lambda: {"models": [self._in_memory(name) for name in self.memory]},
            "POST /api/show": lambda: self._show(model),
            "POST /api/generate": lambda: self._generate(model, body),
            "POST /api/embed": lambda: self._embed(model),
            "POST /api/copy": lambda: self._copy(str(body.get("source")), str(body.get("destination"))),
            "DELETE /api/delete": lambda: self._delete(model),
        }
        call = calls.get(f"{method} {path}")
        if call is None:
            raise _No(404, "not found")
        return call()

    def lines(self, path: str, body: Mapping[str, object]) -> Iterator[Mapping[str, object]] | None:
        """The lines of a call that streams, each when it comes to it; None for any other call."""
        model = str(body.get("model", ""))
        if script := self._scripts.get(path):
            return iter(script)
        if path == "/api/pull":
            return self._pull(model)
        files = body.get("files")
        return self._create(model, files if isinstance(files, dict) else {}) if path == "/api/create" else None

    def fault(self, path: str) -> str:
        """What befalls a request for ``path`` now."""
        fault, times = self._faults.get(path, ("", 0))
        if times == 0:
            return ""
        self._faults[path] = (fault, times - 1)
        return fault

    def take(self, digest: str, data: bytes) -> int:
        """Store an uploaded blob (``sha256:...``); the answer's status."""
        path = _blob(self.models, digest)
        if path.exists():
            return 200
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise _No(400, f'digest mismatch, expected "{digest}"')
        FakeStore(self.models).add_blob(data)
        return 201

    def _in_memory(self, name: str) -> dict[str, str]:
        """A line of /api/ps, its time as Go writes it."""
        left = timedelta(minutes=-5 if name in self.busy else 5)
        return {"name": name, "expires_at": f"{(datetime.now(UTC) + left).isoformat(timespec='microseconds')[:-6]}123Z"}

    def _show(self, model: str) -> object:
        path, manifest = self._named(model)
        config = self._config(manifest)
        weights = [layer for layer in _layers(manifest) if layer["mediaType"].endswith(".model")]
        if any(not _blob(self.models, layer["digest"]).exists() for layer in weights):
            raise _No(404, f"model '{model}' not found")
        froms = [f"FROM {_blob(self.models, layer['digest'])}" for layer in weights] or [f"FROM {_short(path)}"]
        head = ['# Modelfile generated by "ollama show"', f"# FROM {_short(path)}", ""]
        return {
            "modelfile": "\n".join([*head, *froms, "TEMPLATE {{ .Prompt }}", ""]),
            "capabilities": self.capabilities.get(_short(path), ["completion"]),
            "details": {"family": config.get("model_family", ""), "format": config.get("model_format", "")},
            "remote_host": config.get("remote_host", ""),
        }

    def _generate(self, model: str, body: Mapping[str, object]) -> object:
        name = _short(self._whole(model))
        if body.get("keep_alive") == 0:
            self.memory = [other for other in self.memory if self.stuck or other != name]
            return {"model": model, "done": True, "done_reason": "unload"}
        self.memory = sorted({*self.memory, name})
        if not body.get("prompt"):
            return {"model": model, "done": True, "done_reason": "load"}
        said = {"response": "hello"}
        if body.get("think") is not False and "thinking" in self.capabilities.get(name, []):
            said = {"response": "", "thinking": "well"}
        return {"model": model, "done": True, "done_reason": "length", "eval_count": 1, **said}

    def _embed(self, model: str) -> object:
        self.memory = sorted({*self.memory, _short(self._whole(model))})
        return {"model": model, "embeddings": [[0.6, 0.8]]}

    def _copy(self, source: str, target: str) -> None:
        try:
            path, _ = self._named(source)
        except _No:
            raise _No(404, f'model "{source}" not found') from None
        FakeStore(self.models).add_manifest(target, path.read_bytes())

    def _delete(self, model: str) -> None:
        """Take the name away, then what no other manifest names."""
        path, manifest = self._named(model)
        path.unlink()
        needed = {layer["digest"] for _, other in self._manifests() for layer in _layers(other)}
        for layer in _layers(manifest):
            if layer["digest"] not in needed:
                _blob(self.models, layer["digest"]).unlink(missing_ok=True)

    def _create(self, model: str, files: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
        paths = [_blob(self.models, str(digest)) for digest in files.values()]
        if not paths:
            raise _No(400, "neither 'from' or 'files' was specified")
        yield {"status": "parsing GGUF"}
        if lacking := [path for path in paths if not path.exists()]:
            yield {"error": f"open {lacking[0]}: no such file or directory"}
            return
        FakeStore(self.models).add_model(model, [path.read_bytes() for path in paths], newline=True)
        yield {"status": "writing manifest"}
        yield {"status": "success"}

    def _pull(self, model: str) -> Iterator[Mapping[str, object]]:
        """Copy the model from the registry's folder; only what was not there is looked at."""
        yield {"status": "pulling manifest"}
        source = FakeStore(self.registry).manifest_path(model) if self.registry else None
        if self.registry is None or source is None or not source.exists():
            yield {"error": "pull model manifest: file does not exist"}
            return
        raw = source.read_bytes()
        fresh = []
        for layer in _layers(json.loads(raw)):
            digest, size = layer["digest"], layer["size"]
            step = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
            path = _blob(self.models, digest)
            if not path.exists():
                yield step
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_blob(self.registry, digest).read_bytes())
                fresh.append(path)
            yield {**step, "completed": size}
        yield {"status": "verifying sha256 digest"}
        for path in fresh:
            found = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"
            if found != path.name:
                path.unlink()
                yield {"error": f"digest mismatch, file must be downloaded again: want {path.name}, got {found}"}
                return
        yield {"status": "writing manifest"}
        FakeStore(self.models).add_manifest(model, raw)
        yield {"status": "success"}

    def _manifests(self) -> Iterator[tuple[Path, _Manifest]]:
        for path in sorted((self.models / "manifests").glob("*/*/*/*")):
            with suppress(ValueError, KeyError, TypeError, OSError):
                manifest: _Manifest = json.loads(path.read_bytes())
                _layers(manifest)
                yield path, manifest

    def _whole(self, model: str) -> Path:
        """The manifest of a model that can be loaded."""
        path, manifest = self._named(model)
        if any(not _blob(self.models, layer["digest"]).exists() for layer in _layers(manifest)):
            raise _No(404, f"model '{model}' not found")
        return path

    def _named(self, model: str) -> tuple[Path, _Manifest]:
        wanted = FakeStore(self.models).manifest_path(model)
        for path, manifest in self._manifests():
            if path == wanted:
                return path, manifest
        raise _No(404, f"model '{model}' not found")

    def _config(self, manifest: _Manifest) -> dict[str, object]:
        try:
            config = json.loads(_blob(self.models, _layers(manifest)[-1]["digest"]).read_bytes())
        except (ValueError, OSError):
            return {}
        return config if isinstance(config, dict) else {}


class _Handler(BaseHTTPRequestHandler):
    """One request; ``fake`` is set in a class of its own for each server."""

    fake: FakeOllama
    protocol_version = "HTTP/1.1"  # so that a stream that is cut can be told from one that ends

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True
        path = urlsplit(self.path).path  # whoever takes us for a proxy sends the whole address
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upload = path.startswith("/api/blobs/")
        body = {} if upload else json.loads(data or b"{}")
        self.fake.asked.append(path)
        self.fake.bodies.append(body)
        try:
            self._respond(path, body, data if upload else None)
        except OSError:
            self.fake.hung_up.set()

    def _respond(self, path: str, body: dict[str, object], uploaded: bytes | None) -> None:
        fault = self.fake.fault(path)
        try:
            if fault and fault not in STREAM_FAULTS:
                self._fault(fault)
            elif path == "/":
                self._send(200, b"Ollama is running")
            elif uploaded is not None:
                self._blob(path.rpartition("/")[2], uploaded)
            else:
                self._answer(path, body, fault)
        except _No as error:
            self._send(error.status, _json({"error": str(error)}))

    def _blob(self, digest: str, data: bytes) -> None:
        if self.command == "HEAD":
            self._send(200 if _blob(self.fake.models, digest).exists() else 404, b"")
        else:
            self._send(self.fake.take(digest, data), b"")

    def _answer(self, path: str, body: dict[str, object], fault: str) -> None:
        lines = self.fake.lines(path, body)
        if lines is not None:
            self._stream(path, lines, fault)
            return
        found = self.fake.answer(self.command, path, body)
        self._send(200, b"" if found is None else _json(found))

    def _stream(self, path: str, lines: Iterator[Mapping[str, object]], fault: str) -> None:
        first, pauses = next(lines), self.fake.pauses.get(path, {})
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in chain([first], () if fault else lines):
            self._chunk(_json(line) + b"\n")
            time.sleep(pauses.get(str(line.get("status")), 0.0))
        self._break(fault)
        if fault != "cut mid-stream":
            self.wfile.write(b"0\r\n\r\n")

    def _break(self, fault: str) -> None:
        match fault:
            case "error line":
                self._chunk(_json({"error": "max retries exceeded: scripted"}) + b"\n")
            case "hang mid-stream":
                self._hold()
            case "endless line":
                for _ in range(_HUGE >> 16):
                    self._chunk(b"x" * (1 << 16))
            case "garbage line":
                self._chunk(b"<html>not what you think</html>\n")
            case "drip mid-stream":
                for _ in range(int(_LONGEST / _DRIP)):
                    self._chunk(b" ")
                    time.sleep(_DRIP)

    def _fault(self, fault: str) -> None:
        match fault:
            case "hang":
                self._hold()
            case "close":
                self.connection.close()
            case "packed":
                self._send(200, gzip.compress(b" " * _HUGE + b"{}"), {"Content-Encoding": "gzip"})
            case "slow":
                self._drip()
            case _ if fault in _BODIES:
                self._send(200, _BODIES[fault])
            case _ if fault.startswith("page "):
                self._send(int(fault.removeprefix("page ")), _BODIES["garbage"])
            case _:
                self._send(int(fault.removeprefix("status ")), _json({"error": "scripted"}))

    def _drip(self) -> None:
        """Send a byte now and then, each in time, until the client has enough of it."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for _ in range(int(_LONGEST / _DRIP)):
            self.wfile.write(b" ")
            time.sleep(_DRIP)

    def _hold(self) -> None:
        """Say nothing until the client leaves."""
        self.connection.settimeout(_LONGEST)
        if not self.connection.recv(1):
            self.fake.hung_up.set()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, data: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _layers(manifest: _Manifest) -> list[_Layer]:
    """Every blob of a manifest, the config last."""
    return [*(manifest["layers"] or []), manifest["config"]]


def _short(path: Path) -> str:
    """The name of a manifest's file as Ollama lists it."""
    host, namespace, model, tag = path.parts[-4:]
    elsewhere = host != "registry.ollama.ai"
    lead = [host] * elsewhere + [namespace] * (elsewhere or namespace != "library")
    return "/".join([*lead, f"{model}:{tag}"])


def _blob(models: Path, digest: str) -> Path:
    return models / "blobs" / digest.replace(":", "-")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
