"""Random damage of every class of object: found by a full verify, healed where a good source is, said where none is."""

import mmap
import os
import random
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from modelward.domain.codec import decode
from modelward.domain.errors import BadManifest
from modelward.domain.finding import Unreadable
from modelward.domain.manifest import Manifest
from modelward.domain.reading import Level
from modelward.domain.snapshot import Snapshot, Trashed
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.retention import prune
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, corrupt
from tests.campaign.plan import Run, limited
from tests.campaign.world import CHUNK, LLAMA, SOLO, TWIN, World, mapped, rot_on_disk, sha256
from tests.disks import mounted
from tests.places import Place


@pytest.fixture
def world(quick: Path) -> Iterator[World]:
    """The world, with every large file of it mapped by another process and warm in the cache."""
    world = World(quick)
    large = [path for path, data in (world.store | world.vault).items() if len(data) > CHUNK]
    with mapped(*large):
        yield world


class Outcome(NamedTuple):
    """What was damaged, how, and how it ended."""

    what: str
    how: str
    end: str = "found and healed"


def blob_in_store(world: World, rng: random.Random) -> Outcome:
    """A blob of a model that is backed up: found, and healed from the vault to the bit."""
    path = any_of_a_class(world, world.blobs, rng)
    damage = corrupt.random_damage(path, rng)
    assert verify(world.place.site(), (), Level.FULL).exit_code == 1, damage
    assert repair(world.place.site(), ()).exit_code == 0, damage
    assert not world.differing(), damage
    return Outcome(world.class_of(path), damage.kind)


def any_of_a_class(world: World, paths: Iterable[Path], rng: random.Random) -> Path:
    """First the class, then the file, so that classes with few files have their share."""
    by_class: dict[str, list[Path]] = {}
    for path in paths:
        by_class.setdefault(world.class_of(path), []).append(path)
    return rng.choice(by_class[rng.choice(sorted(by_class))])


def manifest_in_store(world: World, rng: random.Random) -> Outcome:
    """A manifest: found and healed, unless what is there says the same in other white space."""
    path = rng.choice(world.manifests)
    damage = corrupt.random_damage(path, rng)
    if verify(world.place.site(), (), Level.FULL).exit_code == 0:
        assert same_words(path.read_bytes(), world.store[path]), damage
        return Outcome(world.class_of(path), damage.kind, "without effect: it names the same blobs")
    assert repair(world.place.site(), ()).exit_code == 0, damage
    assert not world.differing(), damage
    return Outcome(world.class_of(path), damage.kind)


def manifest_in_both(world: World, rng: random.Random) -> Outcome:
    """A manifest is lost in the store and damaged in the vault: written anew from its wrapper, then served again."""
    path = rng.choice(world.manifests)
    damage = corrupt.random_damage(world.place.vault / "blobs" / "sha256" / sha256(path), rng)
    path.unlink()
    (verdict,) = [found for found in verify_vault(world.place.site(), (), Level.FULL).models if not found.healthy]
    assert verdict.recoverable, damage
    assert repair_vault(world.place.site(), ()).exit_code == 0, damage
    assert repair(world.place.site(), ()).exit_code == 0, damage
    assert not world.differing(), damage
    return Outcome("a manifest of store and vault", damage.kind)


def same_words(now: bytes, before: bytes) -> bool:
    """Whether two manifests name the same blobs."""
    try:
        return Manifest.parse(now).blobs == Manifest.parse(before).blobs
    except BadManifest:
        return False


def object_in_vault(world: World, rng: random.Random) -> Outcome:
    """A blob, chunk list, manifest, wrapper or the empty config of the vault: found, and healed from the store."""
    path = any_of_a_class(world, world.vault, rng)
    damage = corrupt.random_damage(path, rng)
    assert verify_vault(world.place.site(), (), Level.FULL).exit_code in (1, 3), damage
    assert repair_vault(world.place.site(), ()).exit_code == 0, damage
    assert not world.differing(), damage
    return Outcome(world.class_of(path), damage.kind)


