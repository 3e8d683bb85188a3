"""The presenters of the vault's page."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from modelward.api.handlers_vault import VaultView
from modelward.domain.forecast import Forecast, ForecastKind
from modelward.domain.history import DrillRow
from modelward.domain.name import ModelName
from modelward.domain.space import Leftover, ModelCost, SpaceReport, VaultCost
from modelward.domain.store import Space
from modelward.forecast.record import not_enough
from modelward.web import vault
from tests.web.test_overview import named

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
GB = 10**9
DISK = Space(total=1000 * GB, free=40 * GB)


def report(*, stored: int = 10 * GB, names: int = 25 * GB, growth: int = GB) -> SpaceReport:
    """What everything costs."""
    cost = VaultCost(path="/vault", stored=stored, named=names, trash=0, growth=growth, disk=DISK)
    return SpaceReport(store="/store", disk=DISK, models=(), blobs=0, leftovers=(), vault=cost)


def view_of(cost: SpaceReport, ahead: Forecast | None = None) -> vault.VaultPage:
    """The page of a vault of class 1."""
    made = VaultView(
        path="/vault", protection="1 same device", snapshots=4, trashed=1, models=2, disk=DISK, released=(), pins={}
    )
    found = vault.view([made], cost, ahead)
    assert found is not None
    return found


def test_no_vault_is_no_page() -> None:
    """Where none was made there is nothing to tell."""
    assert vault.view([], report()) is None
    assert vault.view([], None) is None


def test_the_gain_and_the_time_to_full_are_told_with_units() -> None:
    """What storing once saves, how fast it grows, and when the disk is full."""
    found = view_of(report())
    assert (found.gain, found.gain_note) == ("2.5 times", "15 GB saved by storing shared blobs once")
    assert (found.growth, found.full) == ("1 GB a day", "40 days")
    assert found.full_note == "at 1 GB a day, with 40 GB free"
    assert (found.snapshots, found.trashed) == ("4 snapshots of 2 models", "1 snapshot in the trash")
    assert found.survives == "deletion, not the loss of the disk"
    assert found.disks[0] == ("vault", "40 GB", "1 TB", 96.0, True)


@pytest.mark.parametrize(
    ("growth", "full"),
    [(0, "not in sight"), (GB // 100, "10 years"), (GB // 10_000, "not in sight"), (GB // 10, "400 days")],
)
def test_a_disk_that_is_full_in_a_lifetime_has_a_date(growth: int, full: str) -> None:
    """Days, then years, then not in sight."""
    assert view_of(report(growth=growth)).full == full


def test_a_vault_without_shared_blobs_gains_nothing() -> None:
    """Chunk lists and wrappers make it larger than what is named; that is no loss to show."""
    assert view_of(report(stored=GB + 1, names=GB)).gain_note == "no blob is shared yet"


def test_models_without_a_copy_stand_first() -> None:
    """Every class is there, with what it survives; released models count in none."""
    models = [
        named("a", snapshots=1, protection="1 same device"),
        named("b", snapshots=1, protection="2 other device"),
        named("c"),
        named("d", protected=False),
    ]
    found = vault.classes(models)
    assert [(each.name, each.models, each.weak) for each in found if each.some] == [
        ("no copy", "1 model", True),
        ("1 same device", "1 model", True),
        ("2 other device", "1 model", False),
    ]
    assert [each.name for each in found][1:] == [
        "0 same inode",
        "1 same device",
        "2 other device",
        "3 other host",
        "4 locked",
    ]


def test_drills_tell_their_times_and_why_one_failed() -> None:
    """A failure is red and has its reason."""
    row = DrillRow(
        at=NOW,
        model="registry.ollama.ai/library/a:latest",
        snapshot="s",
        bytes=GB,
        restore_seconds=2.5,
        verify_seconds=0.5,
        ok=False,
        why="disk full",
    )
    found = vault.drills([row])[0]
    assert (found.name, found.link, found.size) == ("a:latest", "/models/a:latest", "1 GB")
    assert (found.restore, found.verify, found.mark.text, found.why) == ("2.5 s", "500 ms", "failed", "disk full")


def test_costs_and_leftovers_are_told_by_name_and_size() -> None:
    """What a model shares is not its own; what stays says why."""
    name = ModelName.parse("a")
    assert vault.costs([ModelCost(name=name, size=3 * GB, own=GB)])[0] == (
        "a:latest",
        "/models/a:latest",
        "3 GB",
        "1 GB",
    )
    left = Leftover(kind="orphan", name="ab" * 32, bytes=5, changed_at=NOW, why="too young")
    assert vault.leftovers([left])[0] == ("orphan", "ab" * 12, "5 B", NOW, "too young")


def test_what_else_grows_on_the_disk_counts() -> None:
    """Where the history of the whole disk tells a date, it is shown in place of the vault's own growth."""
    ahead = not_enough(ForecastKind.DISK, "disk of vault", 9, "modelward space --reclaim")
    what = "40 GB free; grows 20 GB a day, full in 2 days; 8 of 10 times between 1 days and 3 days"
    found = view_of(report(growth=GB), msgspec.structs.replace(ahead, when=NOW + timedelta(days=2), what=what))
    assert (found.full, found.full_note) == ("2026-01-07", "40 GB free; grows 20 GB a day, full in 2 days")
    assert view_of(report(growth=GB), msgspec.structs.replace(ahead, what=what)).full == "not within 120 days"
