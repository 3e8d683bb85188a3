"""The gate: every named state of a store has its documented outcome, and whatever happens it ends with a report."""

import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.errors import Interrupted, RegistryUnreachable
from modelward.domain.finding import StoreEmpty
from modelward.domain.gate import GateReport, Passage
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.receipt import LedgerChange, Receipt
from modelward.domain.source import LocalFile
from modelward.durable import Folder, locked
from modelward.ports import Registry, Source
from modelward.scan import id_of
from modelward.services.backup import backup
from modelward.services.gate import gate
from modelward.services.protect import release
from modelward.services.verify import verify
from modelward.sources.vault import VaultSource
from modelward.testing import FakeStore, MemoryRegistry, MemorySource, corrupt, fingerprint
from tests.places import Place
from tests.services.gate_states import MIB, STATES, WEIGHTS, State, fill, manifest, weights

ROOT = Path(__file__).resolve().parents[2]
LLAMA, MINI = ModelName.parse("llama3"), ModelName.parse("mini")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model, backed up."""
    place = Place(tmp_path)
    fill(place)
    return place


def run(place: Place, *asked: ModelName, **options: "object") -> GateReport:
    """The gate as a new process; a vault that is not there stays away."""
    return gate(place.site(make_vault=False), asked, **options)  # type: ignore[arg-type]


def the_model(report: GateReport) -> tuple[Passage, str]:
    """Word and reason of the one model."""
    (line,) = report.models
    return line.outcome, line.why


# The eighteen states.


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_every_named_state_has_its_documented_outcome(tmp_path: Path, state: State) -> None:
    """Word, exit code, and a store that is as it was made, or untouched (I1, R1, R3, R5)."""
    if state.root and os.geteuid() != 0:
        pytest.skip("needs root to mount, or to give files away")
    place = Place(tmp_path)
    with ExitStack() as stack:
        state.prepare(place, stack)
        before = fingerprint(place.store, ignore=".modelward")
        report = run(place)
        assert (report.outcome, report.exit_code) == (state.outcome, state.outcome.exit_code), report
        after = fingerprint(place.store, ignore=".modelward")
        if state.outcome is Passage.RECOVERED:
            assert verify(place.site(), (), Level.FULL).exit_code == 0
            assert weights(place).read_bytes() == WEIGHTS
            assert run(place).outcome is Passage.HEALTHY, "the second run finds nothing to do"
        else:
            assert after == before
        assert (report.notes != ()) == (state.outcome is Passage.REFUSED or state.name == "vault missing")


def test_the_documentation_holds_the_same_table() -> None:
    """All eighteen states, in the order in which they are tested; every word of the gate is explained."""
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    assert len({state.name for state in STATES}) == 18
    assert "\n".join(state.row for state in STATES) in text
    words = "\n".join(f"| `{word.value}` | {word.exit_code} | {word.meaning} |" for word in Passage)
    assert words in text


# I1.


def test_a_store_that_is_not_the_recorded_one_is_healed_when_the_user_says_so(place: Place) -> None:
    """With --accept-store; its own models stay."""
    place.store.rename(place.base / "old")
    FakeStore(place.store).add_model("other", b"other", template=b"{{ .Prompt }}")
    report = run(place, accepted=True)
    assert {line.name.short: line.outcome for line in report.models} == {
        "llama3:latest": Passage.RECOVERED,
        "other:latest": Passage.HEALTHY,
    }
    assert report.exit_code == 0


def test_names_do_not_accept_an_empty_store(place: Place) -> None:
    """A start script names its models always: that says nothing about this mount (I1)."""
    place.store.rename(place.base / "old")
    place.store.mkdir()
    report = run(place, LLAMA)
    assert report.outcome is Passage.REFUSED
    assert any(isinstance(finding, StoreEmpty) for finding in report.findings)
    assert any("--accept-store" in note for note in report.notes)
    assert list(place.store.iterdir()) == []


# What quick looks at.


def test_what_no_receipt_vouches_for_is_read(place: Place) -> None:
    """Receipts are believed and cost no reading; without them every byte is read, and vouched for from then on."""
    assert run(place).bytes_read == 0
    for path in (place.vault / "modelward" / "receipts").glob("store-*.json"):
        if "identity" not in path.name:
            path.unlink()
    assert run(place).bytes_read > len(WEIGHTS)
    assert run(place).bytes_read == 0


def test_rot_behind_a_receipt_is_found_by_level_full(place: Place) -> None:
    """The file is the same by inode, size and times, so quick believes it; full reads it, and it is healed (V1)."""
    corrupt.flip_bit(weights(place), 2 * MIB, 3)
    site, path = place.site(), weights(place)
    receipt = Receipt(id_of(path.stat()), 5)
    site.ledgers.update(site.store_key, LedgerChange(proved={path.name.removeprefix("sha256-"): receipt}))
    assert run(place).outcome is Passage.HEALTHY
    assert run(place, level=Level.FULL).outcome is Passage.RECOVERED
    assert path.read_bytes() == WEIGHTS


def test_a_sample_reads_a_share(place: Place) -> None:
    """And calls proved what it proved."""
    assert 0 < run(place, level=Level.SAMPLE).bytes_read <= len(WEIGHTS) + 1000


def test_only_the_models_asked_for_are_looked_at(place: Place) -> None:
    """Another one's damage does not hold up the start."""
    FakeStore(place.store).add_model("mini", b"small", template=b"{{ .Other }}")
    backup(place.site(), ())
    manifest(place).unlink()
    report = run(place, MINI)
    assert [line.name for line in report.models] == [MINI]
    assert report.exit_code == 0
    assert not manifest(place).exists()


