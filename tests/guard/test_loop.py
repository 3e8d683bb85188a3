"""The guard as a whole, one turn after the other: what it notices, heals, keeps, tells, and leaves alone."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.domain.alert import Kind
from modelward.domain.errors import DiskFull, StoreNotFound, VaultMissing, WriteFailed
from modelward.domain.history import ActionRow, DrillRow, FindingRow, JobRow, ScrubRow, SpaceRow
from modelward.domain.name import ModelName
from modelward.domain.standing import JobState
from modelward.guard import loop, tasks
from modelward.services.protect import release
from modelward.testing import delete, empty, extend, truncate, zero
from tests.guard_room import Room

MIB = 1 << 20
NAME = ModelName.parse("llama3")


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """Two models, both backed up, and a guard that has looked."""
    room = Room(tmp_path)
    room.store.add_model("llama3", b"GGUF" + os.urandom(3 * MIB), template=b"{{ .Prompt }}")
    room.store.add_model("mistral", b"GGUF" + os.urandom(2 * MIB))
    room.guard.once()
    room.notices.clear()
    return room


def _blob(room: Room, size: int = 3 * MIB) -> Path:
    return next(path for path in (room.base / "store" / "blobs").iterdir() if path.stat().st_size >= size)


def _again(room: Room) -> None:
    """Look, and do what the look asks for, as the lanes would."""
    room.guard._look("test")  # noqa: SLF001 - the lane's own turn, without its thread
    room.wait(seconds=30)
    room.guard.tick()
    room.guard._work("test")  # noqa: SLF001
    room.guard._look("test")  # noqa: SLF001


def _comes(true: Callable[[], bool], patience: float = 20.0) -> bool:
    give_up = time.monotonic() + patience
    while not true() and time.monotonic() < give_up:
        time.sleep(0.005)
    return true()


def test_a_fault_of_ours_is_told_and_looking_goes_on(room: Room) -> None:
    """A turn that fails in a way that nobody foresaw is a trouble of maintenance until a later one succeeds."""
    trouble = (Kind.MAINTENANCE, "look")
    lane = room.guard.looking
    lane.start()
    try:
        room.fails = ZeroDivisionError("unforeseen")
        lane.wake("test")
        assert _comes(lambda: trouble in room.troubles())
        room.fails = None
        lane.wake("test")
        assert _comes(lambda: trouble not in room.troubles())
    finally:
        lane.stop()
        lane.join(20)


def test_the_first_run_backs_everything_up(tmp_path: Path) -> None:
    """From nothing to proved and copied models in one run, and the picture says so."""
    room = Room(tmp_path)
    room.store.add_model("llama3", b"GGUF" + os.urandom(2 * MIB))
    jobs = room.guard.once()
    assert next((view.kind, view.state) for view in jobs) == (tasks.MAINTENANCE, JobState.DONE)
    model = room.standing.models[0]
    assert (model.healthy, model.recoverable, model.snapshots) == (True, True, 1)
    assert room.standing.ready
    assert room.notices == []


@pytest.mark.parametrize("damage", [delete, empty])
def test_a_lost_manifest_is_back_after_one_look(room: Room, damage: object) -> None:
    """G2, R3: a manifest that is deleted or emptied comes back byte for byte."""
    path = room.store.manifest_path("llama3")
    before = path.read_bytes()
    damage(path)  # type: ignore[operator]
    room.guard._look("manifest gone")  # noqa: SLF001
    assert path.read_bytes() == before
    assert room.health() == {"llama3:latest": True, "mistral:latest": True}


def test_what_was_healed_before_it_had_to_be_told_is_one_message(room: Room) -> None:
    """A model that was gone for a moment is told of once, as healed, and never as missing."""
    room.store.delete_manifest("llama3")
    room.guard._look("manifest gone")  # noqa: SLF001
    for _ in range(10):
        room.wait(seconds=10)
    assert room.told() == [("healed", "model missing")]


def test_a_manifest_is_kept_before_its_blobs_are_backed_up(room: Room) -> None:
    """G2: a new model whose manifest is lost before any backup gets it back, because its blobs are still there."""
    room.store.add_model("phi", b"GGUF" + os.urandom(MIB))
    room.guard._look("manifest changed")  # noqa: SLF001
    path = room.store.manifest_path("phi")
    before = path.read_bytes()
    delete(path)
    room.guard._look("manifest gone")  # noqa: SLF001
    assert path.read_bytes() == before


def test_a_deleted_blob_comes_back(room: Room) -> None:
    """R3: from the vault, in the same look."""
    path = _blob(room)
    before = path.read_bytes()
    delete(path)
    room.guard._look("blob gone")  # noqa: SLF001
    assert path.read_bytes() == before
    rows = room.journal.rows(ActionRow, room.place.clock.now().replace(year=2000))
    assert [(row.step, row.source, row.cause) for row in rows] == [("PlaceBlob", "vault", "guard: blob gone")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: truncate(path, MIB),
        lambda path: extend(path, b"x" * 100),
        lambda path: zero(path, MIB, 4096),
    ],
    ids=["short", "long", "zeroed"],
)
def test_a_changed_blob_is_read_and_healed(room: Room, damage: object) -> None:
    """What changed since it was proved is read again once the store is quiet, and healed."""
    path = _blob(room)
    before = path.read_bytes()
    damage(path)  # type: ignore[operator]
    _again(room)
    assert path.read_bytes() == before
    assert room.health()["llama3:latest"] is True
    assert room.journal.rows(FindingRow, room.place.clock.now().replace(year=2000))


def test_a_new_model_is_backed_up_once_the_store_is_quiet(room: Room) -> None:
    """S1: a pulled model has a proved copy without anybody asking."""
    room.store.add_model("phi", b"GGUF" + os.urandom(MIB))
    _again(room)
    phi = next(model for model in room.standing.models if model.name.short == "phi:latest")
    assert (phi.healthy, phi.recoverable, phi.snapshots) == (True, True, 1)


def test_a_moved_tag_is_an_event_and_a_new_version(room: Room) -> None:
    """R4: a name that means other bytes now is told, and both versions are kept."""
    room.store.add_model("llama3", b"GGUF" + os.urandom(2 * MIB))
    _again(room)
    room.wait(seconds=60)
    model = next(model for model in room.standing.models if model.name == NAME)
    assert model.snapshots == 2
    assert ("event", "moved tag") in room.told()


def test_a_released_model_stays_deleted(room: Room) -> None:
    """G3: deletion by the user is not damage."""
    with room.open(room.place.notes, room.guard._stop, cause="user") as place:  # noqa: SLF001
        release(place.site, NAME)
    room.store.delete_manifest("llama3")
    room.guard._look("manifest gone")  # noqa: SLF001
    assert not room.store.manifest_path("llama3").exists()
    assert room.troubles() == set()
    assert room.standing.ready


@pytest.mark.parametrize(("policy", "troubled"), [("alert", True), ("ignore", False)])
def test_the_policy_decides(room: Room, policy: str, troubled: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """G3: a model may be told of only, or be left alone."""
    room.change(policies=f"llama3={policy}")
    room.store.delete_manifest("llama3")
    room.guard._look("manifest gone")  # noqa: SLF001
    assert not room.store.manifest_path("llama3").exists()
    assert ((Kind.MODEL_MISSING, "llama3:latest") in room.troubles()) is troubled
    assert room.standing.ready is not troubled


def test_the_brake_stops_healing_until_it_is_released(room: Room) -> None:
    """G4: four models lost at once are a person's business, and are all healed once that person lets go."""
    for number in range(4):
        room.store.add_model(f"extra{number}", b"GGUF" + os.urandom(MIB))
    _again(room)
    for number in range(4):
        room.store.delete_manifest(f"extra{number}")
    room.guard._look("manifest gone")  # noqa: SLF001
    assert (Kind.BRAKE, "guard") in room.troubles()
    assert room.standing.brake.engaged
    assert not room.store.manifest_path("extra0").exists()
    room.guard.release_brake("a person")
    room.guard._look("brake released")  # noqa: SLF001
    assert all(room.store.manifest_path(f"extra{number}").exists() for number in range(4))
    assert room.troubles() == set()


