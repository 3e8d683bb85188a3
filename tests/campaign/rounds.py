"""Rounds with the real Ollama: it pulls, copies, deletes and prunes while Modelward works on the same store.

A dictionary says what has to be: the versions of each model that a backup said to be stored.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.services.backup import backup
from modelward.services.gate import gate
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.restore import restore
from modelward.services.retention import forget, prune
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeRegistry, corrupt, tiny_gguf
from tests.campaign.world import sha256
from tests.ollama_server import OllamaServer, running_ollama
from tests.places import Place

VERSIONS = 4
TAGS = ("a", "b", "c")


class Rounds:
    """The server, a registry that it pulls from, and our side of the store; ``acknowledged`` is the dictionary."""

    def __init__(self, server: OllamaServer, registry: FakeRegistry, base: Path) -> None:
        self.server, self.registry, self.repository = server, registry, f"{registry.address}/library/m"
        self.place = Place(base)
        self.place.runtime = OllamaRuntime(parse_host(server.url), self.place.clock)
        self.place.lock_wait = 0.0
        self.acknowledged: dict[str, set[str]] = {}
        self.answers: dict[str, str] = {}
        """What each version answers, by the digest of its weights."""
        self.manifests = [self._publish(base, version) for version in range(VERSIONS)]
        self.counts: Counter[str] = Counter()

    def _publish(self, base: Path, version: int) -> bytes:
        """Make a version with the server and put it into the registry; its manifest as it is there."""
        name, weights = f"{self.repository}:v{version}", base / "weights.gguf"
        weights.write_bytes(tiny_gguf(seed=version))
        (base / "Modelfile").write_text(f"FROM {weights}\nTEMPLATE {{{{ .Prompt }}}}\n")
        made = self.server.run("create", name, "-f", str(base / "Modelfile"))
        assert made.returncode == 0, made.stderr
        manifest = self._path(name).read_bytes().rstrip()
        for blob in self._blobs(self._path(name)):
            self.registry.hold(blob.read_bytes())
        self.answers[weights_of(manifest)] = self.server.generate(name)
        self.server.unload(name)
        assert self.server.run("rm", name).returncode == 0
        return manifest

    # What the server does.

    def pull(self, rng: random.Random) -> None:
        """A tag that may have moved since."""
        tag = rng.choice(TAGS)
        self.registry.manifests[f"library/m:{tag}"] = rng.choice(self.manifests)
        self._asked("pull", "/api/pull", {"model": f"{self.repository}:{tag}", "insecure": True, "stream": False})

    def copy(self, rng: random.Random) -> None:
        """A second name for a model."""
        source, target = (f"{self.repository}:{tag}" for tag in rng.sample(TAGS, 2))
        self._asked("copy", "/api/copy", {"source": source, "destination": target})

    def delete(self, rng: random.Random) -> None:
        """``ollama rm``: the manifest, and the blobs that no other one names."""
        done = self.server.run("rm", f"{self.repository}:{rng.choice(TAGS)}")
        self.counts[f"server: delete, {'done' if done.returncode == 0 else 'refused'}"] += 1

    def restart(self, rng: random.Random) -> None:
        """It ends, and prunes at its start what no manifest names: all blobs are old enough for that."""
        del rng
        self.server.stop()
        self._age()
        self.server.start()
        self.counts["server: restart with its prune"] += 1

    def _age(self) -> None:
        old = time.time() - 7200
        for path in (self.place.store / "blobs").iterdir():
            with suppress(FileNotFoundError):
                os.utime(path, (old, old))

    def _asked(self, what: str, path: str, body: dict[str, object]) -> None:
        status, answer = self.server.ask(path, body)
        good = status == 200 and not (isinstance(answer, dict) and "error" in answer)
        self.counts[f"server: {what}, {'done' if good else 'refused'}"] += 1

    # What Modelward does meanwhile.

    def backup(self, rng: random.Random) -> None:
        """Every model."""
        del rng
        self.place.clock.advance(seconds=2)
        for result in backup(self.place.site(), (), accepted=True).models:
            if result.outcome in ("stored", "unchanged"):
                self.acknowledged.setdefault(result.name, set()).add(result.snapshot)

    def repair(self, rng: random.Random) -> None:
        """Store, then vault."""
        del rng
        repair(self.place.site(), (), accepted=True)
        repair_vault(self.place.site(), ())

    def scrub(self, rng: random.Random) -> None:
        """Every byte of both."""
        del rng
        verify(self.place.site(), (), Level.FULL)
        verify_vault(self.place.site(), (), Level.FULL)

    def forget(self, rng: random.Random) -> None:
        """Old versions, and the trash."""
        for snapshot in forget(self.place.site(), (), Policy(keep_last=rng.randint(1, 3))).forgotten:
            self.acknowledged.get(snapshot.model, set()).discard(snapshot.id)
        self.place.clock.advance(days=1)
        prune(self.place.site(), timedelta(hours=1))

    def gate(self, rng: random.Random) -> None:
        """As before a start of the server."""
        del rng
        gate(self.place.site(), accepted=True)

    # One round.

    def round(self, rng: random.Random) -> None:
        """Damage now and then; a deed of the server and one or two of ours at the same time; then all is put right."""
        if rng.random() < 0.4:
            self._damage(rng)
        theirs = rng.choices((self.pull, self.copy, self.delete, self.restart), (5, 2, 3, 2))[0]
        ours = rng.choices((self.backup, self.repair, self.scrub, self.forget, self.gate), (5, 4, 2, 2, 2))[0]
        second = rng.choice((None, None, self.backup, self.repair, self.forget))
        self._at_once(rng, theirs, ours, second)
        self.settle()
        if rng.random() < 0.2:
            self._go_back(rng)
        if rng.random() < 0.1:
            self._start_through_the_gate(rng)

    def _at_once(self, rng: random.Random, *deeds: Callable[[random.Random], None] | None) -> None:
        raised: list[BaseException] = []

        def do(deed: Callable[[random.Random], None], seed: int, wait: float) -> None:
            time.sleep(wait)
            try:
                deed(random.Random(seed))
            except ModelwardError as error:
                self.counts[f"ours: {deed.__name__}, refused: {type(error).__name__}"] += 1
                print(f"{deed.__name__} was refused: {error}")
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
                raised.append(error)
            else:
                if deed.__name__ in _OURS:  # the server's deeds count themselves
                    self.counts[f"ours: {deed.__name__}"] += 1

        found = [
            threading.Thread(target=do, args=(deed, rng.getrandbits(32), rng.random() * 0.15))
            for deed in deeds
            if deed is not None
        ]
        for thread in found:
            thread.start()
        for thread in found:
            thread.join()
        if raised:
            raise raised[0]

    def _damage(self, rng: random.Random) -> None:
        """A blob or a manifest of a version that the vault has."""
        known = self._known()
        paths = [path for path in self._present() if digest_of(path) in known]
        if not paths:
            return
        path = rng.choice(paths)
        blobs = [blob for blob in self._blobs(path) if blob.exists()]
        if rng.random() < 0.3 or not blobs:
            rng.choice((corrupt.delete, corrupt.empty))(path)
            self.counts["damage: manifest"] += 1
        else:
            self.counts[f"damage: blob, {corrupt.random_damage(rng.choice(blobs), rng).kind}"] += 1

    def _go_back(self, rng: random.Random) -> None:
        """Any acknowledged version can be restored: the server lists it, and it answers as that version does."""
        choices = sorted((name, one) for name, ids in self.acknowledged.items() for one in ids)
        if not choices:
            return
        name, version = rng.choice(choices)
        assert restore(self.place.site(), ModelName.parse(name), version, accepted=True).exit_code == 0
        self._listed(name)
        assert self.server.generate(name) == self.answers[weights_of(self._path(name).read_bytes())]
        self.server.unload(name)
        self.counts["restored, listed, and answers as that version does"] += 1

    def _start_through_the_gate(self, rng: random.Random) -> None:
        """Damage while the server is down, then the gate, then its start with its prune: nothing is missing."""
        self.server.stop()
        self._damage(rng)
        self._age()
        gate(self.place.site(), accepted=True)
        self.server.start()
        self._all_listed()
        self.counts["started through the gate, all listed"] += 1

    # What must hold.

    def settle(self) -> None:
        """One repair with nobody about; then the dictionary, the vault, the store and the server's list agree."""
        self.place.clock.advance(seconds=2)
        report = repair(self.place.site(), (), accepted=True)
        known = self._known()
        for left in report.unhealed:
            path = self._path(left.model)
            assert not path.exists() or digest_of(path) not in known, left
        with suppress(ModelwardError):
            repair_vault(self.place.site(), ())
        check_vault(self.place, self.acknowledged)
        blobs = self.place.store / "blobs"
        assert all(path.name.startswith("sha256-") for path in blobs.iterdir()), "G1"
        for path in self._present():
            if digest_of(path) in known:
                wrong = [blob for blob in self._blobs(path) if not blob.exists() or sha256(blob) != blob.name[7:]]
                assert wrong == [], path
        self._all_listed()

    def _all_listed(self) -> None:
        for name, ids in self.acknowledged.items():
            if ids:
                self._listed(name)

    def _listed(self, name: str) -> None:
        answer = self.server.ask("/api/tags")[1]
        assert isinstance(answer, dict)
        listed = {str(ModelName.parse(model["name"])): model["digest"] for model in answer["models"]}
        assert listed.get(name) == digest_of(self._path(name)), (name, listed)

    def _known(self) -> set[str]:
        """The manifests of all versions in the vault, hex."""
        if not (self.place.vault / "modelward" / "vault.json").exists():
            return set()
        return {snapshot.manifest.hex for snapshot in self.place.site().the_vault().snapshots()}

    def _present(self) -> list[Path]:
        return sorted(path for path in self.place.store.glob("manifests/*/*/*/*") if path.is_file())

    def _path(self, name: str) -> Path:
        head, _, tag = str(name).rpartition(":")
        return self.place.store / "manifests" / head / tag

    def _blobs(self, manifest: Path) -> list[Path]:
        document = json.loads(manifest.read_bytes())
        digests = [Digest.parse(layer["digest"]) for layer in (document["config"], *document["layers"])]
        return [self.place.store / "blobs" / f"sha256-{digest.hex}" for digest in digests]


