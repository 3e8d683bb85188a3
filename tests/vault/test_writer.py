"""A vault takes proved bytes only, in an order in which nothing names what is not durable yet, and loses nothing."""

import errno
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.chunks import CHUNK
from modelward.domain.codec import pretty
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    ChangedWhileRead,
    DiskFull,
    HashMismatch,
    Locked,
    ReadFailed,
    StorageError,
    WriteFailed,
)
from modelward.domain.receipt import LedgerChange, Receipt
from modelward.domain.snapshot import Snapshot, Trashed
from modelward.domain.wrapper import EMPTY_DIGEST
from modelward.scan import id_of
from modelward.services.backup import backup
from modelward.testing import FakeStore, MemoryVault, corrupt, fingerprint
from modelward.vault.writer import VaultLimits
from tests.faults.scripted import ScriptedOs, count_calls
from tests.kinds import KINDS, put
from tests.models import OWNER, Model, add_blob, add_model, digest_of, make_model, pattern
from tests.places import Place
from tests.recorder import RecordingOs
from tests.vault.conftest import Shelf

MODEL = make_model()
WEIGHTS = MODEL.blobs[MODEL.largest]


def store(shelf: Shelf, *models: Model) -> list[Snapshot]:
    """One session that stores these models."""
    with shelf.open().writing("backup") as writer:
        return [add_model(writer, model) for model in models]


@pytest.fixture
def vault(shelf: Shelf) -> Shelf:
    """An empty vault."""
    shelf.create()
    return shelf


# The format.


def test_a_snapshot_is_stored_as_the_format_says(vault: Shelf) -> None:
    """Raw objects of mode 0400 under their digests, and a small record that names the wrapper."""
    (snapshot,) = store(vault, MODEL)
    for blob, data in MODEL.blobs.items():
        assert vault.object(blob).read_bytes() == data
    assert vault.object(snapshot.manifest).read_bytes() == MODEL.manifest.raw
    assert {stat.S_IMODE(path.stat().st_mode) for path in vault.path("blobs", "sha256").iterdir()} == {0o400}
    record = vault.path("modelward", "snapshots", f"{snapshot.id}.json")
    assert stat.S_IMODE(record.stat().st_mode) == 0o400
    said = json.loads(record.read_text())
    assert len(said.pop("seal")) == 64
    assert said == {
        "version": 1,
        "id": snapshot.id,
        "model": "registry.ollama.ai/library/llama3:latest",
        "created_at": "2026-01-05T12:00:00Z",
        "verified_at": "2026-01-05T12:00:00Z",
        "wrapper": str(snapshot.wrapper),
        "manifest": str(MODEL.manifest.digest),
        "size": MODEL.manifest.size,
        "store": "/store",
        "owner": [1000, 1001, 0o640],
    }
    assert snapshot.id.startswith("20260105T120000Z-")


def test_the_wrapper_names_everything(vault: Shelf) -> None:
    """An OCI manifest: the original manifest first, then the blobs, then one chunk list a large blob."""
    (snapshot,) = store(vault, MODEL)
    wrapper = json.loads(vault.object(snapshot.wrapper).read_bytes())
    assert wrapper["artifactType"] == "application/vnd.modelward.model.v1"
    assert wrapper["config"]["digest"] == str(EMPTY_DIGEST)
    digests = [layer["digest"] for layer in wrapper["layers"]]
    assert digests[: 1 + len(MODEL.blobs)] == [str(MODEL.manifest.digest), *MODEL.blobs]
    (chunks,) = wrapper["layers"][1 + len(MODEL.blobs) :]
    assert chunks["mediaType"] == "application/vnd.modelward.chunks.v1"
    assert chunks["annotations"] == {"dev.modelward.chunks-of": str(MODEL.largest)}
    for layer in (wrapper["config"], *wrapper["layers"]):
        data = vault.object(layer["digest"]).read_bytes()
        assert (digest_of(data), len(data)) == (layer["digest"], layer["size"])


