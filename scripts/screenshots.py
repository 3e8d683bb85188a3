"""Photograph every page of the dashboard over a practice store, for docs/screens.

Run by hand, from the root of the project: ``PYTHONPATH=. .venv/bin/python scripts/screenshots.py [NAME ...]``.
"""

import struct
import sys
import tempfile
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from shutil import disk_usage

import msgspec
from playwright.sync_api import Page

from modelward.bootstrap import SystemClock
from modelward.domain.alert import Flip, Kind
from modelward.domain.history import ActionRow, CheckRow, DrillRow, ProbeRow, SpaceRow
from modelward.domain.name import ModelName
from modelward.journal.sqlite import open_journal
from modelward.services.backup import backup
from modelward.testing import FakeOllama, FakeStore, FrozenClock
from modelward.testing.corrupt import zero
from tests.places import Place
from tests.web.browser import GuardProcess, chromium

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / "docs" / "screens"
MIB = 1 << 20
MODELS = {"llama3": 96, "mistral:7b": 64, "nomic-embed-text": 12, "phi3:mini": 40, "qwen2.5:14b": 80, "gemma2:9b": 48}
TEMPLATE = b"{{ .Prompt }}"
LLAMA = str(ModelName.parse("llama3"))
DRILLS = (("mistral:7b", ""), ("llama3", ""), ("phi3:mini", ""), ("llama3", "the scratch folder's disk was full"))
STORE, VAULT, STATE = "/usr/share/ollama/.ollama/models", "/mnt/backup/model_backups", "/var/lib/modelward"
# A visitor sees folders as they are on a server, not those of the practice ground.
NEUTRAL = """pairs => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) for (const [from, to] of pairs) {
    walk.currentNode.nodeValue = walk.currentNode.nodeValue.replaceAll(from, to);
  }
}"""


# Runs in the page: the pixels of a picture, each as one of its 256 most frequent colours or the one next to it.
FEW = """async photo => {
  const image = await createImageBitmap(new Blob([Uint8Array.from(atob(photo), c => c.charCodeAt(0))]));
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) || 0) + 1);
  const parts = pixel => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const kept = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([pixel]) => pixel);
  const places = kept.map(parts);
  const nearest = new Map([...counts.keys()].map(pixel => {
    const mine = parts(pixel), far = places.map(p => p.reduce((sum, v, i) => sum + (v - mine[i]) ** 2, 0));
    return [pixel, far.indexOf(Math.min(...far))];
  }));
  const indices = Uint8Array.from(pixels, pixel => nearest.get(pixel));
  let text = "";
  for (let at = 0; at < indices.length; at += 8192) text += String.fromCharCode(...indices.subarray(at, at + 8192));
  return { width: image.width, height: image.height, palette: places.flat(), indices: btoa(text) };
}"""
BY_WINDOW = ("repair", "settings", "login")  # of these only what a window shows


@dataclass(frozen=True)
class Shot:
    """A picture: its file's name, the page, and how it is looked at."""

    name: str
    path: str
    width: int = 1280
    dark: bool = False
    act: str = ""


SHOTS = (
    Shot("overview-light", "/"),
    Shot("overview-dark", "/", dark=True),
    Shot("overview-phone", "/", width=360),
    Shot("model", "/models/llama3"),
    Shot("model-phone", "/models/llama3", width=360),
    Shot("model-dark", "/models/llama3", dark=True),
    Shot("repair", "/models/llama3", act="Repair…"),
    Shot("vault", "/vault"),
    Shot("activity", "/activity"),
    Shot("alerts", "/alerts"),
    Shot("settings", "/settings"),
    Shot("login", "/login"),
)


