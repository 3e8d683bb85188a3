"""The store is known before it is touched (I1): the recorded one without its models, or another one that has none."""

from pathlib import Path

import msgspec
import pytest

from modelward.domain.errors import StoreNotAccepted
from modelward.domain.finding import StoreEmpty
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KnownStore
from modelward.domain.store import StoreIdentity
from modelward.services.backup import backup
from modelward.services.identity import store_findings
from modelward.services.repair import repair
from modelward.testing import FakeStore, fingerprint
from tests.places import Place

LLAMA = ModelName.parse("llama3")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model, backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", b"w" * 5000, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    return place


def known(place: Place) -> KnownStore:
    """The record."""
    found = place.site().the_vault().known_store(str(place.store))
    assert found is not None
    return found


def rewrite(place: Place, **change: object) -> None:
    """Another record of the store's identity."""
    record = known(place)
    identity = msgspec.structs.replace(record.identity, **change)
    with place.site().the_vault().writing("backup") as writer:
        writer.know_store(msgspec.structs.replace(record, identity=identity))


def remove_models(place: Place) -> None:
    """As ``ollama rm`` of the last model does: manifest and blobs go, the folders stay."""
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        path.unlink()


def findings(place: Place) -> tuple[object, ...]:
    """What speaks against the store now."""
    site = place.site()
    return store_findings(site, site.store.inventory())


def test_the_folder_of_blobs_is_part_of_the_identity(place: Place) -> None:
    """Its inode; none while there is no such folder."""
    assert place.site().store.identity().blobs_inode == (place.store / "blobs").stat().st_ino
    assert known(place).identity.blobs_inode == (place.store / "blobs").stat().st_ino
    remove_models(place)
    (place.store / "blobs").rmdir()
    assert place.site().store.identity().blobs_inode == 0
    (place.store / "blobs").write_bytes(b"no folder")
    assert place.site().store.identity().blobs_inode == 0


def test_the_recorded_store_without_its_models_is_repaired(place: Place) -> None:
    """The last model was removed from the very store that is on record: it comes back without a question."""
    before = fingerprint(place.store, ignore=".modelward")
    remove_models(place)
    assert findings(place) == ()
    assert repair(place.site(), ()).exit_code == 0
    assert fingerprint(place.store, ignore=".modelward") == before


@pytest.mark.parametrize("what", ["another blobs folder", "no blobs folder", "an old record"])
def test_an_empty_store_that_may_be_another_one_is_asked_about(place: Place, what: str) -> None:
    """A wrong mount looks like this, and a record of an older version cannot tell."""
    remove_models(place)
    if what == "an old record":
        rewrite(place, blobs_inode=0)
    else:
        (place.store / "blobs").rename(place.base / "away")
    if what == "another blobs folder":
        (place.store / "blobs").mkdir()
    assert [type(finding) for finding in findings(place)] == [StoreEmpty]
    with pytest.raises(StoreNotAccepted, match="empty"):
        repair(place.site(), ())


@pytest.mark.parametrize("change", [{"inode": 1}, {"mount_point": "/elsewhere"}])
def test_equal_blobs_in_another_folder_prove_nothing(place: Place, change: dict[str, object]) -> None:
    """All of the identity has to be the recorded one."""
    remove_models(place)
    rewrite(place, **change)
    assert StoreEmpty in [type(finding) for finding in findings(place)]


def test_a_record_is_written_once(place: Place) -> None:
    """Another backup of the same store changes nothing, and neither does a folder of blobs that is away."""
    record = known(place)
    for _ in range(2):
        place.clock.advance(minutes=1)
        backup(place.site(), ())
        assert known(place) == record


def test_an_old_record_learns_the_folder_of_blobs(place: Place) -> None:
    """The next backup of a store without doubts adds it."""
    rewrite(place, blobs_inode=0)
    backup(place.site(), ())
    assert known(place).identity.blobs_inode == (place.store / "blobs").stat().st_ino


def test_an_empty_store_is_not_recorded_over_the_known_one(place: Place) -> None:
    """A backup of a store in doubt teaches the vault nothing of it."""
    remove_models(place)
    (place.store / "blobs").rename(place.base / "away")
    (place.store / "blobs").mkdir()
    record = known(place)
    backup(place.site(), ())
    assert known(place) == record


def test_a_record_of_an_older_version_is_read() -> None:
    """It has no word about the folder of blobs."""
    old = b'{"path":"/a","inode":1,"device":2}'
    assert msgspec.json.decode(old, type=StoreIdentity).blobs_inode == 0
