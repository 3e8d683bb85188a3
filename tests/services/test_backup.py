"""Backup takes verified bytes only, once, and says what it refuses."""

from pathlib import Path

import pytest

from modelward.domain.errors import DiskFull, UnknownModel
from modelward.domain.finding import Corrupt, Missing, StoreMoved, Truncated
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.receipt import LedgerChange
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.places import Place

LLAMA = ModelName.parse("llama3")
CHUNK = 1 << 20
WEIGHTS = bytes(range(256)) * (9 * CHUNK // 1024)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model of a bit over two chunks and one small one."""
    place = Place(tmp_path)
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small weights", template=b"{{ .Prompt }}")
    return place


def weights_path(place: Place) -> Path:
    """The file of llama3's weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def outcomes(site: Site, *names: ModelName) -> dict[str, str]:
    """Model to outcome of one run of backup."""
    return {result.name.short: result.outcome for result in backup(site, names).models}


def test_first_run_stores_everything_and_second_run_nothing(place: Place) -> None:
    """A model that did not change costs no byte and makes no new snapshot (S1)."""
    assert outcomes(place.site()) == {"llama3:latest": "stored", "mini:1b": "stored"}
    before = fingerprint(place.vault)
    assert outcomes(place.site()) == {"llama3:latest": "unchanged", "mini:1b": "unchanged"}
    assert fingerprint(place.vault) == before


def test_a_changed_tag_makes_a_second_version_and_shares_blobs(place: Place) -> None:
    """A new manifest of the same weights is a new snapshot that copies the new blobs only (S1)."""
    backup(place.site(), ())
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"another template")
    place.clock.advance(seconds=60)
    report = backup(place.site(), ())
    result = next(item for item in report.models if item.name == LLAMA)
    assert result.outcome == "stored"
    assert result.bytes_moved < CHUNK
    assert len([s for s in place.site().the_vault().snapshots() if s.model == LLAMA]) == 2


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda path: path.unlink(), Missing),
        (lambda path: corrupt.truncate(path, CHUNK + 5), Truncated),
        (lambda path: corrupt.flip_bit(path, CHUNK + 5, 3), Corrupt),
    ],
    ids=["missing", "truncated", "flipped"],
)
def test_a_damaged_model_is_refused_and_the_others_are_stored(place: Place, damage: object, kind: type) -> None:
    """One bad model never stops the others, and no unverified byte gets in (S1)."""
    assert callable(damage)
    damage(weights_path(place))
    report = backup(place.site(), ())
    by_name = {result.name.short: result for result in report.models}
    assert by_name["llama3:latest"].outcome == "refused"
    assert isinstance(by_name["llama3:latest"].findings[0], kind)
    assert by_name["mini:1b"].outcome == "stored"
    assert report.exit_code == 3, "nothing has good bytes of it"
    assert {s.model.short for s in place.site().the_vault().snapshots()} == {"mini:1b"}


def test_refusal_of_a_model_that_the_vault_can_heal_exits_with_1(place: Place) -> None:
    """The exit code tells damage that can be repaired from damage that cannot."""
    backup(place.site(), ())
    weights_path(place).unlink()
    assert backup(place.site(), ()).exit_code == 1


def test_a_damaged_copy_in_the_vault_is_stored_anew(place: Place) -> None:
    """When verify found the vault's object bad, the next backup replaces it from the store and keeps the bad one."""
    backup(place.site(), ())
    site = place.site()
    blob = max(site.the_vault().objects().items(), key=lambda item: item[1].file.size)[0]
    corrupt.flip_bit(place.vault / "blobs" / "sha256" / blob.hex, 77, 1)
    site.ledgers.update("vault", LedgerChange(dropped=frozenset({blob.hex})))
    assert outcomes(place.site())["llama3:latest"] == "stored"
    assert place.site().the_vault().intact(blob, len(WEIGHTS))
    assert (place.vault / "blobs" / "sha256" / blob.hex).read_bytes() == WEIGHTS
    assert list((place.vault / "modelward" / "quarantine").iterdir())


def test_backup_without_names_leaves_released_models_out(place: Place) -> None:
    """A released model is backed up only when it is named (G3)."""
    backup(place.site(), ())
    release(place.site(), LLAMA)
    assert outcomes(place.site()) == {"mini:1b": "unchanged"}
    assert outcomes(place.site(), LLAMA) == {"llama3:latest": "unchanged"}


def test_configured_models_alone_are_backed_up(place: Place) -> None:
    """MODEL names the models that are protected."""
    place.models = (ModelName.parse("mini:1b"),)
    assert outcomes(place.site()) == {"mini:1b": "stored"}


def test_an_unknown_model_is_named_with_its_neighbours(place: Place) -> None:
    """A typing error is answered with the names that are near."""
    with pytest.raises(UnknownModel, match="llama3:8b") as caught:
        backup(place.site(), (ModelName.parse("llama3:8b"),))
    assert "llama3:latest" in caught.value.next_step


def test_a_dry_run_says_what_would_be_copied_and_writes_nothing(place: Place) -> None:
    """--dry-run needs no vault and makes none."""
    report = backup(place.site(make_vault=False), (), dry_run=True)
    assert {result.outcome for result in report.models} == {"planned"}
    assert report.bytes_moved > len(WEIGHTS)
    assert not place.vault.exists()


def test_a_full_disk_ends_the_run_before_the_first_byte(place: Place) -> None:
    """The reserve is kept free, and nothing is left in staging (D1)."""
    place.reserve = 1 << 60
    site = place.site()
    with pytest.raises(DiskFull) as caught:
        # The reserve is at most a twentieth of the disk, so ask for more than the disk has.
        site.the_vault().writing("test").__enter__().add_blob(
            0, site.store.inventory().models[LLAMA].manifest.digest, 1 << 60
        )
    assert "free" in caught.value.next_step
    assert not list((place.vault / "modelward" / "staging").iterdir())


def test_another_folder_under_the_stores_name_is_said_and_not_recorded(place: Place) -> None:
    """A store that was replaced is a finding; its identity is not taken over without a word (I1)."""
    backup(place.site(), ())
    known = place.site().the_vault().known_store(str(place.store))
    place.store.rename(place.base / "old")
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    report = backup(place.site(), ())
    assert any(isinstance(finding, StoreMoved) for finding in report.findings)
    assert place.site().the_vault().known_store(str(place.store)) == known
    backup(place.site(), (), accepted=True)
    assert place.site().the_vault().known_store(str(place.store)) != known


def test_what_backup_proved_counts_as_verified(place: Place) -> None:
    """The receipts of a backup let a quick verify vouch for the store."""
    backup(place.site(), ())
    report = verify(place.site(), (), Level.QUICK)
    assert [verdict.healthy for verdict in report.models] == [True, True]
