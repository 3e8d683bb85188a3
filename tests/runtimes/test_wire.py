"""One request, one bounded answer: whatever a server sends, it is an answer that HTTP allows, or NoAnswer in time."""

import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.errors import ChangedWhileRead
from modelward.runtimes.host import Endpoint, parse_host
from modelward.runtimes.wire import BODY_LIMIT, LINE_LIMIT, Answer, NoAnswer, Request, Wire
from tests.descriptors import open_now
from tests.ports import free_port

HANG = 60.0
"""Seconds that nothing here may take: so that a test which hangs says so."""
SHORT = 0.3
GET = Request(method="GET", path="/api/version")
Talk = Callable[[socket.socket], object]
# The system reads it as 127.0.0.1; by its name it is any host, so the environment's proxies count.
ELSEWHERE = "0x7f000001"


@contextmanager
def serving(talk: Talk) -> Iterator[Endpoint]:
    """A server that has ``talk`` with each client in turn, each in a thread of its own."""

    def meet(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(HANG)
            talk(client)

    def wait(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=meet, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=wait, args=(listener,))
        thread.start()
        try:
            yield Endpoint(scheme="http", host="127.0.0.1", port=listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(HANG)


def head(client: socket.socket) -> bytes:
    """What a client asks, up to the blank line."""
    asked = b""
    while b"\r\n\r\n" not in asked and (more := client.recv(65_536)):
        asked += more
    return asked


def saying(*parts: bytes) -> Talk:
    """A server that reads one request and says these parts, one after the other, and goes."""

    def talk(client: socket.socket) -> None:
        head(client)
        for part in parts:
            client.sendall(part)
            time.sleep(0.001)  # mostly a packet each; nothing depends on it

    return talk


def ask(talk: Talk, request: Request = GET, seconds: float = HANG) -> Answer:
    """The answer of a server that has this talk."""
    with serving(talk) as endpoint:
        return Wire(endpoint, SystemClock(), HANG).ask(request, seconds)


def lines(talk: Talk) -> list[bytes]:
    """The lines of such an answer."""
    with serving(talk) as endpoint, Wire(endpoint, SystemClock(), HANG).open(GET, HANG) as stream:
        return list(stream.lines())


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nDate: today\r\n\r\nbody"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nbo\r\n2\r\ndy\r\n0\r\nX: trailer\r\n\r\n"
OPEN_END = b"HTTP/1.0 200 OK\r\n\r\nbody"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody"


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS, OPEN_END, CLOSING])
def test_a_body_is_the_same_however_it_is_framed(answer: bytes) -> None:
    """By length, in chunks, or up to the end of the connection; in one packet or in one for each byte."""
    assert ask(saying(answer)).data == b"body"
    assert ask(saying(*(bytes([byte]) for byte in answer))).data == b"body"


def test_the_servers_time_comes_along() -> None:
    """The Date header as it stands, or nothing."""
    assert ask(saying(LENGTH)).date == "today"
    assert ask(saying(CHUNKS)).date == ""


@pytest.mark.parametrize(
    "cut",
    [
        LENGTH[:-1],
        CHUNKS[:-30],
        CHUNKS[: CHUNKS.index(b"dy")],
        CHUNKS[: CHUNKS.index(b"0\r\nX")],
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Enc",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nbody",
    ],
)
def test_a_part_is_no_answer(cut: bytes) -> None:
    """A body that ends before its announced end, and what is not HTTP."""
    with pytest.raises(NoAnswer) as caught:
        ask(saying(cut))
    assert not caught.value.late
    assert str(caught.value)


@pytest.mark.parametrize("status", [301, 307, 404, 503])
def test_any_status_is_an_answer(status: int) -> None:
    """Redirects too: where they lead is not asked."""
    words = b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno" % status
    assert ask(saying(words)) == Answer(status=status, data=b"no")


def test_a_head_has_no_body() -> None:
    """The length is that of what would be sent."""
    held = ask(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), Request(method="HEAD", path="/x"))
    assert held == Answer(status=200, data=b"")


