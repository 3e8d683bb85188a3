"""A kept manifest brings a model back that no backup has seen yet (G2), and never one that was deleted (G3)."""

from pathlib import Path

import pytest

from modelward.domain.finding import ManifestDamaged, ManifestLost
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.store import Inventory
from modelward.services.backup import backup
from modelward.services.expect import Expected, expected_models
from modelward.services.keep import keep_manifests
from modelward.services.protect import release
from modelward.services.repair import repair
from modelward.services.space import space
from modelward.services.verify import verify
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.places import Place

LLAMA = ModelName.parse("llama3")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault, and a store with one model that was kept and not backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", b"w" * 5000, template=b"{{ .Prompt }}")
    assert keep(place) == (LLAMA,)
    place.clock.advance(minutes=1)
    return place


def keep(place: Place) -> tuple[ModelName, ...]:
    """As the guard does at every change."""
    site = place.site()
    return keep_manifests(site, site.store.inventory())


def manifest_path(place: Place) -> Path:
    """The manifest's file."""
    return FakeStore(place.store).manifest_path("llama3")


def expected(place: Place) -> list[Expected]:
    """What a new process expects."""
    site = place.site()
    return expected_models(site, site.store.inventory(), ())


def test_a_manifest_is_kept_once(place: Place) -> None:
    """Only a change is written."""
    assert keep(place) == ()
    FakeStore(place.store).add_model("llama3", b"v" * 5000, template=b"{{ .Prompt }}")
    FakeStore(place.store).add_model("other", b"x")
    assert keep(place) == (LLAMA, ModelName.parse("other"))
    assert keep(place) == ()


def test_only_the_models_asked_for_are_kept(place: Place) -> None:
    """And one that is not there is no error."""
    FakeStore(place.store).add_model("other", b"x")
    site, other, gone = place.site(), ModelName.parse("other"), ModelName.parse("gone")
    assert keep_manifests(site, site.store.inventory(), (gone, other)) == (other,)


def test_nothing_is_kept_without_a_vault(tmp_path: Path) -> None:
    """There is no place for it."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", b"w")
    site = place.site(make_vault=False)
    assert keep_manifests(site, site.store.inventory()) == ()


@pytest.mark.parametrize("damage", [corrupt.delete, corrupt.empty, lambda path: corrupt.truncate(path, 50)])
def test_a_manifest_that_is_lost_before_the_first_backup_comes_back(place: Place, damage: "object") -> None:
    """Byte for byte and with its owner, from what was kept, while every blob is in the store (G2, R3)."""
    assert callable(damage)
    before = fingerprint(place.store, ignore=".modelward")
    damage(manifest_path(place))
    (model,) = expected(place)
    assert isinstance(model.findings[0], ManifestLost | ManifestDamaged)
    assert (model.origin, model.snapshot) == ("vault", None)
    assert verify(place.site(), (), Level.FULL).exit_code == 1, "damage that can be repaired"
    assert repair(place.site(), ()).exit_code == 0
    assert fingerprint(place.store, ignore=".modelward") == before


def test_a_flipped_bit_in_a_manifest_that_was_never_backed_up(place: Place) -> None:
    """It still parses: the kept one tells it, and it is not kept in its turn."""
    good = manifest_path(place).read_bytes()
    corrupt.flip_bit(manifest_path(place), good.index(b"sha256:") + 12, 0)
    assert keep(place) == ()
    assert repair(place.site(), ()).exit_code == 0
    assert manifest_path(place).read_bytes() == good


@pytest.mark.parametrize("damage", [corrupt.delete, lambda path: corrupt.truncate(path, 7)])
def test_a_model_that_was_deleted_before_its_first_backup_is_not_expected(place: Place, damage: "object") -> None:
    """One of its blobs is gone or cut as well: a user's deletion, or nothing that could be brought back."""
    assert callable(damage)
    manifest_path(place).unlink()
    damage(next(iter(place.store.glob("blobs/*"))))
    assert expected(place) == []
    assert repair(place.site(), ()).exit_code == 0
    assert not manifest_path(place).exists()


def test_a_released_model_is_not_expected(place: Place) -> None:
    """Release still ends it (G3)."""
    release(place.site(), LLAMA)
    manifest_path(place).unlink()
    assert expected(place) == []


def test_the_kept_manifest_wins_over_an_older_snapshot(place: Place) -> None:
    """A new version was pulled, and its manifest lost before the next backup: the new one comes back."""
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    FakeStore(place.store).add_model("llama3", b"v" * 5000, template=b"{{ .Prompt }}")
    newer = manifest_path(place).read_bytes()
    keep(place)
    manifest_path(place).unlink()
    assert repair(place.site(), ()).exit_code == 0
    assert manifest_path(place).read_bytes() == newer


def test_the_snapshot_wins_where_a_blob_of_the_kept_version_is_gone(place: Place) -> None:
    """The version that can be served whole is the one to bring back."""
    older = manifest_path(place).read_bytes()
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    FakeStore(place.store).add_model("llama3", b"v" * 5000, template=b"{{ .Prompt }}")
    keep(place)
    for layer in Manifest.parse(manifest_path(place).read_bytes()).layers:
        (place.store / "blobs" / f"sha256-{layer.digest.hex}").unlink()
    manifest_path(place).unlink()
    assert repair(place.site(), ()).exit_code == 0
    assert manifest_path(place).read_bytes() == older


def test_a_snapshot_that_is_younger_than_the_kept_manifest_wins(place: Place) -> None:
    """The same version too: then the record says where it comes from."""
    backup(place.site(), ())
    manifest_path(place).unlink()
    (model,) = expected(place)
    assert model.snapshot is not None
    place.clock.advance(minutes=1)
    assert repair(place.site(), ()).exit_code == 0


def test_blobs_that_a_kept_manifest_needs_are_not_reclaimed(place: Place) -> None:
    """Nobody names them now, and repair will again."""
    manifest_path(place).unlink()
    place.clock.advance(days=9000)
    report = space(place.site(), reclaim=True, dry_run=False)
    assert report.reclaimed == 0
    assert all("repair" in item.why for item in report.leftovers)
    assert repair(place.site(), ()).exit_code == 0


def test_a_damaged_kept_manifest_is_as_if_it_had_never_been(place: Place) -> None:
    """Nothing is expected from it, and nothing ends in an error."""
    for path in (place.vault / "modelward" / "manifests").glob("*.json"):
        path.write_bytes(b"{")
    manifest_path(place).unlink()
    assert expected(place) == []
    assert expected_models(place.site(), Inventory(models={}, blobs={}), ()) == []
