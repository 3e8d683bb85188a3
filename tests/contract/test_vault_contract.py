"""What every vault promises, whatever it is made of."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BadManifest, BlobMissing, HashMismatch, Locked, ModelwardError
from modelward.domain.receipt import LedgerChange
from modelward.domain.snapshot import KnownStore, Protected, Snapshot
from modelward.domain.store import StoreIdentity
from modelward.ports import Clock, Ledgers, StagedFile, Vault, VaultWriter
from modelward.scan import Pace, Reading, check_chunks
from modelward.testing import FrozenClock, MemoryVault
from modelward.vault.ledgers import FolderLedgers
from modelward.vault.local import LocalVault
from modelward.vault.writer import VaultLimits
from tests.models import OWNER, Model, add_blob, add_model, digest_of, make_model, pattern
from tests.places import BEGIN, Notes

MODEL = make_model()
WEIGHTS = MODEL.blobs[MODEL.largest]


class Ground(Protocol):
    """A vault, the clock that it lives by, and what disks and people may do to it."""

    clock: FrozenClock

    @property
    def ledgers(self) -> Ledgers:
        """The vault's receipts."""

    def open(self) -> Vault:
        """The vault as the next process sees it."""

    def put(self, blob: Digest, data: bytes) -> None:
        """Let these bytes stand under an object's name."""

    def lose(self, blob: Digest) -> None:
        """Let nothing stand there."""


class LocalGround:
    """A vault in a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, FrozenClock(BEGIN)
        LocalVault.create(root, ledgers=self.ledgers, reading=reading(self.clock), limits=VaultLimits())

    @property
    def ledgers(self) -> Ledgers:
        """In the vault's folder."""
        return FolderLedgers(LocalVault.receipts_path(self.root), self.clock)

    def open(self) -> Vault:
        """Everything anew."""
        limits = VaultLimits(lock_wait=0, reserve=0)
        return LocalVault.open(self.root, ledgers=self.ledgers, reading=reading(self.clock), limits=limits)

    def put(self, blob: Digest, data: bytes) -> None:
        """Write the file."""
        self._path(blob).unlink(missing_ok=True)
        self._path(blob).write_bytes(data)

    def lose(self, blob: Digest) -> None:
        """Delete the file."""
        self._path(blob).unlink()

    def _path(self, blob: Digest) -> Path:
        return self.root / "blobs" / "sha256" / blob.hex


class MemoryGround:
    """A vault in memory."""

    def __init__(self, _: Path) -> None:
        self.clock = FrozenClock(BEGIN)
        self.vault = MemoryVault(self.clock)
        self.put, self.lose = self.vault.put, self.vault.lose

    @property
    def ledgers(self) -> Ledgers:
        """The vault's own."""
        return self.vault.ledgers

    def open(self) -> Vault:
        """The same one: it is gone with its process."""
        return self.vault


def reading(clock: Clock) -> Reading:
    """Two threads, past the page cache."""
    return Reading(clock=clock, progress=Notes(), pace=Pace(clock), threads=2)


GROUNDS: dict[str, Callable[[Path], Ground]] = {
    "local": LocalGround,
    "memory": MemoryGround,
    "memory without memfd": MemoryGround,
}


