"""A real Ollama server for tests: loopback only, on a free port, with a store and a home of its own."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from tests.ports import free_port

START_SECONDS = 20.0
STOP_SECONDS = 10.0
_PORTS_TO_TRY = 3
_POLL_SECONDS = 0.05
# A proxy of this machine is of no use for a server on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerNotReady(RuntimeError):
    """The server ended, or did not answer in time; the text holds the end of its log."""


class OllamaServer:
    """``ollama serve`` over one store: ``url`` and ``pid`` of the running process; ``log`` is what it wrote.

    ``env`` is added to a minimal environment. Start-up pruning is off (OLLAMA_NOPRUNE) unless ``env`` sets it.
    """

    def __init__(self, program: str, models: Path, home: Path, env: Mapping[str, str] | None = None) -> None:
        self._program = program
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._home = home
        self.log = home / "ollama-serve.log"
        self._env = {
            "PATH": os.defpath,
            "HOME": str(home),
            "OLLAMA_MODELS": str(models),
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_NO_CLOUD": "1",  # no request leaves loopback
            **(env or {}),
        }

    @property
    def url(self) -> str:
        """Where the server listens; stays the same over a restart."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerNotReady("the server is not running: start it first")
        return self._process.pid

    def start(self) -> None:
        """Start on a free port, or on the port of the run before; returns when the server answers."""
        ports = [self._port] if self._port else [free_port() for _ in range(_PORTS_TO_TRY)]
        for port in ports[:-1]:
            try:
                self._start_on(port)
            except ServerNotReady as error:
                if "address already in use" not in str(error):
                    raise
            else:
                return
        self._start_on(ports[-1])

    def stop(self) -> None:
        """End the server and its runners; nothing happens when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _kill_group(process.pid)
        process.wait()

    def restart(self) -> None:
        """Stop, then start on the same port."""
        self.stop()
        self.start()

    def run(self, *cli_args: str, cwd: Path | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run the command line against this server; output is captured, a failure is for the caller to judge."""
        return subprocess.run(
            [self._program, *cli_args],
            env=self._client_env(),
            cwd=cwd or self._home,
            timeout=seconds,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, path: str, body: Mapping[str, object] | None = None, seconds: float = 60) -> tuple[int, object]:
        """Status and JSON answer of a GET, or of a POST when there is a body; an empty answer is None."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is always http, the host loopback
            self.url + path, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with _OPENER.open(request, timeout=seconds) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def generate(self, model: str, prompt: str = "hi", tokens: int = 4) -> str:
        """The model's likeliest answer; raises ServerNotReady with Ollama's own words when it gives none."""
        options = {"num_predict": tokens, "temperature": 0, "seed": 1}
        body = {"model": model, "prompt": prompt, "stream": False, "options": options}
        status, answer = self.ask("/api/generate", body)
        if status != HTTPStatus.OK or not isinstance(answer, dict):
            raise ServerNotReady(f"no answer from {model}: {status} {answer}")
        return str(answer["response"])

    def unload(self, model: str) -> None:
        """Make the next request open the model's files anew; returns when the model is let go of.

        Ollama answers before it has done that (seen with v0.24.0), so the list of loaded models has the last word.
        """
        self.ask("/api/generate", {"model": model, "keep_alive": 0, "stream": False})
        deadline = time.monotonic() + STOP_SECONDS
        while any(name in {model, f"{model}:latest"} for name in self.loaded()):
            if time.monotonic() > deadline:
                raise ServerNotReady(f"{model} is still loaded after {STOP_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def loaded(self) -> list[str]:
        """The names, with their tags, of the models that the server holds in memory."""
        answer = self.ask("/api/ps")[1]
        if not isinstance(answer, dict):
            raise ServerNotReady(f"no list of loaded models: {answer}")
        return [str(model["name"]) for model in answer["models"]]

    def _client_env(self) -> dict[str, str]:
        return {**self._env, "OLLAMA_HOST": f"127.0.0.1:{self._port}"}

    def _start_on(self, port: int) -> None:
        self._port = port
        self._home.mkdir(parents=True, exist_ok=True)
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "serve"],
                env=self._client_env(),
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_ready(self._process, time.monotonic() + START_SECONDS)
        except ServerNotReady as error:
            self.stop()
            raise ServerNotReady(f"{error}; its log ends:\n{self._log_end(begin)}") from error
        except BaseException:
            self.stop()
            raise

    def _await_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerNotReady(f"the server ended with status {process.returncode}")
            try:
                if self.ask("/api/version", seconds=1)[0] == HTTPStatus.OK:
                    return
            except OSError:
                time.sleep(_POLL_SECONDS)
        raise ServerNotReady(f"the server did not answer within {START_SECONDS:.0f} s")

    def _log_end(self, begin: int) -> str:
        return self.log.read_bytes()[begin:][-2000:].decode(errors="replace")


@contextmanager
def running_ollama(models: Path, home: Path, env: Mapping[str, str] | None = None) -> Iterator[OllamaServer]:
    """A server that serves ``models`` as long as the block lasts; raises ServerNotReady when there is no Ollama."""
    program = shutil.which("ollama")
    if program is None:
        raise ServerNotReady("no ollama on PATH")
    server = OllamaServer(program, models, home, env)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _kill_group(group: int) -> None:
    """End what the server may have left: its runners share its process group."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