def test_a_released_model_stays_deleted(place: Place) -> None:
    """It is not expected any more (G3)."""
    release(place.site(), LLAMA)
    manifest(place).unlink()
    assert run(place).models == ()
    assert not manifest(place).exists()


# The deadline.


def test_no_time_at_all(place: Place) -> None:
    """Nothing is read and nothing is healed: what is sound is unproved, what is damaged is said to be so."""
    for path in (place.vault / "modelward" / "receipts").glob("store-*.json"):
        if "identity" not in path.name:
            path.unlink()
    report = run(place, seconds=0)
    assert (report.outcome, report.exit_code, report.bytes_read) == (Passage.UNPROVED, 0, 0)
    assert report.unread > len(WEIGHTS)
    manifest(place).unlink()
    report = run(place, seconds=0)
    assert (the_model(report), report.exit_code) == ((Passage.DAMAGED, "the time was up"), 1)
    assert not manifest(place).exists()


class Slow(MemorySource):
    """A source of which every read takes a minute."""

    def __init__(self, place: Place) -> None:
        super().__init__([path.read_bytes() for path in place.store.glob("blobs/*")], name="slow", rank=-1)
        self.place = place

    def read(self, blob: object, offset: int, view: memoryview) -> int:
        """Give the bytes, late."""
        self.place.clock.advance(minutes=1)
        return super().read(blob, offset, view)  # type: ignore[arg-type]


def test_what_is_healed_when_the_time_is_up_stays_healed(place: Place) -> None:
    """The smallest model first; the rest is said to be damaged, and the next run goes on with it."""
    FakeStore(place.store).add_model("mini", b"small", template=b"{{ .Prompt }}")
    backup(place.site(), ())
    small = place.store / "blobs" / f"sha256-{Manifest.parse(mini(place)).layers[0].digest.hex}"
    site = place.site()
    site = replace(site, sources=(Slow(place),))
    small.unlink()
    corrupt.zero(weights(place), 0, 3 * MIB)
    report = gate(site, (), seconds=90)
    assert {line.name: line.outcome for line in report.models} == {MINI: Passage.DOWNLOADED, LLAMA: Passage.DAMAGED}
    assert report.exit_code == 1
    assert run(place).exit_code == 0
    assert weights(place).read_bytes() == WEIGHTS


def mini(place: Place) -> bytes:
    """The manifest of the small model."""
    return FakeStore(place.store).manifest_path("mini").read_bytes()


def test_who_ends_the_program_ends_the_gate(place: Place) -> None:
    """Told to stop, it does not make a report of it."""
    weights(place).unlink()
    site = place.site()
    site.reading.stop = threading.Event()
    site.reading.stop.set()
    with pytest.raises(Interrupted):
        gate(site, ())


# Re-download.


class Unplugged:
    """A registry that cannot be reached, and how often that was tried."""

    def __init__(self) -> None:
        self.asked = 0

    def manifest(self, name: ModelName) -> Manifest:
        """No answer."""
        self.asked += 1
        raise RegistryUnreachable("no answer", thing=name.short, next_step="check the network")


