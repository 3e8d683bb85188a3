"""Size, time, rate and concurrency have their limits, and every answer its headers (T18, T26)."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelward.api import limits
from modelward.api import server as serving
from modelward.api.limits import Rate, Rates, Slots
from modelward.api.problem import Busy, TooMany
from modelward.api.server import Running
from modelward.api.shield import HEADERS
from modelward.client import Client
from modelward.domain.answer import Problem
from modelward.domain.codec import decode
from modelward.testing import FrozenClock
from tests.api.stage import Stage, client
from tests.places import BEGIN

JSON = {"content-type": "application/json"}


@contextmanager
def line_to(running: Running) -> Iterator[socket.socket]:
    """A bare connection."""
    host, _, port = running.address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as line:
        yield line


def read_all(line: socket.socket) -> bytes:
    """What comes until the other side closes."""
    return b"".join(iter(lambda: line.recv(65_536), b""))


def head(running: Running, *lines: str) -> bytes:
    """The head of a write with these further lines."""
    host = running.address.removeprefix("http://")
    return "\r\n".join(["POST /api/v1/jobs HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def test_a_body_above_the_limit_is_refused_before_it_is_read(running: Running) -> None:
    """A length that is too great is answered 413 at once, without waiting for the bytes (T26)."""
    with line_to(running) as line:
        line.sendall(head(running, "Content-Type: application/json", f"Content-Length: {limits.MOST_BYTES + 1}"))
        assert read_all(line).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_ends_at_the_limit(running: Running) -> None:
    """Chunks without end are cut off at the limit with 413 (T26)."""
    with line_to(running) as line:
        line.sendall(head(running, "Content-Type: application/json", "Transfer-Encoding: chunked"))
        part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        line.sendall(part * 2)
        assert b"HTTP/1.1 413" in line.recv(65_536)


def test_a_slow_body_ends_at_the_deadline(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who promises a body and does not send it is answered 408 and let go (T26)."""
    monkeypatch.setattr("modelward.api.limits.read_body.__kwdefaults__", {"most": 100, "seconds": 0.2})
    with line_to(running) as line:
        line.sendall(head(running, "Content-Type: application/json", "Content-Length: 50") + b"{")
        answer = read_all(line)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"problem+json" in answer


@pytest.mark.parametrize("sent", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_a_slow_head_ends_at_the_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Who connects and does not finish a request's head is let go, so that lines do not run out (T26)."""
    monkeypatch.setattr(serving, "_HEAD_SECONDS", 0.2)
    with stage.serving() as running, line_to(running) as line:
        line.sendall(sent)
        assert read_all(line) == b""


def test_a_second_slow_head_on_a_kept_line_ends_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that answered once has no more patience for the next head than a new one (T26)."""
    monkeypatch.setattr(serving, "_HEAD_SECONDS", 0.5)
    with stage.serving() as running, line_to(running) as line:
        host = running.address.removeprefix("http://").encode()
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        line.sendall(b"GET /li")
        assert b"HTTP/1.1" not in read_all(line)


@pytest.mark.parametrize("raw", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/x\r\n\r\n", b"G" * 70_000, b"GET /\r\n\r\n"])
def test_what_is_no_http_is_refused(running: Running, raw: bytes) -> None:
    """Garbage is answered 400 or not at all, and the guard goes on."""
    with line_to(running) as line:
        line.sendall(raw)
        assert read_all(line)[:12] in (b"HTTP/1.1 400", b"")
    assert client(running).raw("GET", "/livez").status == 200


def test_too_many_writes_are_refused_and_reads_go_on(stage: Stage, anyone: Client) -> None:
    """A flood of jobs is stopped with 429 and how long to wait; looking is still possible (T26)."""
    stage.gate.clear()
    statuses = [anyone.raw("DELETE", "/api/v1/jobs/none").status for _ in range(70)]
    assert statuses == [404] * 60 + [429] * 10
    assert anyone.raw("GET", "/livez").status == 200
    stage.clock.advance(seconds=1)
    assert anyone.raw("DELETE", "/api/v1/jobs/none").status == 404


def test_rates_fill_up_with_time() -> None:
    """A caller has a burst, then so many a second, whatever another caller does."""
    clock = FrozenClock(BEGIN)
    rates = Rates(clock, Rate(per_second=2, burst=3))

    def allowed(caller: str) -> int:
        count = 0
        while count < 10:
            try:
                rates.take(caller)
            except TooMany as error:
                assert int(error.headers["retry-after"]) >= 1
                break
            count += 1
        return count

    assert allowed("a") == 3
    assert allowed("b") == 3
    clock.advance(seconds=1)
    assert allowed("a") == 2
    clock.advance(hours=1)
    assert allowed("a") == 3


def test_callers_that_are_forgotten_cost_no_memory() -> None:
    """However many addresses there are, so many are remembered at most (T26)."""
    rates = Rates(FrozenClock(BEGIN), Rate(1, 1))
    for number in range(5_000):
        rates.take(str(number))
    assert len(rates._left) <= 1_024  # noqa: SLF001 - what this test is about


def test_slots_are_given_back() -> None:
    """So many at once, and one more when one is given back."""
    slots = Slots(2, "streams")
    slots.take()
    slots.take()
    with pytest.raises(Busy):
        slots.take()
    slots.give()
    slots.take()


def test_event_streams_are_bounded_and_given_back(stage: Stage) -> None:
    """The seventeenth listener is told that the guard is busy; when one goes away there is room again (T26)."""
    stage.look()
    with stage.serving() as running:
        guard = client(running)
        held = [guard.events("/events") for _ in range(16)]
        for stream in held:
            next(stream)
        answer = guard.raw("GET", "/api/v1/events")
        assert answer.status == 503
        assert decode(answer.body, Problem).next_step
        held.pop().close()
        for _ in range(200):
            stage.board.stir()
            again = guard.events("/events")
            try:
                next(again)
            except Exception as error:  # noqa: BLE001 - still busy: the line that was closed is seen at the next write
                assert "at once" in str(error)
                stage.board.wait(stage.board.revision, 0.05)
            else:
                break
        else:
            pytest.fail("the slot of the listener who left was never given back")


def test_asking_for_the_head_of_a_stream_holds_nothing(anyone: Client) -> None:
    """HEAD of a stream is answered at once, however often, and takes no listener's place (T26)."""
    for _ in range(20):
        answer = anyone.raw("HEAD", "/api/v1/events")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/api/v1/models", "/api/v1/jobs/none", "/nothing", "/api/v1/openapi.json"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_every_answer_has_the_headers_of_security(anyone: Client, method: str, path: str) -> None:
    """Whatever is asked, and whatever the answer, the browser is told to be strict (T18)."""
    answer = anyone.raw(method, path)
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    if answer.status == 405:
        assert answer.headers["allow"]


def test_a_fault_of_ours_says_nothing_of_its_inside(stage: Stage, running: Running) -> None:
    """A bug is answered 500 with a problem document, logged, and its text stays with us."""
    stage.environ["MODELWARD_LISTEN"] = "not a place"
    answer = client(running).raw("GET", "/api/v1/settings")
    assert answer.status == 200, "a setting that is unfit for this is none of this handler's business"
    stage.place.base = None  # type: ignore[assignment]  # breaks whatever opens the store
    answer = client(running).raw("GET", "/api/v1/space")
    assert answer.status == 500
    assert b"NoneType" not in answer.body
    assert [event for event, _ in stage.notes.events] == ["api_failed"]