def swapped(world: World, rng: random.Random) -> Outcome:
    """Two blobs have each other's bytes, in the store or in the vault."""
    if rng.random() < 0.5:
        first, second = rng.sample(world.blobs, 2)
        corrupt.swap(first, second)
        assert verify(world.place.site(), (), Level.FULL).exit_code == 1, (first, second)
        assert repair(world.place.site(), ()).exit_code == 0, (first, second)
    else:
        first, second = rng.sample(list(world.vault), 2)
        corrupt.swap(first, second)
        assert verify_vault(world.place.site(), (), Level.FULL).exit_code in (1, 3), (first, second)
        assert repair_vault(world.place.site(), ()).exit_code == 0, (first, second)
    assert not world.differing(), (first, second)
    return Outcome(world.class_of(first), "swap")


def in_both(world: World, rng: random.Random) -> Outcome:
    """Store and vault have damage in one blob: in different chunks both heal, in the same one neither is touched."""
    blob = max(world.blobs, key=lambda path: len(world.store[path]))
    here, there = rng.randrange(3), rng.randrange(3)
    corrupt.garble(blob, here * CHUNK + 5, rng.randint(1, 4000), rng.getrandbits(32))
    corrupt.garble(world.copy_of(blob), there * CHUNK + 7, rng.randint(1, 4000), rng.getrandbits(32))
    bad = {path: path.read_bytes() for path in (blob, world.copy_of(blob))}
    report = repair(world.place.site(), ())
    if here != there:
        assert report.exit_code == 0, (here, there)
        assert repair_vault(world.place.site(), ()).exit_code == 0, (here, there)
        assert not world.differing(), (here, there)
        return Outcome("a blob of store and vault", "garble, in two chunks")
    assert report.exit_code == 3, (here, there)
    assert any("no source" in action.error for action in report.actions) or report.unhealed
    assert repair_vault(world.place.site(), ()).exit_code == 3
    assert {path: path.read_bytes() for path in bad} == bad, "what cannot be healed is left as it was"
    return Outcome("a blob of store and vault", "garble, in one chunk", BEYOND)


def without_source(world: World, rng: random.Random) -> Outcome:
    """Damage in a blob that nobody else has: found, said to be beyond repair, and nothing is published."""
    path = rng.choice(world.alone)
    damage = corrupt.random_damage(path, rng)
    before = path.read_bytes() if path.exists() else None
    assert verify(world.place.site(), (), Level.FULL).exit_code == 3, damage
    report = repair(world.place.site(), ())
    if damage.kind == "extend":
        assert (report.exit_code, world.differing()) == (0, []), "what is too long is healed out of itself"
        return Outcome("a blob without a copy", damage.kind, "found and healed out of itself")
    assert report.exit_code == 3, damage
    assert [left.model for left in report.unhealed] == [SOLO], damage
    assert (path.read_bytes() if path.exists() else None) == before, damage
    assert not world.wrong(path), damage
    return Outcome("a blob without a copy", damage.kind, BEYOND)


def unreadable_sector(world: World, rng: random.Random) -> Outcome:
    """The disk gives an error for a few pages of a file of the store: found as such, healed into a new file."""
    blob = max(world.blobs, key=lambda path: len(world.store[path]))
    inode, chunk = blob.stat().st_ino, rng.randrange(3)
    with bad_sector(inode, chunk * CHUNK + 4096 * rng.randrange(1 if chunk == 2 else 256)):
        report = verify(world.place.site(), (LLAMA,), Level.FULL)
        assert any(isinstance(found, Unreadable) for found in report.models[0].findings)
        assert repair(world.place.site(), ()).exit_code == 0
    assert blob.stat().st_ino != inode
    assert not world.differing()
    return Outcome(world.class_of(blob), "unreadable sector")


@contextmanager
def bad_sector(inode: int, at: int) -> Iterator[None]:
    """Reads of a file that touch the byte ``at`` end in EIO."""
    real = os.preadv

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == inode and offset <= at < offset + sum(map(len, buffers)):
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelward.scan.os.preadv", preadv)
        yield


