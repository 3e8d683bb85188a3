"""Run the program ``modelward`` as a user does: a process of its own, its exit code and what it printed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    """What a run left: exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document of ``--json``."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class Program:
    """The program on one store and one vault, with an environment of its own."""

    base: Path

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.base / "store"

    @property
    def vault(self) -> Path:
        """The vault's folder."""
        return self.base / "vault"

    def environ(self, **more: str) -> dict[str, str]:
        """Nothing of the tester's own environment but where programs and modules are, and who measures them."""
        return {
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "HOME": str(self.base / "home"),
            "MODELWARD_STORE": str(self.store),
            "MODELWARD_VAULT": str(self.vault),
            "OLLAMA_HOST": "127.0.0.1:9",
            "MODELWARD_UPSTREAM": "false",
            **more,
        }

    def start(self, *words: str, **more: str) -> "subprocess.Popen[str]":
        """Start it and return at once."""
        return subprocess.Popen(
            [sys.executable, "-m", "modelward", *words],
            env=self.environ(**more),
            cwd=self.base,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **more: str) -> Ran:
        """Run it to its end; a traceback fails the test, whatever was asked."""
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()  # leaving the block waits for its end
                raise
        assert "Traceback" not in out + err, err
        assert "internal error" not in err, err
        return Ran(process.returncode, out, err)
