"""A served model and the program ``modelward`` beside it: what a user sees, printed."""

import os
import subprocess
import sys
from pathlib import Path

from modelward.testing import tiny_gguf
from tests.ollama_server import OllamaServer

MIB = 1 << 20


class Stage:
    """A running server with one model of 12 MiB, and the program ``modelward`` beside it."""

    def __init__(self, server: OllamaServer, base: Path) -> None:
        self.server, self.base = server, base
        self.store, self.vault = base / "models", base / "vault"
        gguf = base / "tiny.gguf"
        gguf.write_bytes(tiny_gguf(at_least_bytes=12 * MIB))
        (base / "Modelfile").write_text(f"FROM {gguf}\nTEMPLATE {{{{ .Prompt }}}}\nPARAMETER temperature 0\n")
        made = server.run("create", "llama3", "-f", str(base / "Modelfile"))
        assert made.returncode == 0, made.stderr
        self.answer = server.generate("llama3")

    def environ(self) -> dict[str, str]:
        """The environment that the program runs in: no network is asked for anything."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HOME": str(self.base),
            "OLLAMA_HOST": self.server.url,
            "MODELWARD_STORE": str(self.store),
            "MODELWARD_VAULT": str(self.vault),
            "MODELWARD_MIRRORS": "registry.ollama.ai=http://127.0.0.1:9",
        }

    def modelward(self, *words: str, **more: str) -> tuple[int, str]:
        """Run the program as a user does; its exit code and what it printed."""
        environ = self.environ() | more
        done = subprocess.run(
            [sys.executable, "-m", "modelward", *words], env=environ, capture_output=True, text=True, check=False
        )
        print(f"$ modelward {' '.join(words)}\n{done.stdout}{done.stderr}[exit {done.returncode}]")
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    @property
    def blob(self) -> Path:
        """The weights' file."""
        return max(self.store.glob("blobs/*"), key=lambda path: path.stat().st_size)

    @property
    def manifest(self) -> Path:
        """The model's manifest."""
        return self.store / "manifests" / "registry.ollama.ai" / "library" / "llama3" / "latest"

    def works(self) -> None:
        """The model is listed and gives its answer."""
        listed = self.server.run("list").stdout
        print("$ ollama list\n" + listed)
        assert "llama3:latest" in listed
        assert self.server.generate("llama3") == self.answer
        print(f"answer: {self.answer!r}")