def test_the_wrapper_is_a_function_of_the_models_bytes(vault: Shelf, tmp_path: Path) -> None:
    """Another vault, another day, another store: the same digest."""
    other = Shelf(tmp_path / "other")
    other.clock.advance(days=300)
    other.create()
    assert store(vault, MODEL)[0].wrapper == store(other, MODEL)[0].wrapper


def test_sha256sum_accepts_the_checksum_file(vault: Shelf) -> None:
    """Every object is in it, and coreutils finds each of them good."""
    store(vault, MODEL, make_model("other", b"x"))
    done = sha256sum(vault)
    assert done.returncode == 0, done.stderr
    named = {line.split(": ")[0] for line in done.stdout.splitlines()}
    assert named == {f"blobs/sha256/{name}" for name in vault.names("blobs", "sha256")}
    corrupt.flip_bit(vault.object(MODEL.largest), CHUNK, 1)
    assert sha256sum(vault).returncode == 1


def sha256sum(shelf: Shelf) -> "subprocess.CompletedProcess[str]":
    """Check the vault without a line of our code."""
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this system")
    command = ["sha256sum", "--check", "--strict", "model_checksums.sha256"]
    return subprocess.run(command, cwd=shelf.root, capture_output=True, text=True, check=False)


# Order (W2).


def test_a_thing_names_only_what_is_durable(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs and chunk lists, manifest, wrapper, record, checksums and index: each synced before the next (W2)."""
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        opened = vault.open()
        with opened.writing("backup") as writer:
            snapshot = add_model(writer, MODEL)
    calls = system.of("link", "rename", "fsync")
    chunks = opened.content(snapshot).wrapper.chunk_lists[MODEL.largest].digest
    order = [
        f"link {MODEL.largest.hex}",
        f"link {chunks.hex}",
        f"link {MODEL.manifest.digest.hex}",
        "fsync sha256",
        f"link {snapshot.wrapper.hex}",
        "fsync sha256",
        f"rename {snapshot.id}.json",
        "fsync snapshots",
        "rename model_checksums.sha256",
        "fsync vault",
        "rename index.json",
        "fsync vault",
    ]
    assert in_this_order(calls, order)
    for number, call in enumerate(calls):
        if call.startswith(("link", "rename")):
            assert calls[number - 1] == "fsync staged", "the bytes of each file before its name"


def in_this_order(calls: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the wanted calls stand in the list, in this order, others between them."""
    rest = iter(calls)
    return all(call in rest for call in wanted)


def test_forgetting_goes_the_other_way(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trash has the record before the record goes; objects go last of all, when no index names them (W2)."""
    (snapshot,) = store(vault, MODEL)
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        opened = vault.open()
        with opened.writing("prune") as writer:
            writer.forget([snapshot])
            writer.drop(opened.trashed(), [MODEL.largest])
    record = f"{snapshot.id}.json"
    assert in_this_order(
        system.of("rename", "unlink", "fsync"),
        [
            f"rename {record}",
            "fsync trash",
            f"unlink {record}",
            "fsync snapshots",
            f"unlink {record}",
            "fsync trash",
            "rename index.json",
            "fsync vault",
            f"unlink {MODEL.largest.hex}",
            "fsync sha256",
        ],
    )


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_failure_at_any_point_leaves_a_vault_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A typed error with a next step, no record of what is not whole, nothing staged; the next run finishes (W1)."""
    model = make_model("llama3", pattern(CHUNK + 1))
    probe = Shelf(tmp_path / "probe")
    probe.create()
    total = count_calls(monkeypatch, lambda: store(probe, model))
    for at in range(1, total + 1):
        shelf = Shelf(tmp_path / f"at{at}")
        shelf.create()
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at, error=error))
            try:
                store(shelf, model)
            except StorageError as problem:
                assert problem.next_step
        for snapshot in shelf.open().snapshots():
            assert shelf.open().content(snapshot).manifest == model.manifest
        assert all(digest_of(path.read_bytes()).hex == path.name for path in shelf.path("blobs/sha256").iterdir())
        assert shelf.names("modelward", "staging") == []
        store(shelf, model)
        assert shelf.open().snapshots()