def test_too_much_is_no_answer() -> None:
    """A body beyond any answer of Ollama is left; one that fits is taken."""
    for framing in (b"Content-Length: %d" % (BODY_LIMIT + 1), b"Connection: close"):
        with pytest.raises(NoAnswer, match="more than"):
            ask(saying(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % framing, bytes(BODY_LIMIT + 1)))
    whole = ask(saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY_LIMIT, bytes(BODY_LIMIT)))
    assert len(whole.data) == BODY_LIMIT


def test_headers_without_end_are_no_answer() -> None:
    """Many headers, or a long one, are refused long before they cost memory."""
    for rest in (b"X: y\r\n" * 10_000, b"X: " + b"y" * (1 << 20)):
        with pytest.raises(NoAnswer):
            ask(saying(b"HTTP/1.1 200 OK\r\n" + rest))


def test_lines_are_cut_where_they_end() -> None:
    """Not where packets or chunks end; blank ones are none, and the last one may lack its end."""
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\nt\r\n4\r\nwo\n\n\r\n5\r\nthree\r\n0\r\n\r\n"
    )
    assert lines(saying(answer)) == [b"one", b"two", b"three"]
    with pytest.raises(NoAnswer, match="a line"):
        lines(saying(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (LINE_LIMIT + 1)))


