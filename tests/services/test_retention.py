"""Prune frees what no version names, whatever else of a version is damaged (S1)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from modelward.domain.digest import Digest
from modelward.domain.errors import VaultUnreadable
from modelward.domain.snapshot import Snapshot
from modelward.services.backup import backup
from modelward.services.retention import prune
from modelward.testing import FakeStore, corrupt
from tests.models import digest_of
from tests.places import Place

ORPHAN = b"named by nobody"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two versions of a model, and an object that none of them names, old enough to go."""
    place = Place(tmp_path)
    for weights in (b"v" * 5000, b"w" * 5000):
        FakeStore(place.store).add_model("llama3", weights)
        backup(place.site(), ())
        place.clock.advance(minutes=1)
    object_path(place, digest_of(ORPHAN)).write_bytes(ORPHAN)
    place.clock.advance(days=9000)
    return place


def object_path(place: Place, digest: Digest) -> Path:
    """Where an object of the vault lies."""
    return place.vault / "blobs/sha256" / digest.hex


def oldest(place: Place) -> Snapshot:
    """The version that the store does not serve any more."""
    return place.site().the_vault().snapshots()[-1]


@pytest.mark.parametrize("how", [corrupt.empty, corrupt.delete])
def test_a_lost_manifest_stops_no_prune(place: Place, how: Callable[[Path], object]) -> None:
    """The wrapper names every object of its version, the lost one too: these stay, the rest goes."""
    before = set(place.site().the_vault().objects())
    lost = oldest(place).manifest
    how(object_path(place, lost))
    assert prune(place.site(), timedelta(days=1)).objects == (digest_of(ORPHAN),)
    assert before - set(place.site().the_vault().objects()) <= {digest_of(ORPHAN), lost}


@pytest.mark.parametrize("how", [corrupt.empty, corrupt.delete])
def test_a_lost_wrapper_stops_it(place: Place, how: Callable[[Path], object]) -> None:
    """Nobody else knows all that its version needs: nothing is freed, and the way on is said (S1)."""
    before = set(place.site().the_vault().objects())
    lost = oldest(place).wrapper
    how(object_path(place, lost))
    with pytest.raises(VaultUnreadable, match="nothing is pruned") as caught:
        prune(place.site(), timedelta(days=1))
    assert caught.value.next_step
    assert before - set(place.site().the_vault().objects()) <= {lost}
