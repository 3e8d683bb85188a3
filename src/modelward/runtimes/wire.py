"""Requests to one server, each bounded in time and in bytes; what the answers mean is for others.

http.client of the standard library: httpx is another 10 MB in memory, which the guard does not have.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from modelward.domain.host import Reach, is_loopback, proxy_of, reach_of
from modelward.ports import Clock
from modelward.runtimes.deadline import Deadline, Link
from modelward.runtimes.host import Endpoint

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from ssl import SSLContext

BODY_LIMIT = 8 << 20
LINE_LIMIT = 1 << 20  # a registry's whole error page may stand in one line
_PIECE = 64 << 10
Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]  # as getaddrinfo gives it


class NoAnswer(Exception):
    """Nothing came, or not what HTTP allows; ``late`` when the deadline was why, ``closed`` when nobody listens."""

    def __init__(self, why: str, *, late: bool = False, closed: bool = False) -> None:
        super().__init__(why)
        self.late, self.closed = late, closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked; ``body`` goes as JSON, or ``content`` as it is, of ``size`` bytes."""

    method: str
    path: str
    body: object = None
    content: Iterator[bytes] | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and body; ``date`` is when the server says it was, in HTTP's words, or empty."""

    status: int
    data: bytes
    date: str = ""


class Stream:
    """An answer while it comes; ``status`` is there before its body."""

    def __init__(self, reply: "HTTPResponse", deadline: Deadline) -> None:
        self.status, self.deadline, self._reply = reply.status, deadline, reply
        self.date = reply.headers.get("Date", "")

    def lines(self) -> Iterator[bytes]:
        """Each line that is not blank, without its end; the last one may lack its end. Raises NoAnswer."""
        rest = bytearray()
        for part in self._parts():
            rest += part
            *lines, rest = rest.split(b"\n")
            if len(rest) > LINE_LIMIT:
                raise NoAnswer(f"a line of more than {LINE_LIMIT:,} bytes")
            yield from (bytes(line) for line in lines if line.strip())
        if rest.strip():
            yield bytes(rest)

    def whole(self) -> bytes:
        """All of it; raises NoAnswer for more than any answer of Ollama has."""
        data = bytearray()
        for part in self._parts():
            data += part
            if len(data) > BODY_LIMIT:
                raise NoAnswer(f"more than {BODY_LIMIT:,} bytes")
        return bytes(data)

    def _parts(self) -> Iterator[bytes]:
        """The body as it comes, unpacked by nobody."""
        while part := self._reply.read1(_PIECE):
            yield part
        if self._reply.length:  # http.client itself sees only that a chunked body is not whole
            raise NoAnswer(f"its answer lacks {self._reply.length:,} bytes")