# Verified bytes only (S1).


@pytest.mark.parametrize("size", [10, 2 * CHUNK + 5])
def test_bytes_that_are_not_those_of_the_name_are_refused(vault: Shelf, size: int) -> None:
    """Nothing of them stays."""
    data = pattern(size)
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    with vault.open().writing("backup") as writer, pytest.raises(HashMismatch) as caught:
        add_blob(writer, wrong, digest_of(data))
    assert "verify" in caught.value.next_step
    assert vault.names("blobs", "sha256") == []
    assert vault.names("modelward", "staging") == []


@pytest.mark.parametrize("length", [0, 5, CHUNK, 2 * CHUNK])
def test_a_file_that_is_too_short_is_refused(vault: Shelf, length: int) -> None:
    """Also when what there is of it is right."""
    with tempfile.TemporaryFile() as file:
        file.write(WEIGHTS[:length])
        file.flush()
        with vault.open().writing("backup") as writer, pytest.raises(HashMismatch):
            writer.add_blob(file.fileno(), MODEL.largest, len(WEIGHTS))
    assert vault.names("blobs", "sha256") == []


def lie(monkeypatch: pytest.MonkeyPatch, change: Callable[[int, memoryview, int, int], int]) -> None:
    """Let every read of the system pass through ``change``: bytes read, buffer, offset, how often this offset."""
    real, seen = os.preadv, dict[int, int]()

    def preadv(fd: int, views: Sequence[memoryview], offset: int) -> int:
        got = real(fd, views, offset)
        seen[offset] = seen.get(offset, 0) + 1
        return change(got, views[0], offset, seen[offset])

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)


