"""Secrets in every place that takes one, the whole program driven with them, and where they turned up afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from modelward.client import Client
from modelward.domain.errors import ModelwardError
from modelward.testing import FakeOllama, FakeRegistry, FakeStore, corrupt
from tests.models import pattern
from tests.notify.receiver import Receiver
from tests.program import Program

MODEL = "registry.ollama.ai/library/llama3:latest"
PAGES = (
    "/",
    "/vault",
    "/activity",
    "/alerts",
    "/settings",
    "/login",
    f"/models/{MODEL}",
    "/metrics",
    "/livez",
    "/readyz",
)
API = (
    "",
    "/openapi.json",
    "/health",
    "/standing",
    "/models",
    "/findings",
    "/jobs",
    "/verbs",
    "/settings",
    "/alerts",
    "/alerts/silences",
    "/alerts/channels",
    "/audit",
    "/events?limit=1",
    "/history",
    "/snapshots",
    "/tokens",
    "/vault",
    "/brake",
    "/forecast",
    "/diagnostics",
)
PATIENCE = 180.0
ARRIVES = {
    "path of the webhook",
    "path of a channel",
    "path of the dead-man ping",
    "header of a collector",
    "header of a collector, in a file",
}


@dataclass
class Canaries:
    """One secret a place; ``found`` is where one was seen that had no business there."""

    base: Path
    receiver: Receiver
    registry: FakeRegistry
    server: FakeOllama
    words: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    searched: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.program = Program(self.base)
        self.secrets = self.base.parent / "secrets"
        self.secrets.mkdir()
        (self.base / "home").mkdir(parents=True)
        self.registry.token = self.new("token of a registry")

    def new(self, place: str) -> str:
        """A secret that stands nowhere else."""
        self.words[place] = f"c4n4ry{len(self.words):02}x{os.urandom(6).hex()}"
        return self.words[place]

    # Where they are planted. No environment holds one, so that no process may show one.

    def plant(self) -> dict[str, str]:
        """Write the files of secrets and of settings; the environment that names them."""
        own, here = self.receiver.url, self.receiver.url.removeprefix("http://")
        urls = (
            f"json://user:{self.new('password of a channel')}@{here}/{self.new('path of a channel')}",
            self.new("a line that is no URL"),
            f"json://127.0.0.1:9/{self.new('path of a channel that is down')}?+X-Key={self.new('header of a channel')}",
        )
        self._file("urls", "\n".join(urls))
        self._file("hook", self.new("key of the webhook"))
        self._file("otlp", f"x-file={self.new('header of a collector, in a file')}")
        settings = {
            "webhook_url": f"{own}/{self.new('path of the webhook')}?key={self.new('parameter of the webhook')}",
            "deadman_url": f"{own}/{self.new('path of the dead-man ping')}",
            "alert_urls": f"json://127.0.0.1:{self.receiver.port}/{self.new('path of a channel in the settings')}",
            "alert_urls_file": str(self.secrets / "urls"),
            "webhook_secret_file": str(self.secrets / "hook"),
            "otlp_endpoint": own,
            "otlp_headers": f"x-key={self.new('header of a collector')}",
            "otlp_headers_file": str(self.secrets / "otlp"),
            "mirrors": f"registry.ollama.ai=http://{self.registry.address}",
        }
        lines = "\n".join(f'{name} = "{value}"' for name, value in settings.items())
        self._file("modelward.toml", lines)
        return {
            "MODELWARD_CONFIG": str(self.secrets / "modelward.toml"),
            "MODELWARD_STATE": str(self.base / "state"),
            "MODELWARD_UPSTREAM": "true",
            "MODELWARD_LISTEN": f"unix:{self.base / 'guard.sock'}",
            "MODELWARD_LOG_LEVEL": "debug",
            "OLLAMA_HOST": self.server.url,
            "MODELWARD_CHECK_INTERVAL": "1s",
            "MODELWARD_SETTLE": "1s",
            "MODELWARD_ALERT_PENDING": "0s",
            "MODELWARD_ALERT_GROUP": "0s",
            "MODELWARD_DEADMAN_INTERVAL": "1s",
            "MODELWARD_OTLP_INTERVAL": "1s",
            "MODELWARD_PROBE_INTERVAL": "2s",
            "MODELWARD_ON_LOSS": "alert",
        }

    def _file(self, name: str, text: str) -> None:
        path = self.secrets / name
        path.touch(0o600)
        path.write_text(text + "\n")

    # What is done with them.

    def verbs(self, environ: Mapping[str, str], chosen: Iterable[tuple[str, ...]]) -> None:
        """Run verbs to their end, whatever it is; a traceback that was asked for is looked at as well."""
        for words in chosen:
            more = {"MODELWARD_DEBUG": "1"} if words[0] == "debug" else {}
            ran = self._run(words[1:] if more else words, {**environ, **more})
            self.see(f"modelward {' '.join(words)[:60]}", ran.stdout + ran.stderr)

    def _run(self, words: tuple[str, ...], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "modelward", *words]
        given = self.program.environ(**environ)
        return subprocess.run(command, env=given, cwd=self.base, capture_output=True, timeout=120, check=False)

    def misused(self, environ: Mapping[str, str]) -> None:
        """Secrets where none belongs, as people put them; each is refused, and none is shown."""
        proxied = {"MODELWARD_MIRRORS": "registry.ollama.ai=http://far.invalid", "MODELWARD_CONFIG": ""}
        wrong = (
            {"MODELWARD_MIRRORS": f"registry.ollama.ai=http://user:{self.new('password of a mirror')}@127.0.0.1:9"},
            {"MODELWARD_WEBHOOK_URL": f"nonsense {self.new('a webhook that is no address')}"},
            {"MODELWARD_WEBHOOK_URL": f"http://user:{self.new('password of a webhook')}@127.0.0.1:9/"},
            {"MODELWARD_DEADMAN_URL": f"ftp://x/{self.new('a dead-man ping that is no address')}"},
            {"MODELWARD_OTLP_ENDPOINT": f"http://user:{self.new('password of a collector')}@127.0.0.1:9"},
            {"MODELWARD_OTLP_HEADERS": self.new("a header that is none")},
            {"MODELWARD_ALERT_URLS": f"{self.new('a channel that is none')}://x"},
            {"HTTP_PROXY": f"http://user:{self.new('password of a proxy')}@127.0.0.1:9", **proxied},
            {
                "HTTPS_PROXY": f"http://user:{self.new('password of a proxy for TLS')}@127.0.0.1:9",
                "MODELWARD_MIRRORS": "",
            },
        )
        for more in wrong:
            for words in (
                ("config",),
                ("config", "--json"),
                ("alerts", "test"),
                ("pull", "llama3"),
                ("debug", "pull", "llama3"),
            ):
                self.verbs({**environ, **more}, [words])

    @contextmanager
    def guard(self, environ: Mapping[str, str]) -> Iterator[Client]:
        """A guard as a process, with a token for its API; when the block ends, all that it printed is looked at."""
        ran = self._run(("token", "create", "everything", "--scope", "admin", "--json"), environ)
        self.words["token of the API"] = re.findall(rb"mw_[A-Za-z0-9_-]{20,}", ran.stdout)[0].decode()
        out = self.base.parent / "printed"
        with (
            out.open("wb") as printed,
            subprocess.Popen(
                [sys.executable, "-m", "modelward", "guard", "--verbose"],
                env=self.program.environ(**environ),
                cwd=self.base,
                stdout=printed,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            client = Client(f"unix:{self.base / 'guard.sock'}", token=self.words["token of the API"])
            try:
                self.until(lambda: client.health() is not None)
                yield client
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
        self.see("what the guard printed", out.read_bytes())

    def pages(self, client: Client) -> None:
        """Every page and document, whether it is there or not, with the token, without, and as a browser."""
        stranger = Client(f"unix:{self.base / 'guard.sock'}")
        wrong = Client(f"unix:{self.base / 'guard.sock'}", token="mw_x")  # noqa: S106 - no token
        cookie = self._log_in(stranger)
        for who, more in ((client, {}), (stranger, {}), (wrong, {}), (stranger, {"cookie": cookie})):
            for path in (*PAGES, *(f"/api/v1{path}" for path in API)):
                answer = who.raw("GET", path, headers={"accept": "text/html,application/json", **more})
                self.see(f"GET {path}", answer.body + repr(answer.headers).encode())
        assert stranger.raw("GET", "/api/v1/settings", headers={"cookie": cookie}).status == 200

    def _log_in(self, browser: Client) -> str:
        """Get a browser's cookie for the token; of its answer only the header may have it."""
        body = json.dumps({"token": self.words["token of the API"]}).encode()
        answer = browser.raw("POST", "/api/v1/session", body, {"content-type": "application/json"})
        assert answer.status == 201, answer
        cookie = answer.headers["set-cookie"].partition(";")[0]
        self.words["cookie of a browser"] = cookie.partition("=")[2]
        self.see("the answer to a login", answer.body)
        return cookie

    def jobs(self, client: Client) -> None:
        """Jobs that end well and jobs that fail, with their reports."""
        wishes: tuple[tuple[str, dict[str, object]], ...] = (
            ("backup", {}),
            ("verify", {}),
            ("repair", {}),
            ("pull", {"model": "llama3"}),
            ("push", {"model": "llama3", "target": "127.0.0.1:9/a/b"}),
            ("fetch", {"source": "127.0.0.1:9/a/b"}),
            ("drill", {"model": "llama3"}),
            ("doctor", {}),
        )
        for verb, options in wishes:
            with suppress(ModelwardError):
                view = client.finish(client.start(verb, options).id)
                self.see(f"job {verb}", repr(view).encode())
        for words in (("POST", "/alerts/test"),):
            self.see(" ".join(words), client.raw(words[0], f"/api/v1{words[1]}", b"{}").body)

    def until(self, true: "object") -> None:
        """Wait for it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(ModelwardError, OSError):
                if true():  # type: ignore[operator]
                    return
            time.sleep(0.1)
        raise AssertionError("it did not come")

    # Where they are looked for.

    def see(self, where: str, data: bytes) -> None:
        """Look at what others can see, in the forms that a secret may have there."""
        self.searched[where.split(maxsplit=1)[0]] += 1
        for place, word in self.words.items():
            forms = (word.encode(), b64encode(word.encode()).rstrip(b"="), quote(word, safe="").encode())
            if any(form in data for form in forms):
                self.found.append(f"{place} in {where}: {_around(data, word.encode())}")

    def files(self) -> None:
        """Every file that the program wrote: vault, store, state, journal, logs, metrics, audit log, exports."""
        for path in sorted(self.base.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.see(f"file {path.relative_to(self.base)}", path.read_bytes())

    def processes(self) -> None:
        """Arguments and environment of every process, as the receiver saw them whenever it was asked."""
        assert any("modelward.notify.child" in text for text in self.receiver.shown), "no child was seen"
        assert any("guard" in text for text in self.receiver.shown)
        for text in set(self.receiver.shown):
            self.see("process", text.encode())


def _around(data: bytes, word: bytes) -> str:
    at = max(0, data.find(word))
    return repr(data[max(0, at - 80) : at + 40])


def drive(found: Canaries, *, whole: bool) -> None:
    """Everything that the program does, with canaries in every place."""
    environ = found.plant()
    store = FakeStore(found.program.store)
    data = pattern(2_500_000, 3)
    store.add_model("llama3", data, template=b"{{ .Prompt }}")
    found.registry.add("library/llama3:latest", data, b"{{ .Prompt }}")
    first = (("backup",), ("config",), ("alerts", "test"), ("push", "llama3", f"{found.registry.address}/kept/llama3"))
    more = (
        ("config", "--json"),
        ("debug", "alerts", "test", "--json"),
        ("status", "--json"),
        ("verify", "--json"),
        ("pull", "llama3", "--json"),
        ("fetch", f"{found.registry.address}/kept/llama3"),
        ("fetch", "127.0.0.1:9/kept/llama3"),
        ("debug", "fetch", "127.0.0.1:9/kept/llama3"),
        ("export", "llama3", "--to", "llama3.bundle"),
        ("doctor",),
        ("drill", "llama3"),
        ("space",),
        ("forecast",),
        ("history", "llama3"),
        ("audit", "show"),
        ("audit", "verify"),
        ("gate", "--require", "llama3"),
        ("health",),
        ("token", "list"),
        ("restore", "nothing-of-this-name"),
        ("debug", "restore", "nothing-of-this-name"),
    )
    found.verbs(environ, first + more if whole else first)
    found.receiver.watch = True
    with found.guard(environ) as client:
        corrupt.zero(
            next(path for path in found.program.store.glob("blobs/*") if path.stat().st_size == len(data)),
            1_500_000,
            4096,
        )
        found.jobs(client)
        found.until(lambda: found_at(found) >= ARRIVES)
        found.pages(client)
    found.receiver.watch = False  # from here on secrets stand where none belongs, and an environment is one such place
    if whole:
        found.registry.fail("/v2/", "login for ever")
        found.verbs(
            environ,
            [("debug", "pull", "llama3"), ("doctor",), ("history", "llama3", "--json"), ("audit", "show", "--json")],
        )
        found.misused(environ)
    found.files()
    found.processes()


def found_at(found: Canaries) -> set[str]:
    """The secrets that reached the services that they are for: the test looks at the right time."""
    got = " ".join(f"{asked.path} {' '.join(asked.headers.values())}" for asked in found.receiver.got)
    return {place for place, word in found.words.items() if word in got}


@contextmanager
def planted(base: Path) -> Iterator[Canaries]:
    """Servers for all that the program asks, each on loopback."""
    from tests.notify.receiver import receiving

    with (
        receiving() as receiver,
        FakeRegistry().running() as registry,
        FakeOllama(base / "work" / "store").running() as server,
    ):
        yield Canaries(base / "work", receiver, registry, server)
