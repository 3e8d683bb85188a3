"""The vault heals itself: blobs from the store and others, small objects made anew (R2, W3)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.repair_vault import repair_vault
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, MemorySource, corrupt, fingerprint
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
WEIGHTS = pattern(3 * CHUNK + 10)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A model, backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    return place


def largest(folder: Path) -> Path:
    """The weights."""
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def copy_of(place: Place) -> Path:
    """The vault's copy of the weights."""
    return largest(place.vault / "blobs/sha256")


def heal(place: Place) -> RepairReport:
    """Repair the vault, and expect every object of it proved."""
    report = repair_vault(place.site(), ())
    assert report.exit_code == 0, report
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    return report


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: corrupt.flip_bit(path, 2 * CHUNK, 1),
    "zeroed": lambda path: corrupt.zero(path, CHUNK, 4096),
    "cut": lambda path: corrupt.truncate(path, CHUNK + 3),
    "grown": lambda path: corrupt.extend(path, b"x"),
    "gone": Path.unlink,
    "empty": lambda path: corrupt.truncate(path, 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_blob_comes_back_from_the_store(place: Place, damage: str) -> None:
    """By chunks where it has some left, and what was replaced is kept (R1)."""
    path = copy_of(place)
    path.chmod(0o600)
    DAMAGE[damage](path)
    report = heal(place)
    assert report.actions[0].source in ("store", "derived")
    assert path.read_bytes() == WEIGHTS
    assert path.stat().st_mode & 0o777 == 0o400
    if damage != "gone":
        assert list((place.vault / "modelward/quarantine").iterdir())


def test_only_damaged_chunks_come(place: Place) -> None:
    """The vault's own good chunks stay its own."""
    corrupt.zero(copy_of(place), CHUNK, 4096)
    assert heal(place).bytes_moved == CHUNK


def test_upstream_heals_what_the_store_lost_too(place: Place) -> None:
    """Bad in both places: the same plans, with sources further away."""
    far = MemorySource([WEIGHTS])
    corrupt.zero(copy_of(place), CHUNK, 4096)
    largest(place.store / "blobs").unlink()
    site = replace(place.site(), sources=(*place.site().sources, far))
    assert repair_vault(site, ()).actions[0].source == "upstream"
    assert far.taken == CHUNK
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0


def test_a_rotten_store_is_no_source(place: Place) -> None:
    """Its bytes are checked by the chunk list; nothing wrong is published, and what is left is said (R2)."""
    corrupt.zero(copy_of(place), CHUNK, 4096)
    corrupt.zero(largest(place.store / "blobs"), CHUNK, 4096)
    before = copy_of(place).read_bytes()
    report = repair_vault(place.site(), ())
    assert report.exit_code in (1, 3)
    assert copy_of(place).read_bytes() == before


SMALL = ("wrapper", "manifest", "chunk list", "empty config")


@pytest.mark.parametrize("how", ["flipped", "gone"])
@pytest.mark.parametrize("which", SMALL)
def test_small_objects_are_made_anew(place: Place, which: str, how: str) -> None:
    """They follow from the model's bytes, and their digests prove it."""
    vault = place.site().the_vault()
    content = vault.content(vault.snapshots()[0])
    digest = {
        "wrapper": content.snapshot.wrapper,
        "manifest": content.snapshot.manifest,
        "chunk list": next(iter(content.wrapper.chunk_lists.values())).digest,
        "empty config": content.wrapper.objects[0].digest,
    }[which]
    path = place.vault / "blobs/sha256" / digest.hex
    good = path.read_bytes()
    path.chmod(0o600)
    if how == "gone":
        path.unlink()
    else:
        corrupt.flip_bit(path, 1, 1)
    heal(place)
    assert path.read_bytes() == good


def test_all_small_objects_at_once(place: Place) -> None:
    """Everything but blobs and records is gone: it is made anew from them."""
    vault = place.site().the_vault()
    content = vault.content(vault.snapshots()[0])
    blobs = {blob.digest for blob in content.manifest.blobs}
    for path in (place.vault / "blobs/sha256").iterdir():
        if path.name not in {blob.hex for blob in blobs}:
            path.unlink()
    heal(place)


def test_a_dry_run_changes_nothing(place: Place) -> None:
    """It prints the plan, with the bytes."""
    corrupt.zero(copy_of(place), CHUNK, 4096)
    verify_vault(place.site(), (), Level.FULL)
    before = fingerprint(place.vault / "blobs")
    report = repair_vault(place.site(), (), dry_run=True)
    assert (report.exit_code, report.plan.bytes) == (1, CHUNK)
    assert fingerprint(place.vault / "blobs") == before


def test_a_healthy_vault_needs_nothing(place: Place) -> None:
    """No step, no byte."""
    report = heal(place)
    assert (report.plan.models, report.bytes_moved) == ((), 0)


def test_rot_behind_a_lost_wrapper_is_found_in_the_same_run(place: Place) -> None:
    """Only the wrapper made anew tells that there is a blob to read."""
    vault = place.site().the_vault()
    (place.vault / "blobs/sha256" / vault.snapshots()[0].wrapper.hex).unlink()
    corrupt.zero(copy_of(place), CHUNK, 4096)
    heal(place)
    assert copy_of(place).read_bytes() == WEIGHTS