@pytest.mark.parametrize("data", [b"small", WEIGHTS], ids=["small", "large"])
def test_a_first_read_that_erred_is_read_once_more(vault: Shelf, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Past the page cache: one flipped bit in memory does not keep a good model out."""

    def once(got: int, view: memoryview, _offset: int, turn: int) -> int:
        view[0] ^= 1 if turn == 1 else 0
        return got

    with monkeypatch.context() as patch, vault.open().writing("backup") as writer:
        lie(patch, once)
        assert add_blob(writer, data) == len(data)
    assert vault.object(digest_of(data)).read_bytes() == data


@pytest.mark.parametrize("data", [b"small", WEIGHTS], ids=["small", "large"])
def test_a_file_that_the_disk_cannot_give_is_refused(
    vault: Shelf, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    """With the system's word for it."""

    def fail(_got: int, _view: memoryview, _offset: int, _turn: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, vault.open().writing("backup") as writer:
        lie(patch, fail)
        with pytest.raises(ReadFailed, match="EIO"):
            add_blob(writer, data)
    assert vault.names("blobs", "sha256") == []


def test_a_file_that_changes_while_it_is_read_is_refused(
    vault: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said to change, not to be damaged: the user runs the command again."""
    path = tmp_path / "weights"
    path.write_bytes(WEIGHTS)

    def grow(got: int, view: memoryview, _offset: int, _turn: int) -> int:
        view[0] ^= 1
        corrupt.extend(path, b"x")
        return got

    with monkeypatch.context() as patch, path.open("rb") as file, vault.open().writing("backup") as writer:
        lie(patch, grow)
        with pytest.raises(ChangedWhileRead) as caught:
            writer.add_blob(file.fileno(), MODEL.largest, len(WEIGHTS))
    assert "again" in caught.value.next_step


def test_a_copy_that_will_not_fit_does_not_begin(vault: Shelf) -> None:
    """The reserve stays free, and nothing is left of the attempt (D1)."""
    vault.limits = VaultLimits(lock_wait=0, reserve=1 << 60)
    free = os.statvfs(vault.root)
    size = free.f_bavail * free.f_frsize
    with tempfile.TemporaryFile() as file, vault.open().writing("backup") as writer:
        file.truncate(size)
        with pytest.raises(DiskFull) as caught:
            writer.add_blob(file.fileno(), MODEL.largest, size)
    assert "free" in caught.value.what
    assert vault.names("blobs", "sha256") == []


@pytest.mark.parametrize("good", [True, False])
def test_a_clone_is_read_and_proved_as_a_copy_is(vault: Shelf, monkeypatch: pytest.MonkeyPatch, *, good: bool) -> None:
    """Where the file system shares bytes between files, nothing is believed of them either (W3)."""

    def share(target: int, source: int) -> bool:
        shared.append(source)
        return Path(f"/dev/fd/{target}").write_bytes(os.pread(source, len(WEIGHTS), 0)) > 0

    shared: list[int] = []
    monkeypatch.setattr(durable, "clone", share)
    data = WEIGHTS if good else WEIGHTS[:-1] + b"?"
    with vault.open().writing("backup") as writer:
        if good:
            assert add_blob(writer, data, MODEL.largest) == len(WEIGHTS)
        else:
            with pytest.raises(HashMismatch):
                add_blob(writer, data, MODEL.largest)
    assert len(shared) == 1
    assert (MODEL.largest.hex in vault.names("blobs", "sha256")) == good
    assert vault.open().intact(MODEL.largest, len(WEIGHTS)) == good
    assert vault.names("modelward", "staging") == []


def test_only_what_this_vault_staged_is_published(vault: Shelf) -> None:
    """A file that was staged elsewhere is refused: it may lie on another file system, half written (W1)."""
    foreign = MemoryVault(vault.clock)
    with foreign.writing("fetch") as theirs, vault.open().writing("fetch") as writer, pytest.raises(WriteFailed):
        writer.publish_blob(theirs.stage(5), MODEL.largest)
    assert vault.names("blobs", "sha256") == []


# Never believe a name (W3).


def wrong_bytes(path: Path) -> None:
    """Other bytes of the right size."""
    path.write_bytes(bytes(len(WEIGHTS)))


def too_short(path: Path) -> None:
    """What a power cut leaves."""
    path.write_bytes(WEIGHTS[:-1])


def too_long(path: Path) -> None:
    """The right bytes and more."""
    path.write_bytes(WEIGHTS + b"x")


@pytest.mark.parametrize("stand", [wrong_bytes, too_short, too_long])
def test_wrong_bytes_under_the_right_name_are_replaced(vault: Shelf, stand: Callable[[Path], None]) -> None:
    """And kept in quarantine until the place is proved good again (W3, R1)."""
    stand(vault.object(MODEL.largest))
    bad = vault.object(MODEL.largest).read_bytes()
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == len(WEIGHTS)
    assert vault.object(MODEL.largest).read_bytes() == WEIGHTS
    (kept,) = vault.path("modelward", "quarantine").iterdir()
    assert kept.read_bytes() == bad
    assert kept.name.startswith(f"{MODEL.largest.hex}.")
    with vault.open().writing("prune") as writer:
        assert writer.release_quarantine() == len(bad)
    assert vault.names("modelward", "quarantine") == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_under_the_right_name_is_replaced(vault: Shelf, kind: str) -> None:
    """Nothing is followed or waited for, what a link leads to is not touched, and prune goes on working."""
    secret = vault.root.parent / "secret"
    put(kind, vault.object(MODEL.largest), secret)
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == len(WEIGHTS)
    assert not vault.object(MODEL.largest).is_symlink()
    assert vault.object(MODEL.largest).read_bytes() == WEIGHTS
    assert len(vault.names("modelward", "quarantine")) == 1
    assert kind != "symlink" or secret.read_bytes() == b"secret"
    with vault.open().writing("prune") as writer:
        writer.release_quarantine()
    assert vault.names("modelward", "quarantine") == []


def test_a_link_of_the_right_size_is_no_object(vault: Shelf) -> None:
    """A link's size is the length of its text: it is not followed, and the object is written in its place (T1)."""
    data = b"24 bytes, as many as ..."
    vault.object(digest_of(data).hex).symlink_to("x" * len(data))
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, data) == len(data)
    assert not vault.object(digest_of(data).hex).is_symlink()
    assert vault.object(digest_of(data).hex).read_bytes() == data


def test_an_object_without_a_receipt_is_proved_first(vault: Shelf) -> None:
    """It is read to its end; good, it costs no writing, and from then on it is vouched for."""
    vault.object(MODEL.largest).write_bytes(WEIGHTS)
    inode = vault.object(MODEL.largest).stat().st_ino
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == 0
    assert vault.notes.done >= len(WEIGHTS), "it was read"
    assert vault.object(MODEL.largest).stat().st_ino == inode
    assert vault.open().intact(MODEL.largest, len(WEIGHTS))
    assert vault.names("modelward", "quarantine") == []


@pytest.mark.parametrize("stand", [wrong_bytes, too_short, too_long])
def test_small_objects_are_compared_too(vault: Shelf, stand: Callable[[Path], None]) -> None:
    """A manifest's name proves no more than a blob's."""
    stand(vault.object(MODEL.manifest.digest))
    (snapshot,) = store(vault, MODEL)
    assert vault.open().content(snapshot).manifest == MODEL.manifest


def test_two_replacements_in_one_second_keep_both(vault: Shelf) -> None:
    """Each of the replaced objects can be looked at (R1)."""
    for stand in (wrong_bytes, too_short):
        vault.object(MODEL.largest).unlink(missing_ok=True)
        stand(vault.object(MODEL.largest))
        with vault.open().writing("backup") as writer:
            add_blob(writer, WEIGHTS)
    assert len(vault.names("modelward", "quarantine")) == 2


def test_rot_in_the_vault_is_not_the_stores_fault(vault: Shelf) -> None:
    """The chunk list is gone, and the copy that it is to be made of has rotted unseen: the good blob replaces it."""
    (snapshot,) = store(vault, MODEL)
    vault.object(vault.open().content(snapshot).wrapper.chunk_lists[MODEL.largest].digest).unlink()
    corrupt.flip_bit(vault.object(MODEL.largest), 5, 1)
    unseen = Receipt(id_of(vault.object(MODEL.largest).stat()), int(vault.clock.now().timestamp()))
    vault.ledgers().update("vault", LedgerChange(proved={MODEL.largest.hex: unseen}))
    store(vault, MODEL)
    assert vault.object(MODEL.largest).read_bytes() == WEIGHTS


def test_a_version_is_not_recorded_over_a_copy_that_rotted(vault: Shelf) -> None:
    """Its chunk list is gone, and the copy that it would be made of is not good any more: no record (S1)."""
    with vault.open().writing("backup") as writer:
        for blob, data in MODEL.blobs.items():
            add_blob(writer, data, blob)
    for name in set(vault.names("blobs", "sha256")) - {blob.hex for blob in MODEL.blobs}:
        vault.object(name).unlink()
    corrupt.flip_bit(vault.object(MODEL.largest), 5, 1)
    with vault.open().writing("backup") as writer, pytest.raises(HashMismatch) as caught:
        writer.add_snapshot(MODEL.name, MODEL.manifest, "/store", OWNER)
    assert "repair --vault-copy" in caught.value.next_step
    assert vault.open().snapshots() == ()


# Nothing twice.


def test_a_shared_blob_is_stored_once(vault: Shelf) -> None:
    """Two models, one file of weights."""
    one, two = make_model("one", WEIGHTS, b"a"), make_model("two", WEIGHTS, b"b")
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == len(WEIGHTS)
        assert add_blob(writer, WEIGHTS) == 0
        add_model(writer, one)
    inode = vault.object(MODEL.largest).stat().st_ino
    with vault.open().writing("backup") as writer:
        assert add_blob(writer, WEIGHTS) == 0
        add_model(writer, two)
    assert vault.object(MODEL.largest).stat().st_ino == inode
    assert len(vault.open().snapshots()) == 2


def test_a_blob_that_two_models_share_is_read_once(vault: Shelf) -> None:
    """What this very session proved need not be proved again for the next model."""
    with vault.open().writing("backup") as writer:
        add_blob(writer, WEIGHTS)
        before = vault.notes.done
        add_blob(writer, WEIGHTS)
        assert vault.notes.done == before


def test_a_second_backup_of_the_same_writes_nothing(tmp_path: Path) -> None:
    """No file changes, no byte is written but the lock's holder, nothing is linked, renamed or synced."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    before = fingerprint(place.vault, ignore="modelward/lock")
    system = RecordingOs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "os", system)
        assert backup(place.site(), ()).models[0].outcome == "unchanged"
    assert fingerprint(place.vault, ignore="modelward/lock") == before
    assert system.calls == ["create lock", "ftruncate lock", "pwrite lock"]


def test_the_same_version_has_one_record(vault: Shelf) -> None:
    """Objects that were lost are stored anew under the record that is there (S1)."""
    (snapshot,) = store(vault, MODEL)
    vault.object(MODEL.largest).unlink()
    vault.object(snapshot.manifest).unlink()
    vault.clock.advance(days=1)
    with vault.open().writing("backup") as writer:
        assert add_model(writer, MODEL, newest=snapshot) == snapshot
    assert vault.open().snapshots() == (snapshot,)
    assert vault.object(MODEL.largest).read_bytes() == WEIGHTS


def test_a_version_that_is_served_again_is_the_newest(vault: Shelf) -> None:
    """A new record of the same wrapper; the older one stays, and nothing else is written."""
    (old,) = store(vault, MODEL)
    vault.clock.advance(days=1)
    store(vault, make_model("llama3", b"other"))
    vault.clock.advance(days=1)
    with vault.open().writing("backup") as writer:
        new = writer.make_newest(old)
    assert vault.open().snapshots()[0] == new
    assert (new.wrapper, new.verified_at) == (old.wrapper, old.verified_at)
    assert old in vault.open().snapshots()


def test_a_chunk_list_that_is_lost_is_made_anew(vault: Shelf) -> None:
    """Of the vault's own copy, proved in the same read."""
    (snapshot,) = store(vault, MODEL)
    chunks = vault.object(vault.open().content(snapshot).wrapper.chunk_lists[MODEL.largest].digest)
    data = chunks.read_bytes()
    corrupt.flip_bit(chunks, 80, 1)
    with vault.open().writing("backup") as writer:
        add_model(writer, MODEL, newest=snapshot)
    assert chunks.read_bytes() == data


def test_what_a_killed_run_stored_is_used(vault: Shelf) -> None:
    """Blobs without a snapshot, with or without receipts, need not be written again."""
    with vault.open().writing("backup") as writer:
        add_blob(writer, WEIGHTS)
    vault.path("modelward", "receipts", "vault.json").unlink()
    vault.clock.advance(days=1)
    inode = vault.object(MODEL.largest).stat().st_ino
    (snapshot,) = store(vault, MODEL)
    assert vault.object(MODEL.largest).stat().st_ino == inode
    assert vault.open().chunk_list(MODEL.largest) is not None
    assert vault.open().content(snapshot)


def test_receipts_are_kept_when_the_work_fails(vault: Shelf) -> None:
    """What was proved before the error need not be proved again."""
    with suppress(ZeroDivisionError), vault.open().writing("backup") as writer:
        add_blob(writer, WEIGHTS)
        raise ZeroDivisionError
    assert vault.open().intact(MODEL.largest, len(WEIGHTS))


def test_receipts_of_a_long_session_outlive_a_kill(vault: Shelf) -> None:
    """They are kept twice a minute: what was proved before need not be proved again by the next run."""
    with vault.open().writing("backup") as writer:
        add_blob(writer, WEIGHTS)
        assert not vault.open().intact(MODEL.largest, len(WEIGHTS)), "not yet: a receipt costs an fsync"
        vault.clock.advance(seconds=31)
        add_blob(writer, b"a later one")
        assert vault.open().intact(MODEL.largest, len(WEIGHTS))


# What is derived.


def test_what_is_derived_is_made_anew(vault: Shelf) -> None:
    """Deleted, emptied, garbled or damaged at random: the next session writes them as they were."""
    store(vault, MODEL)
    files = [vault.path(name) for name in ("index.json", "model_checksums.sha256", "oci-layout")]
    wanted = [path.read_bytes() for path in files]
    damages: list[Callable[[Path], object]] = [corrupt.delete, corrupt.empty, lambda path: corrupt.zero(path, 0, 10)]
    damages += [partial(corrupt.random_damage, rng=random.Random(seed)) for seed in range(20)]
    for damage in damages:
        for path in files:
            damage(path)
        with vault.open().writing("backup"):
            pass
        assert [path.read_bytes() for path in files] == wanted


@pytest.mark.parametrize("damage", [corrupt.delete, corrupt.empty])
def test_checksums_alone_are_made_anew(vault: Shelf, damage: Callable[[Path], object]) -> None:
    """They are derived as well."""
    store(vault, MODEL)
    path = vault.path("model_checksums.sha256")
    wanted = path.read_bytes()
    damage(path)
    with vault.open().writing("backup"):
        pass
    assert path.read_bytes() == wanted


def test_an_index_made_while_an_object_was_missing_is_mended_with_it(vault: Shelf) -> None:
    """The wrapper is back, and so are its size in the index and its line in the checksums."""
    (snapshot,) = store(vault, MODEL)
    files = [vault.path(name) for name in ("index.json", "model_checksums.sha256")]
    wanted = [path.read_bytes() for path in files]
    vault.object(snapshot.wrapper).unlink()
    vault.path("index.json").unlink()
    with vault.open().writing("verify"):
        pass
    with vault.open().writing("backup") as writer:
        add_model(writer, MODEL, newest=snapshot)
    assert [path.read_bytes() for path in files] == wanted


def test_staging_is_swept(vault: Shelf) -> None:
    """What a killed writer left goes when the next one begins."""
    vault.path("modelward", "staging", "host-1-2").write_bytes(b"half")
    with vault.open().writing("backup"):
        assert vault.names("modelward", "staging") == []


# Forget, undelete, drop.


def test_a_forgotten_snapshot_can_be_brought_back(vault: Shelf) -> None:
    """The record is the same, byte by byte, and so is the index."""
    (snapshot,) = store(vault, MODEL)
    before = fingerprint(vault.root, ignore="modelward/lock")
    vault.clock.advance(days=1)
    with vault.open().writing("forget") as writer:
        writer.forget([snapshot])
    assert vault.open().snapshots() == ()
    assert vault.open().trashed() == (Trashed(snapshot=snapshot, forgotten_at=vault.clock.now()),)
    assert json.loads(vault.path("index.json").read_bytes())["manifests"] == []
    with vault.open().writing("undelete") as writer:
        writer.undelete(snapshot)
    assert vault.open().trashed() == ()
    assert fingerprint(vault.root, ignore="modelward/lock") == before


def test_a_forget_that_was_killed_is_finished(vault: Shelf) -> None:
    """Record and trash may both have it: forgetting it again is no error."""
    (snapshot,) = store(vault, MODEL)
    trashed = Trashed(snapshot=snapshot, forgotten_at=vault.clock.now())
    vault.path("modelward", "trash", f"{snapshot.id}.json").write_text(pretty(trashed))
    with vault.open().writing("forget") as writer:
        writer.forget([snapshot])
    assert vault.open().snapshots() == ()
    assert len(vault.open().trashed()) == 1


def test_what_is_dropped_is_gone_everywhere(vault: Shelf) -> None:
    """Trash, objects, receipts, checksums; the freed bytes are those of the objects, and a missing one is no error."""
    snapshot, other = store(vault, MODEL, make_model("other", b"x"))
    with vault.open().writing("forget") as writer:
        writer.forget([snapshot])
    opened = vault.open()
    gone = [MODEL.largest, snapshot.wrapper, Digest("0" * 64)]
    size = sum(vault.object(digest).stat().st_size for digest in gone[:2])
    with opened.writing("prune") as writer:
        assert writer.drop(opened.trashed(), gone) == size
    assert vault.open().trashed() == ()
    assert vault.open().snapshots() == (other,)
    assert not set(gone) & set(vault.open().objects())
    assert not vault.open().holds(MODEL.largest, len(WEIGHTS))
    assert sha256sum(vault).returncode == 0
    assert MODEL.largest.hex not in vault.path("modelward", "receipts", "vault.json").read_text()


def test_dropping_works_on_a_full_disk(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index cannot be written; the bytes are freed all the same (D1)."""
    store(vault, MODEL)
    opened = vault.open()
    with monkeypatch.context() as patch, opened.writing("prune") as writer:
        patch.setattr(durable, "os", RecordingOs({"pwrite": errno.ENOSPC, "ftruncate": errno.ENOSPC}))
        assert writer.drop((), [MODEL.largest]) == len(WEIGHTS)
    assert not vault.object(MODEL.largest).exists()
    assert sha256sum(vault).returncode != 0
    with vault.open().writing("backup"):
        pass  # whatever it does, the next session finds that the list is not of what lies there
    assert sha256sum(vault).returncode == 0


def test_quarantine_is_kept_while_the_place_is_not_proved(vault: Shelf) -> None:
    """What stands in the place now may be bad as well (R1)."""
    wrong_bytes(vault.object(MODEL.largest))
    with vault.open().writing("backup") as writer:
        add_blob(writer, WEIGHTS)
    corrupt.flip_bit(vault.object(MODEL.largest), 1, 1)
    with vault.open().writing("prune") as writer:
        assert writer.release_quarantine() == 0
    assert len(vault.names("modelward", "quarantine")) == 1
    vault.object(MODEL.largest).unlink()
    with vault.open().writing("prune") as writer:
        assert writer.release_quarantine() == len(WEIGHTS), "nothing names it any more"


# Locks (L1).


def test_a_second_writer_is_told_who_writes(vault: Shelf) -> None:
    """By process, verb and time; readers are not kept waiting."""
    with vault.open().writing("backup") as writer:
        snapshot = add_model(writer, MODEL)
        with pytest.raises(Locked) as caught, vault.open().writing("prune"):
            pass
        assert f"pid {os.getpid()}" in caught.value.what
        assert "backup since 2026-01-05 12:00:00 UTC" in caught.value.what
        assert caught.value.exit_code == 5
        assert vault.open().snapshots() == (snapshot,)
    with vault.open().writing("prune"):
        pass


KILLED = """
import os, sys
from pathlib import Path
from tests.models import add_model, make_model
from tests.vault.conftest import Shelf
with Shelf(Path(sys.argv[1])).open().writing("backup") as writer:
    add_model(writer, make_model())
    os.kill(os.getpid(), 9)
"""


def test_a_killed_writer_leaves_a_vault_that_works(vault: Shelf) -> None:
    """No stale lock, no staged file, and what was acknowledged is whole; the index is brought up to date."""
    environ = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[2])])}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(vault.root)], env=environ, capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr
    (snapshot,) = vault.open().snapshots()
    assert vault.open().content(snapshot).manifest == MODEL.manifest
    assert not vault.path("index.json").exists()
    with vault.open().writing("backup") as writer:
        assert add_model(writer, MODEL, newest=snapshot) == snapshot
    assert sha256sum(vault).returncode == 0
    assert vault.names("modelward", "staging") == []
    assert snapshot.owner == OWNER
