"""The proxy hands answers on as they are, lets deeds spoil those it is told to, and ends with everything that hangs."""

import http.client
import threading
from collections.abc import Iterator

import pytest

from modelward.testing import FakeRegistry
from modelward.testing.fault_proxy import Asker, Exchange, FaultProxy, faithful


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry with one model."""
    with FakeRegistry().running() as fake:
        fake.add("library/llama3:latest", b"weights")
        yield fake


def ask(proxy: FaultProxy, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    """One request through the proxy."""
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    try:
        link.request(method, path, body=body)
        reply = link.getresponse()
        return reply.status, reply.read()
    finally:
        link.close()


def before(registry: FakeRegistry, *what: object) -> FaultProxy:
    """A proxy before the registry."""
    host, _, port = registry.address.partition(":")
    return FaultProxy(host, int(port), *what)  # type: ignore[arg-type]


MANIFEST = "/v2/library/llama3/manifests/latest"


def test_without_a_deed_all_is_as_it_is(registry: FakeRegistry) -> None:
    """Status and body, of what is there and of what is not; requests are kept."""
    with before(registry).running() as proxy:
        assert ask(proxy, MANIFEST) == (200, registry.manifests["library/llama3:latest"])
        assert ask(proxy, "/v2/library/none/manifests/latest")[0] == 404
        assert ask(proxy, MANIFEST, "HEAD") == (200, b"")
    assert [path for _, path, _ in proxy.asked] == [MANIFEST, "/v2/library/none/manifests/latest", MANIFEST]


def test_a_body_reaches_the_server(registry: FakeRegistry) -> None:
    """Whole, however it comes."""
    with before(registry).running() as proxy:
        assert ask(proxy, "/v2/library/new/manifests/one", "PUT", b"x" * 300_000)[0] == 201
    assert registry.manifests["library/new:one"] == b"x" * 300_000


def test_a_deed_strikes_whom_it_shall(registry: FakeRegistry) -> None:
    """It is given the true answer, and may send anything."""

    def backwards(client: Asker, exchange: Exchange) -> None:
        client.answer(exchange.status, exchange.body[::-1])

    raw = registry.manifests["library/llama3:latest"]
    with before(registry, backwards, lambda _, path: "manifests" in path).running() as proxy:
        assert ask(proxy, MANIFEST) == (200, raw[::-1])
        assert ask(proxy, "/v2/")[0] == 404


def test_what_hangs_ends_with_the_proxy(registry: FakeRegistry) -> None:
    """A deed that says nothing keeps the client waiting until the proxy stops, and no longer."""
    failed = threading.Event()

    def wait(proxy: FaultProxy) -> None:
        try:
            ask(proxy, MANIFEST)
        except (OSError, http.client.HTTPException):
            failed.set()

    hanging = threading.Event()

    def hang(client: Asker, _: Exchange) -> None:
        hanging.set()
        client.hang()

    with before(registry, hang).running() as proxy:
        thread = threading.Thread(target=wait, args=(proxy,))
        thread.start()
        assert hanging.wait(30)
        assert not failed.is_set()
    thread.join(30)
    assert failed.is_set()


def test_a_reset_is_a_reset(registry: FakeRegistry) -> None:
    """The client sees its connection die."""
    with (
        before(registry, lambda client, _: client.reset()).running() as proxy,
        pytest.raises((ConnectionError, http.client.HTTPException)),
    ):
        ask(proxy, MANIFEST)


def test_faithful_is_a_deed(registry: FakeRegistry) -> None:
    """For whoever wants to look on only."""
    seen: list[Exchange] = []

    def look(client: Asker, exchange: Exchange) -> None:
        seen.append(exchange)
        faithful(client, exchange)

    with before(registry, look).running() as proxy:
        assert ask(proxy, MANIFEST)[0] == 200
    assert [(one.method, one.path, one.status) for one in seen] == [("GET", MANIFEST, 200)]