def test_a_line_comes_when_it_is_there() -> None:
    """Nobody waits for the next one to see the first."""
    seen = threading.Event()

    def talk(client: socket.socket) -> None:
        head(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        if seen.wait(HANG):
            client.sendall(b"4\r\ntwo\n\r\n0\r\n\r\n")

    with serving(talk) as endpoint, Wire(endpoint, SystemClock(), HANG).open(GET, HANG) as stream:
        found = stream.lines()
        assert next(found) == b"one"
        seen.set()
        assert list(found) == [b"two"]


def drip(*, before: bytes, drop: bytes) -> Talk:
    """A server whose answer goes on and on: a drop every 20 ms, for as long as the client stays."""

    def talk(client: socket.socket) -> None:
        head(client)
        client.sendall(before)
        for _ in range(int(HANG / 0.02)):
            client.sendall(drop)
            time.sleep(0.02)

    return talk


ENDLESS = {
    "silence": drip(before=b"", drop=b""),
    "status": drip(before=b"HTTP/1.1 ", drop=b"2"),
    "headers": drip(before=b"HTTP/1.1 200 OK\r\nX: ", drop=b"y"),
    "interim answers": drip(before=b"", drop=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": drip(before=b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", drop=b" "),
    "body without an announced end": drip(before=b"HTTP/1.0 200 OK\r\n\r\n", drop=b" "),
    "chunks": drip(before=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", drop=b"1\r\n \r\n"),
    "trailers": drip(before=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", drop=b"X: y\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_the_deadline_is_for_all_of_it(kind: str) -> None:
    """Bytes that come in time, each of them, do not hold us longer than the deadline (H1)."""
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="in time") as caught:
        ask(ENDLESS[kind], seconds=SHORT)
    assert caught.value.late
    assert time.monotonic() - began < HANG / 2


def test_a_server_that_reads_nothing_is_given_up() -> None:
    """An upload that does not move ends with the deadline."""
    done = threading.Event()
    pieces = iter([bytes(1 << 20)] * 64)
    try:
        with pytest.raises(NoAnswer, match="in time") as caught:
            ask(lambda _: done.wait(HANG), Request(method="POST", path="/", content=pieces, size=64 << 20), SHORT)
    finally:
        done.set()
    assert caught.value.late


def received(into: list[bytes]) -> Talk:
    """A server that keeps the request, body and all, and says yes."""

    def talk(client: socket.socket) -> None:
        asked = head(client)
        begin, _, body = asked.partition(b"\r\n\r\n")
        size = next((int(line[15:]) for line in begin.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        while len(body) < size and (more := client.recv(65_536)):
            body += more
        into.extend([begin, body])
        client.sendall(LENGTH)

    return talk


def test_what_is_asked() -> None:
    """Method, path below the endpoint's own, a JSON body with its length; plain bytes are wished for."""
    asked: list[bytes] = []
    with serving(received(asked)) as endpoint:
        below = parse_host(f"{endpoint.url}/below")
        Wire(below, SystemClock(), HANG).ask(Request(method="POST", path="/api/show", body={"model": "ä"}), HANG)
    begin, *headers = asked[0].decode().split("\r\n")
    assert begin == "POST /below/api/show HTTP/1.1"
    assert {"Accept-Encoding: identity", "Content-Type: application/json", "Content-Length: 14"} < set(headers)
    assert f"Host: 127.0.0.1:{endpoint.port}" in headers
    assert asked[1].decode() == '{"model":"ä"}'


def test_an_upload_goes_as_it_is() -> None:
    """The pieces of the iterator, of the length that was announced, not in chunks."""
    asked: list[bytes] = []
    pieces = iter([b"one", b"", bytes(300_000)])
    assert ask(received(asked), Request(method="POST", path="/x", content=pieces, size=300_003)).data == b"body"
    assert b"Content-Length: 300003" in asked[0]
    assert b"chunked" not in asked[0]
    assert asked[1] == b"one" + bytes(300_000)


def test_an_upload_that_is_refused_early_says_why() -> None:
    """A server may answer and hang up before all was sent; its words are read all the same."""

    def talk(client: socket.socket) -> None:
        head(client)
        client.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\nwhy?")
        answered.set()

    def pieces() -> Iterator[bytes]:
        yield b"begin"
        answered.wait(HANG)
        yield from [bytes(1 << 16)] * 512

    answered = threading.Event()
    refused = ask(talk, Request(method="POST", path="/x", content=pieces(), size=5 + (32 << 20)))
    assert refused == Answer(status=400, data=b"why?")


def test_what_an_upload_is_made_of_may_fail() -> None:
    """Its own error comes out as it is: the server is not to blame."""

    def pieces() -> Iterator[bytes]:
        yield b"begin"
        raise ChangedWhileRead("shorter", thing="x", next_step="verify it")

    with pytest.raises(ChangedWhileRead):
        ask(saying(LENGTH), Request(method="POST", path="/x", content=pieces(), size=9))


def test_leaving_the_block_hangs_up() -> None:
    """The server sees the end of the connection, even in the middle of its answer."""
    left = threading.Event()

    def talk(client: socket.socket) -> None:
        head(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        if not client.recv(1):
            left.set()

    with serving(talk) as endpoint:
        with Wire(endpoint, SystemClock(), HANG).open(GET, HANG) as stream:
            assert next(stream.lines()) == b"one"
        assert left.wait(HANG)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ELSEWHERE])
def test_nobody_listens(host: str) -> None:
    """Refused is not late, and not worth asking again."""
    with pytest.raises(NoAnswer) as caught:
        Wire(Endpoint(scheme="http", host=host, port=free_port()), SystemClock(), HANG).ask(GET, HANG)
    assert (caught.value.closed, caught.value.late) == (True, False)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 80 + ".localhost", "two words", ""])
def test_a_name_that_leads_nowhere(host: str) -> None:
    """One error, whatever is wrong with the name."""
    with pytest.raises(NoAnswer):
        Wire(Endpoint(scheme="http", host=host, port=free_port()), SystemClock(), HANG).ask(GET, HANG)


@pytest.mark.parametrize("path", ["/two words", "/line\r\nX: y", "/ä"])
def test_a_path_that_http_cannot_carry(path: str) -> None:
    """Nothing is smuggled into a request."""
    asked: list[bytes] = []
    with pytest.raises(NoAnswer):
        ask(received(asked), Request(method="GET", path=path))
    assert not any(asked)


def test_no_time_asks_nothing() -> None:
    """A deadline that has passed is late at once."""
    with pytest.raises(NoAnswer) as caught:
        ask(saying(LENGTH), seconds=0)
    assert caught.value.late


def test_nothing_heavy_is_loaded_while_nobody_listens() -> None:
    """A run without a server does not pay for HTTP."""
    program = f"""if True:
        import sys
        from modelward.domain.errors import RuntimeUnreachable
        from modelward.runtimes.host import parse_host
        from modelward.runtimes.ollama import OllamaRuntime
        from modelward.testing.clock import FrozenClock
        from datetime import UTC, datetime
        sys.modules["http.client"] = None  # an import of it would raise
        try:
            OllamaRuntime(parse_host("127.0.0.1:{free_port()}"), FrozenClock(datetime.now(UTC))).tags()
        except RuntimeUnreachable:
            print("unreachable")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "unreachable\n"


# Proxies


def by(proxy: Endpoint) -> dict[str, str]:
    """An environment that names one."""
    return {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url}


def test_a_proxy_is_given_the_whole_address() -> None:
    """Where only the proxy can reach the server, the proxy is asked for it."""
    asked: list[bytes] = []
    with serving(received(asked)) as proxy:
        endpoint = parse_host(f"http://{ELSEWHERE}:81/below")
        assert Wire(endpoint, SystemClock(), HANG, by(proxy)).ask(GET, HANG).data == b"body"
    assert asked[0].startswith(b"GET http://0x7f000001:81/below/api/version HTTP/1.1\r\nHost: 0x7f000001:81\r\n")


def test_no_proxy_spares_a_host() -> None:
    """What the environment excepts is asked directly."""
    with serving(saying(LENGTH)) as endpoint:
        wire = Wire(
            Endpoint(scheme="http", host=ELSEWHERE, port=endpoint.port),
            SystemClock(),
            HANG,
            {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}", "NO_PROXY": ELSEWHERE},
        )
        assert wire.ask(GET, HANG).data == b"body"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_without_a_proxy(host: str) -> None:
    """A proxy has no business between two programs on one machine."""
    dead = {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}"}
    with serving(saying(LENGTH)) as endpoint:
        here = Endpoint(scheme="http", host=host, port=endpoint.port)
        assert Wire(here, SystemClock(), HANG, dead).ask(GET, HANG).data == b"body"


@pytest.mark.parametrize(
    "proxy", ["foo://proxy", "https://proxy", "http://me:secret@proxy", "http://proxy:port", "http://"]
)
def test_a_proxy_that_cannot_be_used(proxy: str) -> None:
    """One error that keeps the proxy's password to itself."""
    wire = Wire(Endpoint(scheme="http", host=ELSEWHERE, port=1), SystemClock(), HANG, {"http_proxy": proxy})
    with pytest.raises(NoAnswer, match="proxy") as caught:
        wire.ask(GET, HANG)
    assert "secret" not in str(caught.value)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost in one file, of an authority that nobody trusts unasked."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("skipped: no openssl on PATH")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    names = "subjectAltName=DNS:localhost"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    wish = [*kind, "-subj", "/CN=localhost", "-addext", names, "-keyout", str(file), "-out", "-"]
    made = subprocess.run([openssl, "req", *wish], capture_output=True, text=True, check=True)
    file.write_text(file.read_text() + made.stdout)
    return file


def inside_tls(certificate: Path, talk: Talk) -> Talk:
    """The same talk, over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def secured(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secret:
            talk(secret)

    return secured


def at(endpoint: Endpoint, host: str = "localhost") -> Endpoint:
    """The same port, over TLS, by another name."""
    return Endpoint(scheme="https", host=host, port=endpoint.port)


def test_https_is_spoken(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a certificate of an authority that this machine trusts; asked twice, by one wire."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[bytes] = []
    with serving(inside_tls(certificate, received(asked))) as endpoint:
        wire = Wire(at(endpoint), SystemClock(), HANG)
        for _ in range(2):
            assert wire.ask(Request(method="POST", path="/x", body=[1]), HANG).data == b"body"
    assert asked[1::2] == [b"[1]", b"[1]"]


def test_a_stranger_is_not_believed(certificate: Path) -> None:
    """A certificate of nobody that we know is no answer, and nothing is said to who has it."""
    asked: list[bytes] = []
    with (
        serving(inside_tls(certificate, received(asked))) as endpoint,
        pytest.raises(NoAnswer, match=r"(?i)certificate"),
    ):
        Wire(at(endpoint), SystemClock(), HANG).ask(GET, HANG)
    assert asked == []


def test_another_name_is_not_believed(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good certificate of somebody else."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        serving(inside_tls(certificate, saying(LENGTH))) as endpoint,
        pytest.raises(NoAnswer, match=r"(?i)certificate"),
    ):
        Wire(at(endpoint, "127.0.0.1"), SystemClock(), HANG).ask(GET, HANG)


@pytest.mark.parametrize("kind", ["silence", "headers", "body without an announced end"])
def test_the_deadline_holds_inside_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The same drops, each a record of its own (H1)."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(inside_tls(certificate, ENDLESS[kind])) as endpoint, pytest.raises(NoAnswer) as caught:
        Wire(at(endpoint), SystemClock(), HANG).ask(GET, SHORT)
    assert caught.value.late


def test_a_handshake_that_nobody_answers_is_given_up() -> None:
    """A server that takes the connection and says nothing (H1)."""
    done = threading.Event()
    try:
        with serving(lambda _: done.wait(HANG)) as endpoint, pytest.raises(NoAnswer) as caught:
            Wire(at(endpoint), SystemClock(), HANG).ask(GET, SHORT)
    finally:
        done.set()
    assert caught.value.late


def tunnel(asked: list[bytes], end: Endpoint) -> Talk:
    """A proxy that leads every CONNECT to one server, and cannot read what goes through."""

    def pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def talk(client: socket.socket) -> None:
        asked.append(head(client))
        with socket.create_connection((end.host, end.port), HANG) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join(HANG)

    return talk


def test_https_goes_through_a_proxy_unread(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for a way through; name and certificate are the server's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[bytes] = []
    with ExitStack() as stack:
        server = stack.enter_context(serving(inside_tls(certificate, saying(LENGTH))))
        proxy = stack.enter_context(serving(tunnel(asked, server)))
        far = Endpoint(scheme="https", host="ollama.example", port=443)
        with pytest.raises(NoAnswer, match=r"(?i)certificate"):
            Wire(far, SystemClock(), HANG, by(proxy)).ask(GET, HANG)
    assert asked[0].startswith(b"CONNECT ollama.example:443 HTTP/1.1\r\nHost: ollama.example:443\r\n")


def test_a_proxy_that_refuses_is_no_answer() -> None:
    """Its page is not taken for the server's."""
    far = Endpoint(scheme="https", host="ollama.example", port=443)
    with (
        serving(saying(b"HTTP/1.1 407 No\r\nContent-Length: 4\r\n\r\nbody")) as proxy,
        pytest.raises(NoAnswer, match="407"),
    ):
        Wire(far, SystemClock(), HANG, by(proxy)).ask(GET, HANG)


def test_no_connection_is_left_open() -> None:
    """After answers and errors alike no file is open that was not before."""
    with serving(saying(LENGTH)) as good, serving(saying(b"HTTP/1.1 2")) as bad:
        before, give_up = open_now(), time.monotonic() + HANG
        for endpoint in (good, bad) * 5:
            with suppress(NoAnswer):
                Wire(endpoint, SystemClock(), HANG).ask(GET, HANG)
        while open_now() - before and time.monotonic() < give_up:
            time.sleep(0.01)
        assert not open_now() - before


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "fd00:ec2::254"])
def test_metadata_services_are_never_asked(host: str) -> None:
    """They hand out credentials, and are no server of models (T11)."""
    with pytest.raises(NoAnswer, match="never asked"):
        Wire(Endpoint(scheme="http", host=host, port=80), SystemClock(), HANG).ask(GET, HANG)
