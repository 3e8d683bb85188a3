"""A drill restores from the vault alone, proves every byte, touches nothing else and leaves nothing behind."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.errors import DiskFull, Locked, UnknownModel
from modelward.domain.name import ModelName
from modelward.durable import Folder, locked
from modelward.services.backup import backup
from modelward.services.drill import drill
from modelward.services.protect import release
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.models import pattern
from tests.places import Place

MIB = 1 << 20
WEIGHTS = pattern(3 * MIB + 5)
LLAMA, MINI = ModelName.parse("llama3"), ModelName.parse("mini")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two models, backed up; the store is gone, for a drill has no business there."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    FakeStore(place.store).add_model("mini", b"small", template=b"{{ .Other }}")
    backup(place.site(), ())
    place.clock.advance(days=1)
    return place


def state(place: Place) -> Path:
    """The folder that the setting ``state`` names."""
    return place.base / "state"


def copy_of_weights(place: Place) -> Path:
    """The vault's copy of the weights."""
    return max((place.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)


def left(place: Place) -> list[str]:
    """What lies in the places of the scratch, but for their locks."""
    folders = (state(place) / "drill", place.vault / "modelward" / "drill")
    return [path.name for folder in folders if folder.exists() for path in folder.iterdir() if path.name != "lock"]


def test_a_model_comes_back_whole_and_goes_again(place: Place) -> None:
    """The report says what, of which snapshot, where and how much; vault and store are as before."""
    before = fingerprint(place.base, ignore="modelward")
    report = drill(place.site(), state(place), LLAMA)
    (newest,) = (found for found in place.site().the_vault().snapshots() if found.model == LLAMA)
    assert (report.model, report.snapshot, report.ok, report.why) == (LLAMA, newest.id, True, "")
    assert (report.bytes, report.exit_code) == (newest.size, 0)
    assert Path(report.place) == state(place) / "drill"
    (state(place) / "drill" / "lock").unlink()
    (state(place) / "drill").rmdir()
    state(place).rmdir()
    assert fingerprint(place.base, ignore="modelward") == before


def test_a_drill_is_in_the_audit_log(place: Place) -> None:
    """With its cause and what came of it (A1)."""
    drill(replace(place.site(), cause="guard: weekly"), state(place), LLAMA)
    corrupt.delete(copy_of_weights(place))
    drill(place.site(), state(place), LLAMA)
    good, bad = [entry for entry in place.site().the_vault().audit_entries() if entry.action == "drill"]
    assert (good.model, good.cause, good.outcome) == (str(LLAMA), "guard: weekly", "done")
    assert bad.outcome != "done"
    assert float(good.keys["seconds"]) >= 0


@pytest.mark.parametrize(
    "damage",
    [
        corrupt.delete,
        lambda path: corrupt.flip_bit(path, MIB + 7, 1),
        lambda path: corrupt.truncate(path, MIB),
        lambda path: corrupt.zero(path, 0, 3 * MIB),
    ],
    ids=["lost", "flipped", "short", "zeroed"],
)
def test_a_vault_that_cannot_give_it_back_is_found_out(place: Place, damage: "object") -> None:
    """That is what a drill is for: exit code 1 and why; the store's good bytes are not asked."""
    assert callable(damage)
    damage(copy_of_weights(place))
    report = drill(place.site(), state(place), LLAMA)
    assert (report.ok, report.exit_code) == (False, 1)
    assert report.why
    assert left(place) == []


@pytest.mark.parametrize("part", ["manifest", "wrapper"])
def test_a_snapshot_that_cannot_be_read_is_found_out(place: Place, part: str) -> None:
    """A small object of it is damaged."""
    (newest,) = (found for found in place.site().the_vault().snapshots() if found.model == LLAMA)
    path = place.vault / "blobs" / "sha256" / getattr(newest, part).hex
    path.chmod(0o600)
    corrupt.flip_bit(path, 3, 1)
    report = drill(place.site(), state(place), LLAMA)
    assert (report.ok, report.bytes) == (False, 0)


def test_a_disk_that_forgets_is_found_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is read back from the scratch disk: what reads otherwise than it was written is said (V1)."""
    real, scratch = os.preadv, str(state(place))

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        got = real(fd, buffers, offset)
        if got and Path(f"/proc/self/fd/{fd}").readlink().is_relative_to(scratch):
            buffers[0][0] ^= 1
        return got

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    report = drill(place.site(), state(place), LLAMA)
    assert not report.ok
    assert "wrong bytes" in report.why


# Which one.


def test_the_one_that_has_waited_longest_is_the_likeliest(place: Place) -> None:
    """By the audit log: after a drill of one, the same roll finds the other."""
    first = drill(place.site(), state(place), roll=lambda: 0.0)
    place.clock.advance(seconds=1)
    second = drill(place.site(), state(place), roll=lambda: 0.01)
    assert {first.model, second.model} == {LLAMA, MINI}


def test_a_released_model_is_not_rehearsed_unless_named(place: Place) -> None:
    """Nobody wants it back (G3); a name says what is meant."""
    release(place.site(), LLAMA)
    for number in (0.0, 0.5, 0.99):
        assert drill(place.site(), state(place), roll=iter([number]).__next__).model == MINI
    assert drill(place.site(), state(place), LLAMA).ok


def test_nothing_to_rehearse(place: Place) -> None:
    """A name that the vault does not know, or a vault without protected models."""
    with pytest.raises(UnknownModel) as caught:
        drill(place.site(), state(place), ModelName.parse("never"))
    assert caught.value.next_step
    release(place.site(), LLAMA)
    release(place.site(), MINI)
    with pytest.raises(UnknownModel):
        drill(place.site(), state(place))


# Room, locks and crashes.


def test_the_vaults_disk_is_taken_where_the_state_has_no_room(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space is checked before a byte is written, on the one and then on the other (D1)."""
    real = durable.require_space

    def require_space(folder: Folder, size: int, reserve: int) -> None:
        if folder.path.startswith(str(state(place))):
            raise DiskFull("not enough space", thing=folder.path, next_step="free some")
        real(folder, size, reserve)

    monkeypatch.setattr("modelward.services.drill.require_space", require_space)
    report = drill(place.site(), state(place), LLAMA)
    assert (report.ok, Path(report.place)) == (True, place.vault / "modelward" / "drill")
    assert left(place) == []


def test_no_room_anywhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both places are named, and nothing was written."""

    def require_space(folder: Folder, size: int, reserve: int) -> None:
        raise DiskFull(f"{size} and {reserve} wanted", thing=folder.path, next_step="free some")

    monkeypatch.setattr("modelward.services.drill.require_space", require_space)
    with pytest.raises(DiskFull) as caught:
        drill(place.site(), state(place), LLAMA)
    assert str(state(place)) in caught.value.thing
    assert str(place.vault) in caught.value.thing
    assert caught.value.next_step
    assert left(place) == []


def test_one_drill_at_a_time(place: Place) -> None:
    """The second one is told who runs the first, and takes nothing away from it (L1)."""
    folder = Folder.open(state(place) / "drill", create=True)
    (state(place) / "drill" / "running").write_bytes(b"x")
    with (
        locked(folder, "lock", holder="drill", clock=place.clock, wait=0),
        pytest.raises(Locked, match=f"pid {os.getpid()}"),
    ):
        drill(place.site(), state(place), LLAMA)
    assert left(place) == ["running"]
    assert drill(place.site(), state(place), LLAMA).ok
    assert left(place) == []


def test_killed_at_every_call(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vault and store lose nothing, and the next drill sweeps what was left, wherever it lies."""
    drill(place.site(), state(place), LLAMA)  # which makes the folders
    total = count_calls(monkeypatch, lambda: drill(place.site(), state(place), LLAMA))
    before = fingerprint(place.vault / "blobs")
    assert total > 10
    for at in range(1, total + 1):
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                drill(place.site(), state(place), LLAMA)
        assert fingerprint(place.vault / "blobs") == before
        assert drill(place.site(), state(place), LLAMA).ok
        assert left(place) == []
        assert place.site().the_vault().audit_faults() == ()


def test_leftovers_on_the_vaults_disk_are_swept(place: Place) -> None:
    """A drill that was killed there, and the next one runs in the state's folder."""
    other = place.vault / "modelward" / "drill"
    other.mkdir()
    (other / "half").write_bytes(b"x")
    (other / "folder").mkdir()
    (other / "folder" / "more").write_bytes(b"x")
    assert drill(place.site(), state(place), LLAMA).ok
    assert left(place) == []


def test_a_backup_that_runs_does_not_keep_a_drill_waiting(place: Place) -> None:
    """It only reads the vault."""
    with place.site().the_vault().writing("backup"):
        assert drill(place.site(), state(place), LLAMA).ok


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_an_audit_log_that_cannot_be_written_is_a_note(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A vault that is mounted read-only can be rehearsed all the same."""
    real = durable.append

    def append(folder: Folder, name: str, data: bytes) -> None:
        if name == "audit.jsonl":
            raise DiskFull(os.strerror(error), thing=name, next_step="free some")
        real(folder, name, data)

    monkeypatch.setattr("modelward.vault.audit_log.append", append)
    report = drill(place.site(), state(place), LLAMA)
    assert report.ok
    assert "audit log" in report.notes[0]
