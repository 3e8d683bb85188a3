"""What others send us as targets: requests to the API, answers of the network, and texts that people write."""

import asyncio
import atexit
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

from modelward.api import paging, reading
from modelward.api.access import Listen
from modelward.api.etag import matches
from modelward.api.handlers_history import AuditQuery, RowsQuery
from modelward.api.handlers_jobs import JobsQuery, MakePlan, StartJob
from modelward.api.handlers_models import ModelsQuery
from modelward.api.problem import Refused
from modelward.api.server import Bound, bind
from modelward.client import Answer, Client, _connection, _problem
from modelward.domain import audit, modelfile, patterns
from modelward.domain import setting_text as texts
from modelward.domain.bundle import Record
from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject, ModelwardError
from modelward.domain.exposition import Family, Sample, labelled, text
from modelward.domain.host import is_loopback, name_of, proxy_of, reach_of
from modelward.domain.interchange import Reference
from modelward.domain.manifest import Layer
from modelward.notify.otlp import headers_of
from modelward.notify.web import SecretAddress
from modelward.registry.address import Addresses, parse, redirected
from modelward.registry.client import RegistryClient
from modelward.registry.request import Limits
from modelward.runtimes import answers
from modelward.runtimes.host import parse_host
from modelward.runtimes.wire import NoAnswer, Wire
from modelward.testing import FrozenClock
from tests.api.stage import Stage, made
from tests.places import BEGIN

Target = Callable[[bytes], object]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _each(uses: tuple[Callable[[str], object], ...], data: bytes) -> None:
    for use in uses:
        with suppress(ModelwardError, Refused):
            use(_text(data))


# Requests to the API.