def record_of_the_vault(world: World, rng: random.Random) -> Outcome:
    """A record, live or in the trash: found, known all the same, and made anew; a lost one is no record any more."""
    path = rng.choice(list(world.records))
    live = path.parent.name == "snapshots"
    damage = corrupt.random_damage(path, rng)
    what = f"record in the vault{'' if live else ', in the trash'}"
    if damage.kind == "delete" and live:
        backup(world.place.site(), (decode(world.records[path], Snapshot).model,))
        for new in set(path.parent.iterdir()) - set(world.records):
            new.unlink()
        return Outcome(what, damage.kind, "lost: the next backup records the version anew")
    if damage.kind == "delete":
        assert not world.place.site().the_vault().trashed(), damage
        return Outcome(what, damage.kind, "lost: it cannot be brought back any more")
    assert verify_vault(world.place.site(), (), Level.QUICK).exit_code == 1, damage
    assert repair_vault(world.place.site(), ()).exit_code == 0, damage
    assert not world.place.site().the_vault().damaged_records(), damage
    assert _proved(path.read_bytes(), live=live) == _proved(world.records[path], live=live), damage
    return Outcome(what, damage.kind, "found and made anew")


def _proved(record: bytes, *, live: bool) -> tuple[object, ...]:
    """What a record says that a hash proves."""
    snapshot = decode(record, Snapshot) if live else decode(record, Trashed).snapshot
    return snapshot.id, snapshot.model, snapshot.wrapper, snapshot.manifest, snapshot.size


def book_of_the_vault(world: World, rng: random.Random) -> Outcome:
    """Index, checksums, receipts, what the vault is, what the user decided: made anew, or done without."""
    with world.place.site().the_vault().writing("campaign"):
        pass  # what another case left out of date is made anew now
    path = rng.choice(world.books)
    before = path.read_bytes()
    damage = corrupt.random_damage(path, rng)
    assert verify_vault(world.place.site(), (), Level.FULL).exit_code == 0, damage
    assert repair(world.place.site(), ()).exit_code == 0, damage
    assert backup(world.place.site(), (LLAMA,)).exit_code == 0, damage
    same = path.exists() and path.read_bytes() == before
    assert same or path.parent.name == "receipts", damage
    end = "found and made anew" if same else "without effect: every byte was proved without it"
    assert not world.differing(), damage
    path.write_bytes(before)
    return Outcome(f"vault: {'receipts' if path.parent.name == 'receipts' else path.name}", damage.kind, end)


BEYOND = "found, said to be beyond repair, left as it was"
KINDS: tuple[tuple[Callable[[World, random.Random], Outcome], int], ...] = (
    (blob_in_store, 30),
    (manifest_in_store, 10),
    (object_in_vault, 25),
    (manifest_in_both, 3),
    (swapped, 10),
    (in_both, 8),
    (without_source, 10),
    (unreadable_sector, 4),
    (record_of_the_vault, 4),
    (book_of_the_vault, 3),
)


@limited(little=40, share=0.65)
def test_random_damage(world: World, run: Run) -> None:
    """100 % found, 100 % healed or said to be beyond repair, 0 wrong bytes published (V1, R1, R2, R3, W3)."""
    kinds, weights = zip(*KINDS, strict=True)
    for number in run.numbers():
        with run.case(number) as rng:
            (kind,) = rng.choices(kinds, weights)
            outcome = kind(world, rng)
            assert outcome.end == BEYOND or not world.wrong(), outcome
            run.figures.update((f"what: {outcome.what}", f"how: {outcome.how}", f"end: {outcome.end}"))
        world.mend()
        world.place.clock.advance(minutes=1)


@limited(little=20, share=0.2)
def test_no_false_alarm(world: World, run: Run) -> None:
    """A full verify of undamaged store and vault finds nothing, whatever the threads and the way of reading."""
    for number in run.numbers():
        with run.case(number) as rng:
            world.place.threads = rng.randint(1, 8)
            assert verify(world.place.site(), (), Level.FULL).exit_code == 0
            assert verify_vault(world.place.site(), (), Level.FULL).exit_code == 0
            run.figures["clean verifies"] += 2
        world.place.clock.advance(minutes=1)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount loop devices")
