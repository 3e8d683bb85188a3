"""With the real Ollama: five models, a zeroed range on the blob map, healed by a click, seen in the figures."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelward.client import ApiProblem, Client
from modelward.domain.errors import Unreachable
from modelward.testing import corrupt, tiny_gguf
from tests.acceptance.stage import MIB, Stage
from tests.ollama_server import OllamaServer
from tests.ports import free_port

playwright = pytest.importorskip("playwright.sync_api")
from tests.web.browser import CHROMIUM, Watched, chromium  # noqa: E402 - it needs playwright

pytestmark = [
    pytest.mark.ollama,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here"),
]
PATIENCE = 120.0
NAMES = ("llama3", "mistral", "phi3", "qwen2", "gemma2")


@contextmanager
def _guarded(stage: Stage, port: int) -> Iterator[Client]:
    environ = stage.environ() | {
        "MODELWARD_STATE": str(stage.base / "state"),
        "MODELWARD_LISTEN": f"127.0.0.1:{port}",
        "MODELWARD_CHECK_INTERVAL": "1s",
        "MODELWARD_SETTLE": "1s",
        "MODELWARD_PROBE": "all",
        "MODELWARD_PROBE_INTERVAL": "2s",
        "MODELWARD_ON_LOSS": "alert",
    }
    with (stage.base / "guard.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelward", "guard"], env=environ, stdout=log, stderr=log, text=True
        )
        try:
            client = Client(f"http://127.0.0.1:{port}")
            _until(lambda: _backed_up(client) == len(NAMES))
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _backed_up(client: Client) -> int:
    try:
        return sum(model.healthy is True and model.recoverable for model in client.models())
    except (Unreachable, ApiProblem):
        return 0


def _until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.2)


@pytest.fixture
def stage(ollama_server: OllamaServer, tmp_path: Path) -> Stage:
    """Five real models of different sizes."""
    stage = Stage(ollama_server, tmp_path)
    for number, name in enumerate(NAMES[1:], start=1):
        gguf = tmp_path / f"{name}.gguf"
        gguf.write_bytes(tiny_gguf(at_least_bytes=(12 + 4 * number) * MIB))
        (tmp_path / "Modelfile").write_text(f"FROM {gguf}\n")
        made = ollama_server.run("create", name, "-f", str(tmp_path / "Modelfile"))
        assert made.returncode == 0, made.stderr
    return stage


def test_a_zeroed_range_is_seen_and_healed_in_the_browser(stage: Stage) -> None:
    """The map shows where, a click heals it without a reload, history and metrics tell of it, the model answers."""
    port = free_port()
    playwright.expect.set_options(timeout=PATIENCE * 1000)
    with _guarded(stage, port) as client, chromium(stage.base / "profile") as context:
        watched = Watched.of(context)
        page = watched.page
        page.goto(f"http://127.0.0.1:{port}/models/gemma2")
        playwright.expect(page.locator("#health")).to_have_text("healthy")
        corrupt.zero(stage.blob, 5 * MIB, 2 * MIB)  # the largest model's weights
        began = time.monotonic()
        playwright.expect(page.locator("#health")).to_have_text("damaged, recoverable")
        print(f"seen on the open page after {time.monotonic() - began:.1f} s")
        found = page.locator(".finding").first.inner_text()
        print(found)
        assert "5,242,880+2,097,152" in found
        page.locator(".finding").get_by_role("button", name="Repair…").click()
        page.get_by_role("button", name="Start", exact=True).click()
        playwright.expect(page.locator("#act-state")).to_have_text("Done.")
        print(page.locator("#act-body").inner_text())
        page.locator("#act-close").click()
        playwright.expect(page.locator("#health")).to_have_text("healthy")
        assert watched.errors == []
        metrics = client.raw("GET", "/metrics").body.decode()
        lines = [line for line in metrics.splitlines() if "damage_total" in line or "repairs_total" in line]
        print("\n".join(line for line in lines if not line.startswith("#")))
        assert 'modelward_damage_total{kind="wrong",model="gemma2:latest"} 1.0' in lines
        assert any(line.startswith('modelward_repairs_total{outcome="') for line in lines)
    code, printed = stage.modelward("history", "gemma2", MODELWARD_STATE=str(stage.base / "state"))
    assert code == 0
    assert "wrong bytes" in printed
    assert stage.server.generate("gemma2")