@cache
def _stage() -> tuple[Stage, Bound, Any]:
    base = Path(tempfile.mkdtemp(prefix="modelward-fuzz-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    stage = made(base)
    stage.look()
    stage.gate.clear()
    bound = bind("127.0.0.1:0")
    atexit.register(bound.close)
    atexit.register(stage.close)
    return stage, bound, stage.app(bound)


def _request(data: bytes) -> None:
    """A whole request, after the server took it apart: first line, headers, body. Whatever it is, it is no fault."""
    stage, bound, app = _stage()
    stage.clock.advance(seconds=10)
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    if not re.fullmatch(rb"[A-Za-z]{1,20}", method) or not re.fullmatch(rb"[\x21-\x7e]+", target):
        raise BadObject("the server refuses it before we see it (h11)")
    path, _, query = target.partition(b"?")
    headers = [(b"host", f"127.0.0.1:{bound.listen.port}".encode())]
    headers += [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1").upper(),
        "path": "/" + unquote(path.decode()).lstrip("/"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", bound.listen.port),
        "scheme": "http",
        "root_path": "",
    }
    statuses: list[int] = []
    pieces = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, object]:
        return next(pieces, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def ask() -> None:
        with suppress(TimeoutError):  # events have no end
            await asyncio.wait_for(app(scope, receive, send), 2.0 if b"events" not in path else 0.05)

    asyncio.run(ask())
    assert all(status < 500 for status in statuses), (
        statuses,
        [event for event in stage.notes.events if event[0] == "api_failed"],
    )
    if not statuses:
        raise BadObject("no answer")


def _query(data: bytes) -> None:
    for kind in (ModelsQuery, JobsQuery, RowsQuery, AuditQuery):
        with suppress(ModelwardError, Refused):
            reading.query_of(data, kind)


def _body(data: bytes) -> None:
    for kind in (StartJob, MakePlan):
        with suppress(ModelwardError, Refused):
            reading.body_of(data, {"content-type": "application/json"}, kind)


def _cursor(data: bytes) -> None:
    cursor = _text(data)
    rows = [SimpleNamespace(at=BEGIN)]
    for use in (
        lambda: paging.page(["a", "b"], str, paging.Paged(cursor=cursor)),
        lambda: paging.page_of_rows(lambda _, count: rows[:count], paging.Paged(cursor=cursor)),
    ):
        with suppress(ModelwardError, Refused):
            use()


class _Said(io.BytesIO):
    """An answer that is there already."""

    status = 200

    def getheaders(self) -> list[tuple[str, str]]:
        """What it is."""
        return [("content-type", "application/json")]


class _Answered(Client):
    """A client to which a guard, or what stands in its place, answers this."""

    said = b""

    @contextmanager
    def _open(self, *_: object) -> Iterator[Any]:
        yield _Said(self.said)


def _document(data: bytes) -> None:
    """Whatever a guard answers to the client in Python."""
    found = _problem(Answer(500, {"content-type": "application/problem+json"}, data))
    assert isinstance(found, ModelwardError)
    client = _Answered("http://127.0.0.1:1")
    client.said = data
    for use in (
        client.health,
        client.standing,
        lambda: next(client.findings()),
        lambda: client.start("verify"),
        lambda: client.cancel("1"),
        lambda: list(client.follow("1")),
        lambda: _connection(_text(data), 1.0, None),
    ):
        with suppress(ModelwardError, StopIteration):
            use()


# Answers of the network.


def _registry_headers(data: bytes) -> None:
    """The headers by which a registry says how long to wait, what it sends and where something is."""
    value = data.decode("latin-1")
    told: dict[str, Any] = {
        "headers": {"Retry-After": value, "Content-Range": value},
        "close": lambda: None,
        "length": 5,
    }
    client = RegistryClient(FrozenClock(BEGIN), limits=Limits(wait=5))
    here = parse("https://registry.example/v2/")
    for use in (
        lambda: client._wait(SimpleNamespace(**told), 1),  # type: ignore[arg-type] # noqa: SLF001 - headers are all it reads
        lambda: client._sound_length(SimpleNamespace(**told), 0, 5),  # type: ignore[arg-type] # noqa: SLF001 - as above
        lambda: redirected(here, value),
        lambda: Addresses((value,), (value,), {}).most(here.origin),
    ):
        with suppress(ModelwardError):
            use()


def _servers(data: bytes) -> None:
    """What Ollama says of itself beside the documents: dates, refusals, Modelfiles."""
    said = _text(data)
    answers.overdue(answers.Model(name="x", expires_at=said), said)
    answers.overdue(answers.Model(name="x", expires_at="2026-01-05T12:00:00Z"), said)
    answers.refusal(data)
    answers.same_name(said, said)


def _hosts(data: bytes) -> None:
    """Names and addresses of hosts, wherever somebody writes one."""
    said = _text(data)
    endpoint = parse_host(said)
    assert 0 <= endpoint.port <= 65_535
    assert isinstance(is_loopback(endpoint.host), bool)
    name_of(said)
    proxy_of("http", said, {"no_proxy": said, "http_proxy": said})
    with suppress(ValueError):
        reach_of(said)
    for use in (
        lambda: Listen.parse(said),
        lambda: Reference.parse(said),
        lambda: SecretAddress(said, "webhook_url", {}),
        lambda: SecretAddress("http://x/", "webhook_url", {"http_proxy": said}),
        lambda: headers_of((said,), "otlp_headers"),
    ):
        with suppress(ModelwardError):
            use()
    with suppress(NoAnswer):
        Wire(parse_host("far.example"), FrozenClock(BEGIN), 1.0, {"http_proxy": said})._proxy()  # noqa: SLF001 - the environment's text


# Texts that people write, and bytes that models are made of.

_SETTINGS = (
    texts.text,
    texts.whole,
    texts.days,
    texts.percent,
    texts.yes,
    texts.names,
    texts.listed,
    texts.hours,
    texts.within,
    texts.period,
    texts.minutes,
    texts.level,
    texts.policy,
    texts.probe,
    texts.policies,
    lambda said: audit.moment(said, BEGIN),
)


def _model_texts(data: bytes) -> None:
    """What a model's small blobs hold, made into a Modelfile that no line of theirs can get out of."""
    for kind in ("params", "messages", "template", "system", "license"):
        layer = _layer(kind)
        lines = modelfile.modelfile(
            (modelfile.LooseFile(kind=kind, name=f"x.{kind}", layer=layer),), {layer.digest: data}
        )
        assert "\0" not in lines or b"\0" in data


def _layer(kind: str) -> Layer:
    return Layer(media_type=f"application/vnd.ollama.image.{kind}", digest=Digest("a" * 64), size=5)


def _damage(data: bytes) -> None:
    """Damaged bytes beside good ones."""
    good = bytes(len(data))
    patterns.compare(data, good, 0, len(data) + 5)
    patterns.alone(data, 4096, len(data) + 4096)
    patterns.other_content(data, weights=True)


def _record(data: bytes) -> None:
    for chunk in (0, 5, 1 << 20):
        with suppress(ModelwardError):
            Record.parse(data[:16].ljust(16, b"\0"), chunk)  # the reader asks for sixteen bytes, and sees when they end


def _metrics(data: bytes) -> None:
    """Any text as a label's value leaves one line one line (what Prometheus reads as a sample)."""
    said = data.decode("utf-8", "backslashreplace")
    for openmetrics in (False, True):
        written = text([Family("x", "gauge", said, [Sample("", labelled(model=said), 1.0)])], openmetrics=openmetrics)
        lines = [line for line in written.decode().split("\n") if line and not line.startswith("#")]
        assert len(lines) == 1, lines
        assert _unquoted(lines[0]) == said


def _unquoted(line: str) -> str:
    inner = line.removeprefix('x{model="').removesuffix('"} 1.0')
    return "".join(_characters(inner))


def _characters(inner: str) -> Iterator[str]:
    letters = iter(inner)
    for letter in letters:
        assert letter != '"'
        yield letter if letter != "\\" else {"\\": "\\", '"': '"', "n": "\n"}[next(letters)]


TARGETS: Mapping[str, Target] = {
    "API: request": _request,
    "API: parameters": _query,
    "API: body": _body,
    "API: cursor": _cursor,
    "API: entity tag": lambda data: matches(data.decode("latin-1"), '"x"'),
    "API: answer": _document,
    "registry: headers": _registry_headers,
    "server: words": _servers,
    "hosts": _hosts,
    "settings: texts": partial(_each, _SETTINGS),
    "model: texts": _model_texts,
    "model: damage": _damage,
    "bundle: record": _record,
    "metrics": _metrics,
}
_SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "API: request": (
        b"GET /api/v1/models?limit=5\naccept: application/json\n\n",
        b'POST /api/v1/jobs\ncontent-type: application/json\nidempotency-key: x\n\n{"verb":"verify","options":{}}',
        b"GET /models/registry.ollama.ai/library/llama3:latest\naccept: text/html\n\n",
        b'GET /\nif-none-match: "x"\n\n',
    ),
    "API: parameters": (b"limit=5&cursor=YWJj&healthy=true", b"kind=verify&state=done"),
    "API: body": (b'{"verb":"repair","options":{"models":["llama3"],"level":"quick"}}',),
    "API: cursor": (b"YWJj", b"MjAyNi0wMS0wNVQxMjowMDowMCswMDowMCAx"),
    "API: entity tag": (b'W/"x", "y"',),
    "API: answer": (
        b'event: job\ndata: {"id":"1"}\n\n',
        b'{"type":"about:blank","title":"x","status":500,"detail":"y"}',
    ),
    "registry: headers": (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"bytes 0-4/5", b"//other.example/x"),
    "server: words": (b"2026-01-05T12:00:00.5+01:00", b"Wed, 21 Oct 2026 07:28:00 GMT", b'{"error":"no"}'),
    "hosts": (b"https://[::1]:11434/x", b"0.0.0.0", b"box.example:5000/a/b:c", b"unix:/run/x", b"fe80::1%lo", b"a=b"),
    "settings: texts": (b"5", b"1.5h", b"22:00-06:00", b"llama3=alert, mini=restore", b"2026-01-05T12:00"),
    "model: texts": (b'{"temperature":0.5,"stop":["a"]}', b'[{"role":"user","content":"hi"}]', b'{{ .Prompt }}"""'),
    "model: damage": (b"\0" * 600 + b"abc", b"PK\x03\x04" + bytes(range(256)) * 20),
    "bundle: record": (bytes(16), b"\x01\0\0\0\x05" + bytes(11)),
    "metrics": (b"registry.ollama.ai/library/llama3:latest", b'a"b\\c\nd'),
}


def seeds() -> Mapping[str, tuple[bytes, ...]]:
    """Good inputs of each."""
    return _SEEDS
