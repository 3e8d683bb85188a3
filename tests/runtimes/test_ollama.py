"""The Ollama client answers every odd server with one typed error, in time, and asks nothing of a silent port."""

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.errors import RuntimeUnreachable
from modelward.runtimes.host import Endpoint, parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing.fake_ollama import FAULTS, FakeOllama


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """A fake server over an empty store."""
    with FakeOllama(tmp_path).running() as fake:
        yield fake


def client(url: str) -> OllamaRuntime:
    """A client that does not wait long."""
    return OllamaRuntime(parse_host(url), SystemClock(), read_seconds=0.3)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
def test_every_fault_is_one_error_with_a_next_step(fake: FakeOllama, path: str, fault: str) -> None:
    """Errors, garbage, hanging, endless or closed answers: RuntimeUnreachable within the deadline."""
    fake.fail(path, fault)
    runtime, began = client(fake.url), time.monotonic()
    call = {"/api/version": runtime.version, "/api/tags": runtime.tags, "/api/ps": runtime.loaded}[path]
    with pytest.raises(RuntimeUnreachable) as caught:
        call()
    assert time.monotonic() - began < 5
    assert caught.value.exit_code == 4
    assert "OLLAMA_HOST" in caught.value.next_step
    assert fake.url in caught.value.thing


def test_a_port_where_nothing_listens() -> None:
    """Refused at once, without loading an HTTP library for it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runtime = OllamaRuntime(Endpoint(scheme="http", host="127.0.0.1", port=port), SystemClock())
    loaded = "httpx" in sys.modules
    with pytest.raises(RuntimeUnreachable):
        runtime.tags()
    assert ("httpx" in sys.modules) == loaded


def test_a_null_list_is_an_empty_one(fake: FakeOllama) -> None:
    """Some versions say null where there is no model."""
    assert client(fake.url).tags() == ()


def test_a_redirect_is_not_followed(fake: FakeOllama) -> None:
    """A server that sends us elsewhere is not Ollama."""
    fake.fail("/api/tags", "status 307")
    with pytest.raises(RuntimeUnreachable, match="307"):
        client(fake.url).tags()