def test_the_brake_outlives_the_guard(room: Room) -> None:
    """G4: a restart is no release."""
    for number in range(4):
        room.store.add_model(f"extra{number}", b"GGUF" + os.urandom(MIB))
    _again(room)
    for number in range(4):
        room.store.delete_manifest(f"extra{number}")
    room.guard._look("manifest gone")  # noqa: SLF001
    room.begin()
    room.guard._look("start")  # noqa: SLF001
    assert room.standing.brake.engaged
    assert not room.store.manifest_path("extra0").exists()


def test_another_store_is_not_written_into(room: Room) -> None:
    """I1: a new folder under the store's name is told of, and nothing is restored into it."""
    (room.base / "store").rename(room.base / "elsewhere")
    for part in ("blobs", "manifests"):
        (room.base / "store" / part).mkdir(parents=True)
    room.guard._look("store changed")  # noqa: SLF001
    assert (Kind.STORE, "store") in room.troubles()
    assert not room.standing.ready
    assert list((room.base / "store" / "blobs").iterdir()) == []


def test_one_bad_model_does_not_stop_the_others(room: Room) -> None:
    """A model that no source can heal is told of; the other one is healed in the same look."""
    lost = _blob(room)
    delete(lost)
    for copy in (room.base / "vault" / "blobs" / "sha256").iterdir():
        if copy.name in lost.name:
            delete(copy)
    room.store.delete_manifest("mistral")
    room.guard._look("test")  # noqa: SLF001
    assert room.health() == {"llama3:latest": False, "mistral:latest": True}
    assert (Kind.RESTORE, "llama3:latest") in room.troubles()


