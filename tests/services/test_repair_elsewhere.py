"""Repair from other sources than the vault: mixed, without chunk lists, by the runtime, and what is left undone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.errors import RuntimeRefused, RuntimeUnreachable, SourceFailed, StoreNotAccepted
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.plan import PatchBlob, PlaceBlob, PullModel, TrySuspects
from modelward.domain.reading import Level
from modelward.domain.receipt import LedgerChange, Receipt
from modelward.domain.runtime import PullStep
from modelward.ports import Registry, Source
from modelward.scan import id_of
from modelward.services.backup import backup
from modelward.services.pull import pull
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import (
    FakeStore,
    Fault,
    FaultySource,
    IdleRuntime,
    MemoryRegistry,
    MemorySource,
    corrupt,
    fingerprint,
)
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
WEIGHTS = pattern(5 * CHUNK + 10)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with a model of five chunks and a bit that nobody ever backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    return place


@pytest.fixture
def upstream(place: Place) -> MemorySource:
    """A far source that has all that the store had."""
    return MemorySource(path.read_bytes() for path in place.store.glob("blobs/*"))


def weights_path(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def site_with(place: Place, *sources: Source, registry: Registry | None = None, vault: bool = False) -> Site:
    """A site with these sources behind its own."""
    site = place.site(make_vault=vault)
    return replace(site, sources=(*site.sources, *sources), registry=registry)


def heal(site: Site) -> RepairReport:
    """Repair, and expect everything healthy, to the last byte."""
    report = repair(site, ())
    assert report.exit_code == 0, report
    assert verify(site, (), Level.FULL).exit_code == 0
    return report


def step_of(report: RepairReport) -> object:
    """The plan's only step."""
    ((step,),) = [model.steps for model in report.plan.models]
    return step


# Without a vault.


@pytest.mark.parametrize("damage", ["zero", "truncate"])
def test_what_looks_lost_is_all_that_travels(place: Place, upstream: MemorySource, damage: str) -> None:
    """Zeros and a cut tail give themselves away, and the blob's own SHA-256 proves the whole (R2)."""
    path = weights_path(place)
    (corrupt.zero(path, 3 * CHUNK + 4096, 8192) if damage == "zero" else corrupt.truncate(path, 4 * CHUNK + 1))
    report = heal(site_with(place, upstream))
    assert isinstance(step_of(report), TrySuspects)
    assert report.bytes_moved == upstream.taken == (CHUNK if damage == "zero" else CHUNK + 10)
    assert path.read_bytes() == WEIGHTS


def test_damage_that_looks_like_nothing_costs_the_whole_blob(place: Place, upstream: MemorySource) -> None:
    """A flipped bit shows in no chunk: without a chunk list only the whole proves (R2)."""
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = heal(site_with(place, upstream))
    assert isinstance(step_of(report), PlaceBlob)
    assert upstream.taken == len(WEIGHTS)


def test_a_suspicion_that_was_not_all_is_followed_by_the_whole(place: Place, upstream: MemorySource) -> None:
    """Zeros here and a flipped bit there: the first proof fails, and the blob is fetched."""
    corrupt.zero(weights_path(place), CHUNK, 8192)
    corrupt.flip_bit(weights_path(place), 9, 1)
    heal(site_with(place, upstream))
    assert upstream.taken == CHUNK + len(WEIGHTS)


def test_a_near_source_is_taken_whole(place: Place, upstream: MemorySource) -> None:
    """It costs no traffic, so nothing is guessed; upstream is not even asked for bytes."""
    near = MemorySource(upstream.blobs.values(), name="sibling", rank=5, local=True)
    corrupt.zero(weights_path(place), CHUNK, 8192)
    report = heal(site_with(place, upstream, near))
    assert (report.actions[0].source, upstream.taken) == ("sibling", 0)


def test_a_file_that_only_grew_needs_nobody(place: Place) -> None:
    """Its own bytes are cut out and proved."""
    corrupt.extend(weights_path(place), b"more")
    report = heal(site_with(place))
    assert (report.bytes_moved, report.actions[0].source) == (0, "store")


