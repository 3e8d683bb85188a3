"""Space: shared blobs once, leftovers with the reason why they stay, and a reclaim that takes nothing needed."""

import os
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import StoreNotAccepted
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.space import ModelCost, costs
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.restore import restore
from modelward.services.space import space
from modelward.services.verify import verify
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.models import pattern
from tests.places import Place

LLAMA, TWIN = ModelName.parse("llama3"), ModelName.parse("llama3:copy")
WEIGHTS = pattern(2 * CHUNK + 5)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two models that share their weights, an orphan and a leftover of a download, all two days old."""
    place = Place(tmp_path)
    fake = FakeStore(place.store)
    fake.add_model("llama3", WEIGHTS, template=b"one")
    fake.add_model("llama3:copy", WEIGHTS, template=b"two and more")
    fake.add_orphan(b"nobody")
    fake.add_partial()
    old(place, days=2)
    return place


def old(place: Place, *, days: int) -> None:
    """Let the clock stand so many days behind what lies there."""
    newest = max(os.lstat(path).st_ctime for path in place.store.rglob("*"))
    place.clock.advance(seconds=newest + days * 86_400 - place.clock.now().timestamp())


def orphan(place: Place) -> Path:
    """The blob that nobody names."""
    return place.store / "blobs" / f"sha256-{sha256(b'nobody').hexdigest()}"


def test_shared_blobs_count_once(place: Place) -> None:
    """What a model costs alone is what would be free without it."""
    report = space(place.site())
    found = {cost.name: cost for cost in report.models}
    assert found[LLAMA].shared >= len(WEIGHTS)
    assert found[LLAMA].own < 1000
    assert report.blobs == sum(path.stat().st_size for path in place.store.glob("blobs/sha256-" + "?" * 64))


def test_costs_of_values() -> None:
    """Two models of three blobs, one shared."""
    blobs = {LLAMA: {Digest("1" * 64): 10, Digest("2" * 64): 5}, TWIN: {Digest("1" * 64): 10, Digest("3" * 64): 1}}
    assert costs(blobs) == (ModelCost(name=LLAMA, size=15, own=5), ModelCost(name=TWIN, size=11, own=1))


def test_looking_changes_nothing(place: Place) -> None:
    """And says what could be freed."""
    before = fingerprint(place.store)
    report = space(place.site(make_vault=False), reclaim=True)
    assert {item.kind for item in report.leftovers if not item.why} == {"orphan", "partial"}
    assert (report.reclaimable > 0, report.reclaimed, report.exit_code) == (True, 0, 0)
    assert fingerprint(place.store) == before


def test_reclaim_takes_leftovers_and_nothing_else(place: Place) -> None:
    """Orphans and partials go, models stay, and the audit log knows."""
    backup(place.site(), ())
    report = space(place.site(), reclaim=True, dry_run=False)
    assert report.reclaimed > 0
    names = {path.name for path in place.store.glob("blobs/*")}
    assert names == {
        f"sha256-{b.digest.hex}" for m in place.site().store.inventory().models.values() for b in m.manifest.blobs
    }
    assert "reclaim" in (place.vault / "modelward/audit.jsonl").read_text()


def test_what_is_young_stays(place: Place) -> None:
    """A server may be downloading it right now."""
    report = space(place.site(), reclaim=True, dry_run=False, grace=timedelta(days=3))
    assert {item.why[:7] for item in report.leftovers} == {"younger"}
    assert orphan(place).exists()


def test_what_a_lost_model_needs_stays(place: Place) -> None:
    """Its manifest is gone, its blobs look like orphans, and the vault knows better; a released one's may go (G3)."""
    backup(place.site(), ())
    for path in place.store.glob("manifests/*/*/*/*"):
        path.unlink()
    report = space(place.site(), reclaim=True, dry_run=False)
    assert any(item.why.startswith("llama3") for item in report.leftovers)
    assert restore(place.site(), LLAMA).bytes_moved < CHUNK
    assert restore(place.site(), TWIN).exit_code == 0
    (place.store / "manifests/registry.ollama.ai/library/llama3/copy").unlink()
    release(place.site(), TWIN)
    old(place, days=2)
    assert 0 < space(place.site(), reclaim=True, dry_run=False).reclaimed < 1000
    assert verify(place.site(), (LLAMA,), Level.FULL).exit_code == 0


@pytest.mark.parametrize("damage", [b"", b"{", bytes(100)])
def test_nothing_goes_while_a_manifest_cannot_be_read(place: Place, damage: bytes) -> None:
    """Nobody knows what it names; the way out is said."""
    (place.store / "manifests/registry.ollama.ai/library/llama3/latest").write_bytes(damage)
    report = space(place.site(), reclaim=True, dry_run=False)
    assert (report.exit_code, report.reclaimed) == (1, 0)
    assert "repair" in report.refused
    assert orphan(place).exists()


def test_nothing_goes_from_another_store(place: Place) -> None:
    """A store that is not the recorded one is not tidied up (I1)."""
    backup(place.site(), ())
    place.store.rename(place.base / "old")
    fake = FakeStore(place.store)
    fake.add_model("llama3", WEIGHTS)
    fake.add_orphan(b"nobody")
    old(place, days=2)
    with pytest.raises(StoreNotAccepted):
        space(place.site(), reclaim=True, dry_run=False)
    assert orphan(place).exists()


def test_our_own_unfinished_transfers_go_too(place: Place) -> None:
    """Those that nobody went on with."""
    incoming = place.store / ".modelward/incoming"
    incoming.mkdir(parents=True)
    (incoming / "x.data").write_bytes(b"x" * 10_000)
    os.utime(incoming / "x.data", (0, 0))
    assert space(place.site()).disk.ours["incoming"] >= 10_000
    space(place.site(), reclaim=True, dry_run=False)
    assert list(incoming.iterdir()) == []


def test_the_vault_and_its_growth(place: Place) -> None:
    """What is stored, what it stands for, and when the disk will be full at this rate."""
    backup(place.site(), ())
    place.clock.advance(days=10)
    FakeStore(place.store).add_model("llama3", pattern(2 * CHUNK, 7))
    backup(place.site(), ())
    cost = space(place.site()).vault
    assert cost is not None
    assert cost.named > cost.stored
    assert cost.growth > 0
    assert cost.days_to_full is not None
    assert cost.disk.free > 0


def test_damage_in_the_vault_does_not_stop_the_counting(place: Place) -> None:
    """A wrapper that cannot be read counts as it lies there."""
    backup(place.site(), ())
    wrapper = place.site().the_vault().snapshots()[0].wrapper
    path = place.vault / "blobs/sha256" / wrapper.hex
    path.chmod(0o600)
    corrupt.flip_bit(path, 1, 1)
    assert space(place.site()).vault is not None