def main(wanted: tuple[str, ...]) -> None:
    """Make the ground, start the guard, photograph, and end everything."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ground(Path(folder).resolve()) as guard:
        for shot in SHOTS:
            if not wanted or shot.name in wanted:
                photograph(shot, guard)


@contextmanager
def ground(base: Path) -> Iterator[GuardProcess]:
    """A guard over six models with a past, one of them damaged."""
    now = SystemClock().now()
    past(base, now)
    remember(base, now)
    with FakeOllama(base / "store").running() as server:
        hour = (now.hour + 12) % 24
        given = {
            "OLLAMA_HOST": server.url,
            "MODELWARD_ON_LOSS": "alert",
            "MODELWARD_SCRUB_HOURS": f"{hour:02d}:00-{hour:02d}:30",
            "MODELWARD_PROBE": "all",
            "MODELWARD_CHECK_INTERVAL": "3s",
            "MODELWARD_PROBE_INTERVAL": "3s",
            "MODELWARD_ALERT_PENDING": "1s",
            "MODELWARD_WEBHOOK_SECRET": "hidden",
        }
        guard = GuardProcess(base, given)
        guard.start()
        try:
            harm(base, guard)
            yield guard
        finally:
            guard.stop()


def past(base: Path, now: datetime) -> None:
    """Three versions of one model and one of each other, kept over three weeks."""
    place = Place(base, clock=FrozenClock(now - timedelta(days=22)))
    store, rng = FakeStore(place.store), seeded(7)
    for name, size in MODELS.items():
        store.add_model(name, rng.randbytes(size * MIB), template=TEMPLATE, license=b"no rights reserved")
    backup(place.site(), ())
    for days, template in ((14, b"{{ .System }} {{ .Prompt }}"), (7, b"<s> {{ .Prompt }}")):
        place.clock.advance(days=days)
        weights = seeded(7).randbytes(MODELS["llama3"] * MIB)
        store.add_model("llama3", weights, template=template, license=b"no rights reserved")
        backup(place.site(), ())


def remember(base: Path, now: datetime) -> None:
    """A journal of a month: probes, checks, drills, space, and a repair."""
    journal, name, healed = open_journal(base / "state", SystemClock()).journal, LLAMA, now - timedelta(days=3, hours=2)
    journal.add([*probes(name, now), *checks(name, now), *spaces(base, now), *drills(now)])
    row = ActionRow(at=healed, cause="guard: blobs changed", verb="repair", step="PatchBlob", model=name)
    target = "sha256:6a0746a1ec1a"
    journal.add([msgspec.structs.replace(row, target=target, source="vault", bytes=2 * MIB, seconds=0.021)])
    detail = "blob 6a0746a1ec1a has wrong bytes at 41,943,040+2,097,152"
    for bad, at in ((True, healed - timedelta(minutes=4)), (False, healed)):
        journal.flip((Flip(at, Kind.INTEGRITY, "llama3:latest", bad, detail),))
    journal.close()


def probes(name: str, now: datetime) -> Iterator[ProbeRow]:
    """A week of answers: slower by day, and a bad evening."""
    rng = seeded(3)
    for minutes in range(0, 7 * 1440, 10):
        bad = rng.random() < (0.3 if 4000 < minutes < 4300 else 0.004)
        slow = 0.9 + 0.5 * abs(((minutes // 60) % 24) - 12) / 12
        at, seconds = now - timedelta(days=7) + timedelta(minutes=minutes), slow * rng.lognormvariate(0, 0.25)
        yield ProbeRow(at=at, model=name, outcome="timeout" if bad else "ok", seconds=seconds)


def checks(name: str, now: datetime) -> Iterator[CheckRow]:
    """A month of looks, with one outage."""
    for minutes in range(0, 30 * 1440, 4):
        at = now - timedelta(days=30) + timedelta(minutes=minutes)
        yield CheckRow(at=at, model=name, healthy=True, recoverable=True, ready=not 33_000 < minutes < 33_012)


def spaces(base: Path, now: datetime) -> Iterator[SpaceRow]:
    """A month of a disk that fills."""
    rng, disk = seeded(5), disk_usage(base)
    for hour in range(720):
        ago = timedelta(hours=720 - hour)
        free = int(disk.free + ago / timedelta(days=1) * 4e8 + rng.random() * 3e7)
        for of in ("store", "vault"):
            yield SpaceRow(at=now - ago, of=of, device="8:17", total=disk.total, free=free)


def drills(now: datetime) -> Iterator[DrillRow]:
    """A drill a week, the first of which failed."""
    for week, (model, why) in enumerate(DRILLS):
        size = MODELS[model] * MIB
        yield DrillRow(
            at=now - timedelta(days=2 + 7 * week),
            model=str(ModelName.parse(model)),
            snapshot="",
            bytes=size,
            restore_seconds=size / 9e8,
            verify_seconds=size / 2e9,
            ok=not why,
            why=why,
        )


def seeded(number: int) -> Random:
    """The same chance at every run."""
    return Random(number)  # noqa: S311 - a picture, no secret


def harm(base: Path, guard: GuardProcess) -> None:
    """Zero two MiB and a bit of the largest blob, and have it found."""
    blob = max((base / "store" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    zero(blob, 37 * MIB, 2 * MIB)
    zero(blob, 81 * MIB + 4096, 8192)
    client = guard.client()
    client.finish(client.start("verify", {"models": ["llama3"], "level": "full"}).id)
    while not all(model.probe for model in client.models()):
        time.sleep(1)
    client.send("POST", "/silences", {"lasts": "2d", "subject": "phi3*", "why": "a new version is tried out"})


def photograph(shot: Shot, guard: GuardProcess) -> None:
    """One picture of one page, whole."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile), width=shot.width, dark=shot.dark) as context:
        page = context.new_page()
        page.goto(guard.address + shot.path)
        settle(page, guard, shot)
        if shot.act:
            page.get_by_role("button", name=shot.act).first.click()
            page.locator(".plan").wait_for()
        pairs = [[f"{guard.base}/store", STORE], [f"{guard.base}/vault", VAULT], [f"{guard.base}/state", STATE]]
        page.evaluate(NEUTRAL, pairs)
        page.evaluate("document.activeElement?.blur()")
        target = SCREENS / f"{shot.name}.png"
        photo = page.screenshot(full_page=shot.name not in BY_WINDOW, animations="disabled")
        target.write_bytes(few_colours(page, photo))
        sys.stdout.write(f"{target.relative_to(ROOT)} {target.stat().st_size:,} bytes\n")


def few_colours(page: Page, photo: bytes) -> bytes:
    """The picture with its 256 most frequent colours: a third of the bytes, and nobody sees it."""
    found = page.evaluate(FEW, b64encode(photo).decode())
    width, height, indices = found["width"], found["height"], b64decode(found["indices"])
    lines = b"".join(b"\0" + indices[at : at + width] for at in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", bytes(found["palette"])), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def settle(page: Page, guard: GuardProcess, shot: Shot) -> None:
    """Wait until the page is live, where it can be."""
    del guard
    if shot.path != "/login":
        page.locator("#link.on").wait_for()
        page.wait_for_timeout(1_500)  # until the page that came with the first event is in its place


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
