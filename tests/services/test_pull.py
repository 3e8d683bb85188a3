"""Pull, pin and rollback: a download that works, of the version that was meant (R4)."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadSetting,
    DiskFull,
    RegistryRefused,
    StoreNotAccepted,
    TagMoved,
    UnknownModel,
    UnknownSnapshot,
)
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.services.backup import backup
from modelward.services.pin import pin, pins, unpin
from modelward.services.pull import pull
from modelward.services.retention import forget
from modelward.services.rollback import rollback
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.testing import FakeStore, MemoryRegistry, MemorySource, corrupt, fingerprint
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
OLD, NEW = pattern(3 * CHUNK + 1, 1), pattern(3 * CHUNK + 2, 2)
MANIFEST = "manifests/registry.ollama.ai/library/llama3/latest"


class Upstream:
    """What the registry has: two versions of one model, and the tag that names one of them."""

    def __init__(self, base: Path) -> None:
        self.manifests: list[bytes] = []
        blobs: list[bytes] = []
        for number, weights in enumerate((OLD, NEW)):
            store = base / f"upstream{number}"
            FakeStore(store).add_model("llama3", weights, template=b"{{ .Prompt }}")
            self.manifests.append((store / MANIFEST).read_bytes())
            blobs += [path.read_bytes() for path in store.glob("blobs/*")]
        self.source = MemorySource(blobs)
        self.tag = 0

    def site(self, place: Place, *, vault: bool = True) -> Site:
        """A site that reaches it."""
        registry = MemoryRegistry({"llama3": self.manifests[self.tag]})
        site = place.site(make_vault=vault)
        return replace(site, sources=(*site.sources, self.source), registry=registry)


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A registry with two versions."""
    return Upstream(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty store."""
    place = Place(tmp_path / "here")
    (place.store / "blobs").mkdir(parents=True)
    return place


def manifest_of(place: Place) -> bytes:
    """What the store serves."""
    return (place.store / MANIFEST).read_bytes()


def weights_path(place: Place) -> Path:
    """The largest blob."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def good(place: Place, report: RepairReport) -> None:
    """The report is good, and so is the store."""
    assert report.exit_code == 0, report
    assert verify(place.site(make_vault=False), (), Level.FULL).exit_code == 0


def test_a_model_that_nobody_had(place: Place, upstream: Upstream) -> None:
    """Blobs first, the manifest last and byte for byte; a second pull costs nothing (R3)."""
    good(place, pull(upstream.site(place, vault=False), LLAMA))
    assert manifest_of(place) == upstream.manifests[0]
    assert upstream.source.taken == sum(path.stat().st_size for path in place.store.glob("blobs/*"))
    again = pull(upstream.site(place, vault=False), LLAMA)
    assert (again.exit_code, again.bytes_moved, again.plan.models) == (0, 0, ())


def test_a_bad_file_under_the_right_name_is_not_believed(place: Place, upstream: Upstream) -> None:
    """Where the server's own pull says success and changes nothing (W3)."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    upstream.source.taken = 0
    corrupt.zero(weights_path(place), CHUNK, 100)
    good(place, pull(upstream.site(place), LLAMA))
    assert upstream.source.taken == 0  # the vault has the chunk


def test_what_the_vault_holds_is_not_downloaded(place: Place, upstream: Upstream) -> None:
    """Everything is gone from the store: the vault gives it all (R2)."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    for path in (place.store / MANIFEST, *place.store.glob("blobs/*")):
        path.unlink()
    upstream.source.taken = 0
    good(place, pull(upstream.site(place), LLAMA))
    assert upstream.source.taken == 0


def test_a_moved_tag_is_asked_for(place: Place, upstream: Upstream) -> None:
    """Nothing is swapped silently; taken, the present version goes into the vault first (R4, S1)."""
    pull(upstream.site(place), LLAMA)
    upstream.tag = 1
    before = fingerprint(place.store)
    with pytest.raises(TagMoved, match="moved the tag") as caught:
        pull(upstream.site(place), LLAMA)
    assert "--accept-moved" in caught.value.next_step
    assert fingerprint(place.store) == before
    report = pull(upstream.site(place), LLAMA, accept_moved=True)
    good(place, report)
    assert manifest_of(place) == upstream.manifests[1]
    assert any("rollback" in note for note in report.notes)


def test_without_a_vault_the_loss_is_said(place: Place, upstream: Upstream) -> None:
    """The old version's blobs are orphans until the server's next start."""
    pull(upstream.site(place, vault=False), LLAMA)
    upstream.tag = 1
    report = pull(upstream.site(place, vault=False), LLAMA, accept_moved=True)
    assert any("not in a vault" in note for note in report.notes)


def test_a_recorded_version_counts_as_the_one_here(place: Place, upstream: Upstream) -> None:
    """The store lost it, the vault knows which it was: another one is asked for as well (R4)."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    (place.store / MANIFEST).unlink()
    upstream.tag = 1
    with pytest.raises(TagMoved):
        pull(upstream.site(place), LLAMA)


def test_rollback_goes_to_the_version_before(place: Place, upstream: Upstream) -> None:
    """And from there nowhere further back than there is."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    place.clock.advance(hours=1)
    upstream.tag = 1
    pull(upstream.site(place), LLAMA, accept_moved=True)
    place.clock.advance(hours=1)
    backup(place.site(), ())
    dry = rollback(place.site(), LLAMA, dry_run=True)
    assert (dry.dry_run, manifest_of(place)) == (True, upstream.manifests[1])
    good(place, rollback(place.site(), LLAMA))
    assert manifest_of(place) == upstream.manifests[0]
    with pytest.raises(UnknownSnapshot, match="no older version"):
        rollback(place.site(), LLAMA)
    with pytest.raises(UnknownModel):
        rollback(place.site(), ModelName.parse("nope"))


# Pins.


def test_a_pinned_model_comes_in_its_version(place: Place, upstream: Upstream) -> None:
    """The tag moved, the store lost all: the pinned digest's manifest is the vault's, its blobs come by digest (R4)."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    assert pin(place.site(), LLAMA).changed
    assert not pin(place.site(), LLAMA).changed
    upstream.tag = 1
    report = pull(upstream.site(place), LLAMA)
    assert (report.plan.models, report.notes[0][:6]) == ((), "pinned")
    for path in (place.store / MANIFEST, *place.store.glob("blobs/*")):
        path.unlink()
    for path in (place.vault / "blobs/sha256").iterdir():
        if path.stat().st_size > CHUNK:
            path.unlink()
    good(place, pull(upstream.site(place), LLAMA))
    assert manifest_of(place) == upstream.manifests[0]
    assert upstream.source.taken > len(OLD)


def test_a_pin_that_nobody_can_fill_is_said(place: Place, upstream: Upstream) -> None:
    """With the way to let go of it."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    with place.site().the_vault().writing("test") as writer:
        decided = place.site().the_vault().protected()
        decided.pins[LLAMA] = Digest("1" * 64)
        writer.protect(decided)
    with pytest.raises(TagMoved) as caught:
        pull(upstream.site(place), LLAMA)
    assert "pin --off" in caught.value.next_step
    assert unpin(place.site(), LLAMA).changed
    assert pins(place.site()).pins == {}
    good(place, pull(upstream.site(place), LLAMA))


def test_forget_keeps_what_is_pinned(place: Place, upstream: Upstream) -> None:
    """However old it is (S1); release and protect leave pins alone."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    first = place.site().the_vault().snapshots()[0]
    place.clock.advance(hours=1)
    upstream.tag = 1
    pull(upstream.site(place), LLAMA, accept_moved=True)
    backup(place.site(), ())
    pin(place.site(), LLAMA, first.id)
    report = forget(place.site(), (), Policy(keep_last=1))
    assert first.id in {snapshot.id for snapshot, _ in report.kept}
    assert ("pinned",) in {reasons for _, reasons in report.kept}


def test_pinning_what_nobody_knows(place: Place) -> None:
    """A usage error."""
    with pytest.raises(UnknownModel):
        pin(place.site(), LLAMA)


# What stops a pull.


def test_no_registry_no_pull(place: Place) -> None:
    """The setting is named."""
    with pytest.raises(BadSetting, match="switched off"):
        pull(place.site(), LLAMA)


def test_a_name_that_upstream_does_not_have(place: Place, upstream: Upstream) -> None:
    """Its answer, and nothing changed."""
    before = fingerprint(place.store)
    with pytest.raises(RegistryRefused):
        pull(upstream.site(place), ModelName.parse("nope"))
    assert fingerprint(place.store) == before


def test_space_is_checked_before_the_first_byte(place: Place, upstream: Upstream) -> None:
    """A disk that cannot hold it all takes nothing (D1)."""
    (place.store / MANIFEST).parent.mkdir(parents=True)
    huge = json.loads(upstream.manifests[0])
    huge["layers"][0]["size"] = 1 << 46
    registry = MemoryRegistry({"llama3": json.dumps(huge).encode()})

    class Endless(MemorySource):
        def offers(self, wanted: object) -> dict[Digest, tuple[()]]:
            """Everything."""
            return {item.blob: () for item in wanted}  # type: ignore[attr-defined]

    far = Endless([])
    site = replace(place.site(make_vault=False), sources=(far,), registry=registry)
    with pytest.raises(DiskFull):
        pull(site, LLAMA)
    assert far.taken == 0
    assert list(place.store.glob("blobs/*")) == []


def test_a_store_that_is_not_the_recorded_one_gets_nothing(place: Place, upstream: Upstream) -> None:
    """Downloading into the wrong store is the classic wrong cure (I1)."""
    pull(upstream.site(place), LLAMA)
    backup(place.site(), ())
    place.store.rename(place.base / "moved")
    (place.store / "blobs").mkdir(parents=True)
    with pytest.raises(StoreNotAccepted):
        pull(upstream.site(place), LLAMA)
    good(place, pull(upstream.site(place), LLAMA, accepted=True))


def test_a_dry_run_downloads_nothing(place: Place, upstream: Upstream) -> None:
    """The plan names every blob and where it comes from."""
    report = pull(upstream.site(place), LLAMA, dry_run=True)
    assert report.plan.bytes > len(OLD)
    assert {step.source for step in report.plan.models[0].steps} == {"upstream"}
    assert upstream.source.taken == 0
    assert list(place.store.glob("blobs/*")) == []