def with_upstream(place: Place, *sources: Source, registry: Registry | None = None) -> GateReport:
    """The gate on a site with nothing but these."""
    site = replace(place.site(make_vault=False), sources=sources, registry=registry)
    return gate(site, (LLAMA,))


def test_a_model_that_nobody_here_has_is_downloaded(tmp_path: Path) -> None:
    """Into a new store, by its name, to the last byte; the gate before the very first start (R4)."""
    there, place = Place(tmp_path / "there"), Place(tmp_path / "here")
    fill(there)
    place.store.mkdir(parents=True)
    upstream = MemorySource([path.read_bytes() for path in there.store.glob("blobs/*")])
    registry = MemoryRegistry({"llama3": manifest(there).read_bytes()})
    report = with_upstream(place, upstream, registry=registry)
    assert (report.outcome, report.exit_code) == (Passage.DOWNLOADED, 0)
    assert report.bytes_moved > len(WEIGHTS)
    assert weights(place).read_bytes() == WEIGHTS
    assert with_upstream(place, upstream, registry=registry).outcome is Passage.HEALTHY


def test_a_registry_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    """A start does not wait for the same silence again and again; later it may go better, so the code is 4."""
    place, registry = Place(tmp_path), Unplugged()
    FakeStore(place.store).add_model("mini", b"small", template=b"{{ .Prompt }}")
    place.models = (LLAMA, MINI, ModelName.parse("other"))
    site = replace(place.site(make_vault=False), registry=registry)
    report = gate(site, ())
    assert (report.outcome, report.exit_code, registry.asked) == (Passage.UNREACHABLE, 4, 1)
    assert {line.name: line.outcome for line in report.models}[MINI] is Passage.HEALTHY


@pytest.mark.parametrize("registry", [None, MemoryRegistry({})], ids=["no upstream", "unknown there"])
def test_what_no_source_has_is_lost(place: Place, registry: Registry | None) -> None:
    """Exit code 3, and which blob it is about."""
    weights(place).unlink()
    report = with_upstream(place, registry=registry)
    outcome, why = the_model(report)
    assert (outcome, report.exit_code) == (Passage.LOST, 3)
    assert "no source" in why


def test_a_model_that_never_was_is_lost(place: Place) -> None:
    """It was asked for by name, and a report says that it is not there."""
    report = run(place, ModelName.parse("never"))
    assert (report.outcome, report.exit_code) == (Passage.LOST, 3)


# Disks and others.


def test_a_source_that_fails_leaves_damage(place: Place) -> None:
    """The next run may have more luck: exit code 1."""
    weights(place).unlink()
    site = place.site()

    class Weak(VaultSource):
        """Says that it has it, and gives nothing."""

        def read(self, _blob: object, _offset: int, _view: memoryview) -> int:
            """Nothing."""
            return 0

        def local_file(self, _: object) -> LocalFile | None:
            """None."""
            return None

    report = gate(replace(site, sources=(Weak(site.the_vault(), site.ledgers),)), ())
    assert (report.outcome, report.exit_code) == (Passage.DAMAGED, 1)
    assert not weights(place).exists() or weights(place).stat().st_size < len(WEIGHTS)


def test_another_writer_blocks_and_is_named(place: Place) -> None:
    """The store's lock is held elsewhere: exit code 5 (L1)."""
    weights(place).unlink()
    own = Folder.open(place.store / ".modelward", create=True)
    with locked(own, "lock", holder="repair", clock=place.clock, wait=0):
        outcome, why = the_model(report := run(place))
    assert (outcome, report.exit_code) == (Passage.BLOCKED, 5)
    assert f"pid {os.getpid()}" in why


def test_what_was_done_is_in_the_audit_log(place: Place) -> None:
    """One entry a step, with the cause (A1)."""
    weights(place).unlink()
    manifest(place).unlink()
    gate(replace(place.site(), cause="start script"), ())
    entries = [entry for entry in place.site().the_vault().audit_entries() if entry.action == "gate"]
    assert [entry.keys["step"] for entry in entries] == ["PlaceBlob", "PlaceManifest"]
    assert {(entry.cause, entry.outcome) for entry in entries} == {("start script", "done")}