def test_what_cannot_be_healed_is_tried_again_later_and_later(room: Room) -> None:
    """A failing repair is not repeated at every look, but is again after a while."""
    lost = _blob(room)
    delete(lost)
    for copy in (room.base / "vault" / "blobs" / "sha256").iterdir():
        if copy.name in lost.name:
            delete(copy)
    for _ in range(5):
        room.guard._look("test")  # noqa: SLF001
    assert len([view for view in room.jobs.list() if view.kind == "repair"]) == 1
    room.wait(seconds=6)
    room.guard._look("test")  # noqa: SLF001
    assert len([view for view in room.jobs.list() if view.kind == "repair"]) == 2


@pytest.mark.parametrize(
    ("error", "subject"),
    [(StoreNotFound("no store here"), "store"), (VaultMissing("no vault"), "vault"), (WriteFailed("x"), "vault")],
)
def test_a_place_that_cannot_be_opened_is_a_trouble(room: Room, error: Exception, subject: str) -> None:
    """A vanished disk is told of, the guard goes on, and it is over when the disk is back."""
    room.fails = error
    room.guard._look("test")  # noqa: SLF001
    assert (Kind.STORAGE, subject) in room.troubles()
    assert not room.standing.ready
    room.fails = None
    room.guard._look("test")  # noqa: SLF001
    assert room.troubles() == set()
    assert room.standing.ready


def test_a_vault_that_is_gone_is_not_replaced(room: Room) -> None:
    """A vault on a vanished disk comes back with its disk; an empty one in its place would hide that."""
    (room.base / "vault").rename(room.base / "unplugged")
    room.guard.once()
    assert not (room.base / "vault" / "oci-layout").exists()


def test_maintenance_keeps_space_and_scrubs(room: Room) -> None:
    """A day of ticks reads the store and the vault by slices, and leaves what it measured in the journal."""
    for _ in range(24):
        room.wait(hours=1)
        room.guard.tick()
        room.guard._work("test")  # noqa: SLF001
    since = room.place.clock.now().replace(year=2000)
    assert {row.of for row in room.journal.rows(ScrubRow, since)} == {"store", "vault"}
    assert {row.of for row in room.journal.rows(SpaceRow, since)} == {"store", "vault"}
    assert room.troubles() <= {(Kind.DISK, "store"), (Kind.DISK, "vault")}


