"""A small typed client of the guard's HTTP API, over TCP, TLS or a unix socket; needs the standard library only."""

import http.client
import socket
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from modelward.domain.answer import ChunkMap, FoundIn, Health, Page, Problem
from modelward.domain.codec import decode, encode
from modelward.domain.errors import BadObject, BadSetting, ModelwardError, Unreachable
from modelward.domain.standing import JobView, ModelStanding, Standing

T = TypeVar("T")
BASE = "/api/v1"
_MOST = 64 << 20


class Answer(NamedTuple):
    """What came back: header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ApiProblem(ModelwardError):
    """The guard refused, or could not: its problem document, with the status."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, thing=problem.thing, next_step=problem.next_step)
        self.problem = problem

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status


class Event(NamedTuple):
    """One server-sent event."""

    kind: str
    data: bytes


class Client:
    """One guard at ``address``: ``http://host:port``, ``https://host:port`` or ``unix:PATH``.

    Every call has a deadline of ``timeout`` seconds for each wait; raises ApiProblem for what the guard refuses, and
    Unreachable where it does not answer.
    """

    def __init__(
        self, address: str, *, token: str = "", timeout: float = 30.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address, self._token, self._timeout, self._tls = address, token, timeout, tls

    # The operations that programs ask for most; everything else goes through get and send.

    def health(self) -> Health:
        """Liveness and readiness."""
        return self.get("/health", Health)

    def standing(self) -> Standing:
        """The whole picture."""
        return self.get("/standing", Standing)

    def models(self, **query: object) -> Iterator[ModelStanding]:
        """All models, page by page; ``query`` filters."""
        return self.pages("/models", ModelStanding, **query)

    def model(self, name: str) -> ModelStanding:
        """One model."""
        return self.get(f"/models/{part(name)}", ModelStanding)

    def chunks(self, name: str) -> ChunkMap:
        """A model's chunks and their states."""
        return self.get(f"/models/{part(name)}/chunks", ChunkMap)

    def findings(self, **query: object) -> Iterator[FoundIn]:
        """All findings, page by page."""
        return self.pages("/findings", FoundIn, **query)

    def start(self, verb: str, options: Mapping[str, object] | None = None, *, key: str = "") -> JobView:
        """Start a job; with the same ``key`` it is started once, however often this is called."""
        headers = {"idempotency-key": key} if key else {}
        body = {"verb": verb, "options": dict(options or {})}
        return decode(self.send("POST", "/jobs", body, headers).body, JobView)

    def job(self, name: str) -> JobView:
        """A job as it is now."""
        return self.get(f"/jobs/{part(name)}", JobView)

    def cancel(self, name: str) -> JobView:
        """Stop a job."""
        return decode(self.send("DELETE", f"/jobs/{part(name)}").body, JobView)

    def follow(self, name: str) -> Iterator[JobView]:
        """A job's views as they change, the last one with its report."""
        for event in self.events(f"/jobs/{part(name)}/events"):
            if event.kind == "job":
                yield decode(event.data, JobView)

    def finish(self, name: str) -> JobView:
        """Wait for a job's end."""
        view = self.job(name)
        for view in self.follow(name):  # noqa: B007 - the last one counts
            pass
        return view

    # What they are made of.

    def get(self, path: str, kind: type[T], /, **query: object) -> T:
        """One document below ``/api/v1``."""
        return decode(self.ask("GET", BASE + path + _query(query)).body, kind)

    def pages(self, path: str, kind: type[T], /, **query: object) -> Iterator[T]:
        """The items of a list, however many pages it has."""
        cursor = ""
        while True:
            page = self.get(path, Page[kind], **query, **({"cursor": cursor} if cursor else {}))  # type: ignore[valid-type]
            yield from page.items
            cursor = page.next
            if not cursor:
                return

    def send(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Change something below ``/api/v1``."""
        return self.ask(method, BASE + path, body, headers)

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Any request; an answer of 400 and above raises ApiProblem."""
        answer = self.raw(method, path, None if body is None else encode(body), headers)
        if answer.status >= 400:
            raise _problem(answer)
        return answer

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any request, and whatever comes back."""
        with self._open(method, path, body, headers) as response:
            return Answer(response.status, _headers(response), response.read(_MOST))

    def events(self, path: str) -> Generator[Event, None, None]:
        """The events of a stream below ``/api/v1``, until the guard ends it, or the caller by ``close``."""
        with self._open("GET", BASE + path, None, {"accept": "text/event-stream"}) as response:
            if response.status >= 400:
                raise _problem(Answer(response.status, _headers(response), response.read(_MOST)))
            yield from _events(response)

    @contextmanager
    def _open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _connection(self._address, self._timeout, self._tls)
        try:
            connection.request(method, path, body, self._all(headers, body))
            with connection.getresponse() as response:
                yield response
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"the guard does not answer ({error or type(error).__name__})",
                thing=self._address,
                next_step="start it: modelward guard",
            ) from error
        finally:
            connection.close()

    def _all(self, headers: Mapping[str, str] | None, body: bytes | None) -> dict[str, str]:
        found = {"accept": "application/json"}
        if self._token:
            found["authorization"] = f"Bearer {self._token}"
        if body is not None:
            found["content-type"] = "application/json"
        return found | dict(headers or {})


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(address: str, timeout: float, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"), timeout)
    with suppress(ValueError):
        parsed = urlsplit(address)
        if parsed.scheme == "https" and parsed.hostname:
            return http.client.HTTPSConnection(parsed.hostname, parsed.port, timeout=timeout, context=tls)
        if parsed.scheme == "http" and parsed.hostname:
            return http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=timeout)
    raise BadSetting("not a guard's address", thing=address, next_step="write http://host:port or unix:PATH")


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _query(query: Mapping[str, object]) -> str:
    given = {name: _word(value) for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _problem(answer: Answer) -> ApiProblem:
    try:
        return ApiProblem(decode(answer.body, Problem))
    except BadObject:
        text = answer.body[:200].decode(errors="replace")
        found: dict[str, Any] = {"type": "about:blank", "title": "no problem document", "status": answer.status}
        return ApiProblem(Problem(detail=text or "no answer", **found))


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    kind, data = "", b""
    for line in iter(response.readline, b""):
        name, _, value = line.rstrip(b"\n").partition(b": ")
        if name == b"event":
            kind = value.decode(errors="replace")
        elif name == b"data":
            data = value
        elif not line.strip() and data:
            yield Event(kind, data)
            kind, data = "", b""