@pytest.fixture(params=GROUNDS)
def ground(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """An empty vault of each kind."""
    if request.param == "memory without memfd":
        monkeypatch.delattr("modelward.testing.memory.os.memfd_create", raising=False)
    return GROUNDS[str(request.param)](tmp_path / "vault")


def store(ground: Ground, *models: Model) -> list[Snapshot]:
    """Store models in one session."""
    with ground.open().writing("backup") as writer:
        return [add_model(writer, model) for model in models]


def bytes_of(vault: Vault, blob: Digest) -> bytes:
    """An object's bytes, by the descriptor that the vault gives."""
    fd = vault.open_blob(blob)
    try:
        return os.pread(fd, 1 << 26, 0)
    finally:
        os.close(fd)


# What goes in comes out.


def test_an_empty_vault_holds_nothing(ground: Ground) -> None:
    """Every question has an answer."""
    vault = ground.open()
    assert (vault.snapshots(), vault.trashed(), dict(vault.objects())) == ((), (), {})
    assert (vault.protected(), vault.known_store("/store")) == (Protected(), None)
    assert vault.chunk_list(MODEL.largest) is None
    assert not vault.intact(MODEL.largest, len(WEIGHTS))
    assert not vault.holds(MODEL.largest, len(WEIGHTS))
    assert vault.path == vault.identity.path
    with pytest.raises(BlobMissing):
        vault.open_blob(MODEL.largest)


def test_a_model_comes_back_as_it_was(ground: Ground) -> None:
    """Manifest, blobs and chunk list, to the byte; the record says of what, from where, when and for whom."""
    (snapshot,) = store(ground, MODEL)
    vault = ground.open()
    assert vault.snapshots() == (snapshot,)
    assert (snapshot.model, snapshot.store, snapshot.owner) == (MODEL.name, "/store", OWNER)
    assert (snapshot.created_at, snapshot.verified_at, snapshot.size) == (BEGIN, BEGIN, MODEL.manifest.size)
    content = vault.content(snapshot)
    assert (content.snapshot, content.manifest) == (snapshot, MODEL.manifest)
    for blob, data in MODEL.blobs.items():
        assert bytes_of(vault, blob) == data
        assert vault.intact(blob, len(data))
        assert vault.holds(blob, len(data))
        assert not vault.holds(blob, len(data) + 1)
        assert blob.hex in vault.blob_path(blob)
    found = vault.chunk_list(MODEL.largest)
    assert found is not None
    fd = vault.open_blob(MODEL.largest)
    assert check_chunks(fd, found, reading(ground.clock)).bad == ()
    os.close(fd)


def test_objects_are_all_that_snapshots_name(ground: Ground) -> None:
    """Each with the identity that an open descriptor of it has."""
    (snapshot,) = store(ground, MODEL)
    vault = ground.open()
    named = {item.digest: item.size for item in vault.content(snapshot).wrapper.objects}
    objects = vault.objects()
    assert {blob: found.file.size for blob, found in objects.items() if blob != snapshot.wrapper} == named
    for blob, found in objects.items():
        fd = vault.open_blob(blob)
        stat = os.fstat(fd)
        os.close(fd)
        assert (found.file.inode, found.file.size, found.file.mtime_ns) == (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        assert digest_of(bytes_of(vault, blob)) == blob


def test_a_model_without_blobs(ground: Ground) -> None:
    """A cloud model is its manifest."""
    cloud = make_model("big:cloud", b"")
    assert ground.open().content(store(ground, cloud)[0]).manifest == cloud.manifest


def test_descriptors_do_not_disturb_each_other(ground: Ground) -> None:
    """Each has its own place in the file."""
    store(ground, MODEL)
    one, two = ground.open().open_blob(MODEL.largest), ground.open().open_blob(MODEL.largest)
    assert os.read(one, 100) == os.read(two, 100) == WEIGHTS[:100]
    os.close(one)
    assert os.read(two, 100) == WEIGHTS[100:200]
    os.close(two)


# Proof (S1, W3).


def test_blobs_are_written_once(ground: Ground) -> None:
    """In the same session and in the next, for this model and for another."""
    with ground.open().writing("backup") as writer:
        assert [add_blob(writer, WEIGHTS) for _ in range(2)] == [len(WEIGHTS), 0]
    with ground.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == 0
    store(ground, make_model("one", WEIGHTS), make_model("two", WEIGHTS, b"x"))
    assert len(ground.open().snapshots()) == 2


def stage(writer: VaultWriter, data: bytes) -> StagedFile:
    """A staged file with these bytes."""
    staged = writer.stage(len(data))
    for offset in range(0, len(data), CHUNK):
        part = data[offset : offset + CHUNK]
        staged.write_at(memoryview(part), len(part), offset)
    return staged


@pytest.mark.parametrize("listed", [True, False])
def test_bytes_from_elsewhere_are_published(ground: Ground, *, listed: bool) -> None:
    """With or without the chunk list of whoever proved them, the snapshot comes out the same."""
    (usual,) = store(ground, make_model("other"))
    chunk_list = ground.open().chunk_list(MODEL.largest) if listed else None
    ground.put(MODEL.largest, bytes(len(WEIGHTS)))
    with ground.open().writing("import") as writer:
        staged = stage(writer, WEIGHTS)
        writer.publish_blob(staged, MODEL.largest, chunk_list)
        staged.discard()
        for blob, data in MODEL.blobs.items():
            add_blob(writer, data, blob)
        assert writer.add_snapshot(MODEL.name, MODEL.manifest, "/store", OWNER).wrapper == usual.wrapper
    assert bytes_of(ground.open(), MODEL.largest) == WEIGHTS
    assert ground.open().intact(MODEL.largest, len(WEIGHTS))


def test_a_staged_file_that_is_discarded_leaves_nothing(ground: Ground) -> None:
    """Nobody ever sees it."""
    with ground.open().writing("import") as writer:
        staged = stage(writer, WEIGHTS)
        staged.discard()
        staged.discard()
    assert dict(ground.open().objects()) == {}


@pytest.mark.parametrize("wrong", [WEIGHTS[:-1] + b"\0", WEIGHTS[:CHUNK], b"", bytes(len(WEIGHTS))])
def test_bytes_that_are_not_those_of_the_name_are_refused(ground: Ground, wrong: bytes) -> None:
    """Nothing of them stays."""
    with ground.open().writing("backup") as writer, pytest.raises(HashMismatch) as caught:
        add_blob(writer, wrong, MODEL.largest, len(WEIGHTS))
    assert caught.value.next_step
    assert dict(ground.open().objects()) == {}


def test_wrong_bytes_under_the_right_name_are_replaced(ground: Ground) -> None:
    """What stood there is kept until the place is proved again; then prune frees it (R1)."""
    ground.put(MODEL.largest, bytes(len(WEIGHTS)))
    assert not ground.open().intact(MODEL.largest, len(WEIGHTS))
    with ground.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == len(WEIGHTS)
    assert bytes_of(ground.open(), MODEL.largest) == WEIGHTS
    with ground.open().writing("prune") as writer:
        assert writer.release_quarantine() == len(WEIGHTS)
        assert writer.release_quarantine() == 0


def test_right_bytes_that_nobody_vouches_for_are_proved(ground: Ground) -> None:
    """They are read, and cost no writing."""
    ground.put(MODEL.largest, WEIGHTS)
    assert not ground.open().intact(MODEL.largest, len(WEIGHTS))
    with ground.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == 0
    assert ground.open().intact(MODEL.largest, len(WEIGHTS))


def test_an_object_that_changed_is_held_and_not_intact(ground: Ground) -> None:
    """It has to be read before it is believed; one that was found damaged is not held either."""
    store(ground, MODEL)
    ground.put(MODEL.largest, bytes(len(WEIGHTS)))
    assert not ground.open().intact(MODEL.largest, len(WEIGHTS))
    assert ground.open().holds(MODEL.largest, len(WEIGHTS))
    ground.ledgers.update("vault", LedgerChange(dropped=frozenset({MODEL.largest.hex})))
    assert not ground.open().holds(MODEL.largest, len(WEIGHTS))


@pytest.mark.parametrize("part", ["wrapper", "manifest"])
def test_damaged_contents_are_never_given(ground: Ground, part: str) -> None:
    """Every small object is proved whenever it is read; a backup of the model mends it under the same record."""
    (snapshot,) = store(ground, MODEL)
    digest: Digest = getattr(snapshot, part)
    good = bytes_of(ground.open(), digest)
    ground.put(digest, good.replace(b"2", b"3", 1))
    with pytest.raises(HashMismatch) as caught:
        ground.open().content(snapshot)
    assert caught.value.next_step
    ground.lose(digest)
    with pytest.raises(BlobMissing):
        ground.open().content(snapshot)
    with ground.open().writing("backup") as writer:
        assert add_model(writer, MODEL, newest=snapshot) == snapshot
    assert ground.open().content(snapshot).manifest == MODEL.manifest
    assert ground.open().snapshots() == (snapshot,)


def test_a_wrapper_tells_all_by_itself(ground: Ground) -> None:
    """What it names can be known without the manifest; it is proved like every small object."""
    (snapshot,) = store(ground, MODEL)
    whole = ground.open().content(snapshot).wrapper
    ground.lose(snapshot.manifest)
    wrapper = ground.open().wrapper(snapshot.wrapper)
    assert wrapper == whole
    assert {item.digest for item in wrapper.objects} | {snapshot.wrapper} == {
        *ground.open().objects(),
        snapshot.manifest,
    }
    ground.put(snapshot.wrapper, bytes_of(ground.open(), snapshot.wrapper)[:-1])
    with pytest.raises(HashMismatch):
        ground.open().wrapper(snapshot.wrapper)
    with pytest.raises(BlobMissing):
        ground.open().wrapper(digest_of(b"nobody stored it"))


def test_a_damaged_chunk_list_is_none_and_is_made_anew(ground: Ground) -> None:
    """A wrong one would call good chunks bad."""
    (snapshot,) = store(ground, MODEL)
    digest = ground.open().content(snapshot).wrapper.chunk_lists[MODEL.largest].digest
    good = bytes_of(ground.open(), digest)
    for damaged in (good[:-1] + b"\0", b"", good + b"x"):
        ground.put(digest, damaged)
        assert ground.open().chunk_list(MODEL.largest) is None
    with ground.open().writing("backup") as writer:
        add_model(writer, MODEL, newest=snapshot)
    assert ground.open().chunk_list(MODEL.largest) is not None


# Records.


def test_versions_come_the_newest_first(ground: Ground) -> None:
    """By date, over all models."""
    made: list[Snapshot] = []
    for name in ("b", "a", "b"):
        ground.clock.advance(minutes=1)
        made += store(ground, make_model(name, pattern(10, len(made))))
    assert ground.open().snapshots() == tuple(made[::-1])
    assert len({snapshot.id for snapshot in made}) == 3


def test_the_same_version_has_one_record(ground: Ground) -> None:
    """The newest one is given back; another version gets a record of its own."""
    (snapshot,) = store(ground, MODEL)
    ground.clock.advance(days=1)
    other = make_model("llama3", b"other")
    with ground.open().writing("backup") as writer:
        assert add_model(writer, MODEL, newest=snapshot) == snapshot
        new = add_model(writer, other, newest=snapshot)
        assert new != snapshot
        ground.clock.advance(days=1)
        again = writer.make_newest(snapshot)
    assert ground.open().snapshots() == (again, new, snapshot)
    assert (again.wrapper, again.created_at) == (snapshot.wrapper, ground.clock.now())


def test_a_forgotten_snapshot_can_be_brought_back(ground: Ground) -> None:
    """It is in the trash with the date, and nowhere else."""
    one, two = store(ground, MODEL, make_model("other", b"x"))
    ground.clock.advance(days=1)
    with ground.open().writing("forget") as writer:
        writer.forget([one])
    assert ground.open().snapshots() == (two,)
    (trashed,) = ground.open().trashed()
    assert (trashed.snapshot, trashed.forgotten_at) == (one, ground.clock.now())
    with ground.open().writing("undelete") as writer:
        writer.undelete(one)
    assert set(ground.open().snapshots()) == {one, two}
    assert ground.open().trashed() == ()
    assert ground.open().content(one).manifest == MODEL.manifest


def test_what_is_dropped_is_gone(ground: Ground) -> None:
    """Records and objects; the freed bytes are those of the objects, and a missing one is no error."""
    (snapshot,) = store(ground, MODEL)
    with ground.open().writing("prune") as writer:
        writer.forget([snapshot])
        freed = writer.drop(ground.open().trashed(), [MODEL.largest, Digest("0" * 64)])
    vault = ground.open()
    assert freed == len(WEIGHTS)
    assert (vault.snapshots(), vault.trashed()) == ((), ())
    assert MODEL.largest not in vault.objects()
    assert not vault.holds(MODEL.largest, len(WEIGHTS))
    ground.put(MODEL.largest, WEIGHTS)
    assert not ground.open().holds(MODEL.largest, len(WEIGHTS)), "nobody vouches for what came later"


def test_small_facts_are_kept(ground: Ground) -> None:
    """Stores by their path, released models, and the last word counts."""
    for inode in (1, 2):
        known = KnownStore(identity=StoreIdentity(path="/a", inode=inode, device=2), recorded_at=BEGIN)
        with ground.open().writing("backup") as writer:
            writer.know_store(known)
            writer.protect(Protected(released=(MODEL.name,) * (2 - inode)))
    assert ground.open().known_store("/a") == known
    assert ground.open().known_store("/b") is None
    assert ground.open().protected() == Protected()


# The audit log (A1), and manifests kept before a backup (G2).


def test_entries_come_back_as_they_were_given(ground: Ground) -> None:
    """The oldest first, numbered, with the time and every key, whoever holds the vault's lock meanwhile."""
    with ground.open().writing("backup"):
        ground.open().audit("backup", model=MODEL.name, bytes=5, cause="user")
        ground.clock.advance(minutes=1)
        ground.open().audit("repair", blobs=(MODEL.largest,), error="no source")
    first, second = ground.open().audit_entries()
    assert (first.seq, first.at, first.action, first.model, first.cause) == (1, BEGIN, "backup", MODEL.name, "user")
    assert (first.keys["bytes"], first.outcome) == ("5", "done")
    assert (second.seq, second.at, second.outcome) == (2, ground.clock.now(), "no source")
    assert second.keys["blobs"] == f'["{MODEL.largest}"]'
    assert ground.open().audit_faults() == ()


def test_the_newest_manifest_of_each_model_is_kept(ground: Ground) -> None:
    """To the byte, with its owner and the time, whoever holds the vault's lock meanwhile; the older one goes."""
    other, newer = make_model("other", b"x"), make_model("llama3", b"newer")
    with ground.open().writing("backup"):
        ground.open().keep_manifests([(MODEL.name, MODEL.manifest.raw, OWNER)])
        ground.open().keep_manifests([(other.name, other.manifest.raw, OWNER)])
        ground.clock.advance(minutes=1)
        ground.open().keep_manifests([(MODEL.name, newer.manifest.raw, OWNER)])
    kept = ground.open().kept_manifests()
    assert {name: item.manifest for name, item in kept.items()} == {
        MODEL.name: newer.manifest.raw,
        other.name: other.manifest.raw,
    }
    assert (kept[MODEL.name].seen_at, kept[other.name].seen_at) == (ground.clock.now(), BEGIN)
    assert kept[MODEL.name].owner == OWNER
    assert ground.open().snapshots() == ()


@pytest.mark.parametrize("raw", [b"", bytes(300), b"{", b"[]", b" " * (1 << 22) + b"{}"])
def test_bytes_that_are_no_manifest_are_not_kept(ground: Ground, raw: bytes) -> None:
    """An emptied or garbled manifest never takes the place of the good one (T2)."""
    ground.open().keep_manifests([(MODEL.name, MODEL.manifest.raw, OWNER)])
    with pytest.raises(BadManifest):
        ground.open().keep_manifests([(MODEL.name, raw, OWNER)])
    assert ground.open().kept_manifests()[MODEL.name].manifest == MODEL.manifest.raw


# Locks (L1).


def test_one_writer_at_a_time(ground: Ground) -> None:
    """The second one is told who holds the lock and what for; an error in the work gives it back."""
    with ground.open().writing("backup"):
        with pytest.raises(Locked, match="backup") as caught, ground.open().writing("prune"):
            pass
        assert f"pid {os.getpid()}" in caught.value.what
        assert caught.value.next_step
    with suppress(ZeroDivisionError), ground.open().writing("backup"):
        raise ZeroDivisionError
    with ground.open().writing("prune"):
        pass


# Whatever happens: the same from every vault.

MODELS = (make_model("one", b"a"), make_model("one", b"b"), make_model("two", pattern(CHUNK + 1), b"a"))
BLOBS = tuple({blob: data for model in MODELS for blob, data in model.blobs.items()}.items())
STEPS = st.one_of(
    st.tuples(st.just("store"), st.integers(0, 2)),
    st.tuples(st.just("spoil"), st.integers(0, len(BLOBS) - 1)),
    st.tuples(st.just("lose"), st.integers(0, len(BLOBS) - 1)),
    st.tuples(st.just("forget"), st.integers(0, 5)),
    st.tuples(st.just("undelete"), st.integers(0, 5)),
    st.tuples(st.just("drop"), st.integers(0, len(BLOBS) - 1)),
    st.tuples(st.just("release"), st.just(0)),
)


def test_all_vaults_tell_the_same_story(tmp_path: Path) -> None:
    """Any steps, in any order: the same records, objects, answers and errors from a folder and from memory."""
    runs = 0

    @settings(max_examples=40, deadline=None)
    @given(steps=st.lists(STEPS, min_size=1, max_size=12))
    def run(steps: list[tuple[str, int]]) -> None:
        nonlocal runs
        runs += 1
        local, memory = LocalGround(tmp_path / str(runs)), MemoryGround(tmp_path)
        for step in steps:
            assert do(local, *step) == do(memory, *step), step
            assert seen(local.open()) == seen(memory.open()), step

    run()


def do(ground: Ground, step: str, number: int) -> object:
    """One step a minute; what came of it."""
    ground.clock.advance(minutes=1)
    blob, data = BLOBS[number % len(BLOBS)]
    vault = ground.open()
    if step == "spoil":
        ground.put(blob, bytes(len(data)))
    if step == "lose" and blob in vault.objects():
        ground.lose(blob)
    try:
        with vault.writing(step) as writer:
            return write(vault, writer, step, number)
    except ModelwardError as error:
        return type(error)


def write(vault: Vault, writer: VaultWriter, step: str, number: int) -> object:
    """One step that needs the right to write."""
    records, trashed = vault.snapshots(), sorted(vault.trashed(), key=lambda item: item.snapshot.id)
    match step:
        case "store":
            newest = next((found for found in records if found.model == MODELS[number].name), None)
            return add_model(writer, MODELS[number], newest)
        case "forget":
            writer.forget(records[number : number + 1])
        case "undelete":
            for item in trashed[number : number + 1]:
                writer.undelete(item.snapshot)
        case "drop":
            return writer.drop(trashed[:1], [BLOBS[number][0]])
        case "release":
            return writer.release_quarantine()
    return None


def seen(vault: Vault) -> object:
    """All that can be seen of a vault but for the identities of its files."""
    lists = [vault.chunk_list(blob) is not None for blob, _ in BLOBS]
    proofs = [(vault.intact(blob, len(data)), vault.holds(blob, len(data))) for blob, data in BLOBS]
    sizes = {blob: found.file.size for blob, found in vault.objects().items()}
    trashed = {item.snapshot.id: item for item in vault.trashed()}
    return vault.snapshots(), trashed, sizes, proofs, lists, [readable(vault, found) for found in vault.snapshots()]


def readable(vault: Vault, snapshot: Snapshot) -> object:
    """The manifest, or what keeps it from being read."""
    try:
        return vault.content(snapshot).manifest
    except ModelwardError as error:
        return type(error)