def test_a_full_disk_is_told_though_maintenance_fails_of_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1: a backup that finds no space does not keep the guard from saying that the disk is full."""

    def full(*_: object) -> None:
        raise DiskFull("not enough space", thing="vault", next_step="free some")

    room.change(disk_free="100")
    monkeypatch.setattr("modelward.guard.work.tend", full)
    room.guard.once()
    assert room.troubles() >= {(Kind.MAINTENANCE, "maintenance"), (Kind.DISK, "store"), (Kind.DISK, "vault")}


def test_rot_in_the_vault_is_found_and_healed(room: Room) -> None:
    """A scrub of the vault that finds damage heals the vault from the store."""
    copy = next(path for path in (room.base / "vault" / "blobs" / "sha256").iterdir() if path.stat().st_size >= 3 * MIB)
    before = copy.read_bytes()
    os.chmod(copy, 0o600)  # noqa: PTH101 - the corruptors write through the mode's owner bit
    zero(copy, MIB, 4096)
    for _ in range(15):
        room.wait(days=1)
        room.guard.tick()
        room.guard._work("test")  # noqa: SLF001
    assert copy.read_bytes() == before


def test_a_record_that_rotted_stops_nobody(room: Room) -> None:
    """The model comes back by it all the same, and the day's maintenance puts it in place anew (S1)."""
    records = room.base / "vault" / "modelward" / "snapshots"
    for path in records.iterdir():
        path.chmod(0o600)
        path.write_bytes(b"")
    room.store.delete_manifest("llama3")
    room.guard.once()
    assert room.health()["llama3:latest"] is True
    assert all(path.read_bytes() for path in records.iterdir())


def test_a_killed_guard_goes_on(room: Room) -> None:
    """A job that ran when the guard was killed is known as interrupted; the look does what was left."""
    room.store.delete_manifest("llama3")
    room.begin()
    room.guard._look("start")  # noqa: SLF001
    assert room.health()["llama3:latest"] is True


def test_a_single_round_calls_a_job_that_a_kill_cut_off_interrupted(room: Room) -> None:
    """Where only ``guard --once`` runs, the history does not show a job as running for ever."""
    began = room.place.clock.now()
    room.journal.job_begin(JobRow(id="cut off", kind="maintenance", models=(), cause="test", began_at=began))
    room.guard.once()
    outcomes = {row.id: row.outcome for row in room.journal.rows(JobRow, began)}
    assert outcomes["cut off"] == "interrupted"
    assert "running" not in outcomes.values()


def test_a_journal_that_cannot_be_written_costs_no_model(room: Room) -> None:
    """D1: a full disk under the journal keeps nothing from being healed."""
    room.journal.fail_with = WriteFailed("no space")
    room.store.delete_manifest("llama3")
    room.guard._look("manifest gone")  # noqa: SLF001
    assert room.store.manifest_path("llama3").exists()


@pytest.mark.parametrize("days", [30, -30])
def test_a_clock_that_jumps_starts_no_storm(room: Room, days: int) -> None:
    """Thirty days ahead or back: every task runs once at most, and no model is in trouble."""
    room.place.clock.advance(days=days)
    for _ in range(5):
        room.guard.tick()
        room.guard._work("test")  # noqa: SLF001
        room.place.clock.advance(seconds=1)
    kinds = [view.kind for view in room.jobs.list() if view.cause == "guard: schedule"]
    assert all(kinds.count(kind) <= 3 for kind in set(kinds))
    assert {kind for kind, _ in room.troubles()} <= {Kind.SCRUB, Kind.BACKUP, Kind.DISK}


def test_a_drill_is_rehearsed_and_its_times_are_kept(room: Room) -> None:
    """Once a week a model is restored into scratch, proved, timed, and taken away; the store is not touched."""
    room.wait(days=8)
    room.guard.tick()
    room.guard._work("test")  # noqa: SLF001
    rows = room.journal.rows(DrillRow, room.place.clock.now().replace(year=2000))
    assert rows
    assert all(row.ok and row.bytes > MIB for row in rows)
    assert not list((room.base / "state" / "drill").glob("*/*"))


def test_memory_is_tidied_by_the_clock(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circles are freed at the first tick and then once a minute, free memory given back every five seconds."""
    done: list[str] = []
    for name in ("free_circles", "give_back"):
        monkeypatch.setattr(loop, name, lambda name=name: done.append(name))
    for _ in range(120):
        room.guard.tick()
        room.wait(seconds=1)
    assert (done.count("free_circles"), done.count("give_back")) == (2, 24)