_OURS = ("backup", "repair", "scrub", "forget", "gate")


def weights_of(manifest: bytes) -> str:
    """The digest of a manifest's weights."""
    layers = json.loads(manifest)["layers"]
    return str(next(layer["digest"] for layer in layers if layer["mediaType"].endswith(".model")))


def digest_of(path: Path) -> str:
    """The digest by which server and vault know a manifest."""
    return sha256(path)


def check_vault(place: Place, acknowledged: dict[str, set[str]]) -> None:
    """Every version that a backup said to be stored is there with all its bytes, and no name lies."""
    if not (place.vault / "modelward" / "vault.json").exists():
        assert not any(acknowledged.values())
        return
    vault = place.site().the_vault()
    records = {snapshot.id: snapshot for snapshot in vault.snapshots()}
    for name, ids in acknowledged.items():
        assert ids <= records.keys(), name
    objects = place.vault / "blobs" / "sha256"
    for snapshot in records.values():
        for blob in vault.content(snapshot).manifest.blobs:
            assert (objects / blob.digest.hex).stat().st_size == blob.size
    assert [path for path in (objects.iterdir() if objects.exists() else ()) if sha256(path) != path.name] == []


@contextmanager
def with_ollama(base: Path) -> Iterator[Rounds]:
    """A registry, a server whose own pruning is on, and our side."""
    with FakeRegistry().running() as registry:
        (base / "store").mkdir()
        with running_ollama(base / "store", base / "home", {"OLLAMA_NOPRUNE": ""}) as server:
            yield Rounds(server, registry, base)
