"""The vault heals itself: blobs from the store and others, small objects made anew (R2, W3)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import RegistryUnreachable, SourceFailed
from modelward.domain.finding import RecordDamaged
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.plan import RemakeRecord
from modelward.domain.reading import Level
from modelward.domain.store import Owner
from modelward.services.backup import backup
from modelward.services.derive import Derived
from modelward.services.repair_vault import repair_vault
from modelward.services.retention import undelete
from modelward.services.rollback import rollback
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, MemoryRegistry, MemorySource, corrupt, fingerprint
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


def record_of(place: Place, folder: str = "snapshots") -> Path:
    """The one record in a folder of the vault."""
    (path,) = (place.vault / "modelward" / folder).iterdir()
    return path


def test_a_record_is_made_anew(place: Place) -> None:
    """It is a finding of its model that the dry run shows and repair ends, and the audit log tells (A1)."""
    path = record_of(place)
    corrupt.empty(path)
    (verdict,) = verify_vault(place.site(), (), Level.QUICK).models
    rotted = RecordDamaged(
        path=f"modelward/snapshots/{path.name}", model=LLAMA, reason="not a Snapshot (Input data was truncated)"
    )
    assert verdict.findings == (rotted,)
    assert (verdict.healthy, verdict.recoverable) == (False, True)
    dry = repair_vault(place.site(), (), dry_run=True)
    assert (dry.exit_code, dry.plan.models[0].steps) == (1, (RemakeRecord(path=rotted.path),))
    assert path.read_bytes() == b""
    report = heal(place)
    assert [(action.step, action.target) for action in report.actions] == [("RemakeRecord", rotted.path)]
    assert not place.site().the_vault().damaged_records()
    logged = [entry for entry in place.site().the_vault().audit_entries() if entry.action == "remake record"]
    assert [entry.model for entry in logged] == [LLAMA]


def test_a_record_of_a_model_that_has_none_but_in_the_trash(place: Place) -> None:
    """It is a finding of the vault itself, and healed as well: the version can still be brought back."""
    vault = place.site().the_vault()
    (snapshot,) = vault.snapshots()
    with vault.writing("forget") as writer:
        writer.forget([snapshot])
    corrupt.flip_bit(record_of(place, "trash"), 30, 2)
    report = verify_vault(place.site(), (), Level.QUICK)
    assert (report.exit_code, report.models, len(report.findings)) == (1, (), 1)
    repair_vault(place.site(), ())
    assert undelete(place.site(), snapshot.id).id == snapshot.id
    heal(place)


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


# Where small objects are made of.


def manifest_paths(place: Place) -> tuple[Path, Path]:
    """The manifest as an object of the vault, and as the store serves it."""
    snapshot = place.site().the_vault().snapshots()[0]
    return place.vault / "blobs/sha256" / snapshot.manifest.hex, FakeStore(place.store).manifest_path("llama3")


def lose_the_manifest(place: Place, how: str) -> tuple[Path, bytes]:
    """An older version's manifest is lost in the vault, while its model is another one by now."""
    kept, _ = manifest_paths(place)
    raw = kept.read_bytes()
    FakeStore(place.store).add_model("llama3", b"another one", newline=True)
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    kept.chmod(0o600)
    SMALL_DAMAGE[how](kept)
    return kept, raw


SMALL_DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: corrupt.flip_bit(path, 100, 3),
    "empty": corrupt.empty,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("how", SMALL_DAMAGE)
def test_a_manifest_that_nobody_has_any_more_is_written_anew(place: Place, how: str) -> None:
    """The wrapper names all that Ollama writes into one: said to be repairable, then proved, and served again."""
    kept, raw = lose_the_manifest(place, how)
    (verdict,) = verify_vault(place.site(), (), Level.FULL).models
    assert (verdict.healthy, verdict.recoverable) == (False, True)
    report = heal(place)
    assert [(action.source, action.bytes_moved) for action in report.actions] == [("derived", len(raw))]
    assert kept.read_bytes() == raw
    rollback(place.site(), LLAMA)
    assert FakeStore(place.store).manifest_path("llama3").read_bytes() == raw


def test_a_manifest_in_a_form_of_its_own_is_not_made_up(tmp_path: Path) -> None:
    """What no known program wrote stays lost; it is said, and the version's blobs are looked at all the same."""
    place = Place(tmp_path)
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS)
    path = store.manifest_path("llama3")
    path.write_bytes(path.read_bytes().replace(b",", b" , "))
    backup(place.site(), ())
    kept, _ = lose_the_manifest(place, "flipped")
    corrupt.flip_bit(copy_of(place), CHUNK, 1)
    (verdict,) = verify_vault(place.site(), (), Level.FULL).models
    assert (verdict.healthy, verdict.recoverable, len(verdict.findings)) == (False, False, 2)
    report = repair_vault(place.site(), ())
    assert report.exit_code == 3
    assert [getattr(left.finding, "blob", None) for left in report.unhealed] == [Digest(kept.name)]
    assert copy_of(place).read_bytes() == WEIGHTS


