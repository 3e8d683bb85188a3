"""A proxy that spoils answers on their way: between a client of ours and a server that keeps its word.

It takes one request a connection, asks the server behind it, and hands the answer to a deed, which may send anything.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 1 << 16
_SLOW = 0.02
_LONGEST = 30.0  # seconds after which a deed that never ends does


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and the true answer to it: status, headers as they came, and the body."""

    method: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass
class Asker:
    """The way back to who asked; ``stop`` is set when the proxy ends. What it is sent may be no HTTP at all."""

    link: socket.socket
    stop: threading.Event
    address: str
    until: float = field(default_factory=lambda: time.monotonic() + _LONGEST)

    @property
    def over(self) -> bool:
        """Whether a deed without an end has to end now."""
        return self.stop.is_set() or time.monotonic() > self.until

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.link.sendall(data)

    def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        """A whole answer; header names are written with underscores."""
        lines = [f"HTTP/1.1 {status} Scripted", "Connection: close"]
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        told.setdefault("Content-Length", len(body))
        lines += [f"{name}: {value}" for name, value in told.items() if value is not None]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def trickle(self, data: bytes) -> None:
        """Send byte by byte, slowly."""
        for byte in data:
            if self.over:
                return
            self.send(bytes([byte]))
            time.sleep(_SLOW)

    def hang(self) -> None:
        """Send nothing, and keep the connection."""
        self.stop.wait(max(0.0, self.until - time.monotonic()))

    def pour(self, piece: bytes) -> None:
        """Send the same again and again, without an end."""
        while not self.over:
            self.send(piece)

    def reset(self) -> None:
        """End the connection with a reset."""
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.link.close()


Deed = Callable[[Asker, Exchange], None]


def faithful(client: Asker, exchange: Exchange) -> None:
    """Hand the answer on as it is."""
    told = {name.replace("-", "_"): value for name, value in exchange.headers if name.lower() not in _HOPS}
    length = {} if exchange.method == "HEAD" else {"Content_Length": len(exchange.body)}
    client.answer(exchange.status, exchange.body, **(told | length))


_HOPS = frozenset({"connection", "transfer-encoding", "keep-alive"})


class FaultProxy:
    """Stands before ``host:port``; requests that ``strikes`` chooses meet the deed, others are handed on."""

    def __init__(
        self, host: str, port: int, deed: Deed = faithful, strikes: Callable[[str, str], bool] = lambda *_: True
    ) -> None:
        self.deed, self.strikes = deed, strikes
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.stop = threading.Event()
        self._behind = (host, port)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self._socket.getsockname()[1])

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        """Serve as long as the block lasts."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            thread.join()
            self._socket.close()

    def _accept(self) -> None:
        while not self.stop.is_set():
            with suppress(TimeoutError):
                link, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with link, suppress(OSError, ValueError):
            link.settimeout(_LONGEST)
            head, rest = _head(link)
            if not head:
                return
            method, path, headers = _parsed(head)
            body = rest + _body(link, int(headers.get("content-length", 0)) - len(rest))
            self.asked.append((method, path, headers))
            exchange = self._ask(method, path, headers, body)
            deed = self.deed if self.strikes(method, path) else faithful
            deed(Asker(link, self.stop, self.address), exchange)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Exchange:
        from http.client import HTTPConnection

        link = HTTPConnection(*self._behind, timeout=_LONGEST)
        try:
            kept = {name: value for name, value in headers.items() if name not in _HOPS}
            link.request(method, path, body=body or None, headers=kept)
            reply = link.getresponse()
            return Exchange(
                method=method, path=path, status=reply.status, headers=tuple(reply.getheaders()), body=reply.read()
            )
        finally:
            link.close()


def _head(link: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = link.recv(_PIECE)
        if not part:
            return b"", b""
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    if path.startswith("http://"):  # to a proxy the whole address is said
        path = "/" + path.removeprefix("http://").partition("/")[2]
    named = (line.partition(":") for line in lines)
    return method, path, {name.lower(): value.strip() for name, _, value in named}


def _body(link: socket.socket, left: int) -> bytes:
    data = b""
    while left > 0 and (part := link.recv(min(left, _PIECE))):
        data += part
        left -= len(part)
    return data