def test_a_manifest_comes_from_upstream(place: Place, upstream: MemorySource) -> None:
    """The settings name the model, the vault is empty, and nothing is left of it: it comes back all the same."""
    path = place.store / "manifests/registry.ollama.ai/library/llama3/latest"
    raw = path.read_bytes()
    for blob in place.store.glob("blobs/*"):
        blob.unlink()
    path.unlink()
    place.models = (LLAMA,)
    heal(site_with(place, upstream, registry=MemoryRegistry({"llama3": raw})))
    assert path.read_bytes() == raw
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_moved_tag_is_not_taken_for_the_lost_version(place: Place, upstream: MemorySource) -> None:
    """The vault knows which version it was; another one is never put in its place unasked (R4)."""
    backup(place.site(), ())
    path = place.store / "manifests/registry.ollama.ai/library/llama3/latest"
    snapshot = place.site().the_vault().snapshots()[0]
    for lost in (snapshot.manifest, snapshot.wrapper):  # with the wrapper it would be written anew
        (place.vault / "blobs/sha256" / lost.hex).unlink()
    raw = path.read_bytes()
    path.unlink()
    moved = MemoryRegistry({"llama3": raw + b"\n"})
    assert repair(site_with(place, upstream, registry=moved, vault=True), ()).exit_code == 3
    assert not path.exists()
    heal(site_with(place, upstream, registry=MemoryRegistry({"llama3": raw}), vault=True))
    assert path.read_bytes() == raw


# Mixed.


def test_vault_and_upstream_share_the_work(place: Place, upstream: MemorySource) -> None:
    """Rot in the vault and in the store at different places, and one place where both are bad (R2)."""
    backup(place.site(), ())
    copy = max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    for index in (1, 4):
        corrupt.zero(copy, index * CHUNK, 4096)
    for index in (1, 2):
        corrupt.zero(weights_path(place), index * CHUNK, 4096)
    assert verify_vault(place.site(), (), Level.FULL).exit_code != 0
    site = site_with(place, upstream, vault=True)
    planned = step_of(repair(site, (), dry_run=True))
    assert isinstance(planned, PatchBlob)
    assert [part.source for part in planned.parts] == ["vault", "upstream"]
    report = heal(site)
    assert report.actions[0].source == "vault+upstream"
    assert upstream.taken == CHUNK


def test_rot_that_the_vault_did_not_know_of_goes_to_the_next_source(place: Place, upstream: MemorySource) -> None:
    """What a source promised and did not keep is asked of the next, chunk by chunk (R2)."""
    backup(place.site(), ())
    copy = max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    corrupt.zero(copy, CHUNK, 4096)
    corrupt.zero(weights_path(place), CHUNK, 2 * CHUNK)
    assert heal(site_with(place, upstream, vault=True)).actions[0].source == "vault+upstream"
    assert upstream.taken == CHUNK


@pytest.mark.parametrize("fault", [Fault.WRONG, Fault.SHORT, Fault.ERROR, Fault.VANISH, Fault.ZEROS])
def test_a_liar_is_found_by_the_blobs_own_hash(place: Place, upstream: MemorySource, fault: Fault) -> None:
    """Without a chunk list too: nothing of it reaches the store, and the next source gives the whole (R2)."""
    liar = FaultySource(MemorySource(upstream.blobs.values(), local=True), [fault], name="liar", rank=1)
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = heal(site_with(place, liar, upstream))
    assert report.actions[0].source in ("upstream", "liar")
    assert weights_path(place).read_bytes() == WEIGHTS


# A transfer that is cut off.


class Cut(MemorySource):
    """A far source that dies after so many bytes."""

    alive = 3 * CHUNK

    def read(self, blob: object, offset: int, view: memoryview) -> int:
        """Give bytes, until it does not."""
        if self.taken >= self.alive:
            raise SourceFailed("gone")
        return super().read(blob, offset, view[:CHUNK])  # type: ignore[arg-type]


@pytest.mark.parametrize("listed", [True, False])
def test_a_cut_transfer_is_gone_on_with(place: Place, upstream: MemorySource, *, listed: bool) -> None:
    """What came is kept beside the blobs, proved again, and only the rest travels the second time (G1)."""
    if listed:
        backup(place.site(), ())
        max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size).unlink()
    weights_path(place).unlink()
    place.threads = 1
    first = repair(site_with(place, Cut(upstream.blobs.values()), vault=listed), ())
    assert first.exit_code == 1
    assert list((place.store / ".modelward/incoming").iterdir())
    report = heal(site_with(place, upstream, vault=listed))
    assert upstream.taken == len(WEIGHTS) - 3 * CHUNK
    assert report.exit_code == 0
    assert list((place.store / ".modelward/incoming").iterdir()) == []


def test_a_transfer_may_be_cut_again_and_again(place: Place, upstream: MemorySource) -> None:
    """Each run goes on where the one before was cut, whole groups of chunks or not, and nothing comes twice."""
    weights_path(place).unlink()
    place.threads = 1
    taken = 0
    for _ in range(2):
        cut = Cut(upstream.blobs.values())
        cut.alive = 2 * CHUNK
        assert repair(site_with(place, cut), ()).exit_code == 1
        taken += cut.taken
    heal(site_with(place, upstream))
    assert taken + upstream.taken == len(WEIGHTS)


