"""A model goes out in a bundle and comes back: from the newest good version, into the vault, record last."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.bundles.reader import BundleReader, opened_bundle
from modelward.bundles.writer import BundleFile
from modelward.domain.audit import AuditFilter
from modelward.domain.bundle import ExportReport, ImportReport
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import (
    EXIT_OK,
    BadBundle,
    BadSetting,
    BlobMissing,
    DamageError,
    DiskFull,
    HashMismatch,
    ModelwardError,
    NotRepairable,
    UnknownModel,
    UnknownSnapshot,
)
from modelward.domain.name import ModelName
from modelward.domain.store import Space
from modelward.services.audit import show_audit
from modelward.services.backup import backup
from modelward.services.export import export
from modelward.services.import_ import import_bundle, restore_models
from modelward.services.sound import is_sound
from modelward.testing import FakeStore, MemoryVault, corrupt
from tests.bundles.made import header_of, opened, raw_record
from tests.models import make_model, pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
WEIGHTS = pattern(CHUNK) + bytes(CHUNK) + b"end"


def here(tmp_path: Path) -> Place:
    """A store with one model."""
    place = Place(tmp_path / "here")
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}", license=b"free " * 100)
    return place


def there(tmp_path: Path, name: str = "there") -> Place:
    """A store with no model in it."""
    place = Place(tmp_path / name)
    FakeStore(place.store)
    return place


def send(place: Place, path: Path, wanted: str = "", *, dry_run: bool = False, vault: bool = True) -> ExportReport:
    """Export llama3."""
    return export(place.site(make_vault=vault), LLAMA, wanted, BundleFile(str(path)), dry_run=dry_run)


def receive(place: Place, path: Path, name: ModelName | None = None, *, dry_run: bool = False) -> ImportReport:
    """Import the bundle at this path."""
    with opened_bundle(str(path)) as bundle:
        return import_bundle(place.site(), bundle, name, dry_run=dry_run)


def weights(place: Place) -> Path:
    """The file of the large blob in a store."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def test_there_and_back(tmp_path: Path) -> None:
    """A model that was exported from one vault is sound in another, and byte for byte the same in another store."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    backup(place.site(), ())
    sent = send(place, path)
    assert (sent.source, sent.outcome, sent.stored) == ("vault", "written", path.stat().st_size)
    assert sent.stored < sent.size
    got = receive(other, path)
    assert [one.outcome for one in got.models] == ["stored"]
    assert (got.blobs, got.present, got.bytes_moved) == (4, 0, sent.size)
    site = other.site()
    (snapshot,) = site.the_vault().snapshots()
    assert is_sound(site.the_vault(), snapshot)
    assert snapshot.wrapper == place.site().the_vault().snapshots()[0].wrapper
    (report,) = restore_models(site, got)
    assert report.exit_code == EXIT_OK
    first, second = FakeStore(place.store), FakeStore(other.store)
    assert first.manifest_path("llama3").read_bytes() == second.manifest_path("llama3").read_bytes()
    assert weights(other).read_bytes() == WEIGHTS


def test_from_the_store_where_there_is_no_vault(tmp_path: Path) -> None:
    """Without a vault the store's own bytes go out, proved; the bundle is the same as from a vault."""
    place = here(tmp_path)
    assert send(place, tmp_path / "store.bundle", vault=False).source == "store"
    assert not place.vault.exists()
    backup(place.site(), ())
    assert send(place, tmp_path / "vault.bundle").source == "vault"
    assert (tmp_path / "store.bundle").read_bytes() == (tmp_path / "vault.bundle").read_bytes()


