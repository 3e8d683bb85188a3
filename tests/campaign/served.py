"""The server of a soak: the real Ollama where there is one, else the fake one, asked and stirred in one way."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from modelward.testing import FakeOllama, FakeStore, tiny_gguf
from tests.ollama_server import OllamaServer, running_ollama

NAMES = ("llama3", "mistral", "phi", "qwen3:4b", "tiny:1b")
_ENDPOINTS = ("/api/version", "/api/tags", "/api/ps", "/api/show", "/api/generate")


class Served(Protocol):
    """What a soak does with a server."""

    what: str
    url: str

    def ask(self, name: str) -> str:
        """The model's answer."""

    def remove(self, name: str) -> None:
        """What ``ollama rm`` does."""

    def renew(self, name: str, version: int) -> None:
        """Let the name mean another version."""

    def stop(self) -> None:
        """Answer nobody."""

    def start(self) -> None:
        """Answer again."""


class RealServer:
    """Ollama itself; a new version has other parameters and the same weights."""

    def __init__(self, server: OllamaServer, base: Path, mib: int) -> None:
        self._server, self._base = server, base
        self.url = server.url
        self.what = f"the real Ollama {self._version()}"
        for number, name in enumerate(NAMES):
            weights = base / f"{number % 3}.gguf"
            weights.write_bytes(tiny_gguf(seed=7 + number % 3, at_least_bytes=(mib << 20) >> (number % 3)))
            self._create(name, f"FROM {weights}\nTEMPLATE {{{{ .Prompt }}}}\nPARAMETER temperature 0\n")

    def _version(self) -> str:
        answer = self._server.ask("/api/version")[1]
        version = str(answer["version"]) if isinstance(answer, dict) else "?"
        return "(built from source)" if version == "0.0.0" else version

    def _create(self, name: str, modelfile: str) -> None:
        file = self._base / "Modelfile"
        file.write_text(modelfile, encoding="utf-8")
        made = self._server.run("create", name, "-f", str(file))
        assert made.returncode == 0, made.stderr

    def ask(self, name: str) -> str:
        """The model's likeliest answer."""
        return self._server.generate(name)

    def remove(self, name: str) -> None:
        """``ollama rm``."""
        done = self._server.run("rm", name)
        assert done.returncode == 0, done.stderr

    def renew(self, name: str, version: int) -> None:
        """``ollama create`` over itself, with another parameter."""
        self._create(name, f"FROM {name}\nPARAMETER num_ctx {1024 + version}\n")

    def stop(self) -> None:
        """End the server and its runners."""
        self._server.stop()

    def start(self) -> None:
        """On the same port."""
        self._server.start()


class FakeServer:
    """The fake one."""

    what = "a server that speaks as Ollama does"

    def __init__(self, fake: FakeOllama, mib: int) -> None:
        self._fake, self._store, self._mib = fake, FakeStore(fake.models), mib
        self.url = fake.url
        for name in NAMES:
            self.renew(name, 0)

    def ask(self, name: str) -> str:
        """Its one answer, given while the model's files are there."""
        answer = self._fake.answer("POST", "/api/generate", {"model": name, "prompt": "hi"})
        assert isinstance(answer, dict)
        return str(answer["response"])

    def remove(self, name: str) -> None:
        """The manifest, then the blobs that no other one names."""
        self._fake.answer("DELETE", "/api/delete", {"model": name})

    def renew(self, name: str, version: int) -> None:
        """Other parameters, the same weights."""
        number = NAMES.index(name)
        weights = tiny_gguf(seed=7 + number % 3, at_least_bytes=(self._mib << 20) >> (number % 3))
        self._store.add_model(name, weights, template=b"{{ .Prompt }}", params=b'{"num_ctx":%d}' % (1024 + version))

    def stop(self) -> None:
        """Close every connection at once."""
        for path in _ENDPOINTS:
            self._fake.fail(path, "close")

    def start(self) -> None:
        """No more of it."""
        for path in _ENDPOINTS:
            self._fake.fail(path, "")


@contextmanager
def serving(base: Path, models: Path, mib: int, *, real: bool) -> Iterator[Served]:
    """Five models, of which some share their weights, served from ``models``; the largest has ``mib`` MiB."""
    if real and shutil.which("ollama"):
        # Its own pruning is on, as it is where people use it; all models stay loaded between two probes.
        more = {"OLLAMA_NOPRUNE": "", "OLLAMA_MAX_LOADED_MODELS": str(len(NAMES)), "OLLAMA_KEEP_ALIVE": "1h"}
        with running_ollama(models, base / "home", more) as server:
            yield RealServer(server, base, mib)
    else:
        with FakeOllama(models).running() as fake:
            yield FakeServer(fake, mib)