def test_what_was_kept_and_rotted_is_fetched_again(place: Place, upstream: MemorySource) -> None:
    """The log of a kept file is believed only where the bytes still agree with it (W3)."""
    weights_path(place).unlink()
    place.threads = 1
    repair(site_with(place, Cut(upstream.blobs.values())), ())
    (data,) = (place.store / ".modelward/incoming").glob("*.data")
    corrupt.flip_bit(data, CHUNK + 5, 1)
    heal(site_with(place, upstream))
    assert upstream.taken == len(WEIGHTS) - 2 * CHUNK


def test_lies_that_were_kept_do_not_stay(place: Place, upstream: MemorySource) -> None:
    """A kept file whose whole is wrong is thrown away, and the blob fetched from its beginning."""
    weights_path(place).unlink()
    place.threads = 1
    liar = FaultySource(Cut(upstream.blobs.values()), [Fault.WRONG])
    repair(site_with(place, liar), ())
    heal(site_with(place, upstream))
    assert weights_path(place).read_bytes() == WEIGHTS


# The runtime, last.


class Pulling(IdleRuntime):
    """Downloads like Ollama: what stands under a blob's name is not looked at."""

    def __init__(self, store: Path, blobs: MemorySource, *, error: str = "", up: bool = True) -> None:
        self.store, self.blobs, self.error, self.up = store, blobs, error, up
        self.pulled: list[str] = []

    def version(self) -> str:
        """Its version, where it answers."""
        if not self.up:
            raise RuntimeUnreachable("down")
        return super().version()

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:
        """Bring the blobs that are not there."""
        assert not insecure
        self.pulled.append(name)
        yield PullStep(status="pulling manifest")
        if self.error:
            raise RuntimeRefused(self.error, thing=name, next_step="try again")
        for blob, data in self.blobs.blobs.items():
            path = self.store / "blobs" / f"sha256-{blob.hex}"
            if not path.exists():
                path.write_bytes(data)
        yield PullStep(status="success")


def test_the_runtime_downloads_what_no_source_has(place: Place, upstream: MemorySource) -> None:
    """With the bad file moved out of its name first, and the new bytes proved (R4)."""
    runtime = Pulling(place.store, upstream)
    place.runtime = runtime
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = heal(site_with(place))
    assert isinstance(step_of(report), PullModel)
    assert runtime.pulled == ["llama3:latest"]
    assert weights_path(place).read_bytes() == WEIGHTS
    assert list((place.store / ".modelward/quarantine").iterdir())


def test_a_failed_pull_leaves_all_as_it_was(place: Place, upstream: MemorySource) -> None:
    """The bad file is back under its name: a repair never drops any (R1)."""
    place.runtime = Pulling(place.store, upstream, error="no space left")
    corrupt.flip_bit(weights_path(place), 9, 1)
    before = {path.name: path.read_bytes() for path in place.store.glob("blobs/*")}
    report = repair(site_with(place), ())
    assert report.exit_code != 0
    assert "no space left" in report.actions[0].error
    assert {path.name: path.read_bytes() for path in place.store.glob("blobs/*")} == before


def test_the_runtime_takes_over_when_a_source_fails_midway(place: Place, upstream: MemorySource) -> None:
    """A source offered the blob and did not give it: the last way is tried before anybody is told to (R4)."""
    place.runtime = Pulling(place.store, upstream)
    corrupt.flip_bit(weights_path(place), 9, 1)
    liar = FaultySource(upstream, [Fault.VANISH])
    report = repair(site_with(place, liar), ())
    assert [action.step for action in report.actions] == ["PlaceBlob", "PullModel"]
    assert report.actions[0].error
    assert report.exit_code == 0, "what the last way healed is no failure"
    assert verify(place.site(make_vault=False), (), Level.FULL).exit_code == 0


def test_a_moved_tag_is_not_pulled(place: Place, upstream: MemorySource) -> None:
    """It would bring another version: nothing is swapped unasked (R4)."""
    raw = (place.store / "manifests/registry.ollama.ai/library/llama3/latest").read_bytes()
    runtime = Pulling(place.store, upstream)
    place.runtime = runtime
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = repair(site_with(place, registry=MemoryRegistry({"llama3": raw + b"\n"})), ())
    assert (report.exit_code, runtime.pulled) == (3, [])


def test_a_registry_that_cannot_be_asked_keeps_nobody_from_pulling(place: Place, upstream: MemorySource) -> None:
    """It says nothing of the tag: the download is tried, and what it brings is proved (R4)."""
    runtime = Pulling(place.store, upstream)
    place.runtime = runtime
    corrupt.flip_bit(weights_path(place), 9, 1)
    heal(site_with(place, registry=MemoryRegistry({})))
    assert runtime.pulled == ["llama3:latest"]