@pytest.mark.parametrize(
    "damage",
    [lambda path: corrupt.flip_bit(path, CHUNK, 3), lambda path: corrupt.truncate(path, CHUNK + 5), corrupt.delete],
    ids=["flip", "truncate", "delete"],
)
def test_a_damaged_store_is_not_exported(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Bad bytes of a store never go out (S1), and nothing stands under the file's name."""
    place = here(tmp_path)
    damage(weights(place))
    with pytest.raises(DamageError) as error:
        send(place, tmp_path / "x.bundle", vault=False)
    assert error.value.thing.startswith("blobs/") or isinstance(error.value, BlobMissing)
    assert not (tmp_path / "x.bundle").exists()


def test_a_damaged_small_blob_of_a_store(tmp_path: Path) -> None:
    """Small blobs have no chunk list: they are proved by their SHA-256 as they go out."""
    place = here(tmp_path)
    template = next(path for path in place.store.glob("blobs/*") if path.read_bytes() == b"{{ .Prompt }}")
    template.write_bytes(b"{{ .Prompt ]}")
    with pytest.raises(HashMismatch):
        send(place, tmp_path / "x.bundle", vault=False)


def test_the_newest_good_version(tmp_path: Path) -> None:
    """A version that lacks a blob is passed over, and the report says so; one that was named is not."""
    place = here(tmp_path)
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    FakeStore(place.store).add_model("llama3", pattern(CHUNK + 9, seed=3), template=b"{{ .Prompt }}")
    backup(place.site(), ())
    new, old = place.site().the_vault().snapshots()
    assert send(place, tmp_path / "new.bundle").snapshot == new.id
    assert send(place, tmp_path / "old.bundle", old.id).snapshot == old.id
    blob = place.site().the_vault().content(new).manifest.blobs[1].digest
    (place.vault / "blobs" / "sha256" / blob.hex).unlink()
    report = send(place, tmp_path / "again.bundle")
    assert report.snapshot == old.id
    assert new.id in report.notes[0]
    with pytest.raises(NotRepairable):
        send(place, tmp_path / "x.bundle", new.id)
    with pytest.raises(UnknownSnapshot):
        send(place, tmp_path / "x.bundle", "nothing")


def test_a_rotten_vault_is_found_on_the_way(tmp_path: Path) -> None:
    """A flipped bit in the vault's copy ends the export; nothing stands under the file's name."""
    place = here(tmp_path)
    backup(place.site(), ())
    blob = next(path for path in (place.vault / "blobs" / "sha256").iterdir() if path.stat().st_size == len(WEIGHTS))
    blob.chmod(0o600)
    before = blob.stat()
    data = bytearray(blob.read_bytes())
    data[CHUNK + 7] ^= 1
    blob.write_bytes(data)
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(HashMismatch):
        send(place, tmp_path / "x.bundle")
    assert not (tmp_path / "x.bundle").exists()


def test_a_lost_chunk_list_is_made_anew(tmp_path: Path) -> None:
    """A vault without the chunk list of a blob proves the blob by its SHA-256 and exports it all the same."""
    place = here(tmp_path)
    backup(place.site(), ())
    send(place, tmp_path / "first.bundle")
    for path in (place.vault / "blobs" / "sha256").iterdir():
        if path.read_bytes().startswith(b"MWCHUNKS"):
            path.unlink()
    send(place, tmp_path / "second.bundle")
    assert (tmp_path / "first.bundle").read_bytes() == (tmp_path / "second.bundle").read_bytes()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """Both plans name the bytes, and leave no file, no blob and no record."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    planned = send(place, path, dry_run=True)
    assert (planned.outcome, planned.blobs) == ("planned", 4)
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == []
    sent = send(place, path)
    assert sent.stored <= planned.stored
    plan = receive(other, path, dry_run=True)
    assert ([one.outcome for one in plan.models], plan.bytes_moved, plan.blobs) == (["planned"], sent.size, 4)
    assert other.site().the_vault().snapshots() == ()
    receive(other, path)
    again = receive(other, path, dry_run=True)
    assert (again.bytes_moved, again.blobs, again.present) == (0, 0, 4)


def test_what_is_not_there(tmp_path: Path) -> None:
    """A model that nobody has, and a place inside store or vault, are refused."""
    place = here(tmp_path)
    with pytest.raises(UnknownModel):
        export(place.site(), ModelName.parse("nothing"), "", BundleFile(str(tmp_path / "x")))
    for inside in (place.store / "blobs" / "x", place.vault / "x"):
        with pytest.raises(BadSetting, match="may not lie"):
            send(place, inside)
        assert not inside.exists()


def test_the_same_bundle_again(tmp_path: Path) -> None:
    """A second import changes nothing and adds no record."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    send(place, path)
    first = receive(other, path)
    other.clock.advance(minutes=1)
    again = receive(other, path)
    assert [one.outcome for one in again.models] == ["unchanged"]
    assert again.models[0].snapshot == first.models[0].snapshot
    assert (again.blobs, again.bytes_moved) == (0, 0)


def test_another_name(tmp_path: Path) -> None:
    """--as gives the model another name; one name for two models is refused."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    send(place, path)
    assert receive(other, path, ModelName.parse("mine:8b")).models[0].name == ModelName.parse("mine:8b")
    two = make_model("a", b"one"), make_model("b", b"two")
    data = header_of(*two).raw + b"".join(raw_record(part) for part in (b"c", b"one", b"two")) + header_of(*two).end
    with pytest.raises(BadSetting, match="2 models"), opened(data) as bundle:
        import_bundle(other.site(), bundle, LLAMA)
    with opened(data) as bundle:
        report = import_bundle(other.site(), bundle)
    assert [one.name.model for one in report.models] == ["a", "b"]


def test_a_cut_bundle_is_gone_on_with(tmp_path: Path) -> None:
    """What was whole before the cut is in the vault, without a record; the whole file adds the rest."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    send(place, path)
    data = path.read_bytes()
    path.write_bytes(data[:-50])
    with pytest.raises(BadBundle, match="cut short") as error:
        receive(other, path)
    assert "in the vault now" in error.value.what
    assert other.site().the_vault().snapshots() == ()
    path.write_bytes(data)
    report = receive(other, path)
    assert report.present >= 2
    assert report.bytes_moved < 1000
    assert is_sound(other.site().the_vault(), other.site().the_vault().snapshots()[0])


def test_what_lies_in_the_vault_unproved(tmp_path: Path) -> None:
    """A vault that was copied is read before its blobs count, and a rotten one is replaced from the bundle (W3)."""
    place, other, path = here(tmp_path), there(tmp_path), tmp_path / "x.bundle"
    send(place, path)
    receive(other, path)
    blobs = other.vault / "blobs" / "sha256"
    blob = next(found for found in blobs.iterdir() if found.stat().st_size == len(WEIGHTS))
    for bad in (False, True):
        data = bytearray(WEIGHTS)
        data[5] ^= bad
        blob.chmod(0o600)
        blob.write_bytes(data)
        assert receive(other, path).bytes_moved == (len(WEIGHTS) if bad else 0)
        assert blob.read_bytes() == WEIGHTS


def test_a_vault_without_room(tmp_path: Path) -> None:
    """A bundle that does not fit is not begun (D1)."""
    place, path = here(tmp_path), tmp_path / "x.bundle"
    send(place, path)

    class Full(MemoryVault):
        def space(self) -> Space:
            return Space(total=1, free=1)

    site = replace(there(tmp_path).site(make_vault=False), vault=Full(place.clock))
    with pytest.raises(DiskFull), opened_bundle(str(path)) as bundle:
        import_bundle(site, bundle)
    assert site.the_vault().objects() == {}


def test_a_path_that_is_no_bundle(tmp_path: Path) -> None:
    """What is not there, a folder, and a file of another kind are told apart."""
    (tmp_path / "text").write_text("hello" * 100)
    openings: list[tuple[str, type[Exception]]] = [("text", BadBundle), ("nothing", BlobMissing), (".", DamageError)]
    for name, kind in openings:
        with pytest.raises(kind):
            _enter(opened_bundle(str(tmp_path / name)))


def _enter(bundle: AbstractContextManager[BundleReader]) -> None:
    with bundle:
        pass


def test_what_left_the_vault_is_in_the_audit_log(tmp_path: Path) -> None:
    """The version, the file and its size; a bundle that came to nothing with its error (A1)."""
    place = here(tmp_path)
    backup(place.site(make_vault=True), ())
    report = send(place, tmp_path / "llama3.mwb")
    send(place, tmp_path / "other.mwb", dry_run=True)
    (entry,) = show_audit(place.site(), AuditFilter(action="export")).entries
    assert (entry.model, entry.keys["snapshot"]) == (str(LLAMA), report.snapshot)
    assert (entry.keys["target"], int(entry.keys["bytes"])) == (report.path, report.stored)
    blob = max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o600)
    corrupt.flip_bit(blob, 99, 1)
    with pytest.raises(ModelwardError):
        send(place, tmp_path / "third.mwb")
    assert show_audit(place.site(), AuditFilter(action="export")).entries[-1].outcome != "done"
