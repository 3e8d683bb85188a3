"""A real Chromium, without a window, with a profile of its own; and a guard process that it looks at."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from modelward.client import Client
from modelward.domain.errors import Unreachable
from tests.ports import free_port
from tests.program import Program

CHROMIUM = Path("/usr/bin/chromium")
_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000.0  # milliseconds that a busy machine may need for anything


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[BrowserContext]:
    """A browser with an empty profile, in light or dark colours."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=str(CHROMIUM),
            headless=True,
            args=[*_ARGS, "--headless=new"],
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        try:
            yield context
        finally:
            context.close()


@dataclass
class Watched:
    """A page, and everything that went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: BrowserContext) -> "Watched":
        """A new page; errors of its scripts, its console and its policy are kept."""
        found = cls(context.new_page())
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        found.page.on("console", lambda line: found.errors.append(line.text) if line.type == "error" else None)
        return found


@dataclass
class GuardProcess:
    """``modelward guard`` on a store of its own, at a free port; it can be stopped, and started again."""

    base: Path
    given: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[str] | None" = None

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def program(self) -> Program:
        """The program with its folders."""
        return Program(self.base)

    def client(self, token: str = "") -> Client:
        """A caller of its API."""
        return Client(self.address, token=token)

    def start(self, *words: str, token: str = "") -> None:
        """Start it, and wait until it has looked at the store."""
        settings = {
            "MODELWARD_LISTEN": f"127.0.0.1:{self.port}",
            "MODELWARD_STATE": str(self.base / "state"),
            "MODELWARD_SETTLE": "1s",
            **self.given,
        }
        log = (self.base / "guard.log").open("a", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelward", "guard", *words],
            env=self.program.environ(**settings),
            cwd=self.base,
            stdout=log,
            stderr=log,
            text=True,
        )
        log.close()
        self.wait(token)

    def wait(self, token: str = "") -> None:
        """Wait for its first look."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, (self.base / "guard.log").read_text()
            try:
                if self.client(token).health().at is not None:
                    return
            except Unreachable:
                pass
            time.sleep(0.05)
        raise AssertionError("the guard does not answer")

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None
