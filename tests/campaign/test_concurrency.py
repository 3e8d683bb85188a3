"""Two writers, scrub, repair, forget, prune and a server that pulls, deletes, prunes and restarts, in one another.

A dictionary says what has to be: hypothesis draws the steps, and may let any of them happen inside another one, at the
n-th change that this one makes.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from modelward import durable
from modelward.domain.errors import Locked, ModelwardError
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.restore import restore
from modelward.services.retention import forget, prune
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, corrupt
from tests.campaign.hooked import HookedOs, replaced
from tests.campaign.plan import Run, limited
from tests.campaign.rounds import check_vault, with_ollama
from tests.places import Place

CHUNK = 1 << 20
NAMES = ("llama3", "qwen3:4b", "mini")
_HEAD = random.Random(8).randbytes(CHUNK)
STEPS = [0]
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, closed to others


def weights(version: int) -> bytes:
    """Weights that share their first chunk with every other version."""
    return _HEAD + random.Random(version).randbytes(3000 + version)


class Server:
    """Ollama, as far as files go: pulls in place, deletes with its blobs, prunes at its start."""

    def __init__(self, folder: Path) -> None:
        self.store = FakeStore(folder)

    def pull(self, name: str, version: int) -> None:
        """Write blobs, then the manifest; a file that has a blob's name is not looked at (R4)."""
        self.store.add_model(name, weights(version), template=b"{{ .Prompt }}")

    def delete(self, name: str) -> None:
        """Remove the manifest, then the blobs that no manifest names."""
        if self.store.manifest_path(name).exists():
            self.store.delete_manifest(name)
            self.restart()

    def restart(self) -> None:
        """Prune what no manifest names, and foreign names among the blobs; not while a manifest is damaged."""
        named, manifests = set(), list(self.store.root.glob("manifests/*/*/*/*"))
        for path in manifests:
            text = path.read_text(errors="replace")
            if not text.endswith("}"):
                return
            named |= {f"sha256-{part[:64]}" for part in text.split("sha256:")[1:]}
        for path in self.store.root.glob("blobs/*"):
            if path.name not in named:
                path.unlink()


