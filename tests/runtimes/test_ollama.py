"""The Ollama client answers every odd server with one typed error, in time, and asks nothing of a silent port."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.errors import ChangedWhileRead, RuntimeRefused, RuntimeUnreachable
from modelward.runtimes.host import Endpoint, parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore, FrozenClock
from modelward.testing.fake_ollama import FAULTS, FakeOllama
from tests.ports import free_port


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """A fake server over an empty store."""
    with FakeOllama(tmp_path).running() as fake:
        yield fake


HANG = 30.0
"""Seconds that no call here may take: so that one which hangs says so."""


def client(url: str) -> OllamaRuntime:
    """A client that waits as long as a machine with much to do may need."""
    return OllamaRuntime(parse_host(url), SystemClock(), connect_seconds=60, read_seconds=60, stall_seconds=60)


def hasty(url: str) -> OllamaRuntime:
    """A client whose deadline is what ends the call, or anything else that is no answer."""
    return OllamaRuntime(parse_host(url), SystemClock(), read_seconds=0.3, stall_seconds=0.3)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["/api/version", "/api/tags", "/api/ps"])
def test_every_fault_is_one_error_with_a_next_step(fake: FakeOllama, path: str, fault: str) -> None:
    """Errors, garbage, hanging, endless or closed answers: RuntimeUnreachable within the deadline."""
    fake.fail(path, fault)
    runtime, began = (hasty if fault == "hang" else client)(fake.url), time.monotonic()
    call = {"/api/version": runtime.version, "/api/tags": runtime.tags, "/api/ps": runtime.loaded}[path]
    with pytest.raises(RuntimeUnreachable) as caught:
        call()
    assert time.monotonic() - began < HANG
    assert caught.value.exit_code == 4
    assert "OLLAMA_HOST" in caught.value.next_step
    assert fake.url in caught.value.thing


def test_a_port_where_nothing_listens() -> None:
    """Told in the system's words, and asked once: nobody waits for a server that is not there."""
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    runtime = OllamaRuntime(Endpoint(scheme="http", host="127.0.0.1", port=free_port()), clock)
    with pytest.raises(RuntimeUnreachable, match="refused"):
        runtime.tags()
    assert clock.monotonic() == 0


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
    with pytest.raises(RuntimeUnreachable, match="in time"):
        hasty(fake.url).tags()
    assert time.monotonic() - began < HANG


def test_a_packed_answer_is_not_unpacked(fake: FakeOllama) -> None:
    """We ask for plain bytes; a small file that unpacks to a big one costs nobody memory."""
    fake.fail("/api/version", "packed")
    with pytest.raises(RuntimeUnreachable, match="not Ollama's"):
        client(fake.url).version()


def test_a_model_that_stays_is_said_to_stay(fake: FakeOllama) -> None:
    """Unload never returns as if the model had gone (R3): who repairs must not promise the good file."""
    FakeStore(fake.models).add_model("llama3", b"weights")
    fake.memory, fake.stuck = ["llama3:latest"], True
    with pytest.raises(RuntimeUnreachable, match="still in memory"):
        fleeting(fake.url).unload("llama3:latest")


def fleeting(url: str) -> OllamaRuntime:
    """A client to which waiting costs no real time."""
    return OllamaRuntime(parse_host(url), FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)), connect_seconds=60)


def test_a_busy_model_is_one_past_its_time(fake: FakeOllama) -> None:
    """A model that stays in memory longer than it was to is answering someone; of others nothing is said."""
    fake.memory, fake.busy = ["llama3:latest", "phi3:latest"], ["phi3:latest"]
    assert client(fake.url).busy() == ("phi3:latest",)
    fake.fail("/api/ps", "null")
    assert client(fake.url).busy() == ()


# The system reads it as 127.0.0.1; by its name it is any host, so the environment's proxies count.
ELSEWHERE = "0x7f000001"


def by_proxy(host: str, port: int, proxy: str) -> OllamaRuntime:
    """A client with a proxy in its environment."""
    endpoint = Endpoint(scheme="http", host=host, port=port)
    return OllamaRuntime(endpoint, SystemClock(), connect_seconds=60, read_seconds=60, environ={"HTTP_PROXY": proxy})


def test_another_host_is_reached_through_the_proxy(fake: FakeOllama) -> None:
    """Where only the proxy can reach the server, the proxy is asked."""
    assert by_proxy(ELSEWHERE, free_port(), fake.url).version() == "0.24.0"


def test_this_machine_is_reached_without_the_proxy(fake: FakeOllama) -> None:
    """A proxy has no business between two programs on one machine."""
    dead = f"http://127.0.0.1:{free_port()}"
    assert by_proxy("127.0.0.1", parse_host(fake.url).port, dead).version() == "0.24.0"


def test_a_broken_environment_is_one_error(fake: FakeOllama) -> None:
    """A proxy that cannot be used is told like any other reason."""
    with pytest.raises(RuntimeUnreachable, match="proxy"):
        by_proxy(ELSEWHERE, parse_host(fake.url).port, "foo://proxy").version()


