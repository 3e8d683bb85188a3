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
    """A list in Go that nobody filled is null on the wire."""
    fake.fail("/api/tags", "null")
    fake.fail("/api/ps", "null")
    assert client(fake.url).tags() == ()
    assert client(fake.url).loaded() == ()


def test_a_redirect_is_not_followed(fake: FakeOllama) -> None:
    """A server that sends us elsewhere is not Ollama."""
    fake.fail("/api/tags", "status 307")
    with pytest.raises(RuntimeUnreachable, match="307"):
        client(fake.url).tags()


def test_an_answer_that_drips_is_given_up(fake: FakeOllama) -> None:
    """A server that sends a byte now and then, each in time, does not hold us longer than the deadline."""
    fake.fail("/api/tags", "slow")
    began = time.monotonic()
    with pytest.raises(RuntimeUnreachable):
        client(fake.url).tags()
    assert time.monotonic() - began < 3


def test_a_packed_answer_is_not_unpacked(fake: FakeOllama) -> None:
    """We ask for plain bytes; a small file that unpacks to a big one costs nobody memory."""
    fake.fail("/api/version", "packed")
    patient = OllamaRuntime(parse_host(fake.url), SystemClock(), read_seconds=20)
    with pytest.raises(RuntimeUnreachable, match="not Ollama's"):
        patient.version()


def test_a_model_that_stays_is_said_to_stay(fake: FakeOllama) -> None:
    """Unload never returns as if the model had gone (R3): who repairs must not promise the good file."""
    fake.memory, fake.stuck = ["llama3:latest"], True
    with pytest.raises(RuntimeUnreachable, match="still in memory"):
        client(fake.url).unload("llama3:latest")


# The system reads it as 127.0.0.1; by its name it is any host, so the environment's proxies count.
ELSEWHERE = "0x7f000001"


def silent_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def proxies(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Set the environment's proxies to these and no others."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_another_host_is_reached_through_the_proxy(fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the proxy can reach the server, the proxy is asked."""
    proxies(monkeypatch, HTTP_PROXY=fake.url)
    endpoint = Endpoint(scheme="http", host=ELSEWHERE, port=silent_port())
    assert OllamaRuntime(endpoint, SystemClock()).version() == "0.24.0"


def test_this_machine_is_reached_without_the_proxy(fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy has no business between two programs on one machine."""
    proxies(monkeypatch, HTTP_PROXY=f"http://127.0.0.1:{silent_port()}")
    assert client(fake.url).version() == "0.24.0"


@pytest.mark.parametrize(("name", "value"), [("SSL_CERT_FILE", "/nonexistent.pem"), ("HTTP_PROXY", "foo://proxy")])
def test_a_broken_environment_is_one_error(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Proxy and certificate settings that cannot be used are told like any other reason."""
    proxies(monkeypatch, **{name: value})
    endpoint = Endpoint(scheme="http", host=ELSEWHERE, port=parse_host(fake.url).port)
    with pytest.raises(RuntimeUnreachable):
        OllamaRuntime(endpoint, SystemClock()).version()
