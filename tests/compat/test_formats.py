"""What earlier releases wrote stays readable (vault, bundle, state, settings); a later one's is refused politely."""

import json
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from modelward.api.tokens import Tokens
from modelward.bundles.reader import opened_bundle
from modelward.config import FILE_NAME, resolve
from modelward.domain.codec import encode
from modelward.domain.errors import BadBundle, JournalNewer, VaultNewer
from modelward.domain.history import CheckRow, JobRow, Row
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.series import Series
from modelward.domain.snapshot import FORMAT_VERSION, VaultInfo
from modelward.journal.schema import MIGRATIONS
from modelward.journal.sqlite import open_journal
from modelward.services.backup import backup
from modelward.services.import_ import import_bundle
from modelward.services.restore import restore
from modelward.services.retention import undelete
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, FrozenClock, fingerprint
from modelward.vault.sealed import sealed, unsealed
from tests.compat.make import HERE, weights
from tests.compat.state import KINDS, plain
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
    numbers = {int(path.name.split("-")[1]) for path in FORMATS}
    assert numbers == set(range(1, FORMAT_VERSION + 1))


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
    for info in (place.vault / "modelward").glob("vault*.json"):
        newer = msgspec.structs.replace(unsealed(info.read_bytes(), VaultInfo), format=FORMAT_VERSION + 1)
        info.write_bytes(sealed(newer) if b'"seal"' in info.read_bytes() else encode(newer))
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


STATES = sorted(HERE.glob("state-*"))


@pytest.fixture(params=STATES, ids=lambda path: path.name)
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a guard kept in its state folder, and of its settings file."""
    return Path(shutil.copytree(request.param, tmp_path / "state"))


def said(state: Path) -> Any:  # noqa: ANN401 - JSON is what it is
    """What the release said that it wrote."""
    return json.loads((state / "said.json").read_text())


def test_there_is_a_state_of_every_journal() -> None:
    """From the first version to that of this program."""
    assert [path.name for path in STATES] == [f"state-{number}" for number in range(1, len(MIGRATIONS) + 1)]


def test_an_old_journal_is_gone_on_with(state: Path) -> None:
    """Every row, flip and document is there with all that was said of it; what ran is interrupted; more is kept."""
    wanted, names = said(state), {kind.__name__: kind for kind in get_args(Row)}
    opened = open_journal(state, FrozenClock(BEGIN))
    with closing(opened.journal) as journal:
        assert opened.set_aside == ""
        for name, rows in wanted["rows"].items():
            holds(rows, plain(journal.rows(names[name], BEGIN)[::-1]))
        holds(wanted["flips"], plain(journal.flips(BEGIN)[::-1]))
        holds(wanted["documents"], plain({key: journal.get(key, kind) for key, kind in KINDS.items()}))
        assert journal.interrupt_jobs(BEGIN) == 1
        assert [job.outcome for job in journal.rows(JobRow, BEGIN)] == ["failed", "interrupted"]
        assert [point.count for point in journal.series(Series.CHECKS, BEGIN)] == [1, 1]
        journal.add([CheckRow(at=BEGIN, model="new", healthy=True, recoverable=True, ready=True)])
        assert len(journal.rows(CheckRow, BEGIN)) == 1 + len(wanted["rows"]["CheckRow"])


def holds(wanted: Any, found: Any) -> None:  # noqa: ANN401 - JSON is what it is
    """Whatever was said is there still; a later release may have added fields."""
    if isinstance(wanted, dict):
        assert wanted.keys() <= found.keys()
        for key, value in wanted.items():
            holds(value, found[key])
    elif isinstance(wanted, list):
        assert len(wanted) == len(found)
        for one, other in zip(wanted, found, strict=True):
            holds(one, other)
    else:
        assert wanted == found


def test_old_tokens_open_the_same_doors(state: Path) -> None:
    """Who had a token has the same scope with it."""
    book = Tokens(state, FrozenClock(BEGIN))
    for scope, secret in said(state)["tokens"].items():
        found = book.check(secret)
        assert found is not None
        assert found.scope == scope


def test_old_settings_mean_the_same(state: Path) -> None:
    """No key of an old settings file is unknown, and none has got another meaning."""
    flags = {"config": str(state / FILE_NAME)}
    found = resolve(flags, {}, platform="linux", home=HERE, cwd=HERE).settings
    holds(said(state)["settings"], plain(found))


def test_a_journal_of_a_newer_version(state: Path) -> None:
    """Refused with what to install, and left as it is."""
    with closing(sqlite3.connect(state / "journal.db")) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = (state / "journal.db").read_bytes()
    with pytest.raises(JournalNewer) as caught:
        open_journal(state, FrozenClock(BEGIN))
    assert "newer Modelward" in caught.value.next_step
    assert (state / "journal.db").read_bytes() == before
