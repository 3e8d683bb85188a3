"""Vaults and bundles that earlier releases wrote stay readable, and those of a later one are refused politely."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from modelward.bundles.reader import opened_bundle
from modelward.domain.errors import BadBundle, VaultNewer
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.snapshot import FORMAT_VERSION
from modelward.services.backup import backup
from modelward.services.import_ import import_bundle
from modelward.services.restore import restore
from modelward.services.retention import undelete
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, FrozenClock, fingerprint
from tests.compat.make import HERE, weights
from tests.places import BEGIN, Place

FORMATS = sorted(HERE.glob("format-*"))
LLAMA = ModelName.parse("llama3")


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A copy of a vault that a release wrote, with a store that is empty."""
    place = Place(tmp_path, FrozenClock(BEGIN.replace(month=3)))
    shutil.copytree(request.param / "vault", place.vault)
    FakeStore(place.store)
    return place


def test_there_is_a_vault_of_every_format() -> None:
    """From the first one to that of this program."""
    assert [path.name for path in FORMATS] == [f"format-{number}" for number in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize("written", FORMATS, ids=lambda path: path.name)
def test_the_fixture_is_what_was_written(written: Path) -> None:
    """Not a file is lacking or changed since: every object has the hash that its name says."""
    said = json.loads((written / "what.json").read_text())
    objects = {path.name: sha256(path.read_bytes()).hexdigest() for path in (written / "vault/blobs/sha256").iterdir()}
    assert sorted(objects) == said["objects"] == sorted(objects.values())
    files = sorted(
        str(path.relative_to(written / "vault")) for path in (written / "vault").rglob("*") if path.is_file()
    )
    assert files == said["files"]


def test_an_old_vault_opens_and_is_good(place: Place) -> None:
    """All records, the trash, what is released; every object proved; not an entry of the audit log is in doubt."""
    vault = place.site(make_vault=False).the_vault()
    assert {snapshot.model.short for snapshot in vault.snapshots()} == {"llama3:latest", "tiny:1b"}
    assert [item.snapshot.model for item in vault.trashed()] == [LLAMA]
    assert [name.short for name in vault.protected().released] == ["tiny:1b"]
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0


def test_an_old_vault_gives_its_models_back(place: Place) -> None:
    """The newest version, then the one from the trash, to the byte; and it takes a new one."""
    assert restore(place.site(), LLAMA, accepted=True).exit_code == 0
    assert weights(2) in contents(place)
    oldest = undelete(place.site(), place.site().the_vault().trashed()[0].snapshot.id)
    assert restore(place.site(), LLAMA, oldest.id, accepted=True).exit_code == 0
    assert weights(1) in contents(place)
    FakeStore(place.store).add_model("new", b"new", template=b"{{ .Prompt }}")
    assert backup(place.site(), (ModelName.parse("new"),), accepted=True).exit_code == 0
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0


def contents(place: Place) -> set[bytes]:
    """The bytes of all blobs in the store."""
    return {path.read_bytes() for path in place.store.glob("blobs/*")}


@pytest.mark.parametrize("written", FORMATS, ids=lambda path: path.name)
def test_an_old_bundle_is_taken_in(written: Path, tmp_path: Path) -> None:
    """Into a new vault, and from there to the byte."""
    place = Place(tmp_path)
    FakeStore(place.store)
    with opened_bundle(str(written / "llama3.bundle")) as bundle:
        assert import_bundle(place.site(), bundle).exit_code == 0
    assert restore(place.site(), LLAMA, accepted=True).exit_code == 0
    assert weights(2) in contents(place)


def test_a_vault_of_a_newer_format(place: Place) -> None:
    """Refused with what to install; not a byte of it changes."""
    info = place.vault / "modelward" / "vault.json"
    document = json.loads(info.read_text())
    info.write_text(json.dumps(document | {"format": FORMAT_VERSION + 1}))
    before = fingerprint(place.vault)
    with pytest.raises(VaultNewer) as caught:
        place.site()
    assert "newer Modelward" in caught.value.next_step
    assert fingerprint(place.vault) == before


def test_a_bundle_of_a_newer_format(tmp_path: Path) -> None:
    """Refused with what to install."""
    data = bytearray((FORMATS[-1] / "llama3.bundle").read_bytes())
    data[8] += 1
    (tmp_path / "newer").write_bytes(data)
    with pytest.raises(BadBundle, match="newer Modelward"), opened_bundle(str(tmp_path / "newer")):
        pass
