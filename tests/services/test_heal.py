"""Steps that do not go as planned: clones, patches that fail, disks that lie, means that are gone by the time."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain import plan as plans
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import EXIT_OK, DiskFull, RuntimeRefused, WriteFailed
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action, RepairReport
from modelward.domain.plan import FixOwner, Method, ModelPlan, PatchBlob, Plan, PullModel, Step
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.heal import Healer, StoreBench, VaultBench
from modelward.services.pulling import Puller
from modelward.services.repair import repair
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, Fault, FaultySource, MemorySource, corrupt
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
WEIGHTS = pattern(5 * CHUNK + 10)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with a model of five chunks and a bit, backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    return place


def weights_path(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def copy_of(place: Place) -> Path:
    """The vault's copy of the weights."""
    return max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def weights_of(place: Place) -> Digest:
    """The digest of the weights."""
    return Digest(weights_path(place).name.removeprefix("sha256-"))


def lists_of(place: Place) -> list[Path]:
    """The files of the vault's chunk lists."""
    vault = place.site().the_vault()
    content = vault.content(vault.snapshots()[0])
    return [place.vault / "blobs/sha256" / item.digest.hex for item in content.wrapper.chunk_lists.values()]


def healed(place: Place, site: Site | None = None) -> RepairReport:
    """Repair, and expect the weights as they were, to the bit."""
    report = repair(site or place.site(), ())
    assert report.exit_code == EXIT_OK, report
    assert verify(place.site(), (), Level.FULL).exit_code == EXIT_OK
    assert weights_path(place).read_bytes() == WEIGHTS
    return report


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A file system on which files share bytes, as far as this process sees; the files that were shared."""

    def share(target: int, source: int) -> bool:
        shared.append(source)
        return Path(f"/dev/fd/{target}").write_bytes(os.pread(source, len(WEIGHTS), 0)) > 0

    shared: list[int] = []
    monkeypatch.setattr(durable, "clone", share)
    return shared


# Clones.


def test_a_clone_of_what_the_vault_proved_moves_no_byte(place: Place, sharing: list[int]) -> None:
    """The vault's receipt for that very file is the proof; the blob is vouched for from then on."""
    weights_path(place).unlink()
    report = healed(place)
    assert (report.bytes_moved, report.actions[0].source, len(sharing)) == (0, "vault", 1)


def test_a_clone_of_what_changed_since_is_not_believed(place: Place, sharing: list[int]) -> None:
    """The receipt is of other bytes: they are copied instead, each chunk proved, and the rot is not taken (W3)."""
    weights_path(place).unlink()
    corrupt.flip_bit(copy_of(place), CHUNK, 1)
    report = repair(place.site(), ())
    assert report.exit_code != EXIT_OK
    assert sharing == []
    assert not (place.store / "blobs" / f"sha256-{copy_of(place).name}").exists()