def test_a_kept_manifest_is_a_source(place: Place) -> None:
    """Vault and store lost it, and wrapper too: the newest manifest of each model lies there once more (G2)."""
    kept, served = manifest_paths(place)
    raw = served.read_bytes()
    vault = place.site().the_vault()
    vault.keep_manifests([(LLAMA, raw, Owner(0, 0, 0o644))])
    for path in (kept, served, place.vault / "blobs/sha256" / vault.snapshots()[0].wrapper.hex):
        path.unlink()
    heal(place)
    assert kept.read_bytes() == raw


class Silent(MemoryRegistry):
    """A registry that does not answer."""

    def manifest(self, name: ModelName) -> Manifest:
        """It does not."""
        raise RegistryUnreachable("no answer", thing=name.short)


@pytest.mark.parametrize("upstream", ["has it", "moved on", "is silent", "is not to be asked"])
def test_a_manifest_that_vault_and_store_lost_comes_from_upstream(place: Place, upstream: str) -> None:
    """The tag is asked for, and only the very bytes that the record names are taken (R2, R4)."""
    kept, served = manifest_paths(place)
    raw = served.read_bytes()
    snapshot = place.site().the_vault().snapshots()[0]
    (place.vault / "blobs/sha256" / snapshot.wrapper.hex).unlink()  # else it would be written anew from that
    kept.unlink()
    served.unlink()
    registry = {
        "has it": MemoryRegistry({"llama3": raw}),
        "moved on": MemoryRegistry({"llama3": raw + b"\n"}),
        "is silent": Silent({}),
        "is not to be asked": None,
    }[upstream]
    report = repair_vault(replace(place.site(), registry=registry), ())
    assert (report.exit_code == 0, kept.exists()) == ((True, True) if upstream == "has it" else (False, False))
    assert upstream != "has it" or kept.read_bytes() == raw


def chunk_lists_of(place: Place) -> list[Path]:
    """The chunk lists, as objects of the vault."""
    vault = place.site().the_vault()
    content = vault.content(vault.snapshots()[0])
    return [place.vault / "blobs/sha256" / item.digest.hex for item in content.wrapper.chunk_lists.values()]


def test_a_chunk_list_is_made_of_the_first_copy_that_is_right(place: Place) -> None:
    """The vault's own copy is gone or wrong: the store's has the blob's SHA-256, and that proves the list (R2)."""
    for damage in (Path.unlink, lambda path: corrupt.flip_bit(path, 9, 1)):
        (listed,) = chunk_lists_of(place)
        good = listed.read_bytes()
        listed.unlink()
        damage(copy_of(place))
        heal(place)
        assert listed.read_bytes() == good


def test_a_chunk_list_that_nothing_proves_is_not_made(place: Place) -> None:
    """No copy of the blob is right any more: the list stays lost, the blob stays as it is, and both are said."""
    (listed,) = chunk_lists_of(place)
    listed.unlink()
    corrupt.flip_bit(copy_of(place), 9, 1)
    corrupt.flip_bit(largest(place.store / "blobs"), 9, 1)
    before = copy_of(place).read_bytes()
    report = repair_vault(place.site(), ())
    assert report.exit_code == 3
    assert [getattr(left.finding, "blob", Digest("00" * 32)).hex for left in report.unhealed] == [listed.name]
    assert "no source gave good bytes" in report.actions[0].error
    assert (listed.exists(), copy_of(place).read_bytes()) == (False, before)


def test_of_several_chunk_lists_only_the_lost_one_is_made(tmp_path: Path) -> None:
    """The others are taken as the vault has them; the wrapper that names them all follows."""
    place = Place(tmp_path)
    store = FakeStore(place.store)
    store.add_model("llava", [WEIGHTS, pattern(2 * CHUNK + 1, 7)], media_types=["model", "projector"])
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    lost, other = chunk_lists_of(place)
    good, inode = lost.read_bytes(), other.stat().st_ino
    lost.unlink()
    heal(place)
    assert (lost.read_bytes(), other.stat().st_ino) == (good, inode)


def test_what_was_not_made_anew_is_not_given() -> None:
    """A source that is asked for what it does not have says so (R2)."""
    with pytest.raises(SourceFailed, match="not made"):
        Derived({}).read(Digest("ab" * 32), 0, memoryview(bytearray(1)))