class Wire:
    """The way to one server, by the proxy that ``environ`` names for it. No HTTP is loaded while nothing listens."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        connect_seconds: float,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._endpoint, self._clock, self._connect = endpoint, clock, connect_seconds
        self._environ = environ
        self._trust: SSLContext | None = None

    def ask(self, request: Request, seconds: float) -> Answer:
        """Status and whole body, both within ``seconds``; raises NoAnswer."""
        with self.open(request, seconds) as stream:
            return Answer(status=stream.status, data=stream.whole(), date=stream.date)

    @contextmanager
    def open(self, request: Request, seconds: float) -> Iterator[Stream]:
        """Ask, and read within ``seconds`` (the stream's deadline can be moved); leaving the block hangs up.

        Whatever goes wrong inside the block on the connection is raised as NoAnswer. Redirects are not followed.
        """
        deadline, proxy = Deadline(self._clock, seconds), self._proxy()
        with self._dialled(proxy or self._endpoint, deadline) as plain:
            from http.client import HTTPException  # 50 ms and 6 MB that nobody spends while no server runs

            try:
                with self._secured(plain, deadline, proxy) as sock:
                    yield Stream(self._exchanged(Link(sock, deadline), request, proxy), deadline)
            # The last one: names and paths that HTTP has no letters for.
            except (OSError, HTTPException, ValueError) as error:
                raise _no_answer(f"{type(error).__name__}: {error}", deadline) from error

    def _proxy(self) -> Endpoint | None:
        text = proxy_of(self._endpoint.scheme, self._endpoint.host, self._environ)
        if not text:
            return None
        with suppress(ValueError):
            parts = urlsplit(text if "://" in text else f"http://{text}")
            if parts.scheme == "http" and parts.hostname and "@" not in parts.netloc:
                return Endpoint(scheme="http", host=parts.hostname, port=parts.port or 80)
        raise NoAnswer("the environment's proxy is none of the form http://host:port")

    def _dialled(self, end: Endpoint, deadline: Deadline) -> socket.socket:
        """A connection to the first of the host's addresses that takes one."""
        problem: Exception = OSError("its name has no address")
        try:
            for family, kind, protocol, _, place in socket.getaddrinfo(end.host, end.port, type=socket.SOCK_STREAM):
                if reach_of(str(place[0])) is Reach.NEVER:
                    problem = OSError(f"{place[0]} is an address that is never asked")
                    continue
                try:
                    return _joined(socket.socket(family, kind, protocol), place, deadline, self._connect)
                except OSError as error:
                    problem = error
        except (OSError, UnicodeError) as error:
            problem = error
        closed = is_loopback(end.host) or isinstance(problem, ConnectionRefusedError)
        raise _no_answer(str(problem), deadline, closed=closed) from problem

    def _secured(self, sock: socket.socket, deadline: Deadline, proxy: Endpoint | None) -> socket.socket:
        """The connection, inside TLS where the server wants it; a proxy lets that through unread."""
        if self._endpoint.scheme == "http":
            return sock
        if proxy is not None:
            passage = Request(method="CONNECT", path=self._endpoint.authority)
            if (status := _reply(Link(sock, deadline), self._endpoint, passage).status) != 200:
                raise ConnectionError(f"the proxy answers with status {status}")
        if self._trust is None:
            import ssl

            self._trust = ssl.create_default_context()
        deadline.arm(sock)
        return self._trust.wrap_socket(sock, server_hostname=self._endpoint.host)

    def _exchanged(self, link: Link, request: Request, proxy: Endpoint | None) -> "HTTPResponse":
        """Only a proxy that reads the request needs the whole address."""
        here = self._endpoint
        base = here.url if proxy is not None and here.scheme == "http" else here.path
        return _reply(link, here, request, base)


def _joined(sock: socket.socket, place: Place, deadline: Deadline, seconds: float) -> socket.socket:
    """The socket, connected; closed where that fails."""
    try:
        deadline.arm(sock, seconds)
        sock.connect(place)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the body follows the headers at once
    except BaseException:
        sock.close()
        raise
    return sock


def _reply(link: Link, end: Endpoint, request: Request, base: str = "") -> "HTTPResponse":
    """Send a request, and read the head of its answer.

    http.client asks for plain bytes by itself: a packed answer could be any size.
    """
    from http.client import HTTPConnection

    talk = HTTPConnection(end.host, end.port)
    talk.sock = link
    with suppress(BrokenPipeError, ConnectionResetError):  # who refuses an upload says why before it is whole
        talk.request(request.method, base + request.path, *_sent(request))
    reply = talk.getresponse()
    if link.ended:  # http.client takes what there is of the headers
        raise ConnectionError("its answer ends before its headers do")
    return reply


def _sent(request: Request) -> tuple[bytes | Iterator[bytes] | None, dict[str, str]]:
    """Body, and the headers that tell of it."""
    if request.content is not None:
        return request.content, {"Content-Length": str(request.size)}
    if request.body is None:
        return None, {}
    return msgspec.json.encode(request.body), {"Content-Type": "application/json"}


def _no_answer(why: str, deadline: Deadline, *, closed: bool = False) -> NoAnswer:
    late = deadline.late
    return NoAnswer("no answer in time" if late else why, late=late, closed=closed)