def test_where_files_are_cloned_the_patch_goes_into_a_clone(
    place: Place, sharing: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good chunks are shared, the damaged one is fetched, and the new file replaces the old one (R3)."""
    monkeypatch.setattr(plans, "CLONING", frozenset({place.site().store.identity().file_system}))
    corrupt.flip_bit(weights_path(place), 2 * CHUNK, 1)
    inode = weights_path(place).stat().st_ino
    report = healed(place)
    (step,) = [step for model in report.plan.models for step in model.steps]
    assert isinstance(step, PatchBlob)
    assert (step.method, report.bytes_moved, len(sharing)) == (Method.CLONE, CHUNK, 1)
    assert weights_path(place).stat().st_ino != inode


# Patches that do not take.


def fails(_: int, path: str, *__: object) -> None:
    """A disk that takes nothing there."""
    raise WriteFailed("input/output error (EIO)", thing=path)


def lies(fd: int, _: str, offset: int, view: memoryview) -> None:
    """A disk that says yes and keeps other bytes."""
    os.pwrite(fd, bytes(len(view)), offset)


@pytest.mark.parametrize("disk", [fails, lies])
def test_a_patch_that_does_not_take_goes_into_a_new_file(
    place: Place, monkeypatch: pytest.MonkeyPatch, disk: Callable[..., None]
) -> None:
    """What was written is read back from the disk; the file that took it badly is not written to again (W1, V1)."""
    monkeypatch.setattr(plans, "CLONING", frozenset())
    monkeypatch.setattr("modelward.stores.ollama_writer.write_in_place", disk)
    corrupt.flip_bit(weights_path(place), 2 * CHUNK, 1)
    inode = weights_path(place).stat().st_ino
    healed(place)
    assert weights_path(place).stat().st_ino != inode
    assert "patch_failed" in [event for event, _ in place.notes.events]


def test_what_cannot_be_kept_is_not_patched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails while the bytes to be replaced are kept: a new file, and the old one is set aside whole (R1)."""

    def unreadable(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(plans, "CLONING", frozenset())
    monkeypatch.setattr("modelward.stores.ollama_writer._copy", unreadable)
    path = weights_path(place)
    corrupt.flip_bit(path, 2 * CHUNK, 1)
    damaged, inode = path.read_bytes(), path.stat().st_ino
    healed(place)
    assert path.stat().st_ino != inode
    assert damaged in [aside.read_bytes() for aside in (place.store / ".modelward" / "quarantine").iterdir()]


def test_a_disk_that_garbles_every_write_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the patch nor the new file reads back right: said, and nothing new stands under the name (V1)."""
    monkeypatch.setattr(plans, "CLONING", frozenset({place.site().store.identity().file_system}))
    path = weights_path(place)
    corrupt.flip_bit(path, 2 * CHUNK, 1)
    before, inode = path.read_bytes(), path.stat().st_ino

    def garble(fd: int, view: memoryview, offset: int | None) -> None:
        """Chunks become zeros; what is small, such as the audit log, arrives."""
        write_all(fd, memoryview(bytes(len(view))) if len(view) >= CHUNK else view, offset)

    write_all = durable._write_all  # noqa: SLF001 - the one place through which every byte goes
    monkeypatch.setattr(durable, "_write_all", garble)
    report = repair(place.site(), ())
    assert "do not read back right" in report.actions[0].error
    assert (path.read_bytes(), path.stat().st_ino) == (before, inode)


# Suspicions.


def test_what_the_disk_withholds_comes_with_the_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros are suspected, and while that is tried a good chunk cannot be read any more: all of it is fetched."""
    path, real, tried = weights_path(place), os.preadv, list[int]()
    corrupt.zero(path, CHUNK, 8192)
    inode, far = path.stat().st_ino, MemorySource([WEIGHTS])

    class Upstream(FaultySource):
        """Once it is asked for bytes, the disk below the store begins to fail."""

        def read(self, blob: Digest, offset: int, view: memoryview) -> int:
            """Give them."""
            tried.append(offset)
            return super().read(blob, offset, view)

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if tried and os.fstat(fd).st_ino == inode:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    place.threads = 1
    site = place.site()
    report = repair(replace(site, vault=None, sources=(Upstream(far),)), ())
    monkeypatch.setattr("modelward.scan.os.preadv", real)
    assert report.actions[0].error == ""
    assert far.taken >= len(WEIGHTS)
    assert weights_path(place).read_bytes() == WEIGHTS


@pytest.mark.parametrize("way", ["whole", "suspects", "listed"])
def test_a_full_disk_ends_a_step_and_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Before the first byte, whichever way the blob was to come: a typed error, and no staged file (D1)."""

    def full(*_: object) -> None:
        raise DiskFull("not enough space", thing=place.store)

    path, site = weights_path(place), place.site()
    corrupt.flip_bit(path, 9, 1) if way == "whole" else corrupt.zero(path, CHUNK, 8192)
    if way == "listed":
        path.unlink()
    else:
        site = replace(site, vault=None, sources=(MemorySource([WEIGHTS]),))
    monkeypatch.setattr(durable, "require_space", full)
    report = repair(site, ())
    assert "not enough space" in report.actions[0].error
    assert report.exit_code != EXIT_OK
    assert list((place.store / ".modelward/staging").iterdir()) == []


# Means that are gone by the time, or never were.


def carried_out(place: Place, step: Step, *, vault: bool = False) -> Action:
    """What became of this one step on the store, or on the vault, with no runtime to download anything."""
    site, plan = place.site(), Plan(models=(ModelPlan(model=LLAMA, steps=(step,)),))
    if vault:
        with site.the_vault().writing("repair") as theirs:
            (action,) = Healer(site, VaultBench(site.the_vault(), theirs), plan).carry_out()
    else:
        with site.store.writing() as writer:
            (action,) = Healer(site, StoreBench(site.store, writer), plan, writer=writer).carry_out()
    return action


def test_a_step_for_stores_changes_no_vault(place: Place) -> None:
    """Owners are a store's: on a vault the step fails, and the object keeps its mode."""
    action = carried_out(place, FixOwner(blob=weights_of(place), owner=(0, 0, 0o644)), vault=True)
    assert "for stores only" in action.error
    assert copy_of(place).stat().st_mode & 0o777 == 0o400


def test_a_pull_without_a_runtime_moves_nothing_away(place: Place) -> None:
    """There is nobody to download it: an error, and the bad file stays under its name (R1)."""
    blob = weights_of(place)
    step = PullModel(model=LLAMA, blobs=(blob,), aside=(blob,), bytes=len(WEIGHTS))
    assert "no runtime" in carried_out(place, step).error
    site = place.site()
    with site.store.writing() as writer, pytest.raises(RuntimeRefused, match="no runtime"):
        Puller(site, {}).pull(writer, step)
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_chunk_list_that_is_gone_by_the_time_ends_the_step(place: Place) -> None:
    """Nothing proves single chunks any more: nothing is written, and the next repair plans without it (R2)."""
    corrupt.flip_bit(weights_path(place), 9, 1)
    before = weights_path(place).read_bytes()
    for path in lists_of(place):
        path.unlink()
    step = PatchBlob(
        blob=weights_of(place), size=len(WEIGHTS), spans=(Span(0, CHUNK),), source="vault", method=Method.IN_PLACE
    )
    action = carried_out(place, step)
    assert "its chunk list is gone" in action.error
    assert weights_path(place).read_bytes() == before
    healed(place)


def test_a_manifest_waits_for_a_blob_that_another_model_was_to_bring(place: Place) -> None:
    """Two models share the weights, the source fails on them: the other model's lost manifest is not put back (W2)."""
    FakeStore(place.store).add_model("mistral", WEIGHTS, template=b"{{ .System }}")
    backup(place.site(), ())
    lost = FakeStore(place.store).manifest_path("mistral")
    lost.unlink()
    corrupt.truncate(weights_path(place), 4 * CHUNK)
    copy_of(place).unlink()
    site = place.site()
    vanishing = FaultySource(MemorySource([WEIGHTS]), [Fault.VANISH])
    report = repair(replace(site, sources=(*site.sources, vanishing)), ())
    errors = {action.model.short: action.error for action in report.actions if action.error}
    assert "not whole" in errors["mistral:latest"]
    assert errors["llama3:latest"]
    assert not lost.exists()


def test_a_source_that_knows_of_its_own_damage_is_not_asked_for_the_whole(place: Place) -> None:
    """Without a chunk list the whole decides, and the vault's copy is known to be bad: upstream gives it (R2)."""
    corrupt.flip_bit(copy_of(place), CHUNK, 1)
    assert verify_vault(place.site(), (), Level.FULL).exit_code != EXIT_OK
    for path in lists_of(place):
        path.unlink()
    corrupt.flip_bit(weights_path(place), 9, 1)
    site, far = place.site(), MemorySource([WEIGHTS])
    report = healed(place, replace(site, sources=(*site.sources, far)))
    assert report.actions[0].source == "upstream"
    assert place.notes.events.count(("source_failed", {"source": "vault", "blob": str(weights_of(place))})) == 0