class Machine(RuleBasedStateMachine):
    """``acknowledged`` is the dictionary: the versions of each model that a backup said to be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(
            tempfile.mkdtemp(prefix="modelward-", dir=IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None)
        )
        self.place = Place(self.base)
        self.server = Server(self.place.store)
        self.acknowledged: dict[str, set[str]] = {}

    def teardown(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.base)

    @initialize()
    def begin(self) -> None:
        """One model, backed up."""
        self._pull("mini", 0)
        self._backup()

    # What happens, each of which may also happen inside another.

    def _pull(self, name: str, version: int) -> None:
        self.server.pull(name, version)

    def _delete(self, name: str) -> None:
        self.server.delete(name)

    def _backup(self) -> None:
        self.place.clock.advance(seconds=2)
        report = backup(self.place.site(), (), accepted=True)
        for result in report.models:
            if result.outcome in ("stored", "unchanged"):
                self.acknowledged.setdefault(result.name, set()).add(result.snapshot)

    def _repair(self) -> None:
        self.place.clock.advance(seconds=2)
        repair(self.place.site(), (), accepted=True)

    def _forget(self, keep: int) -> None:
        report = forget(self.place.site(), (), Policy(keep_last=keep))
        for snapshot in report.forgotten:
            self.acknowledged.get(snapshot.model, set()).discard(snapshot.id)

    def _prune(self) -> None:
        self.place.clock.advance(days=1)
        prune(self.place.site(), timedelta(hours=1))

    def _scrub(self) -> None:
        verify(self.place.site(), (), Level.FULL)
        verify_vault(self.place.site(), (), Level.FULL)

    def _within(self, outer: Callable[[], object], inner: Callable[[], object], at: int) -> None:
        """Do ``inner`` before the n-th change that ``outer`` makes; a lock that is held refuses one of the two."""

        def deed() -> None:
            with replaced_back(), suppress(Locked):
                inner()

        with replaced(HookedOs(at, deed)), suppress(ModelwardError):
            outer()
        STEPS[0] += 1

    # The rules.

    @rule(name=st.sampled_from(NAMES), version=st.integers(0, 4))
    def pull(self, name: str, version: int) -> None:
        """The server pulls a version."""
        self._pull(name, version)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        """The user deletes a model."""
        self._delete(name)

    @rule()
    def restart(self) -> None:
        """The server starts anew."""
        self.server.restart()

    @rule()
    def backup(self) -> None:
        """A backup."""
        self._backup()

    @rule()
    def repair(self) -> None:
        """A repair of store and vault: what an acknowledged version has is healed, whatever befell it."""
        self.place.clock.advance(seconds=2)
        report = repair(self.place.site(), (), accepted=True)
        inventory, vault = self.place.site().store.inventory(), self.place.site().the_vault()
        known = {(s.model, s.manifest) for s in vault.snapshots()}
        for left in report.unhealed:
            present = inventory.models.get(left.model)
            assert present is None or (left.model, present.manifest.digest) not in known, left
        with suppress(ModelwardError):
            repair_vault(self.place.site(), ())

    @rule()
    def scrub(self) -> None:
        """A full verify of both."""
        self._scrub()

    @rule(keep=st.integers(1, 3))
    def forget(self, keep: int) -> None:
        """Old versions go to the trash."""
        self._forget(keep)

    @rule()
    def prune(self) -> None:
        """The trash is emptied."""
        self._prune()

    @rule(number=st.integers(0, 99), seed=st.integers(0, 1 << 30))
    def damage(self, number: int, seed: int) -> None:
        """A blob of the store rots."""
        blobs = sorted(self.place.store.glob("blobs/sha256-*"))
        if blobs:
            corrupt.random_damage(blobs[number % len(blobs)], random.Random(seed))

    @rule(
        outer=st.sampled_from(("backup", "repair", "forget", "prune", "scrub")),
        inner=st.sampled_from(("pull", "delete", "restart", "backup", "repair", "forget", "prune", "scrub")),
        name=st.sampled_from(NAMES),
        version=st.integers(0, 4),
        at=st.integers(1, 60),
    )
    def within(self, outer: str, inner: str, name: str, version: int, at: int) -> None:
        """One of them inside another."""
        deeds: dict[str, Callable[[], object]] = {
            "pull": lambda: self._pull(name, version),
            "delete": lambda: self._delete(name),
            "restart": self.server.restart,
            "backup": self._backup,
            "repair": self._repair,
            "forget": lambda: self._forget(1 + version),
            "prune": self._prune,
            "scrub": self._scrub,
        }
        self._within(deeds[outer], deeds[inner], at)

    # What must hold.

    @invariant()
    def what_was_acknowledged_can_be_restored(self) -> None:
        """Every version that a backup said to be stored, and that was not forgotten, is there; no name lies."""
        STEPS[0] += 1
        check_vault(self.place, self.acknowledged)

    @invariant()
    def nothing_of_ours_lies_among_the_blobs(self) -> None:
        """Only names that the server knows (G1)."""
        assert all(path.name.startswith("sha256-") for path in (self.place.store / "blobs").iterdir())


class replaced_back:  # noqa: N801 - reads as a statement
    """Within somebody else's deed the operating system is the real one."""

    def __enter__(self) -> None:
        self._script = vars(durable)["os"]
        vars(durable)["os"] = os

    def __exit__(self, *_: object) -> None:
        vars(durable)["os"] = self._script


@limited(little=1, share=0.5)
def test_everybody_at_once(run: Run) -> None:
    """The dictionary and the vault agree at every step (L1, S1, W3, G1)."""
    for number in run.numbers():
        with run.case(number) as rng:
            machine = seeded(rng.randrange(1 << 32))(Machine)
            STEPS[0] = 0
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=4 if run.cases else 20,
                    stateful_step_count=20 if run.cases else 50,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    print_blob=True,
                ),
            )
            run.figures["steps"] += STEPS[0]


@pytest.mark.ollama
@limited(little=3, share=0.5)
def test_rounds_with_the_real_ollama(tmp_path: Path, run: Run) -> None:
    """While it pulls, copies, deletes and prunes: no acknowledged version is lost, and what is listed has its bytes."""
    with with_ollama(tmp_path) as rounds:
        for number in run.numbers():
            with run.case(number) as rng:
                rounds.round(rng)
                run.figures["rounds"] += 1
        run.figures.update(rounds.counts)
    done = [what for what in ("pull", "copy", "delete") if rounds.counts[f"server: {what}, done"]]
    assert run.cases or len(done) == 3, done


def test_a_repair_after_everything(tmp_path: Path) -> None:
    """A model that was backed up, damaged and deleted comes back to the byte."""
    place = Place(tmp_path)
    server = Server(place.store)
    server.pull("llama3", 1)
    assert backup(place.site(), ()).exit_code == 0
    server.delete("llama3")
    assert restore(place.site(), ModelName.parse("llama3"), accepted=True).exit_code == 0
    assert weights(1) in {path.read_bytes() for path in place.store.glob("blobs/*")}