@limited(little=3, share=0.08)
def test_rot_below_the_cache(tmp_path: Path, run: Run) -> None:
    """Bytes that change on the disk, below a warm cache and below a file that is mapped, are found and healed (V1)."""
    with mounted("ext4", tmp_path) as point:
        place = Place(tmp_path / "place")
        place.base.mkdir()
        place.store.symlink_to(point)
        FakeStore(point).add_model("llama3", random.Random(3).randbytes(3 * CHUNK + 5), template=b"{{ .Prompt }}")
        backup(place.site(), ())
        weights = max(point.glob("blobs/*"), key=lambda path: path.stat().st_size)
        for number in run.numbers():
            place.clock.advance(minutes=1)
            with run.case(number) as rng, mapped(weights):
                rot_on_disk(weights, tmp_path / "disk.img", rng)
                assert sha256(weights) == weights.name.removeprefix("sha256-"), "the cache still shows what was there"
                assert verify(place.site(), (), Level.FULL).exit_code == 1
                run.figures["found below a warm, mapped cache"] += 1
                assert repair(place.site(), ()).exit_code == 0
            place.clock.advance(minutes=1)
            assert verify(place.site(), (), Level.FULL).exit_code == 0
            prune(place.site(), timedelta(days=1))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount loop devices")
@limited(little=2, share=0.07)
def test_sectors_that_the_kernel_cannot_read(tmp_path: Path, run: Run) -> None:
    """The kernel's own EIO: a sector that btrfs knows to be wrong is found unreadable, and healed into a new file."""
    with mounted("btrfs", tmp_path) as point:
        place = Place(tmp_path / "place")
        place.base.mkdir()
        place.store.symlink_to(point)
        good = random.Random(3).randbytes(3 * CHUNK + 5)
        FakeStore(point).add_model("llama3", good, template=b"{{ .Prompt }}")
        backup(place.site(), ())
        weights = max(point.glob("blobs/*"), key=lambda path: path.stat().st_size)
        for number in run.numbers():
            place.clock.advance(minutes=1)
            with run.case(number) as rng:
                block = rng.randrange(len(good) // 4096) * 4096
                spoil(tmp_path / "disk.img", point, good[block : block + 4096])
                report = verify(place.site(), (), Level.FULL)
                (found,) = report.models[0].findings
                assert isinstance(found, Unreadable)
                assert any(span.offset <= block < span.end for span in found.spans), (block, found)
                assert repair(place.site(), ()).exit_code == 0
                assert sha256(weights) == weights.name.removeprefix("sha256-")
                run.figures["sectors with an error of the kernel: found unreadable and healed"] += 1
            place.clock.advance(minutes=1)
            assert verify(place.site(), (), Level.FULL).exit_code == 0
            prune(place.site(), timedelta(days=1))


def spoil(image: Path, point: Path, page: bytes) -> None:
    """Change a byte of this page wherever it lies in the image: it does not fit its checksum any more."""
    subprocess.run(["sync", "-f", str(point)], check=True)
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as disk:
        at = disk.find(page)
        assert at >= 0
        while at >= 0:
            disk[at] ^= 1
            at = disk.find(page, at)
        disk.flush()


def test_a_record_that_lies_is_not_believed(world: World) -> None:
    """A record whose words were changed to others of the same form does not pass for a record (S1)."""
    path = next(path for path, data in world.records.items() if b"library/twin" in data)
    corrupt.flip_bit(path, world.records[path].index(b"library/twin") + 9, 0)
    vault = world.place.site().the_vault()
    assert [found.path for found in vault.damaged_records()] == [f"modelward/snapshots/{path.name}"]
    assert {snapshot.id: snapshot.model for snapshot in vault.snapshots()}[path.stem] == TWIN
