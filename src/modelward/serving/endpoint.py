"""A tiny read-only registry over one model: as much of the protocol as Ollama's pull needs, for one pull.

Seen in server/download.go of Ollama v0.24.0: it asks for a blob without a range, takes 200 for an answer, and then
wants a ``Location`` to read ranges from; stock registries give none, which is why they cannot serve a pull.
"""

import hmac
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting, ModelwardError
from modelward.domain.manifest import DOCKER_MANIFEST, Manifest
from modelward.domain.name import ModelName
from modelward.ports import Served

_STALL = 30.0
_MOST_AT_ONCE = 32


class Endpoint:
    """Serves one manifest and the blobs that it names, below a path that holds a one-time token; all else is 404."""

    def __init__(self, open_blob: Callable[[Digest], int], *, listen: tuple[str, int], shown: str, token: str) -> None:
        """``listen`` is address and port (0: any free one), ``shown`` the address by which the server reaches it."""
        self._open, self._listen, self._shown, self._token = open_blob, listen, shown, token

    @contextmanager
    def serving(self, name: ModelName, manifest: Manifest) -> Iterator[Served]:
        """Serve as long as the block lasts; raises BadSetting where it cannot listen."""
        try:
            server = _Server(self._listen, name, manifest, self._token, self._open)
        except OSError as error:
            raise BadSetting(
                f"cannot listen there ({error.strerror})",
                thing=f"{self._listen[0]}:{self._listen[1]}",
                next_step="give an address of this machine and a free port with --listen",
            ) from error
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield _Running(f"{self._shown}:{server.server_port}/{self._token}/{name.model}:{name.tag}", server)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Running:
    """What is being served: under which name, and how many bytes went out."""

    def __init__(self, reference: str, server: "_Server") -> None:
        self.reference, self._server = reference, server

    @property
    def sent(self) -> int:
        """Bytes of blobs sent so far."""
        return self._server.sent


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        listen: tuple[str, int],
        name: ModelName,
        manifest: Manifest,
        token: str,
        open_blob: Callable[[Digest], int],
    ) -> None:
        self.manifest, self.token, self.open_blob = manifest, token, open_blob
        self.sizes = {str(blob.digest): blob.size for blob in manifest.blobs}
        self.paths = (f"{name.model}/manifests/{name.tag}", f"{name.model}/blobs/")
        self.sent = 0
        self.lock = threading.Lock()
        self._slots = threading.Semaphore(_MOST_AT_ONCE)
        super().__init__(listen, _Handler)

    def process_request_thread(self, request: object, client_address: object) -> None:
        """One connection, when there are not too many."""
        if not self._slots.acquire(timeout=_STALL):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever went away in the middle is nobody's business."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "modelward"
    sys_version = ""
    timeout = _STALL

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        with suppress(OSError):
            what = self._below_token()
            manifest, blobs = self.server.paths
            if what == manifest:
                raw = self.server.manifest.raw
                self._head(200, len(raw), {"Content-Type": DOCKER_MANIFEST})
                if body:
                    self.wfile.write(raw)
            elif what.startswith(blobs) and what.removeprefix(blobs) in self.server.sizes:
                self._blob(what.removeprefix(blobs), body=body)
            else:
                self._head(404, 0, {})

    def _below_token(self) -> str:
        """The path behind ``/v2/<token>/``; empty for another token, compared in constant time."""
        lead, _, rest = self.path.removeprefix("/v2/").partition("/")
        known = self.path.startswith("/v2/") and hmac.compare_digest(lead.encode(), self.server.token.encode())
        return rest if known else ""

    def _blob(self, digest: str, *, body: bool) -> None:
        size, wanted = self.server.sizes[digest], self.headers.get("Range")
        span = _span(wanted, size) if wanted else (0, size)
        if span is None:
            self._head(416, 0, {"Content-Range": f"bytes */{size}"})
            return
        offset, length = span
        if wanted:
            label = {"Content-Range": f"bytes {offset}-{offset + length - 1}/{size}"}
            self._head(206, length, label)
        else:
            # A path alone: whoever asked knows by which address it reached us.
            self._head(200, length, {"Location": self.path, "Accept-Ranges": "bytes"})
        if body:
            self._send(Digest.parse(digest), offset, length)

    def _send(self, blob: Digest, offset: int, length: int) -> None:
        try:
            fd = self.server.open_blob(blob)
        except ModelwardError:
            self.close_connection = True
            return
        self._count(length)  # before the last byte is out: whoever has it may ask at once
        count = 0
        try:
            with os.fdopen(fd, "rb", buffering=0) as file:
                count = self.connection.sendfile(file, offset, length) if length else 0
        finally:
            self._count(count - length)
        self.close_connection = self.close_connection or count != length

    def _count(self, sent: int) -> None:
        with self.server.lock:
            self.server.sent += sent

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the path holds the token."""


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Offset and length of a single range (RFC 9110, 14.1.2); None where there is none to give."""
    unit, _, rest = text.partition("=")
    first, dash, last = rest.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not (first + last).isdecimal() or len(first + last) > 36:
        return None
    if not first:
        length = min(int(last), size)
        return (size - length, length) if length else None
    offset, end = int(first), min(int(last) + 1 if last else size, size)
    return (offset, end - offset) if offset < end else None
