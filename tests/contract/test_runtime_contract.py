"""What every Runtime promises, checked on the fake and on the real Ollama."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.ports import Runtime
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore, tiny_gguf
from modelward.testing.fake_ollama import FakeOllama
from tests.ollama_server import OllamaServer


@dataclass
class Served:
    """A runtime over a store with one model, and a way to load that model into memory."""

    runtime: Runtime
    models: Path
    load: Callable[[], object]


def fill(models: Path) -> None:
    """One model that a real server lists; a real one loads it too."""
    FakeStore(models).add_model("llama3", tiny_gguf(), template=b"{{ .Prompt }}")


def programs() -> list[object]:
    """The fake, the Ollama on PATH, and a second one named by MODELWARD_SECOND_OLLAMA."""
    second = os.environ.get("MODELWARD_SECOND_OLLAMA", "")
    real = [pytest.param("ollama", id="ollama", marks=pytest.mark.ollama)]
    more = [pytest.param(second, id="second ollama", marks=pytest.mark.ollama)] if second else []
    return ["fake", *real, *more]


@pytest.fixture(params=programs())
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """Each runtime in turn."""
    models = tmp_path / "models"
    fill(models)
    with ExitStack() as stack:
        if request.param == "fake":
            fake = stack.enter_context(FakeOllama(models).running())
            url = fake.url
            load: Callable[[], object] = lambda: fake.memory.append("llama3:latest")  # noqa: E731
        else:
            program = shutil.which(request.param)
            if program is None:
                pytest.skip("skipped: no ollama on PATH")
            server = OllamaServer(program, models, tmp_path / "home")
            server.start()
            stack.callback(server.stop)
            url = server.url
            load = lambda: server.ask("/api/generate", {"model": "llama3", "stream": False})  # noqa: E731
        yield Served(OllamaRuntime(parse_host(url), SystemClock()), models, load)


def test_it_tells_its_version(served: Served) -> None:
    """A version of numbers and dots, or that of a build by hand."""
    assert served.runtime.version()


def test_it_lists_the_manifests_that_lie_there_now(served: Served) -> None:
    """A manifest that goes is gone from the next list, one that comes is in it (R3: no restart)."""
    tags = served.runtime.tags()
    assert [tag.name for tag in tags] == ["llama3:latest"]
    path = FakeStore(served.models).manifest_path("llama3")
    raw = path.read_bytes()
    path.unlink()
    assert served.runtime.tags() == ()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    assert served.runtime.tags() == tags


def test_the_digest_is_the_manifests(served: Served) -> None:
    """The list's digest is the SHA-256 of the manifest's bytes: how we tell whether it reads our store (I1)."""
    import hashlib

    raw = FakeStore(served.models).manifest_path("llama3").read_bytes()
    assert served.runtime.tags()[0].digest == hashlib.sha256(raw).hexdigest()


def test_a_model_is_loaded_and_let_go(served: Served) -> None:
    """Unload returns when the model is out of memory (R3); unloading again does no harm."""
    if "second" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        pytest.skip("the second server lists and prunes only")
    assert served.runtime.loaded() == ()
    served.load()
    assert served.runtime.loaded() == ("llama3:latest",)
    served.runtime.unload("llama3:latest")
    assert served.runtime.loaded() == ()
    served.runtime.unload("llama3:latest")
