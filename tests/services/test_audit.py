"""Audit: every action with cause and outcome can be shown, and any change of the record is found (A1)."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from modelward.domain.audit import AuditEntry, AuditFilter
from modelward.domain.errors import VaultMissing
from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from modelward.services.audit import show_audit, verify_audit
from modelward.services.backup import backup
from modelward.services.pin import pin, unpin
from modelward.services.protect import protect, release
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.retention import forget, prune, undelete
from modelward.services.space import space
from modelward.testing import FakeStore, corrupt
from tests.places import BEGIN, Place

LLAMA = ModelName.parse("llama3")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with a model in a second version, both backed up, a minute apart."""
    place = Place(tmp_path)
    for weights in (b"v" * 5000, b"w" * 5000):
        FakeStore(place.store).add_model("llama3", weights, template=b"{{ .Prompt }}")
        backup(place.site(), ())
        place.clock.advance(minutes=1)
    return place


def shown(place: Place, **chosen: "object") -> list[AuditEntry]:
    """What is shown for a filter."""
    return list(show_audit(place.site(), AuditFilter(**chosen)).entries)  # type: ignore[arg-type]


def log(place: Place) -> Path:
    """The log's file."""
    return place.vault / "modelward" / "audit.jsonl"


def test_every_action_leaves_an_entry_with_its_cause(place: Place) -> None:
    """Whoever wanted it: the user by default, the guard with its reason."""
    site = replace(place.site(), cause="guard: manifest event")
    pin(site, LLAMA)
    unpin(site, LLAMA)
    release(site, LLAMA)
    protect(site, LLAMA)
    FakeStore(place.store).manifest_path("llama3").unlink()
    repair(site, ())
    corrupt.delete(next(iter((place.vault / "blobs" / "sha256").glob("*"))))
    repair_vault(site, ())
    forget(site, (), Policy(keep_last=1))
    undelete(site, site.the_vault().trashed()[0].snapshot.id)
    forget(site, (), Policy(keep_last=1))
    place.clock.advance(days=9000)
    prune(place.site(), timedelta(0))
    space(replace(place.site(), cause="guard: maintenance"), reclaim=True, dry_run=False)
    actions = [entry.action for entry in shown(place)]
    assert actions[:8] == ["backup", "backup", "pin", "unpin", "release", "protect", "repair", "repair --vault-copy"]
    assert actions[-5:] == ["forget", "undelete", "forget", "prune", "reclaim"]
    causes = {entry.action: entry.cause for entry in shown(place)}
    assert (causes["backup"], causes["prune"], causes["reclaim"]) == ("user", "user", "guard: maintenance")
    assert {causes[action] for action in actions[2:8]} == {"guard: manifest event"}
    assert verify_audit(place.site()).faults == ()


def test_an_entry_tells_how_it_ended(place: Place) -> None:
    """A step that failed is there with its error."""
    weights = max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_mtime_ns)
    corrupt.garble(weights, 0, 50, 1)
    corrupt.delete(place.vault / "blobs" / "sha256" / weights.name.removeprefix("sha256-"))
    site = place.site()
    FakeStore(place.store).manifest_path("llama3").unlink()
    repair(site, ())
    assert {entry.outcome for entry in shown(place, action="backup")} == {"done"}
    assert verify_audit(place.site()).exit_code == 0


def test_filters_choose_and_the_last_ones_are_shown(place: Place) -> None:
    """By time, model and action; a limit keeps the newest, in their order."""
    release(place.site(), LLAMA)
    assert [entry.action for entry in shown(place)] == ["backup", "backup", "release"]
    assert [entry.action for entry in shown(place, limit=2)] == ["backup", "release"]
    assert [entry.action for entry in shown(place, action="backup", limit=1)] == ["backup"]
    assert [entry.seq for entry in shown(place, since=BEGIN + timedelta(minutes=1))] == [2, 3]
    assert shown(place, model="other") == []
    assert len(shown(place, model=str(LLAMA))) == 3
    assert show_audit(place.site(), AuditFilter(limit=1)).total == 3
    assert [entry.seq for entry in shown(place, before=3)] == [1, 2]
    assert [entry.seq for entry in shown(place, before=3, limit=1)] == [2]
    assert shown(place, before=1) == []


def test_an_untouched_log_is_sound(place: Place) -> None:
    """Exit code 0, and how many entries were looked at."""
    verdict = verify_audit(place.site())
    assert (verdict.exit_code, verdict.entries, verdict.faults) == (0, 2, ())


@pytest.mark.parametrize("edit", ["changed", "dropped", "swapped", "cut", "doubled"])
def test_any_change_of_the_record_is_found(place: Place, edit: str) -> None:
    """Exit code 1, the line is named, and it is still found after more work (A1)."""
    release(place.site(), LLAMA)
    one, two, three = log(place).read_bytes().splitlines(keepends=True)
    lines = {
        "changed": [one, two.replace(b"user", b"uzer"), three],
        "dropped": [one, three],
        "swapped": [one, three, two],
        "cut": [one],
        "doubled": [one, one, two, three],
    }
    log(place).write_bytes(b"".join(lines[edit]))
    for _ in range(2):
        verdict = verify_audit(place.site())
        assert verdict.exit_code == 1
        assert any("line" in fault or "cut off" in fault for fault in verdict.faults)
        protect(place.site(), LLAMA)
        release(place.site(), LLAMA)


def test_without_a_vault_there_is_no_log(tmp_path: Path) -> None:
    """A typed error with a next step."""
    place = Place(tmp_path)
    place.store.mkdir()
    for ask in (verify_audit, lambda site: show_audit(site, AuditFilter())):
        with pytest.raises(VaultMissing) as caught:
            ask(place.site(make_vault=False))
        assert caught.value.next_step
