"""On real file systems: clones where there are clones, full and read-only disks, a store and vault apart."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from modelward.domain.errors import DiskFull, ModelwardError
from modelward.domain.finding import StoreUnmounted
from modelward.domain.name import ModelName
from modelward.domain.plan import Method, PatchBlob
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.mounts import protection
from modelward.services.backup import backup
from modelward.services.identity import store_findings
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.retention import forget, prune
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, corrupt, fingerprint
from tests.disks import SIZES, mounted
from tests.places import Place

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount loop devices"),
]
MIB = 1 << 20
LLAMA = ModelName.parse("llama3")
WEIGHTS = bytes(range(256)) * (6 * MIB // 256) + b"tail"
CLONES = {"xfs", "btrfs"}


@pytest.fixture(params=sorted(SIZES))
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A mounted file system of each kind."""
    with mounted(request.param, tmp_path) as point:
        yield request.param, point


def fill(place: Place) -> None:
    """One model of six chunks and a bit."""
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")


def weights(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def test_the_whole_circle(disk: tuple[str, Path]) -> None:
    """Backup, damage, repair, loss and restore are exact on every file system (R3): a clone where files clone."""
    kind, point = disk
    place = Place(point)
    fill(place)
    before = fingerprint(place.store)
    assert backup(place.site(), ()).exit_code == 0
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    corrupt.zero(weights(place), 3 * MIB + 5, 100)
    os.sync()
    place.clock.advance(minutes=1)
    healed = repair(place.site(), ())
    step = healed.plan.models[0].steps[0]
    assert isinstance(step, PatchBlob)
    assert step.method is (Method.CLONE if kind in CLONES else Method.IN_PLACE)
    assert (healed.exit_code, healed.bytes_moved) == (0, MIB)
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        path.unlink()
    back = restore(place.site(), LLAMA, accepted=True)
    assert back.exit_code == 0
    copied = sum(action.bytes_moved for action in back.actions if action.step == "PlaceBlob")
    assert copied == (0 if kind in CLONES else copied)
    assert (copied == 0) == (kind in CLONES)
    assert fingerprint(place.store, ignore=".modelward") == before
    assert verify(place.site(), (), Level.FULL).exit_code == 0


def test_a_disk_without_room_for_the_copy(disk: tuple[str, Path]) -> None:
    """Checked before the first byte: DiskFull says how much is wanted and free; old versions stay (D1)."""
    _, point = disk
    place = Place(point)
    fill(place)
    backup(place.site(), ())
    FakeStore(place.store).add_model("llama3", WEIGHTS[::-1], template=b"{{ .Prompt }}")
    with (point / "filler").open("wb") as filler:
        space = os.statvfs(point)
        with suppress(OSError):  # btrfs says more than it then gives
            os.posix_fallocate(filler.fileno(), 0, max(0, space.f_bavail * space.f_frsize - 5 * MIB))
    place.reserve = 2 * MIB
    place.clock.advance(minutes=1)
    try:
        report = backup(place.site(), ())
    except DiskFull as full:
        assert "free" in full.next_step
        assert len(place.site().the_vault().snapshots()) == 1
    else:
        assert report.exit_code == 0, "a clone needs no room"
    assert not list((place.vault / "modelward" / "staging").iterdir())
    forget(place.site(), (), Policy(keep_last=1))
    prune(place.site(), place.clock.now() - place.clock.now())
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0


def test_a_read_only_vault(disk: tuple[str, Path], tmp_path: Path) -> None:
    """Everything that reads works, everything that writes says read-only and what to do."""
    _, point = disk
    place = Place(tmp_path)
    fill(place)
    place.vault.symlink_to(point / "vault")
    backup(place.site(), ())
    subprocess.run(["mount", "-o", "remount,ro", str(point)], check=True)
    assert verify(place.site(), (), Level.FULL).exit_code == 0
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    FakeStore(place.store).delete_manifest("llama3")
    corrupt.zero(weights(place), MIB, 10)
    healed = repair(place.site(), ())
    assert healed.exit_code == 0
    assert any("audit" in note and "read-only" in note for note in healed.notes)
    FakeStore(place.store).add_model("other", b"x", template=b"{{ .Prompt }}")
    with pytest.raises(ModelwardError, match="read-only") as caught:
        backup(place.site(), ())
    assert caught.value.exit_code == 5
    assert "remount" in caught.value.next_step


def test_a_store_whose_disk_is_not_mounted(tmp_path: Path) -> None:
    """The mount point is there, the disk is not: StoreUnmounted, and nothing is written into the empty folder (I1)."""
    place = Place(tmp_path)
    place.store.mkdir()
    shutil.rmtree(place.store)
    with mounted("ext4", tmp_path, "store"):
        fill(place)
        backup(place.site(), ())
    site = place.site()
    found = store_findings(site, site.store.inventory())
    assert any(isinstance(finding, StoreUnmounted) for finding in found)
    with pytest.raises(ModelwardError, match="not mounted"):
        restore(place.site(), LLAMA)
    assert not list(place.store.iterdir())


def test_protection_classes(tmp_path: Path) -> None:
    """A vault on another device says so; one beside the store survives deletion only."""
    with mounted("ext4", tmp_path) as point:
        place = Place(tmp_path)
        fill(place)
        backup(place.site(), ())
        near = place.site()
        assert protection(near.store.identity(), near.the_vault().identity).value == "1 same device"
        shutil.move(place.vault, point / "vault")
        place.vault.symlink_to(point / "vault")
        far = place.site()
        assert protection(far.store.identity(), far.the_vault().identity).value == "2 other device"
