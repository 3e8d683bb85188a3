"""The scene of a soak and what befalls it: each fault does its damage, and says how one sees that it is healed."""

import hashlib
import json
import mmap
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from modelward.testing import corrupt
from tests.acceptance.test_guard import Receiver
from tests.campaign.meter import Visitor
from tests.campaign.served import NAMES, Served
from tests.campaign.world import rot_on_disk, sha256

MIB = 1 << 20
Healed = Callable[[], bool]


@dataclass
class Scene:
    """A guard over a server's store; ``expected`` says which bytes (SHA-256) each file of the store has to have."""

    base: Path
    disk: Path
    server: Served
    hook: Receiver
    visitor: Visitor
    environ: dict[str, str]
    guard: "subprocess.Popen[bytes]"
    patience: float
    expected: dict[Path, str] = field(default_factory=dict)
    versions: int = 0

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.disk / "models"

    @property
    def vault(self) -> Path:
        """The vault's folder."""
        return self.disk / "vault"

    @property
    def blobs(self) -> list[Path]:
        """The blobs of the store that have to be there."""
        return sorted(path for path in self.expected if path.parent.name == "blobs")

    def expect(self) -> None:
        """From now on the store has to be what its manifests say now."""
        manifests = [path for path in self.store.glob("manifests/*/*/*/*") if path.is_file()]
        named = {part[:64] for path in manifests for part in path.read_text().split("sha256:")[1:]}
        self.expected = {path: sha256(path) for path in manifests}
        self.expected |= {self.store / "blobs" / f"sha256-{digest}": digest for digest in named}

    def good(self, *paths: Path) -> bool:
        """Whether these files have their bytes."""
        return all(hash_of(path) == self.expected[path] for path in paths)

    def until(self, what: str, holds: Healed) -> float:
        """Wait until it holds; the seconds that it took."""
        since = time.monotonic()
        while not holds():
            assert self.guard.poll() is None, "the guard ended"
            assert time.monotonic() - since < self.patience, f"not in {self.patience:.0f} s: {what}"
            time.sleep(0.05)
        return time.monotonic() - since

    def open_alerts(self) -> set[str]:
        """The kinds of all alerts that are open."""
        status, body = self.visitor.get("/api/v1/alerts")
        return {alert["kind"] for alert in json.loads(body)["alerts"]} if status == 200 else {"no answer"}

    def ready(self) -> bool:
        """Whether all is well, by the guard's own word, and nothing is left to be told."""
        return self.visitor.get("/readyz")[0] == 200 and not self.open_alerts()

    def newest(self) -> dict[str, dict[str, str]]:
        """The newest record of each model in the vault, by the model's name."""
        found: dict[str, dict[str, str]] = {}
        for path in (self.vault / "modelward" / "snapshots").glob("*.json"):
            with suppress(FileNotFoundError):  # forgotten while we look
                record = json.loads(path.read_bytes())
                found[record["model"]] = max(found.get(record["model"], record), record, key=_made_at)
        return found

    def kept(self) -> bool:
        """Whether the vault has the version of each model that lies in the store now."""
        have = {record["manifest"].removeprefix("sha256:") for record in self.newest().values()}
        return {digest for path, digest in self.expected.items() if "manifests" in path.parts} <= have

    def modelward(self, *words: str) -> int:
        """Run the program; its exit code."""
        done = subprocess.run([sys.executable, "-m", "modelward", *words], env=self.environ, check=False)
        return done.returncode


def _made_at(record: dict[str, str]) -> datetime:
    return datetime.fromisoformat(record["created_at"])


def hash_of(path: Path) -> str:
    """The hash of a file; nothing where there is none."""
    try:
        return sha256(path)
    except OSError:
        return ""


