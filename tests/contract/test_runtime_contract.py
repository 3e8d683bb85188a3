"""What every Runtime promises, checked on the fake and on the real Ollama."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.errors import RuntimeRefused
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore, flip_bit, tiny_gguf
from modelward.testing.fake_ollama import FakeOllama
from tests.ollama_server import OllamaServer

MODEL = "library/tiny:latest"


class Upstream:
    """As little of a registry as Ollama pulls from, over a store folder: a blob's Location is the blob itself.

    What Ollama asks: server/download.go and server/images.go of v0.24.0.
    """

    def __init__(self, root: Path) -> None:
        self.hold = False
        """True: of a blob only its first half comes, and ``left`` is set when the client gives up waiting."""
        self.left = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (UpstreamHandler,), {"upstream": self}))
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.store = FakeStore(root)

    @contextmanager
    def running(self) -> Iterator["Upstream"]:
        """Serve as long as the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def file(self, path: str) -> Path:
        """The file behind ``/v2/<namespace>/<model>/<manifests|blobs>/<reference>``."""
        _, _, namespace, model, kind, reference = path.split("/")
        if kind == "blobs":
            return self.store.blob_path(reference.removeprefix("sha256:"))
        return self.store.manifest_path(f"{self.host}/{namespace}/{model}:{reference}")