def test_a_runtime_that_does_not_answer_is_no_source(place: Place, upstream: MemorySource) -> None:
    """Nothing is moved out of its name for it; the damage is beyond repair for now."""
    runtime = Pulling(place.store, upstream, up=False)
    place.runtime = runtime
    corrupt.flip_bit(weights_path(place), 9, 1)
    before = fingerprint(place.store / "blobs")
    assert repair(site_with(place), ()).exit_code == 3
    assert (runtime.pulled, fingerprint(place.store / "blobs")) == ([], before)


def test_a_tag_that_moves_under_the_download_is_said(place: Place, upstream: MemorySource) -> None:
    """The runtime has taken another version by then: an error that names it, and no word of success (R4)."""
    manifest = place.store / "manifests/registry.ollama.ai/library/llama3/latest"

    class Moving(Pulling):
        """Brings the version that the tag names now."""

        def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:
            """And its manifest."""
            yield from super().pull(name, insecure=insecure)
            manifest.write_bytes(manifest.read_bytes() + b"\n")

    place.runtime = Moving(place.store, upstream)
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = repair(site_with(place), ())
    assert report.exit_code != 0
    assert "another version now" in report.actions[0].error


def test_a_download_of_bad_bytes_is_no_success(place: Place, upstream: MemorySource) -> None:
    """Whatever the runtime says, the file is read to its end before it counts (W3)."""
    (blob,) = [blob for blob, data in upstream.blobs.items() if data == WEIGHTS]
    upstream.blobs[blob] = WEIGHTS[:-1] + b"?"
    place.runtime = Pulling(place.store, upstream)
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = repair(site_with(place), ())
    assert report.exit_code != 0
    assert "says success, and the file is bad" in report.actions[0].error


def test_upstreams_tag_is_asked_for_once_a_model(place: Place, upstream: MemorySource) -> None:
    """Two blobs whose source fails midway: the runtime brings both, and the registry is asked once for the plan."""

    class Counting(MemoryRegistry):
        """Counts who asks."""

        asked = 0

        def manifest(self, name: ModelName) -> Manifest:
            """The manifest."""
            Counting.asked += 1
            return super().manifest(name)

    raw = (place.store / "manifests/registry.ollama.ai/library/llama3/latest").read_bytes()
    place.runtime = Pulling(place.store, upstream)
    for path in place.store.glob("blobs/*"):
        corrupt.flip_bit(path, 0, 1)
    failing = FaultySource(upstream, [Fault.ERROR] * 100)
    report = repair(site_with(place, failing, registry=Counting({"llama3": raw})), ())
    assert [action.step for action in report.actions].count("PullModel") > 1
    assert Counting.asked == 1
    assert verify(place.site(make_vault=False), (), Level.FULL).exit_code == 0


def test_a_pull_has_the_runtime_as_its_last_source(place: Place, upstream: MemorySource) -> None:
    """The registry has the manifest and gives no blob: the plan names the runtime, and is carried out so (R4)."""
    runtime = Pulling(place.store, upstream)
    place.runtime = runtime
    corrupt.flip_bit(weights_path(place), 9, 1)
    raw = (place.store / "manifests/registry.ollama.ai/library/llama3/latest").read_bytes()
    report = pull(site_with(place, registry=MemoryRegistry({"llama3": raw})), LLAMA)
    assert isinstance(step_of(report), PullModel)
    assert (report.exit_code, runtime.pulled) == (0, ["llama3:latest"]), report
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_restore_has_the_runtime_as_its_last_source(place: Place, upstream: MemorySource) -> None:
    """The vault vouches for a copy that rotted unseen, at the place that the store lost: the runtime is asked (R4)."""
    backup(place.site(), ())
    copy = max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    for path in (copy, weights_path(place)):
        corrupt.flip_bit(path, 9, 1)
    unseen = Receipt(id_of(copy.stat()), int(place.clock.now().timestamp()))
    place.site().ledgers.update("vault", LedgerChange(proved={copy.name: unseen}))
    place.runtime = Pulling(place.store, upstream)
    report = restore(place.site(), LLAMA)
    assert [action.step for action in report.actions] == ["PatchBlob", "PullModel"]
    assert report.exit_code == 0
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_store_that_is_not_the_recorded_one_is_left_alone(place: Place, upstream: MemorySource) -> None:
    """Whatever could heal it: nothing is downloaded into a wrong store (I1)."""
    backup(place.site(), ())
    for path in (*place.store.glob("blobs/*"), *place.store.glob("manifests/*/*/*/*")):
        path.unlink()
    (place.store / "blobs").rename(place.base / "away")
    (place.store / "blobs").mkdir()
    with pytest.raises(StoreNotAccepted):
        repair(site_with(place, upstream, vault=True), ())
    assert upstream.taken == 0