def sha256_on_disk(path: Path) -> str:
    """The hash of what lies on the disk, past the page cache."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return ""
    found, buffer, at = hashlib.sha256(), mmap.mmap(-1, MIB), 0
    try:
        while count := os.preadv(fd, [buffer], at):
            found.update(memoryview(buffer)[:count])
            at += count
    finally:
        os.close(fd)
    return found.hexdigest()


# What befalls it. Each is a block: damage is done when it begins, and what was meant for the damage ends with it.


@contextmanager
def manifest_lost(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """A manifest is deleted, emptied, or cut."""
    path = rng.choice(sorted(path for path in scene.expected if "manifests" in path.parts))
    rng.choice((corrupt.delete, corrupt.empty, lambda path: corrupt.truncate(path, path.stat().st_size // 2)))(path)
    yield lambda: scene.good(path)


@contextmanager
def blob_damaged(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """A blob is deleted, cut, emptied, extended, or has bits, bytes or pages changed."""
    path = rng.choice(scene.blobs)
    corrupt.random_damage(path, rng)
    yield lambda: scene.good(path)


@contextmanager
def weights_rot_in_use(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """The weights of a loaded model, which its runner has mapped, get zeros or a flipped bit."""
    scene.server.ask(rng.choice(NAMES))
    path = max(scene.blobs, key=lambda path: path.stat().st_size)
    at = rng.randrange(path.stat().st_size - 5000)
    if rng.random() < 0.5:
        corrupt.flip_bit(path, at, rng.randrange(8))
    else:
        corrupt.garble(path, at, rng.randint(1, 5000), rng.getrandbits(32))
    yield lambda: scene.good(path)


@contextmanager
def rot_on_the_disk(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """A bit changes on the disk, below every cache and without any event: only a scrub finds it."""
    path = max(scene.blobs, key=lambda path: path.stat().st_size)
    rot_on_disk(path, scene.base / "disk.img", rng)
    assert sha256_on_disk(path) != scene.expected[path]
    yield lambda: sha256_on_disk(path) == scene.expected[path]


@contextmanager
def removed_by_hand(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """Somebody removes a model that is protected, with the server's own command."""
    scene.server.remove(rng.choice(NAMES))
    yield lambda: scene.good(*scene.expected)


@contextmanager
def vault_damaged(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """An object that a newest version needs is damaged in the vault."""
    record = rng.choice([record for _, record in sorted(scene.newest().items())])
    objects = scene.vault / "blobs" / "sha256"
    wrapper = record["wrapper"].removeprefix("sha256:")
    layers = json.loads((objects / wrapper).read_bytes())["layers"]
    path = objects / rng.choice([wrapper, *(layer["digest"].removeprefix("sha256:") for layer in layers)])
    corrupt.random_damage(path, rng)
    yield lambda: hash_of(path) == path.name


@contextmanager
def new_version(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """A name means another version: the guard proves and keeps it, and forgets the oldest ones."""
    scene.versions += 1
    scene.server.renew(rng.choice(NAMES), scene.versions)
    scene.expect()
    yield scene.kept


@contextmanager
def server_stops(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """The server is away until the guard has told it."""
    del rng
    scene.server.stop()
    scene.until("the server's end is told", lambda: "service unavailable" in scene.open_alerts())
    scene.server.start()
    yield lambda: not scene.open_alerts()


@contextmanager
def several_at_once(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """A manifest, two blobs and an object of the vault."""
    with vault_damaged(scene, rng) as first, manifest_lost(scene, rng) as second:
        copies = {path: scene.vault / "blobs" / "sha256" / digest for path, digest in scene.expected.items()}
        healable = [path for path in scene.blobs if hash_of(copies[path]) == scene.expected[path]]
        paths = rng.sample(healable, 2)
        for path in paths:
            corrupt.random_damage(path, rng)
        yield lambda: first() and second() and scene.good(*paths)


@contextmanager
def wrong_mode(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """The server's user cannot read a blob any more."""
    path, folder = rng.choice(scene.blobs), scene.store / "blobs"
    os.chown(folder, 12345, 12345)
    path.chmod(0o200)
    yield lambda: path.stat().st_mode & 0o777 == 0o644 and scene.good(path)
    os.chown(folder, os.geteuid(), os.getegid())


@contextmanager
def disk_fills(scene: Scene, rng: random.Random) -> Iterator[Healed]:
    """Not a byte is free, and a manifest is lost: told, and healed by itself once there is room."""
    filler, path = scene.disk / "filler", rng.choice(sorted(p for p in scene.expected if "manifests" in p.parts))
    _fill(filler)
    path.unlink()
    try:
        scene.until("the full disk is told", lambda: "disk filling" in scene.open_alerts())
        time.sleep(rng.random() * 5)
    finally:
        filler.unlink()
    yield lambda: scene.good(path) and not scene.open_alerts()


def _fill(path: Path) -> None:
    with path.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(MIB))
            file.flush()


Fault = Callable[[Scene, random.Random], AbstractContextManager[Healed]]
EVERYWHERE: dict[Fault, int] = {
    manifest_lost: 8,
    blob_damaged: 12,
    weights_rot_in_use: 4,
    removed_by_hand: 3,
    vault_damaged: 6,
    new_version: 6,
    server_stops: 2,
    several_at_once: 3,
}
WITH_A_DISK: dict[Fault, int] = {rot_on_the_disk: 3, wrong_mode: 3, disk_fills: 1}