class UpstreamHandler(BaseHTTPRequestHandler):
    """One request; ``upstream`` is set in a class of its own for each server."""

    upstream: Upstream

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._serve(body=False)

    def do_GET(self) -> None:
        """Answer with the body, or the range of it."""
        self._serve(body=True)

    def _serve(self, *, body: bool) -> None:
        file = self.upstream.file(self.path)
        if not file.exists():
            self.send_error(404)
            return
        data, wanted = file.read_bytes(), self.headers.get("Range")
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            data = data[int(first) : int(last) + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Location", f"http://{self.upstream.host}{self.path}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):
            if body and wanted and self.upstream.hold:
                self.wfile.write(data[: len(data) // 2])
                self.connection.recv(1)
                self.upstream.left.set()
            elif body:
                self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Served:
    """A runtime over a store with one model, and the folder behind the registry that it pulls from.

    ``load`` takes that model into memory; ``hold`` makes the next download stop midway, and ``left`` waits until
    the server has given it up.
    """

    runtime: OllamaRuntime
    models: Path
    load: Callable[[], object]
    upstream: FakeStore
    host: str
    hold: Callable[[], None]
    left: threading.Event

    @property
    def remote(self) -> str:
        """The name of the registry's model."""
        return f"{self.host}/{MODEL}"


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
        start = over_the_fake if request.param == "fake" else over_a_real_one(request.param)
        served = start(stack, models, tmp_path)
        served.upstream.add_model(served.remote, tiny_gguf(seed=8), template=b"{{ .Prompt }} ")
        yield served


def over_the_fake(stack: ExitStack, models: Path, base: Path) -> Served:
    """The fake pulls from a folder."""
    fake = stack.enter_context(FakeOllama(models, base / "upstream").running())
    return Served(
        runtime=OllamaRuntime(parse_host(fake.url), SystemClock()),
        models=models,
        load=lambda: fake.memory.append("llama3:latest"),
        upstream=FakeStore(base / "upstream"),
        host="127.0.0.1:5000",
        hold=lambda: fake.fail("/api/pull", "drip mid-stream"),
        left=fake.hung_up,
    )


def over_a_real_one(name: str) -> Callable[[ExitStack, Path, Path], Served]:
    """A real server pulls over HTTP."""

    def start(stack: ExitStack, models: Path, base: Path) -> Served:
        program = shutil.which(name)
        if program is None:
            pytest.skip("skipped: no ollama on PATH")
        server = OllamaServer(program, models, base / "home")
        server.start()
        stack.callback(server.stop)
        upstream = stack.enter_context(Upstream(base / "upstream").running())
        return Served(
            runtime=OllamaRuntime(parse_host(server.url), SystemClock()),
            models=models,
            load=lambda: server.ask("/api/generate", {"model": "llama3", "stream": False}),
            upstream=upstream.store,
            host=upstream.host,
            hold=lambda: setattr(upstream, "hold", True),
            left=upstream.left,
        )

    return start


@pytest.fixture
def able(served: Served, request: pytest.FixtureRequest) -> Served:
    """Each runtime that can load models and make them."""
    if "second" in request.node.name:
        pytest.skip("the second server serves and pulls only: it has no engine")
    return served


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
    raw = FakeStore(served.models).manifest_path("llama3").read_bytes()
    assert served.runtime.tags()[0].digest == hashlib.sha256(raw).hexdigest()


def test_a_model_is_loaded_and_let_go(able: Served) -> None:
    """Unload returns when the model is out of memory (R3); unloading again does no harm."""
    served = able
    assert served.runtime.loaded() == ()
    served.load()
    assert served.runtime.loaded() == ("llama3:latest",)
    served.runtime.unload("llama3:latest")
    assert served.runtime.loaded() == ()
    served.runtime.unload("llama3:latest")


def test_show_gives_the_store_away(served: Served) -> None:
    """The modelfile names the folder that the server reads, which tells whether it is ours (I1)."""
    card = served.runtime.show("llama3")
    assert Path(card.store).resolve() == served.models.resolve()
    assert "completion" in card.capabilities
    assert (card.family, card.format, card.remote_host) == ("llama", "gguf", "")


def test_a_model_that_is_not_there_is_refused_by_name(served: Served) -> None:
    """Whatever is asked of it, the error names it and says what to do."""
    runtime = served.runtime
    for call in (
        lambda: runtime.show("nobody"),
        lambda: runtime.copy("nobody", "somebody"),
        lambda: runtime.delete("nobody"),
    ):
        with pytest.raises(RuntimeRefused, match="nobody") as caught:
            call()
        assert "ollama list" in caught.value.next_step
    assert runtime.probe("nobody", seconds=10).outcome == "refused"


def test_a_probe_gets_a_token(able: Served) -> None:
    """A good model answers; the first probe says that it was not in memory, the second that it was."""
    first = able.runtime.probe("llama3", seconds=60)
    assert (first.outcome, first.why, first.loaded) == ("ok", "", False)
    assert first.answer
    second = able.runtime.probe("llama3", seconds=60)
    assert (second.outcome, second.loaded, second.answer) == ("ok", True, first.answer)


def test_a_probe_of_a_broken_model_says_why(served: Served) -> None:
    """A model whose weights are gone is refused in the server's words, and nothing is raised."""
    info = FakeStore(served.models).add_model("broken", tiny_gguf(seed=9))
    FakeStore(served.models).delete_blob(info.layers[0])
    result = served.runtime.probe("broken", seconds=10)
    assert result.outcome == "refused"
    assert result.why
    assert not result.loaded


def test_a_pull_brings_the_exact_bytes(served: Served) -> None:
    """Manifest and blobs are the registry's, byte for byte; success comes last.

    A blob that is quickly there may never be told of (the newest server tells every 60 ms); what is told is true.
    """
    steps = list(served.runtime.pull(served.remote, insecure=True))
    assert steps[-1].status == "success"
    mine, theirs = FakeStore(served.models), served.upstream
    raw = theirs.manifest_path(served.remote).read_bytes()
    assert mine.manifest_path(served.remote).read_bytes() == raw
    weights = Digest(hashlib.sha256(tiny_gguf(seed=8)).hexdigest())
    assert mine.blob_path(weights.hex).read_bytes() == tiny_gguf(seed=8)
    told = [step for step in steps if step.digest]
    assert all(step.total == mine.blob_path(step.digest.removeprefix("sha256:")).stat().st_size for step in told)
    assert all(step.completed <= step.total for step in told)
    assert served.remote in [tag.name for tag in served.runtime.tags()]


def test_a_pull_does_not_look_at_what_is_there(served: Served) -> None:
    """A damaged file under a blob's name stays as it is while the pull says success (R4): why we exist."""
    weights = hashlib.sha256(tiny_gguf(seed=8)).hexdigest()
    path = FakeStore(served.models).blob_path(weights)
    path.write_bytes(b"damaged")
    assert list(served.runtime.pull(served.remote, insecure=True))[-1].status == "success"
    assert path.read_bytes() == b"damaged"


def test_a_model_that_the_registry_does_not_have(served: Served) -> None:
    """The server's own words come back, with the next step."""
    with pytest.raises(RuntimeRefused, match="file does not exist") as caught:
        list(served.runtime.pull(f"{served.host}/library/nobody", insecure=True))
    assert caught.value.next_step


def test_a_registry_with_wrong_bytes(served: Served) -> None:
    """The server proves what it downloads, so the pull fails and no model appears."""
    flip_bit(served.upstream.blob_path(hashlib.sha256(tiny_gguf(seed=8)).hexdigest()), 1000, 0)
    with pytest.raises(RuntimeRefused, match="digest mismatch"):
        list(served.runtime.pull(served.remote, insecure=True))
    assert served.remote not in [tag.name for tag in served.runtime.tags()]


def test_closing_a_pull_cancels_the_download(served: Served) -> None:
    """The server lets go of the registry, and no model appears."""
    served.hold()
    steps = served.runtime.pull(served.remote, insecure=True)
    next(steps)
    if served.host != "127.0.0.1:5000":
        next(step for step in steps if step.completed)
    steps.close()
    assert served.left.wait(20)
    assert served.remote not in [tag.name for tag in served.runtime.tags()]


def test_a_copy_is_byte_for_byte_and_shares_its_blobs(served: Served) -> None:
    """Two names, one manifest; taking one away leaves the other whole, taking both leaves no blob."""
    store = FakeStore(served.models)
    raw = store.manifest_path("llama3").read_bytes()
    served.runtime.copy("llama3", "twin:1")
    assert store.manifest_path("twin:1").read_bytes() == raw
    served.runtime.delete("llama3")
    assert [tag.name for tag in served.runtime.tags()] == ["twin:1"]
    weights = store.blob_path(hashlib.sha256(tiny_gguf()).hexdigest())
    assert weights.read_bytes() == tiny_gguf()
    served.runtime.delete("twin:1")
    assert served.runtime.tags() == ()
    assert not weights.exists()


def test_a_model_is_made_of_an_uploaded_blob(able: Served, tmp_path: Path) -> None:
    """What was uploaded is served under the name; the same blob is not taken twice."""
    data = tiny_gguf(seed=10)
    blob = Digest(hashlib.sha256(data).hexdigest())
    (tmp_path / "weights").write_bytes(data)
    with (tmp_path / "weights").open("rb") as file:
        assert able.runtime.upload(blob, file.fileno(), len(data))
        assert not able.runtime.upload(blob, file.fileno(), len(data))
    able.runtime.create("made", {"weights.gguf": blob})
    assert "made:latest" in [tag.name for tag in able.runtime.tags()]
    assert FakeStore(able.models).blob_path(blob.hex).read_bytes() == data


def test_an_upload_of_other_bytes_is_refused(served: Served, tmp_path: Path) -> None:
    """The server hashes what it gets; nothing lies under the name."""
    blob = Digest(hashlib.sha256(b"right").hexdigest())
    (tmp_path / "weights").write_bytes(b"wrong")
    with (tmp_path / "weights").open("rb") as file, pytest.raises(RuntimeRefused, match="digest mismatch"):
        served.runtime.upload(blob, file.fileno(), 5)
    assert not FakeStore(served.models).blob_path(blob.hex).exists()


def test_a_model_of_a_blob_that_is_not_there(able: Served) -> None:
    """Refused, and no model appears."""
    with pytest.raises(RuntimeRefused):
        able.runtime.create("made", {"weights.gguf": Digest("0" * 64)})
    assert "made:latest" not in [tag.name for tag in able.runtime.tags()]
