"""Requests to one server, each bounded in time and in bytes; what the answers mean is for others."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelward.domain.host import is_loopback
from modelward.ports import Clock
from modelward.runtimes.deadline import Deadline
from modelward.runtimes.host import Endpoint

if TYPE_CHECKING:
    import httpx

BODY_LIMIT = 8 << 20
LINE_LIMIT = 1 << 20  # a registry's whole error page may stand in one line
_PLAIN = {"Accept-Encoding": "identity"}  # a packed answer could be any size


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
    """Status and body."""

    status: int
    data: bytes


class Stream:
    """An answer while it comes; ``status`` is there before its body."""

    def __init__(self, reply: "httpx.Response", deadline: Deadline) -> None:
        self.status, self.deadline, self._reply = reply.status_code, deadline, reply

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
        """The body as it comes, unpacked by nobody; one whose end nobody announced may end by our own cut."""
        yield from self._reply.iter_raw()
        if self.deadline.late:
            raise NoAnswer("no answer in time", late=True)


class Wire:
    """The way to one server. Nothing heavy is loaded while nothing listens there."""

    def __init__(self, endpoint: Endpoint, clock: Clock, connect_seconds: float) -> None:
        self._endpoint, self._clock, self._connect = endpoint, clock, connect_seconds

    def ask(self, request: Request, seconds: float) -> Answer:
        """Status and whole body, both within ``seconds``; raises NoAnswer."""
        with self.open(request, seconds) as stream:
            return Answer(status=stream.status, data=stream.whole())

    @contextmanager
    def open(self, request: Request, seconds: float) -> Iterator[Stream]:
        """Ask, and read within ``seconds`` (the stream's deadline can be moved); leaving the block hangs up.

        Whatever goes wrong inside the block on the connection is raised as NoAnswer.
        """
        here = is_loopback(self._endpoint.host)
        if here:
            self._knock()
        import httpx  # 80 ms and 20 MB that nobody spends while no server runs

        timeout = httpx.Timeout(None, connect=max(0.001, min(self._connect, seconds)))
        with Deadline(self._clock, seconds) as deadline:
            try:
                with (
                    # A proxy has no business between two programs on one machine.
                    httpx.Client(timeout=timeout, trust_env=not here, follow_redirects=False) as client,
                    client.stream(
                        request.method,
                        self._endpoint.url + request.path,
                        json=request.body,
                        content=request.content,
                        headers=_headers(request),
                        extensions={"trace": deadline.trace},
                    ) as reply,
                ):
                    yield Stream(reply, deadline)
            # The last three: proxy and certificate settings of the environment that httpx cannot use.
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError) as error:
                why = f"{type(error).__name__}: {error}"
                raise NoAnswer("no answer in time" if deadline.late else why, late=deadline.late) from error

    def _knock(self) -> None:
        """See whether anything listens."""
        try:
            socket.create_connection((self._endpoint.host, self._endpoint.port), self._connect).close()
        except (OSError, UnicodeError) as error:
            raise NoAnswer(str(error), closed=True) from error


def _headers(request: Request) -> dict[str, str]:
    return _PLAIN if request.content is None else {**_PLAIN, "Content-Length": str(request.size)}
