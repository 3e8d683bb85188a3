"""A probe says in one word what a model is worth, in time, and never raises."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.runtime import ProbeResult
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore
from modelward.testing.fake_ollama import FAULTS, FakeOllama


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOllama]:
    """A fake server with one model."""
    FakeStore(tmp_path).add_model("llama3", b"weights")
    with FakeOllama(tmp_path).running() as fake:
        yield fake


HANG = 30.0
"""Seconds that no probe here may take: so that one which hangs says so."""
SILENT = ("hang", "slow")


def probe(fake: FakeOllama, seconds: float = 60.0) -> ProbeResult:
    """One probe of the model, by default with as much time as a machine with much to do may need."""
    return OllamaRuntime(parse_host(fake.url), SystemClock(), connect_seconds=60).probe("llama3", seconds=seconds)


def test_a_token_is_asked_for_and_no_more(fake: FakeOllama) -> None:
    """The likeliest few tokens, the same each time, and the model stays in memory as long as the server likes."""
    assert probe(fake).outcome == "ok"
    assert fake.asked == ["/api/ps", "/api/show", "/api/generate"]
    body = fake.bodies[-1]
    assert body["options"] == {"num_predict": 4, "temperature": 0, "seed": 1}
    assert "keep_alive" not in body
    assert "think" not in body


@pytest.mark.parametrize("name", ["llama3:latest", "LLaMA3:latest"])
def test_it_says_whether_the_model_was_loaded(fake: FakeOllama, name: str) -> None:
    """The list gives the whole name; case does not make another model of it."""
    assert not probe(fake).loaded
    fake.memory = [name]
    assert probe(fake).loaded


def test_a_thinking_model_is_asked_not_to(fake: FakeOllama) -> None:
    """Thinking takes more tokens than a probe gives."""
    fake.capabilities["llama3:latest"] = ["completion", "thinking"]
    assert probe(fake).answer == "hello"
    assert fake.bodies[-1]["think"] is False


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"response": "", "thinking": "well", "done": True}, "ok"),
        ({"response": "", "done": True, "eval_count": 1}, "ok"),
        ({"response": "", "done": True, "done_reason": "load"}, "refused"),
        ({"response": "half", "done": False}, "refused"),
        ({"response": ""}, "refused"),
    ],
)
def test_what_counts_as_a_token(fake: FakeOllama, said: dict[str, object], outcome: str) -> None:
    """A word, a thought, or a token that shows nothing; an answer without any is none."""
    fake.script("/api/generate", [said])
    result = probe(fake)
    assert result.outcome == outcome
    assert bool(result.why) == (outcome != "ok")


def test_a_model_of_embeddings_makes_one(fake: FakeOllama) -> None:
    """What only embeds is not asked for words."""
    fake.capabilities["llama3:latest"] = ["embedding"]
    result = probe(fake)
    assert (result.outcome, result.answer) == ("ok", "2 numbers")
    assert fake.asked[-1] == "/api/embed"


def test_a_model_of_both_speaks(fake: FakeOllama) -> None:
    """Where a model makes words too, words are asked for."""
    fake.capabilities["llama3:latest"] = ["completion", "embedding"]
    assert probe(fake).answer == "hello"


@pytest.mark.parametrize("rows", [None, [], [[]], [[0.0, 0.0]]])
def test_an_embedding_of_nothing_is_none(fake: FakeOllama, rows: object) -> None:
    """No row, an empty one, or zeros, which is what zeroed weights give."""
    fake.capabilities["llama3:latest"] = ["embedding"]
    fake.script("/api/embed", [{"embeddings": rows}])
    assert probe(fake).outcome == "refused"


def test_a_full_queue_is_busy(fake: FakeOllama) -> None:
    """A server with too much to do says nothing about the model."""
    fake.fail("/api/generate", "status 503")
    assert probe(fake).outcome == "busy"


@pytest.mark.parametrize("path", ["/api/ps", "/api/show", "/api/generate"])
@pytest.mark.parametrize("fault", [*FAULTS, "slow", "page 502"])
def test_no_fault_is_raised(fake: FakeOllama, path: str, fault: str) -> None:
    """Each fault of each call has its word, and the deadline is for all calls together."""
    fake.fail(path, fault)
    began = time.monotonic()
    result = probe(fake, seconds=0.4 if fault in SILENT else 60.0)
    assert time.monotonic() - began < HANG
    lenient = path == "/api/show" and fault in ("wrong shape", "not UTF-8")  # an object that tells of no capability
    if lenient:
        assert result.outcome == "ok"
        return
    word = {"status 500": "refused", "status 404": "refused", "hang": "timeout", "slow": "timeout"}
    if path == "/api/generate" and fault in ("wrong shape", "not UTF-8"):
        word[fault] = "refused"
    assert result.outcome == word.get(fault, "unreachable")
    assert result.why


@pytest.mark.parametrize("fault", SILENT)
def test_a_model_that_answers_someone_else_is_busy(fake: FakeOllama, fault: str) -> None:
    """One that was past its time in memory before the probe is in use, so its silence says nothing."""
    fake.memory = fake.busy = ["llama3:latest"]
    fake.fail("/api/generate", fault)
    result = until_asked(fake, "/api/generate")
    assert (result.outcome, result.loaded) == ("busy", True)
    assert "someone else" in result.why


def test_a_model_that_is_not_in_use_is_late(fake: FakeOllama) -> None:
    """Loaded, within its time, and silent: that is the model's own fault. So is it where another one is in use."""
    fake.memory, fake.busy = ["llama3:latest", "phi3:latest"], ["phi3:latest"]
    fake.fail("/api/generate", "hang")
    assert until_asked(fake, "/api/generate").outcome == "timeout"


def test_a_busy_model_does_not_excuse_the_server(fake: FakeOllama) -> None:
    """What needs no model has to come in time, and an answer is one, whoever else is waiting."""
    fake.memory = fake.busy = ["llama3:latest"]
    assert probe(fake).outcome == "ok"
    fake.fail("/api/generate", "close")
    assert probe(fake).outcome == "unreachable"
    fake.fail("/api/show", "hang")
    assert until_asked(fake, "/api/show").outcome == "timeout"


def until_asked(fake: FakeOllama, path: str) -> ProbeResult:
    """A probe that came as far as ``path`` and no further: with more time, where the machine has much to do."""
    for seconds in (0.4, 2.0, 10.0):
        fake.asked.clear()
        result = probe(fake, seconds)
        if fake.asked[-1:] == [path]:
            break
    assert fake.asked[-1] == path
    return result


def test_no_server_is_unreachable(tmp_path: Path) -> None:
    """Nothing listens: a result like any other."""
    with FakeOllama(tmp_path).running() as fake:
        pass
    result = probe(fake)
    assert result.outcome == "unreachable"
    assert result.why


def test_no_time_is_a_timeout(fake: FakeOllama) -> None:
    """A probe that may take no time asks nothing."""
    assert probe(fake, seconds=0).outcome == "timeout"
    assert fake.asked == []
