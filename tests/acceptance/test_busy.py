"""With the real Ollama: a model that is answering someone is told from one that is stuck, and nothing is disturbed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.runtimes.wire import Request, Wire
from modelward.testing import FakeStore, tiny_gguf
from tests.ollama_server import OllamaServer

pytestmark = pytest.mark.ollama
HANG = 120.0
"""Seconds after which what was waited for is said not to come."""
FIRST = {"model": "llama3", "prompt": "hi", "keep_alive": "5s", "stream": False, "options": {"num_predict": 1}}
_TRIES = 20


@contextmanager
def in_use(server: OllamaServer) -> Iterator[None]:
    """Somebody's request that lasts as long as the block, whatever the model makes of it: its runner stands still.

    It meets a model that another request has loaded, however slow the machine is: one that is loaded for it alone has
    no time yet that could pass.
    """
    wire = Wire(parse_host(server.url), SystemClock(), HANG)
    body = {"model": "llama3", "prompt": "hi", "keep_alive": "5s", "options": {"num_predict": 10_000}}
    for _ in range(_TRIES):
        assert server.ask("/api/generate", FIRST)[0] == 200
        before = runners_of(server.pid)
        with wire.open(Request(method="POST", path="/api/generate", body=body), HANG) as stream:
            assert next(stream.lines())
            if before and runners_of(server.pid) == before:
                with standing_still(before):
                    yield
                return
    pytest.fail("the model was unloaded between two requests, each time")


@contextmanager
def standing_still(processes: list[int]) -> Iterator[None]:
    """They do nothing while the block lasts."""
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def runners_of(server: int) -> list[int]:
    """The processes that a server has started, by any of its threads (proc(5))."""
    found = [path.read_text().split() for path in Path(f"/proc/{server}/task").glob("*/children")]
    return [int(pid) for pids in found for pid in pids]


def test_a_model_in_use_past_its_time_is_busy(ollama_server: OllamaServer, tmp_path: Path) -> None:
    """While a request runs, the list shows the time that the one before it set; its passing gives the request away."""
    FakeStore(tmp_path / "models").add_model("llama3", tiny_gguf(), template=b"{{ .Prompt }}")
    runtime = OllamaRuntime(parse_host(ollama_server.url), SystemClock(), read_seconds=HANG)
    with in_use(ollama_server):
        assert runtime.loaded() == ("llama3:latest",)
        give_up = time.monotonic() + HANG
        while not runtime.busy() and time.monotonic() < give_up:
            time.sleep(0.2)
        assert runtime.busy() == ("llama3:latest",)
        assert runtime.probe("llama3", seconds=5).outcome == "busy"
    assert runtime.probe("llama3", seconds=HANG).outcome == "ok"
    assert runtime.busy() == ()