CALLS: dict[str, Callable[[OllamaRuntime], object]] = {
    "/api/show": lambda runtime: runtime.show("llama3"),
    "/api/generate": lambda runtime: runtime.unload("llama3"),
    "/api/copy": lambda runtime: runtime.copy("llama3", "twin"),
    "/api/delete": lambda runtime: runtime.delete("llama3"),
}
# Of an answer with status 200, the last two calls read nothing, and the others any object that lacks all they look for.
UNSEEN = {
    "/api/show": {"wrong shape", "not UTF-8"},
    "/api/generate": {"wrong shape", "not UTF-8"},
    "/api/copy": {"wrong shape", "not UTF-8", "garbage", "deep"},
    "/api/delete": {"wrong shape", "not UTF-8", "garbage", "deep"},
}


@pytest.mark.parametrize(
    ("path", "fault"), [(path, fault) for path in CALLS for fault in [*FAULTS, "slow"] if fault not in UNSEEN[path]]
)
def test_every_fault_of_every_call_is_one_error(fake: FakeOllama, path: str, fault: str) -> None:
    """Whatever is asked: RuntimeUnreachable with a next step, within the deadline."""
    FakeStore(fake.models).add_model("llama3", b"weights")
    fake.fail(path, fault)
    began = time.monotonic()
    with pytest.raises(RuntimeUnreachable) as caught:
        CALLS[path]((hasty if fault in ("hang", "slow") else client)(fake.url))
    assert time.monotonic() - began < HANG
    assert caught.value.next_step


@pytest.mark.parametrize("fault", ["status 500", "status 503", "close"])
def test_what_is_safe_to_repeat_is_repeated(fake: FakeOllama, fault: str) -> None:
    """Two bad answers and a good one are a good one, for lists and for show."""
    FakeStore(fake.models).add_model("llama3", b"weights")
    patient = client(fake.url)
    fake.fail("/api/tags", fault, times=2)
    fake.fail("/api/show", fault, times=2)
    assert [tag.name for tag in patient.tags()] == ["llama3:latest"]
    assert patient.show("llama3").format == "gguf"
    assert fake.asked == ["/api/tags"] * 3 + ["/api/show"] * 3


def test_the_third_bad_answer_is_the_last(fake: FakeOllama) -> None:
    """The server's own words come back after three tries."""
    fake.fail("/api/tags", "status 500")
    with pytest.raises(RuntimeRefused, match="scripted"):
        client(fake.url).tags()
    assert len(fake.asked) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda runtime: runtime.copy("llama3", "twin"),
        lambda runtime: runtime.delete("llama3"),
        lambda runtime: runtime.create("made", {"weights.gguf": Digest("0" * 64)}),
        lambda runtime: list(runtime.pull("llama3")),
        lambda runtime: runtime.unload("llama3"),
    ],
)
def test_what_changes_something_is_asked_once(fake: FakeOllama, call: Callable[[OllamaRuntime], object]) -> None:
    """Who does not know whether a deed was done does not do it again."""
    for path in ("/api/copy", "/api/delete", "/api/create", "/api/pull", "/api/generate"):
        fake.fail(path, "status 500")
    with pytest.raises(RuntimeRefused, match="scripted"):
        call(client(fake.url))
    assert len(fake.asked) == 1


def test_a_server_that_drips_its_headers_is_given_up() -> None:
    """Bytes that come in time and make no answer do not hold us longer than the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip_headers, args=(listener,), daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(RuntimeUnreachable, match="in time"):
            hasty(f"http://127.0.0.1:{listener.getsockname()[1]}").version()
        assert time.monotonic() - began < HANG
        thread.join(HANG)
        assert not thread.is_alive()


def drip_headers(listener: socket.socket) -> None:
    """Answer one client with headers that do not end."""
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(int(HANG / 0.05)):
            connection.sendall(b"y")
            time.sleep(0.05)


def test_words_of_a_server_are_one_printable_line(fake: FakeOllama) -> None:
    """What a server says cannot move a terminal's cursor or fill a screen."""
    fake.script("/api/pull", [{"error": "\x1b[2Jfirst\nsecond " + "x" * 10_000}])
    with pytest.raises(RuntimeRefused) as caught:
        list(client(fake.url).pull("llama3"))
    assert "first second" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_page_of_another_program_is_no_refusal(tmp_path: Path) -> None:
    """A proxy's page for a server that is down is told as a server that does not answer."""
    with FakeOllama(tmp_path).running() as fake:
        fake.fail("/api/copy", "page 502")
        with pytest.raises(RuntimeUnreachable, match="502") as caught:
            client(fake.url).copy("llama3", "twin")
    assert not isinstance(caught.value, RuntimeRefused)


def test_names_need_not_be_whole_to_be_unloaded(fake: FakeOllama) -> None:
    """The list says llama3:latest, a person says llama3; it is one model."""
    FakeStore(fake.models).add_model("llama3", b"weights")
    fake.memory, fake.stuck = ["llama3:latest"], True
    with pytest.raises(RuntimeUnreachable, match="still in memory"):
        fleeting(fake.url).unload("llama3")


def test_an_upload_that_is_cut_short_is_an_error(fake: FakeOllama, tmp_path: Path) -> None:
    """A file that is shorter than it was said to be is not taken for the whole."""
    (tmp_path / "short").write_bytes(b"short")
    with (tmp_path / "short").open("rb") as file, pytest.raises(ChangedWhileRead):
        client(fake.url).upload(Digest("0" * 64), file.fileno(), 3 << 20)
    assert not list(tmp_path.glob("blobs/*"))
