"""A download through the server ends with success or with an error that says why, whatever the server does."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.errors import RuntimeRefused, RuntimeUnreachable
from modelward.domain.runtime import PullStep
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore, FrozenClock
from modelward.testing.fake_ollama import FAULTS, STREAM_FAULTS, FakeOllama


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """A fake server over an empty store, whose registry has one model."""
    FakeStore(tmp_path / "upstream").add_model("llama3", b"weights")
    with FakeOllama(tmp_path / "models", tmp_path / "upstream").running() as fake:
        yield fake


HANG = 30.0
"""Seconds that no call here may take: so that one which hangs says so."""
# Faults that only a deadline ends; a drip is also what a client that leaves is seen by.
SILENT = ("hang", "slow", "hang mid-stream", "drip mid-stream")


def client(fake: FakeOllama, stall_seconds: float = 60) -> OllamaRuntime:
    """A client that waits as long as a machine with much to do may need."""
    return OllamaRuntime(parse_host(fake.url), SystemClock(), connect_seconds=60, stall_seconds=stall_seconds)


def timed(fake: FakeOllama) -> tuple[OllamaRuntime, FrozenClock]:
    """A patient client, and the clock by which it measures its patience."""
    clock = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC))
    return OllamaRuntime(parse_host(fake.url), clock, connect_seconds=60, stall_seconds=60), clock


@pytest.mark.parametrize("fault", [*STREAM_FAULTS, *FAULTS, "slow", "packed"])
def test_every_fault_is_one_error_in_time(fake: FakeOllama, fault: str) -> None:
    """No fault looks like success, none is repeated, and each says what to do next."""
    fake.fail("/api/pull", fault)
    began = time.monotonic()
    with pytest.raises(RuntimeUnreachable) as caught:
        list(client(fake, 0.3 if fault in SILENT else 60).pull("llama3"))
    assert time.monotonic() - began < HANG
    assert "pull again" in caught.value.next_step
    assert "llama3" in str(caught.value)
    assert fake.asked == ["/api/pull"]


def test_an_error_line_is_the_servers_own_words(fake: FakeOllama) -> None:
    """The status was 200 long before the server knew."""
    fake.fail("/api/pull", "error line")
    steps = client(fake).pull("llama3")
    assert next(steps).status == "pulling manifest"
    with pytest.raises(RuntimeRefused, match="max retries exceeded: scripted"):
        next(steps)


def test_an_error_before_the_first_line_is_a_status(fake: FakeOllama) -> None:
    """What the server refuses at once comes as a status with words."""
    fake.fail("/api/pull", "status 400")
    with pytest.raises(RuntimeRefused, match="scripted"):
        next(client(fake).pull("llama3"))


@pytest.mark.parametrize("fault", ["end without success", "cut mid-stream"])
def test_an_end_is_not_a_success(fake: FakeOllama, fault: str) -> None:
    """A server that is stopped midway ends its answer, well or badly; the model is not there."""
    fake.fail("/api/pull", fault)
    with pytest.raises(RuntimeUnreachable) as caught:
        list(client(fake).pull("llama3"))
    assert not isinstance(caught.value, RuntimeRefused)


def test_nothing_is_asked_before_the_first_step(fake: FakeOllama) -> None:
    """An iterator that nobody starts downloads nothing."""
    client(fake).pull("llama3").close()
    assert fake.asked == []


def test_leaving_early_hangs_up(fake: FakeOllama) -> None:
    """Closing the iterator is how a download is cancelled: the server sees the client go."""
    fake.fail("/api/pull", "drip mid-stream")
    steps = client(fake).pull("llama3")
    next(steps)
    assert not fake.hung_up.is_set()
    steps.close()
    assert fake.hung_up.wait(HANG)


def test_a_slow_reader_is_not_the_servers_fault(fake: FakeOllama) -> None:
    """The deadline stands still while the caller holds a step: it may ask a person something."""
    runtime, clock = timed(fake)
    steps = runtime.pull("llama3")
    first = next(steps)
    clock.advance(hours=1)
    assert [first, *steps][-1] == PullStep(status="success")


def test_a_long_proof_is_waited_for(fake: FakeOllama) -> None:
    """A server that reads what it downloaded says nothing meanwhile; cutting it would leave unproved files."""
    big = {"status": "pulling 0", "digest": "sha256:" + "0" * 64, "total": 600 << 20, "completed": 600 << 20}
    fake.script("/api/pull", [big, {"status": "verifying sha256 digest"}, {"status": "success"}])
    fake.pauses["/api/pull"] = {"verifying sha256 digest": 4.0}
    assert list(client(fake, stall_seconds=3).pull("llama3"))[-1].status == "success"
    fake.pauses["/api/pull"] = {"pulling 0": HANG}
    with pytest.raises(RuntimeUnreachable, match="in time"):
        list(client(fake, stall_seconds=0.3).pull("llama3"))


def test_a_line_that_is_said_for_ever_is_no_progress(fake: FakeOllama) -> None:
    """A server whose own download stands still repeats its last line; after ten stalls it is given up."""
    line = {"status": "pulling 0", "digest": "sha256:" + "0" * 64, "total": 9, "completed": 1}
    fake.script("/api/pull", [line] * 400)
    runtime, clock = timed(fake)

    def read_slowly() -> None:
        for _ in runtime.pull("llama3"):
            clock.advance(seconds=59)

    with pytest.raises(RuntimeUnreachable, match="nothing moved"):
        read_slowly()
    assert 600 < clock.monotonic() < 720


def test_plain_http_is_asked_for(fake: FakeOllama) -> None:
    """``insecure`` reaches the server, and is not said unasked."""
    list(client(fake).pull("llama3"))
    list(client(fake).pull("llama3", insecure=True))
    assert [body["insecure"] for body in fake.bodies] == [False, True]


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_making_a_model_fails_like_a_download(fake: FakeOllama, fault: str) -> None:
    """The same lines, the same errors: an end without success is none."""
    blob = Digest(FakeStore(fake.models).add_blob(b"weights"))
    fake.fail("/api/create", fault)
    with pytest.raises(RuntimeUnreachable):
        client(fake, stall_seconds=0.03 if fault in SILENT else 60).create("made", {"weights.gguf": blob})
