"""Restore brings a named or the newest provable version back, exactly, where the user wants it."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from modelward.domain.errors import NotRepairable, UnknownModel, UnknownSnapshot
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.retention import forget, prune
from modelward.services.verify import verify
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.places import Place

CHUNK = 1 << 20
LLAMA = ModelName.parse("llama3")


def weights(version: int) -> bytes:
    """The weights of a version."""
    return bytes([version]) * (CHUNK + 99)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store whose llama3 had two versions, both in the vault."""
    place = Place(tmp_path)
    for version in (1, 2):
        FakeStore(place.store).add_model("llama3", weights(version), template=b"{{ .Prompt }}")
        backup(place.site(), ())
        place.clock.advance(minutes=1)
    return place


def ids(place: Place) -> list[str]:
    """Snapshot ids, the newest first."""
    return [snapshot.id for snapshot in place.site().the_vault().snapshots()]


def served(place: Place) -> bytes:
    """The weights that the manifest names now."""
    manifest = place.site().store.inventory().models[LLAMA].manifest
    digest = max(manifest.blobs, key=lambda blob: blob.size).digest
    return (place.store / "blobs" / f"sha256-{digest.hex}").read_bytes()


def test_a_deleted_model_comes_back_exactly(place: Place) -> None:
    """Blobs, manifest bytes, modes and owners are as before (R3, R5)."""
    before = fingerprint(place.store, ignore=".modelward")
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        path.unlink()
    backup_of_old = {key for key in before if "blobs/" in key}
    assert restore(place.site(), LLAMA).exit_code == 0
    after = fingerprint(place.store, ignore=".modelward")
    assert {key: value for key, value in before.items() if key in after} == after
    assert backup_of_old - set(after), "blobs of the old version are not brought back"


def test_an_older_version_by_its_id(place: Place) -> None:
    """MODEL@SNAPSHOT brings back that version, by any part of the id that is enough."""
    new, old = ids(place)
    restore(place.site(), LLAMA, old.partition("-")[2][:8])
    assert served(place) == weights(1)
    restore(place.site(), LLAMA, new)
    assert served(place) == weights(2)


def test_a_version_that_was_gone_back_to_is_the_current_one(place: Place) -> None:
    """After a restore of an old version neither repair nor forget prefers the one that was left (S1)."""
    old = ids(place)[1]
    place.clock.advance(minutes=1)
    restore(place.site(), LLAMA, old)
    FakeStore(place.store).delete_manifest("llama3")
    assert repair(place.site(), ()).exit_code == 0
    assert served(place) == weights(1)
    forget(place.site(), (), Policy(keep_last=1))
    place.clock.advance(days=30)
    prune(place.site(), timedelta(days=14))
    FakeStore(place.store).delete_manifest("llama3")
    assert restore(place.site(), LLAMA).exit_code == 0
    assert served(place) == weights(1)


def test_nothing_is_copied_that_is_there(place: Place) -> None:
    """A second restore finds everything good and does nothing."""
    restore(place.site(), LLAMA)
    report = restore(place.site(), LLAMA)
    assert (report.actions, report.bytes_moved, report.exit_code) == ((), 0, 0)


def test_it_falls_back_to_an_older_version_and_says_so(place: Place) -> None:
    """A newest version that the vault cannot prove is passed over, by name."""
    newest = place.site().the_vault().content(place.site().the_vault().snapshots()[0])
    blob = max(newest.manifest.blobs, key=lambda item: item.size).digest
    corrupt.flip_bit(place.vault / "blobs" / "sha256" / blob.hex, CHUNK, 1)
    report = restore(place.site(), LLAMA)
    assert served(place) == weights(1)
    assert "passed over" in report.notes[0]
    assert newest.snapshot.id in report.notes[0]
    with pytest.raises(NotRepairable):
        restore(place.site(), LLAMA, newest.snapshot.id)


def test_a_rotten_manifest_is_no_reason_to_fall_back(place: Place) -> None:
    """It is written anew from its wrapper; what could not be proved would not be served (R2)."""
    snapshot = place.site().the_vault().snapshots()[0]
    corrupt.empty(place.vault / "blobs" / "sha256" / snapshot.manifest.hex)
    FakeStore(place.store).delete_manifest("llama3")
    assert restore(place.site(), LLAMA).notes == ()
    assert served(place) == weights(2)


def test_unknown_models_and_versions_are_named(place: Place) -> None:
    """A typing error is a usage error, with the way to look it up."""
    with pytest.raises(UnknownModel, match="nope"):
        restore(place.site(), ModelName.parse("nope"))
    with pytest.raises(UnknownSnapshot, match="1999") as caught:
        restore(place.site(), LLAMA, "1999")
    assert "modelward snapshots" in caught.value.next_step


def test_a_dry_run_changes_nothing(place: Place) -> None:
    """The plan alone."""
    FakeStore(place.store).delete_manifest("llama3")
    before = fingerprint(place.store)
    report = restore(place.site(), LLAMA, dry_run=True)
    assert [type(step).__name__ for step in report.plan.models[0].steps] == ["PlaceManifest"]
    assert fingerprint(place.store) == before


def test_a_bad_file_under_the_right_name_is_replaced(place: Place) -> None:
    """What stands there is proved before it counts (W3)."""
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        if path.stat().st_size > CHUNK:
            path.write_bytes(b"\7" * path.stat().st_size)
    assert restore(place.site(), LLAMA).exit_code == 0
    assert served(place) == weights(2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_root_gives_files_to_the_stores_owner(place: Place) -> None:
    """A restore by root into the service's store leaves nothing that the service cannot read (R5)."""
    for path in (place.store, *place.store.rglob("*")):
        os.chown(path, 1234, 1235)
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        path.unlink()
    restore(place.site(), LLAMA)
    for path in place.store.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235) or path.name == "lock", path


def test_a_vault_that_was_copied_to_another_disk_heals_and_restores(place: Place) -> None:
    """Its receipts are for other files: it is proved when it is read, and told to be no less recoverable (W3)."""
    shutil.copytree(place.vault, place.base / "copy")
    shutil.rmtree(place.vault)
    (place.base / "copy").rename(place.vault)
    weights_now = max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_mtime_ns)
    weights_now.unlink()
    assert verify(place.site(), (), Level.QUICK).exit_code == 1
    assert repair(place.site(), ()).exit_code == 0
    for path in place.store.glob("blobs/*"):
        path.unlink()
    assert restore(place.site(), LLAMA).exit_code == 0
    assert served(place) == weights(2)
