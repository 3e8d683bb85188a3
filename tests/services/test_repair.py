"""Repair heals by the plan, from the vault, with as few bytes as there is damage; and refuses where it must."""

import mmap
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import RuntimeUnreachable, SourceFailed, StoreNotAccepted, WriteFailed
from modelward.domain.finding import Corrupt, UnstableRead
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.reading import Level
from modelward.domain.receipt import KnownBad, LedgerChange
from modelward.domain.runtime import ServedModel
from modelward.scan import id_of
from modelward.services.backup import backup
from modelward.services.protect import release
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.verify import verify
from modelward.sources.vault import VaultSource
from modelward.testing import FakeStore, IdleRuntime, corrupt, fingerprint
from modelward.vault.local import LocalVault
from tests.places import Place

CHUNK = 1 << 20
LLAMA = ModelName.parse("llama3")
WEIGHTS = bytes(range(256)) * (5 * CHUNK // 256) + b"tail"


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


def heal(place: Place) -> RepairReport:
    """Repair, and expect everything healthy."""
    report = repair(place.site(), ())
    assert report.exit_code == 0, report
    assert verify(place.site(), (), Level.FULL).exit_code == 0
    return report


def test_only_the_damaged_chunks_travel(place: Place) -> None:
    """One page in one chunk costs one chunk (R2), and the bytes are the old ones to the bit."""
    corrupt.zero(weights_path(place), 3 * CHUNK + 4096, 4096)
    assert heal(place).bytes_moved == CHUNK
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_mapped_reader_sees_the_repair_at_once(place: Place) -> None:
    """Where files are not cloned the patch goes in place: a runtime that has the file mapped heals too (R3)."""
    corrupt.zero(weights_path(place), CHUNK + 10, 100)
    with weights_path(place).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[CHUNK + 10 : CHUNK + 110] == b"\0" * 100
        inode = weights_path(place).stat().st_ino
        heal(place)
        if weights_path(place).stat().st_ino != inode:
            pytest.skip("this file system clones: the repair made a new file")
        assert mapped[:] == WEIGHTS


def test_what_is_replaced_is_kept_until_a_later_proof(place: Place) -> None:
    """Quarantine holds the damaged bytes (R1)."""
    path = weights_path(place)
    corrupt.garble(path, CHUNK, 50, 9)
    damaged = path.read_bytes()
    heal(place)
    kept = b"".join(item.read_bytes() for item in (place.store / ".modelward" / "quarantine").iterdir())
    assert damaged[CHUNK : 2 * CHUNK] in kept


def _manifest(place: Place) -> Path:
    return FakeStore(place.store).manifest_path("llama3")


def _swap_for(place: Place, make: Callable[[Path], object]) -> None:
    """Put something else than a plain file under the weights' name."""
    path = weights_path(place)
    path.unlink()
    make(path)


def _lose_both(place: Place) -> None:
    weights_path(place).unlink()
    _manifest(place).unlink()


def _spoil_template(place: Place) -> None:
    min(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size).write_bytes(b"wrong")


DAMAGES: dict[str, Callable[[Place], object]] = {
    "missing": lambda p: corrupt.delete(weights_path(p)),
    "truncated": lambda p: corrupt.truncate(weights_path(p), 2 * CHUNK + 1),
    "emptied": lambda p: corrupt.truncate(weights_path(p), 0),
    "grown": lambda p: corrupt.extend(weights_path(p), b"x" * 5000),
    "zeroed": lambda p: corrupt.zero(weights_path(p), 0, 5 * CHUNK),
    "manifest gone": lambda p: corrupt.delete(_manifest(p)),
    "manifest empty": lambda p: corrupt.empty(_manifest(p)),
    "manifest with one bit flipped": lambda p: corrupt.flip_bit(
        _manifest(p), _manifest(p).read_bytes().index(b"image"), 0
    ),
    "both gone": _lose_both,
    "template wrong": _spoil_template,
    "FIFO": lambda p: _swap_for(p, os.mkfifo),
    "symlink": lambda p: _swap_for(p, lambda path: path.symlink_to("/etc/passwd")),
    "folder": lambda p: _swap_for(p, lambda path: path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_damage_heals_bit_for_bit(place: Place, damage: Callable[[Place], object]) -> None:
    """Blobs, manifest, modes and owners are as before (R1, R3, R5), and nothing of ours lies in blobs/ (G1)."""
    before = fingerprint(place.store, ignore=".modelward")
    damage(place)
    heal(place)
    assert fingerprint(place.store, ignore=".modelward") == before
    assert {path.name[:7] for path in (place.store / "blobs").iterdir()} == {"sha256-"}


@pytest.mark.parametrize("level", [Level.QUICK, Level.SAMPLE])
@pytest.mark.parametrize("seen", ["cut short", "known from a sample"])
def test_a_repair_vouches_for_nothing_that_it_did_not_read(place: Place, seen: str, level: Level) -> None:
    """More is wrong with the blob than the look knows of: all of it is healed before it counts (W3)."""
    path = weights_path(place)
    corrupt.flip_bit(path, 10, 1)
    corrupt.flip_bit(path, 3 * CHUNK, 1)
    if seen == "cut short":
        corrupt.truncate(path, 4 * CHUNK)
    else:
        site, blob = place.site(), Digest(path.name.removeprefix("sha256-"))
        known = Corrupt(blob=blob, size=len(WEIGHTS), path="", spans=(Span(3 * CHUNK, CHUNK),))
        bad = {blob.hex: KnownBad(id_of(path.stat()), 5, (known,))}
        site.ledgers.update(site.store_key, LedgerChange(damaged=bad, dropped=frozenset(bad)))
    assert repair(place.site(), (), level=level).exit_code == 0
    assert path.read_bytes() == WEIGHTS
    assert verify(place.site(), (), Level.FULL).exit_code == 0


def test_bad_sectors_go_into_a_new_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read in places is never patched: good chunks go to a new inode (R3)."""
    path, real = weights_path(place), os.preadv
    inode = path.stat().st_ino

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == inode and offset <= 2 * CHUNK < offset + len(buffers[0]):
            raise OSError(5, "Input/output error")
        return real(fd, buffers, offset)

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    report = heal(place)
    assert path.stat().st_ino != inode
    assert report.bytes_moved == CHUNK
    assert path.read_bytes() == WEIGHTS


@pytest.mark.parametrize("rotten", [("manifest",), ("wrapper",), ("manifest", "a blob of the store")])
def test_the_newest_version_comes_back_though_its_small_objects_rotted(place: Place, rotten: tuple[str, ...]) -> None:
    """A manifest lost in the store, and in the vault damage besides: no older version is put in its place (R3)."""
    store = FakeStore(place.store)
    store.add_model("llama3", WEIGHTS[:-1], template=b"another")
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    newest, raw = place.site().the_vault().snapshots()[0], _manifest(place).read_bytes()
    objects = place.vault / "blobs/sha256"
    for name in rotten:
        if name == "a blob of the store":
            _spoil_template(place)
            continue
        path = objects / {"manifest": newest.manifest, "wrapper": newest.wrapper}[name].hex
        path.chmod(0o600)
        corrupt.flip_bit(path, 100, 2)
    store.delete_manifest("llama3")
    heal(place)
    assert _manifest(place).read_bytes() == raw


def test_a_dry_run_prints_the_plan_and_touches_nothing(place: Place) -> None:
    """The same plan, no step carried out; damage is left, so the exit code is 1."""
    corrupt.truncate(weights_path(place), CHUNK)
    before = fingerprint(place.base, ignore="receipts")
    report = repair(place.site(), (), dry_run=True)
    assert report.plan.bytes == 4 * CHUNK + 4
    assert (report.actions, report.exit_code) == ((), 1)
    assert fingerprint(place.base, ignore="receipts") == before


def test_damage_that_nothing_can_heal_is_said(place: Place) -> None:
    """No source has the bytes: exit code 3, and the finding stays."""
    FakeStore(place.store).add_model("new", b"n" * (2 * CHUNK), template=b"{{ .Prompt }}")
    path = sorted(place.store.glob("blobs/*"), key=lambda item: item.stat().st_size)[-2]
    corrupt.flip_bit(path, 1, 1)
    report = repair(place.site(), ())
    assert report.exit_code == 3
    assert [left.model.short for left in report.unhealed] == ["new:latest"]


def test_damage_in_store_and_vault_alike(place: Place) -> None:
    """The same chunk is wrong in both: beyond repair (3), not "may work the next time" (1), and neither is touched."""
    copy = place.vault / "blobs" / "sha256" / weights_path(place).name.removeprefix("sha256-")
    for path in (weights_path(place), copy):
        corrupt.garble(path, 2 * CHUNK + 5, 300, 1)
    before = (weights_path(place).read_bytes(), copy.read_bytes())
    report = repair(place.site(), ())
    assert report.exit_code == 3
    assert any("no source gave good bytes" in action.error for action in report.actions)
    assert (weights_path(place).read_bytes(), copy.read_bytes()) == before


def test_a_vault_without_receipts_heals_all_the_same(place: Place) -> None:
    """What is lost of the ledgers costs time, never truth: every byte is proved on its way anyway."""
    shutil.rmtree(place.vault / "modelward" / "receipts")
    corrupt.delete(weights_path(place))
    heal(place)


def test_an_unstable_read_blocks_every_repair(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host that reads differently each time nothing is written (V1)."""
    corrupt.truncate(weights_path(place), 4 * CHUNK)
    real, lies = os.preadv, [True]

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        got = real(fd, buffers, offset)
        if lies and os.fstat(fd).st_size == 4 * CHUNK:
            lies.clear()
            buffers[0][7] ^= 1
        return got

    monkeypatch.setattr("modelward.scan.os.preadv", preadv)
    report = repair(place.site(), ())
    assert not report.actions
    assert any(isinstance(left.finding, UnstableRead) for left in report.unhealed)
    assert report.exit_code == 3


def test_a_store_that_is_not_the_recorded_one_is_not_touched(place: Place) -> None:
    """Another folder under the name: nothing is restored into it unless the user says so (I1)."""
    place.store.rename(place.base / "old")
    FakeStore(place.store).add_model("other", b"other", template=b"{{ .Prompt }}")
    before = fingerprint(place.store)
    with pytest.raises(StoreNotAccepted, match="inode") as caught:
        repair(place.site(), ())
    assert "--accept-store" in caught.value.next_step
    assert fingerprint(place.store) == before
    assert repair(place.site(), (), accepted=True).exit_code == 0


def test_an_emptied_store_is_not_filled_without_a_word(place: Place) -> None:
    """All gone at once looks like a wrong mount: repair asks, restore by name is an answer (I1)."""
    for path in sorted(place.store.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(StoreNotAccepted, match="empty"):
        repair(place.site(), ())
    assert restore(place.site(), LLAMA).exit_code == 0


def test_a_released_model_stays_deleted(place: Place) -> None:
    """The user's own deletion is not undone (G3)."""
    release(place.site(), LLAMA)
    FakeStore(place.store).delete_manifest("llama3")
    report = repair(place.site(), ())
    assert not report.actions
    assert report.exit_code == 0


class Server(IdleRuntime):
    """A runtime that has one model in memory."""

    url = "http://127.0.0.1:1"

    def __init__(self, served: tuple[ServedModel, ...] = (), *, up: bool = True) -> None:
        self.served, self.up = served, up
        self.unloaded: list[str] = []

    def version(self) -> str:
        """Its version."""
        if not self.up:
            raise RuntimeUnreachable("down")
        return "0.24.0"

    def tags(self) -> tuple[ServedModel, ...]:
        """What it lists."""
        if not self.up:
            raise RuntimeUnreachable("down")
        return self.served

    def loaded(self) -> tuple[str, ...]:
        """What is in memory."""
        return ("llama3:latest",)

    def unload(self, name: str) -> None:
        """Remember."""
        self.unloaded.append(name)


def test_a_healed_model_is_taken_out_of_memory(place: Place) -> None:
    """The server opens the good file at its next request, without a restart (R3)."""
    digest = place.site().store.inventory().models[LLAMA].manifest.digest.hex
    server = Server((ServedModel(name="llama3:latest", digest=digest, size=1),))
    place.runtime = server
    corrupt.flip_bit(weights_path(place), 9, 1)
    report = heal(place)
    assert server.unloaded == ["llama3:latest"]
    assert any("memory" in note for note in report.notes)


def test_a_name_that_nobody_could_have_is_not_unloaded(place: Place) -> None:
    """The server says it; it is passed over, and the healed model is unloaded all the same."""

    class Odd(Server):
        def loaded(self) -> tuple[str, ...]:
            """One of ours, and something else."""
            return ("../../etc/passwd", "llama3:latest")

    digest = place.site().store.inventory().models[LLAMA].manifest.digest.hex
    server = Odd((ServedModel(name="llama3:latest", digest=digest, size=1),))
    place.runtime = server
    corrupt.flip_bit(weights_path(place), 9, 1)
    heal(place)
    assert server.unloaded == ["llama3:latest"]


def test_a_server_that_fails_while_it_is_told_is_said(place: Place) -> None:
    """The repair stands; that the old bytes may still be served is said, since nobody knows (R3)."""

    class Failing(Server):
        def unload(self, name: str) -> None:
            """It goes away in this moment."""
            raise RuntimeUnreachable("went away", thing=name)

    digest = place.site().store.inventory().models[LLAMA].manifest.digest.hex
    place.runtime = Failing((ServedModel(name="llama3:latest", digest=digest, size=1),))
    corrupt.flip_bit(weights_path(place), 9, 1)
    (note,) = heal(place).notes
    assert "may still be in the server's memory" in note
    assert "went away" in note


def test_a_template_that_was_replaced_may_need_a_restart(place: Place) -> None:
    """Servers keep small blobs by the manifest's digest: it is said, and only where a server runs (R3)."""
    digest = place.site().store.inventory().models[LLAMA].manifest.digest.hex
    for server in (Server((ServedModel(name="llama3:latest", digest=digest, size=1),)), None):
        place.runtime = server
        _spoil_template(place)
        notes = heal(place).notes
        assert any("until they are restarted" in note for note in notes) == (server is not None)


def test_a_repair_that_the_audit_log_does_not_take_stands(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault on a read-only disk heals as before; that it cannot be told of is said (A1)."""

    def refuse(_: LocalVault, action: str, **__: object) -> None:
        raise WriteFailed("read-only file system (EROFS)", thing=action)

    monkeypatch.setattr(LocalVault, "audit", refuse)
    corrupt.flip_bit(weights_path(place), 9, 1)
    (note,) = heal(place).notes
    assert "not in the vault's audit log" in note
    assert "EROFS" in note


def test_a_server_that_reads_another_store_stops_the_repair(place: Place) -> None:
    """The classic wrong cure is to heal the store that the server does not read (I1)."""
    place.runtime = Server((ServedModel(name="else:latest", digest="ab" * 32, size=1),))
    corrupt.flip_bit(weights_path(place), 9, 1)
    with pytest.raises(StoreNotAccepted, match="another store"):
        repair(place.site(), ())


def test_a_server_that_is_down_stops_nothing(place: Place) -> None:
    """Everything works without a server (V2)."""
    place.runtime = Server(up=False)
    corrupt.flip_bit(weights_path(place), 9, 1)
    heal(place)


def test_the_next_source_takes_over(place: Place) -> None:
    """A source that fails midway is replaced by the next, and its bytes are checked by the chunk list (R2)."""
    corrupt.zero(weights_path(place), 0, 5 * CHUNK)
    site = place.site()
    asked: list[int] = []

    class Weak(VaultSource):
        name = "weak"
        rank = -1

        def read(self, blob: object, offset: int, view: memoryview) -> int:
            """Give one chunk, then wrong bytes, then fail."""
            asked.append(offset)
            if len(asked) == 1:
                return super().read(blob, offset, view)  # type: ignore[arg-type]
            if len(asked) == 2:
                view[:] = b"\1" * len(view)
                return len(view)
            raise SourceFailed("gone")

        def local_file(self, _: object) -> None:
            """No file: it is far away."""
            return

    both = (Weak(site.the_vault(), site.ledgers), *site.sources)
    report = repair(type(site)(**{name: getattr(site, name) for name in site.__slots__} | {"sources": both}), ())
    assert report.exit_code == 0
    assert report.actions[0].source == "weak+vault"
    assert weights_path(place).read_bytes() == WEIGHTS


def test_a_server_that_is_down_has_nothing_in_memory(place: Place) -> None:
    """No word about a memory that is not there."""
    place.runtime = Server(up=False)
    corrupt.flip_bit(weights_path(place), 9, 1)
    assert heal(place).notes == ()
