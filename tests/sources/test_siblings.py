"""Other folders of this host are found, offered by name or by our own hash, hashed once, and never changed."""

import errno
import fcntl
import hashlib
import os
import random
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK
from modelward.domain.codec import decode
from modelward.domain.digest import Digest
from modelward.domain.errors import Interrupted, SourceFailed
from modelward.domain.reading import Checked
from modelward.domain.source import Wanted
from modelward.ports import Source
from modelward.scan import Pace, Reading, file_id, id_of
from modelward.scan import hash_whole as really_hash
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.sources import sibling_files, sibling_index, siblings
from modelward.sources.siblings import SiblingSource, find_siblings
from modelward.testing import FakeStore, FrozenClock, corrupt, fingerprint
from tests.descriptors import open_now
from tests.kinds import KINDS, at_most, put
from tests.models import digest_of, pattern
from tests.places import Notes, Place
from tests.privileges import public_folder, unprivileged

WEIGHTS = pattern(2 * CHUNK + 5)
SMALL = b"{{ .Prompt }}"
WANTED = [Wanted(digest_of(data), len(data)) for data in (WEIGHTS, SMALL)]
BLOB = WANTED[0].blob
EVERYTHING = {item.blob: () for item in WANTED}
UNKNOWN = Digest("0" * 64)
LAYOUTS: dict[str, Callable[[bytes], str]] = {
    "store": lambda data: f"blobs/sha256-{digest_of(data).hex}",
    "old store": lambda data: f"blobs/sha256:{digest_of(data).hex}",
    "store below": lambda data: f"ollama/models/blobs/sha256-{digest_of(data).hex}",
    "hub": lambda data: f"models--org--name/blobs/{digest_of(data).hex}",
    "hub below": lambda data: f"hub/models--org--name/blobs/{digest_of(data).hex}",
    "layout": lambda data: f"blobs/sha256/{digest_of(data).hex}",
    "weights": lambda data: f"some/folder/{len(data)}.gguf",
    "weights below": lambda data: f"model.gguf/{len(data)}.bin",
    "more weights": lambda data: f"{len(data)}.SafeTensors",
}


@dataclass
class Home:
    """A sibling in ``root``, a folder for receipts, and a clock far behind the last write to any file."""

    base: Path
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(datetime.now(UTC) + timedelta(hours=1)))
    notes: Notes = field(default_factory=Notes)

    @property
    def root(self) -> Path:
        """The sibling's folder."""
        return self.base / "sibling"

    @property
    def receipts(self) -> Path:
        """Where the index is kept."""
        return self.base / "receipts"

    def put(self, path: str, data: bytes = WEIGHTS) -> Path:
        """Write a file of the sibling."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def fill(self, layout: str) -> list[Path]:
        """Both blobs in a layout."""
        return [self.put(LAYOUTS[layout](data), data) for data in (WEIGHTS, SMALL)]

    def reading(self, rate: int = 0) -> Reading:
        """How the sibling is read."""
        return Reading(clock=self.clock, progress=self.notes, pace=Pace(self.clock, rate), threads=2)

    def source(self, *own: Path) -> SiblingSource:
        """The source as a new process would make it."""
        return SiblingSource(self.root, receipts=self.receipts, reading=self.reading(), own=own)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty sibling."""
    made = Home(tmp_path)
    made.root.mkdir()
    return made


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Each layout in turn."""
    return str(request.param)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that were hashed, in order."""
    sizes: list[int] = []

    def counted(fd: int, size: int, reading: Reading) -> Checked:
        sizes.append(size)
        return really_hash(fd, size, reading)

    monkeypatch.setattr(siblings, "hash_whole", counted)
    return sizes


def take(source: Source, blob: Digest, offset: int, length: int) -> bytes:
    """Read until there is no more, or ``length`` bytes are there."""
    buffer, got = memoryview(bytearray(length)), 0
    while got < length and (step := source.read(blob, offset + got, buffer[got:])):
        got += step
    return bytes(buffer[:got])


def whole(source: Source, blob: Digest = BLOB) -> bytes:
    """All bytes of the big blob, and one more if there is one."""
    return take(source, blob, 0, len(WEIGHTS) + 1)


# What every source promises, for each layout.


def test_it_offers_what_it_has_by_digest_and_size(home: Home, layout: str) -> None:
    """Another size is another blob, and nothing asked for is nothing offered."""
    home.fill(layout)
    source = home.source()
    assert source.offers(WANTED) == EVERYTHING
    assert source.offers([Wanted(UNKNOWN, len(WEIGHTS)), Wanted(BLOB, len(WEIGHTS) - 1)]) == {}
    assert source.offers([]) == {}
    assert source.offers(iter(WANTED[:1])) == {BLOB: ()}


def test_it_gives_the_bytes_of_any_range(home: Home, layout: str) -> None:
    """From any offset, of any length; fewer only at the blob's end, none behind it."""
    home.fill(layout)
    source, size = home.source(), len(WEIGHTS)
    source.offers(WANTED)
    borders = st.sampled_from([0, 1, 4096, CHUNK - 1, CHUNK, CHUNK + 1, size - 1, size, size + 1, size + CHUNK])

    @settings(max_examples=30, deadline=None)
    @given(offset=borders | st.integers(0, size), length=st.integers(1, CHUNK))
    def run(offset: int, length: int) -> None:
        assert take(source, BLOB, offset, length) == WEIGHTS[offset : offset + length]

    run()


def test_it_leaves_the_rest_of_the_buffer_alone(home: Home, layout: str) -> None:
    """Only as many bytes as it says are written."""
    home.fill(layout)
    source, buffer = home.source(), bytearray(b"x" * 100)
    source.offers(WANTED)
    assert source.read(BLOB, len(WEIGHTS) - 10, memoryview(buffer)) == 10
    assert buffer == WEIGHTS[-10:] + b"x" * 90


def test_what_it_does_not_have_is_an_error_of_its_own(home: Home, layout: str) -> None:
    """SourceFailed that names the blob, also for what it had a moment ago."""
    big, _ = home.fill(layout)
    source = home.source()
    assert source.offers(WANTED) == EVERYTHING
    big.unlink()
    for blob in (UNKNOWN, BLOB):
        with pytest.raises(SourceFailed) as caught:
            source.read(blob, 0, memoryview(bytearray(10)))
        assert caught.value.thing == str(blob)
        assert source.local_file(blob) is None
    assert source.offers(WANTED) == {WANTED[1].blob: ()}


def test_several_threads_may_read_at_once(home: Home, layout: str) -> None:
    """Each gets what it asked for, whether or not somebody asks for offers meanwhile; no descriptor is left open."""
    home.fill(layout)
    source, found = home.source(), dict[int, bytes]()
    source.offers(WANTED)
    before = open_now()

    def read(number: int) -> None:
        source.offers(WANTED)
        found[number] = take(source, BLOB, number * 1000, 200_000)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: WEIGHTS[number * 1000 : number * 1000 + 200_000] for number in range(8)}
    assert not open_now() - before


def test_nothing_in_the_sibling_is_changed(home: Home, layout: str) -> None:
    """No file is made, altered or touched there, whatever is asked."""
    home.fill(layout)
    before = fingerprint(home.root), {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}
    source = home.source()
    source.offers([*WANTED, Wanted(UNKNOWN, len(WEIGHTS))])
    whole(source)
    assert (fingerprint(home.root), {path: path.stat().st_mtime_ns for path in home.root.rglob("*")}) == before


def test_a_local_file_is_the_blob_and_vouched_for_only_by_our_own_hash(home: Home, layout: str) -> None:
    """A name is a claim and no receipt; a file that we hashed has one, for this very file."""
    home.fill(layout)
    source = home.source()
    source.offers(WANTED)
    local = source.local_file(BLOB)
    assert local is not None
    try:
        assert os.pread(local.fd, len(WEIGHTS) + 1, 0) == WEIGHTS
        if "weights" in layout:
            assert local.receipt is not None
            assert local.receipt.holds_for(file_id(local.fd))
            assert local.receipt.verified_at == int(home.clock.now().timestamp())
        else:
            assert local.receipt is None
    finally:
        os.close(local.fd)


def test_the_name_tells_which_folder_and_the_rank_whether_it_is_the_same_disk(home: Home) -> None:
    """A place on the same device is asked before one on another, or beside a store that is not there."""
    source = home.source(home.base)
    assert (source.name, source.rank) == (f"sibling {home.root}", 5)
    assert home.source(Path("/proc")).rank == 6
    assert home.source(home.base / "nowhere").rank == 6
    assert home.source().rank == 6


# Names that claim a digest.


@pytest.mark.parametrize(
    "path",
    [
        f"models--a--b/blobs/{hashlib.sha1(WEIGHTS, usedforsecurity=False).hexdigest()}",
        f"models--a--b/blobs/{BLOB.hex}.incomplete",
        f"models--a--b/blobs/{BLOB.hex.upper()}",
        f"models--a--b/snapshots/main/blobs/{BLOB.hex}",
        f"blobs/sha256-{BLOB.hex}-partial",
        f"blobs/sha256-{BLOB.hex}-partial-0",
        f"blobs/sha512-{BLOB.hex}",
        f"blobs/0{BLOB.hex}",
        f"elsewhere/{BLOB.hex}",
        f"some/{BLOB.hex}.txt",
        "some/weights.gguf.part",
        "gguf",
    ],
)
def test_other_names_claim_nothing(home: Home, reads: list[int], path: str) -> None:
    """Git objects, half downloads, other hashes: neither offered nor read."""
    home.put(path)
    assert home.source().offers(WANTED) == {}
    assert reads == []


def test_a_claim_is_not_read_before_it_is_taken(home: Home, layout: str, reads: list[int]) -> None:
    """Only a file with a name of its own has to be hashed."""
    home.fill(layout)
    home.source().offers(WANTED)
    assert sorted(reads) == (sorted(item.size for item in WANTED) if "weights" in layout else [])


def test_a_claim_of_the_wrong_size_gives_way_to_the_next(home: Home) -> None:
    """The same blob may lie in several places of one sibling, cut short in some of them."""
    home.put(f"models--a--a/blobs/{BLOB.hex}", WEIGHTS[:-1])
    assert home.source().offers(WANTED) == {}
    home.put(f"models--b--b/blobs/{BLOB.hex}")
    home.put(f"models--c--c/blobs/{BLOB.hex}", b"")
    source = home.source()
    assert source.offers(WANTED) == {BLOB: ()}
    assert whole(source) == WEIGHTS


def test_a_claim_that_shrinks_is_an_error_and_one_that_is_replaced_goes_on(home: Home) -> None:
    """A store that pulls the blob anew gives the new file; every byte of it is checked by who takes it."""
    path = home.put(LAYOUTS["store"](WEIGHTS), b"x" * len(WEIGHTS))
    source = home.source()
    source.offers(WANTED)
    new = home.put("blobs/new")
    new.rename(path)
    assert whole(source) == WEIGHTS
    corrupt.truncate(path, CHUNK)
    with pytest.raises(SourceFailed, match="changed") as caught:
        whole(source)
    assert caught.value.next_step
    assert source.local_file(BLOB) is None
    assert source.offers(WANTED) == {}


def test_a_blob_can_be_read_without_an_offer(home: Home, layout: str, reads: list[int]) -> None:
    """By its name, or by what an earlier run found out; nothing is hashed for it."""
    home.fill(layout)
    if "weights" in layout:
        with pytest.raises(SourceFailed):
            home.source().read(BLOB, 0, memoryview(bytearray(10)))
        assert reads == []
        home.source().offers(WANTED)
        reads.clear()
    source = home.source()
    assert whole(source) == WEIGHTS
    local = source.local_file(WANTED[1].blob)
    assert local is not None
    os.close(local.fd)
    assert reads == []


# Files of weights: hashed once.


def test_only_files_of_a_wanted_size_are_hashed(home: Home, reads: list[int]) -> None:
    """Everything else is told by its size alone."""
    home.put("a.gguf", WEIGHTS + b"x")
    home.put("b.bin", b"x" * (len(SMALL) - 1))
    home.put("c.gguf", b"x" * len(SMALL))
    assert home.source().offers(WANTED) == {}
    assert reads == [len(SMALL)]
    kept = sibling_files.look_through(home.root, sibling_files.Asked(sizes=frozenset({len(SMALL)})), ())
    assert [place.name for places in kept.weights.values() for place in places] == ["c.gguf"], "memory is for those"


def test_an_unchanged_file_is_never_read_again(home: Home, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    """Not by the same process and not by the next, be it what was wanted or not."""
    home.fill("weights")
    home.put("other.gguf", bytes(len(WEIGHTS)))
    home.put("same.gguf", bytes(len(WEIGHTS)))
    missing = [*WANTED, Wanted(UNKNOWN, len(WEIGHTS))]
    source = home.source()
    assert source.offers(missing) == EVERYTHING
    assert len(reads) == 4
    monkeypatch.setattr(sibling_index, "put_small", None)  # nothing new, nothing written
    home.clock.advance(days=1)
    assert source.offers(missing) == EVERYTHING
    assert home.source().offers(missing) == EVERYTHING
    assert len(reads) == 4


def test_what_is_known_is_found_before_anything_is_read(home: Home, reads: list[int]) -> None:
    """A new file of the same size is not hashed while an old one is the blob."""
    home.fill("weights")
    home.source().offers(WANTED)
    reads.clear()
    for number in range(5):
        home.put(f"another{number}.gguf", bytes([number]) * len(WEIGHTS))
    assert home.source().offers(WANTED) == EVERYTHING
    assert reads == []


def test_a_changed_file_is_hashed_again(home: Home, reads: list[int]) -> None:
    """Its identity is another one, so what was known of it does not count."""
    big, _ = home.fill("weights")
    source = home.source()
    source.offers(WANTED)
    corrupt.flip_bit(big, 1000, 3)
    assert home.source().offers(WANTED) == {WANTED[1].blob: ()}
    corrupt.flip_bit(big, 1000, 3)
    assert home.source().offers(WANTED) == EVERYTHING
    assert reads == [len(WEIGHTS), len(SMALL), len(WEIGHTS), len(WEIGHTS)]


def test_a_file_that_changed_after_the_offer_is_an_error(home: Home) -> None:
    """Nothing of it is given: its bytes are not those that were hashed."""
    big, _ = home.fill("weights")
    source = home.source()
    source.offers(WANTED)
    corrupt.flip_bit(big, 1000, 3)
    with pytest.raises(SourceFailed, match="changed"):
        whole(source)
    assert source.local_file(BLOB) is None
    assert source.offers(WANTED) == {WANTED[1].blob: ()}


def test_a_file_that_changes_while_it_is_read_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of it may be of two files."""
    big, _ = home.fill("weights")
    source = home.source()
    source.offers(WANTED)

    def changing(fd: int, views: list[memoryview], offset: int) -> int:
        corrupt.flip_bit(big, 1000, 3)
        return os.preadv(fd, views, offset)

    class Os:
        preadv = staticmethod(changing)

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

    monkeypatch.setattr(siblings, "os", Os())
    with pytest.raises(SourceFailed, match="changed"):
        source.read(BLOB, 0, memoryview(bytearray(10)))


@pytest.mark.parametrize("data", [WEIGHTS, SMALL], ids=["big", "small"])
@pytest.mark.parametrize("change", ["write", "grow", "cut"])
def test_a_file_that_changes_while_it_is_hashed_is_not_offered(home: Home, data: bytes, change: str) -> None:
    """Nor is it remembered; the next run, when it is at rest, finds it."""
    path = home.put("w.gguf", data)
    once = iter([True])

    class Meddler(Notes):
        def advance(self, count: int) -> None:
            super().advance(count)
            if next(once, False):
                with path.open("r+b") as file:
                    match change:
                        case "write":
                            file.write(data[:1])
                        case "grow":
                            file.truncate(len(data) + 1)
                        case _:
                            file.truncate(len(data) - 1)

    home.notes = Meddler()
    item = Wanted(digest_of(data), len(data))
    source = home.source()
    assert source.offers([item]) == {}
    path.write_bytes(data)
    assert home.source().offers([item]) == {item.blob: ()}


def test_a_file_written_to_just_now_is_offered_without_a_receipt(home: Home) -> None:
    """A process that has it mapped may still change it unseen, so it may be copied with proof but not cloned."""
    big, _ = home.fill("weights")
    os.utime(big, (0, 0))  # what anybody may set counts no more than what the kernel sets
    home.clock = FrozenClock(datetime.fromtimestamp(int(big.stat().st_ctime) + 30, UTC))
    source = home.source()
    assert source.offers(WANTED) == EVERYTHING
    local = source.local_file(BLOB)
    assert local is not None
    os.close(local.fd)
    assert local.receipt is None


def test_hashing_says_how_far_it_is_and_keeps_the_pace(home: Home, reads: list[int]) -> None:
    """A stage of so many bytes, at so many bytes a second; none when all is known."""
    home.fill("weights")
    source = SiblingSource(home.root, receipts=home.receipts, reading=home.reading(rate=CHUNK))
    source.offers(WANTED)
    total = len(WEIGHTS) + len(SMALL)
    assert home.notes.stages == [(f"look into {home.root}", size) for size in (len(WEIGHTS), len(SMALL))]
    assert home.notes.done == total
    assert 1 < home.clock.monotonic() < 4
    home.source().offers(WANTED)
    assert len(home.notes.stages) == 2
    assert len(reads) == 2


def test_no_hash_is_begun_after_the_deadline(home: Home) -> None:
    """What is not read to its end is not offered, and found by a run with time."""
    home.fill("weights")
    reading = home.reading()
    reading.deadline = home.clock.monotonic()
    assert BLOB not in SiblingSource(home.root, receipts=home.receipts, reading=reading).offers(WANTED)
    assert home.source().offers(WANTED) == EVERYTHING


def test_an_interrupt_keeps_what_was_hashed(home: Home, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    """Ctrl-C in the second file: the first one is not read again."""
    home.fill("weights")
    once = iter([True])

    def stopping(fd: int, size: int, reading: Reading) -> Checked:
        reads.append(size)
        checked = really_hash(fd, size, reading)
        if next(once, False):
            reading.stop.set()
        return checked

    monkeypatch.setattr(siblings, "hash_whole", stopping)
    with pytest.raises(Interrupted):
        home.source().offers(WANTED)
    assert home.source().offers(WANTED) == EVERYTHING
    assert reads == [len(WEIGHTS), len(SMALL), len(SMALL)]


@pytest.mark.parametrize("breaks", ["the descriptor", "the read"])
def test_a_disk_that_fails_is_not_offered_nor_read_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    """An input/output error while hashing says nothing about the bytes; the next process tries once more."""
    big, _ = home.fill("weights")
    tries: list[int] = []

    def failing(fd: int, size: int, reading: Reading) -> Checked:
        tries.append(size)
        if breaks == "the descriptor":
            raise OSError(errno.EIO, "Input/output error")
        return msgspec.structs.replace(really_hash(fd, size, reading), sha256="", unreadable={0: "EIO"})

    monkeypatch.setattr(siblings, "hash_whole", failing)
    source = home.source()
    for _ in range(3):
        assert source.offers(WANTED) == {}
        home.clock.advance(hours=1)
    assert len(tries) == 2
    monkeypatch.setattr(siblings, "hash_whole", really_hash)
    big.chmod(0o600)
    assert source.offers(WANTED) == {BLOB: ()}
    assert home.source().offers(WANTED) == EVERYTHING


def test_a_disk_that_fails_while_it_is_read_from_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """SourceFailed, so that the next source is asked; no descriptor is left open."""
    home.fill("store")
    source = home.source()
    source.offers(WANTED)
    before = open_now()
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", broken)
        with pytest.raises(SourceFailed, match="cannot be read"):
            source.read(BLOB, 0, memoryview(bytearray(10)))
    with monkeypatch.context() as patch:
        patch.setattr(siblings, "file_id", broken)
        with pytest.raises(SourceFailed, match="changed"):
            source.read(BLOB, 0, memoryview(bytearray(10)))
        assert source.offers(WANTED) == {}
    assert not open_now() - before
    assert source.offers(WANTED) == EVERYTHING


def broken(*_: object, **__: object) -> object:
    """A call to a disk that is gone."""
    raise OSError(errno.EIO, "Input/output error")


# The index.


def index_of(home: Home) -> Path:
    """The index's file."""
    return next(home.receipts.glob("sibling-*.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"hashed":[[[1,2,3],"x",1]]}', b"\xff" * 100])
def test_an_unreadable_index_counts_as_empty(home: Home, reads: list[int], content: bytes) -> None:
    """It is made anew; what is lost here costs time, never truth."""
    home.fill("weights")
    home.source().offers(WANTED)
    index_of(home).write_bytes(content)
    assert home.source().offers(WANTED) == EVERYTHING
    assert len(reads) == 4
    assert home.source().offers(WANTED) == EVERYTHING
    assert len(reads) == 4


def test_an_index_that_cannot_be_kept_is_no_error(home: Home, reads: list[int]) -> None:
    """A run without a place for receipts hashes for itself, once."""
    home.fill("weights")
    home.receipts.write_bytes(b"no folder")
    source = home.source()
    assert source.offers(WANTED) == EVERYTHING
    home.clock.advance(days=1)
    assert source.offers(WANTED) == EVERYTHING
    assert whole(source) == WEIGHTS
    assert len(reads) == 2


def test_two_runs_at_once_keep_what_both_found(home: Home, reads: list[int]) -> None:
    """What one wrote is merged with what the other one knows."""
    home.fill("weights")
    first, second = home.source(), home.source()
    for source in (first, second):
        assert source.offers([Wanted(UNKNOWN, 1)]) == {}
    first.offers(WANTED[:1])
    second.offers(WANTED[1:])
    home.source().offers(WANTED)
    assert len(reads) == 2


def test_the_index_is_bounded(home: Home, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    """The latest are kept."""
    monkeypatch.setattr(sibling_index, "MOST", 3)
    for number in range(3):
        home.put(f"{number}.gguf", bytes([number]) * 100)
    home.source().offers([Wanted(UNKNOWN, 100)])
    newest = home.put("newest.gguf", b"x" * 100)
    home.source().offers([Wanted(UNKNOWN, 100)])
    known = decode(index_of(home).read_bytes(), sibling_index.Known)
    assert len(known.hashed) == 3
    assert known.hashed[-1].file.inode == newest.stat().st_ino
    assert len(reads) == 4
    home.source().offers([Wanted(UNKNOWN, 100)])
    assert len(reads) == 5


def test_a_lock_that_another_run_holds_is_no_error(home: Home, reads: list[int]) -> None:
    """After a short wait this run goes on with what it found, and keeps it for itself."""
    home.fill("weights")
    home.receipts.mkdir()
    with (home.receipts / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source = home.source()
        assert source.offers(WANTED) == EVERYTHING
        assert source.offers(WANTED) == EVERYTHING
    assert len(reads) == 2
    assert list(home.receipts.glob("sibling-*")) == []


def test_a_name_that_is_no_text_is_indexed_too(home: Home, reads: list[int]) -> None:
    """File names are bytes; the index goes by the file's identity."""
    path = os.fsencode(home.root) + b"/\xff\xfe.gguf"
    Path(os.fsdecode(path)).write_bytes(WEIGHTS)
    for _ in range(2):
        source = home.source()
        assert source.offers(WANTED) == {BLOB: ()}
        assert whole(source) == WEIGHTS
    assert len(reads) == 1


def test_each_sibling_has_an_index_of_its_own(home: Home) -> None:
    """Private to its owner, in the folder of receipts, beside the lock that all receipts share."""
    home.fill("weights")
    home.source().offers(WANTED)
    other = Home(home.base / "other")
    other.fill("weights")
    SiblingSource(other.root, receipts=home.receipts, reading=home.reading()).offers(WANTED)
    found = sorted(home.receipts.iterdir())
    assert [path.name[:8] for path in found] == ["lock", "sibling-", "sibling-"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)


# Hostile and broken places.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", [LAYOUTS["store"](WEIGHTS), LAYOUTS["hub"](WEIGHTS), "weights.gguf"])
def test_only_plain_files_count(home: Home, monkeypatch: pytest.MonkeyPatch, kind: str, path: str) -> None:
    """A link, FIFO, socket or device is not offered, and not even opened: that alone may do something to a device."""
    opened: list[sibling_files.Place] = []
    monkeypatch.setattr(siblings, "open_place", lambda _, place: opened.append(place))
    place = home.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    put(kind, place, home.base / "secret")
    (home.base / "secret").write_bytes(WEIGHTS)
    with at_most(20):
        source = home.source()
        assert source.offers(WANTED) == {}
        with pytest.raises(SourceFailed):
            source.read(BLOB, 0, memoryview(bytearray(10)))
    assert opened == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_becomes_something_else_is_an_error(home: Home, layout: str, kind: str) -> None:
    """Between the offer and the read, a link to the very same bytes included."""
    path, _ = home.fill(layout)
    source = home.source()
    source.offers(WANTED)
    path.unlink()
    put(kind, path, home.base / "secret")
    (home.base / "secret").write_bytes(WEIGHTS)
    with at_most(20), pytest.raises(SourceFailed):
        source.read(BLOB, 0, memoryview(bytearray(10)))
    assert source.local_file(BLOB) is None
    assert BLOB not in source.offers(WANTED)


def test_links_out_of_the_root_are_not_followed(home: Home) -> None:
    """Neither to a folder beside the sibling nor round in circles."""
    outside = Home(home.base / "outside")
    outside.fill("store")
    outside.fill("weights")
    (home.root / "link").symlink_to(outside.root, target_is_directory=True)
    (home.root / "blobs").symlink_to(outside.root / "blobs", target_is_directory=True)
    (home.root / "self").symlink_to(home.root, target_is_directory=True)
    with at_most(20):
        assert home.source().offers(WANTED) == {}


def test_a_snapshot_of_the_hub_is_a_link_to_a_blob(home: Home, reads: list[int]) -> None:
    """The blob is offered once, and nothing is hashed for the name that people see."""
    blob, _ = home.fill("hub")
    link = home.root / "models--org--name" / "snapshots" / "main" / "model.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert home.source().offers(WANTED) == EVERYTHING
    assert reads == []


def test_what_may_not_be_read_is_not_offered(layout: str) -> None:
    """A file or a folder that this user may not open leaves the rest as it is."""
    with public_folder() as base:
        home = Home(base)
        big, _ = home.fill(layout)
        closed = home.put("closed/blobs/sha256-" + BLOB.hex).parent
        big.chmod(0)
        with unprivileged(base):
            closed.chmod(0)
            assert home.source().offers(WANTED) == {WANTED[1].blob: ()}
            closed.chmod(0o700)
            source = home.source()
            assert source.offers(WANTED) == EVERYTHING
            closed.chmod(0)
            with pytest.raises(SourceFailed, match="EACCES"):
                source.read(BLOB, 0, memoryview(bytearray(10)))


def test_a_sibling_that_is_not_there_offers_nothing(home: Home) -> None:
    """Nor does one that goes away after the offer."""
    home.fill("store")
    source = home.source()
    assert source.offers(WANTED) == EVERYTHING
    home.root.rename(home.base / "moved")
    with pytest.raises(SourceFailed):
        whole(source)
    assert source.offers(WANTED) == {}
    assert home.source().offers(WANTED) == {}
    home.root.write_bytes(b"no folder")
    assert home.source().offers(WANTED) == {}


def test_a_folder_that_goes_away_while_it_is_walked_leaves_the_rest(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that vanish between the listing of their names and the look at them as well."""
    home.fill("store")
    doomed = [home.put(f"blobs/{number}.gguf", b"") for number in range(200)]

    def losing(found: os.stat_result) -> object:
        for path in doomed:
            path.unlink(missing_ok=True)
        return id_of(found)

    monkeypatch.setattr(sibling_files, "id_of", losing)
    assert home.source().offers(WANTED) == EVERYTHING


def test_a_huge_folder_is_left_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many entries the walk ends; shallow folders come first, whatever lies deep."""
    looked: list[str] = []

    def looking(entry: os.DirEntry[str], *more: object) -> object:
        looked.append(entry.name)
        return taking(entry, *more)

    taking = vars(sibling_files)["_take"]
    monkeypatch.setattr(sibling_files, "MOST_ENTRIES", 500)
    monkeypatch.setattr(sibling_files, "_take", looking)
    for number in range(2000):
        home.put(f"a/deep/down/{number}.txt", b"")
    home.put("b/model.gguf")
    assert home.source().offers(WANTED) == {BLOB: ()}
    assert len(looked) == 500
    home.put(f"b/inner/inner/inner/inner/blobs/sha256-{WANTED[1].blob.hex}", SMALL)
    assert home.source().offers(WANTED) == {BLOB: ()}


def test_the_walk_ends_eight_folders_down(home: Home) -> None:
    """Deeper ones are not gone into."""
    home.put("/".join("12345678") + "/model.gguf")
    home.put("/".join("123456789") + f"/{len(SMALL)}.gguf", SMALL)
    assert home.source().offers(WANTED) == {BLOB: ()}


def test_our_own_store_and_vault_are_no_sibling(home: Home) -> None:
    """A named folder may hold them: they are left out, by whatever path they are reached."""
    store, vault = home.root / "our" / "store", home.root / "our" / "vault"
    home.put(f"our/store/{LAYOUTS['store'](WEIGHTS)}")
    home.put(f"our/vault/{LAYOUTS['layout'](WEIGHTS)}")
    home.put("our/store/copy.gguf")
    assert home.source(store, vault).offers(WANTED) == {}
    assert home.source(store).offers(WANTED) == {BLOB: ()}
    other = SiblingSource(store / "blobs", receipts=home.receipts, reading=home.reading(), own=(store, vault))
    assert other.offers(WANTED) == {}


def test_a_blobs_folder_may_be_named_itself(home: Home) -> None:
    """Then its own name tells what the names in it mean."""
    home.fill("layout")
    inner = SiblingSource(home.root / "blobs" / "sha256", receipts=home.receipts, reading=home.reading())
    assert inner.offers(WANTED) == EVERYTHING


def test_one_listing_serves_all_questions(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is walked once for what a plan asks, not once more for each blob of it."""
    home.fill("store")
    walks: list[sibling_files.Asked] = []

    def walking(root: Path, asked: sibling_files.Asked, own: frozenset[tuple[int, int]]) -> sibling_files.Listing:
        walks.append(asked)
        return sibling_files.look_through(root, asked, own)

    monkeypatch.setattr(siblings, "look_through", walking)
    source = home.source()
    for item in WANTED * 3:
        assert source.offers([item]) == {item.blob: ()}
    assert source.offers(WANTED) == EVERYTHING
    assert len(walks) == 2


def test_what_appears_later_is_found_later(home: Home) -> None:
    """A listing is used for a minute; a file that comes after it is found after it."""
    source = home.source()
    assert source.offers(WANTED) == {}
    home.fill("store")
    home.clock.advance(seconds=61)
    assert source.offers(WANTED) == EVERYTHING


# Whatever happens to the sibling: right bytes, or an error.


CHANGES = ("damage", "lose", "mend", "zero", "a folder", "a link", "rename", "touch")


def change(path: Path, what: str, rng: random.Random) -> None:
    """What people, disks and servers do to one file."""
    aside = path.with_name("set aside")
    match what:
        case "damage":
            corrupt.random_damage(path, rng)
        case "lose":
            path.unlink()
        case "mend" | "zero":
            path.write_bytes(WEIGHTS if what == "mend" else bytes(len(WEIGHTS)))
        case "a folder" | "a link":
            path.rename(aside)
            path.mkdir() if what == "a folder" else path.symlink_to(aside)
        case "rename":
            path.rename(aside)
            aside.rename(path)
        case _:
            path.touch()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(CHANGES), max_size=4), early=st.booleans())
def test_what_is_hashed_gives_right_bytes_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[str], *, early: bool
) -> None:
    """Under any mutation before or after the offer; a receipt holds for right bytes only."""
    home = Home(tmp_path_factory.mktemp("mutation"))
    path = home.put("w.gguf")
    source, rng = home.source(), random.Random(seed)
    if early:
        source.offers(WANTED)
    for step in steps:
        try:
            change(path, step, rng)
        except (OSError, ValueError):
            continue
        # File times move by the kernel's tick: two states within one could have one identity.
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(seed, rng.randrange(1 << 60)))
    try:
        assert whole(source) == WEIGHTS
    except SourceFailed:
        assert source.local_file(BLOB) is None
    home.clock.advance(minutes=2)
    if source.offers(WANTED):
        assert whole(source) == WEIGHTS
    local = source.local_file(BLOB)
    if local is not None:
        assert os.pread(local.fd, len(WEIGHTS) + 1, 0) == WEIGHTS
        os.close(local.fd)


# In a repair.


@pytest.mark.parametrize("layout_name", ["store", "hub", "weights"])
@pytest.mark.parametrize("loss", ["span", "file"])
def test_a_repair_takes_its_bytes_from_a_sibling(tmp_path: Path, layout_name: str, loss: str) -> None:
    """With the vault's objects gone, and a second sibling that lies: the next one is asked (R2)."""
    place, home, liar = Place(tmp_path, threads=1), Home(tmp_path / "good"), Home(tmp_path / "bad")
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=SMALL)
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    path = place.store / "blobs" / f"sha256-{BLOB.hex}"
    (place.vault / "blobs" / "sha256" / BLOB.hex).unlink()
    home.fill(layout_name)
    liar.put(LAYOUTS["store"](WEIGHTS), bytes(len(WEIGHTS)))
    if loss == "span":
        corrupt.zero(path, CHUNK - 10, 20)
    else:
        path.unlink()
    bad, good = liar.source(place.store, place.vault), home.source(place.store, place.vault)
    report = repair(replace(place.site(), sources=(bad, good)), ())
    assert report.exit_code == 0
    assert path.read_bytes() == WEIGHTS
    assert good.name in {action.source for action in report.actions}


# Which folders there are.


def find(home: Path, *named: str, environ: dict[str, str] | None = None, **more: list[Path]) -> list[Path]:
    """The siblings of a store in ``home/.ollama/models`` with a vault in ``home/vault``."""
    own = more.get("own", [home / ".ollama" / "models", home / "vault"])
    return find_siblings(environ or {}, home, named=named, stores=more.get("stores", []), own=own)


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A home folder with a store, a vault, and a cache of the hub."""
    for name in (".ollama/models/blobs", "vault/blobs/sha256", ".cache/huggingface/hub", "models", "other/blobs"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_named_folders_other_stores_and_the_hub_cache_are_siblings(user: Path) -> None:
    """In this order; our own store is none, though it is a candidate."""
    stores = [user / ".ollama" / "models", user / "other", user / "nowhere"]
    hub = user / ".cache" / "huggingface" / "hub"
    assert find(user, "~/models", stores=stores) == [user / "models", user / "other", hub]
    assert find(user, "~", str(user / "no such disk"), "") == [user, hub]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HF_HUB_CACHE": "~/c1", "HUGGINGFACE_HUB_CACHE": "~/c2", "HF_HOME": "~/c3", "XDG_CACHE_HOME": "~/c4"}, "c1"),
        ({"HUGGINGFACE_HUB_CACHE": "~/c2", "HF_HOME": "~/c3", "XDG_CACHE_HOME": "~/c4"}, "c2"),
        ({"HF_HOME": "~/c3", "XDG_CACHE_HOME": "~/c4"}, "c3/hub"),
        ({"XDG_CACHE_HOME": "~/c4"}, "c4/huggingface/hub"),
        ({"HF_HUB_CACHE": "$DISK/c5", "DISK": "~"}, "c5"),
        ({"HF_HUB_CACHE": ""}, ".cache/huggingface/hub"),
    ],
)
def test_the_hub_cache_is_where_its_library_keeps_it(user: Path, environ: dict[str, str], expected: str) -> None:
    """The names and the order of huggingface_hub."""
    for name in ("c1", "c2", "c3/hub", "c4/huggingface/hub", "c5"):
        (user / name).mkdir(parents=True)
    assert find(user, environ=environ) == [user / expected]


def test_one_folder_by_several_paths_is_one_sibling(user: Path) -> None:
    """Links are resolved; the same place is asked once."""
    (user / "link").symlink_to(user / "models")
    hub = user / ".cache" / "huggingface" / "hub"
    found = find(user, "~/link", "~/models", f"{user}/other/../models", str(hub), stores=[user / "link"])
    assert found == [user / "models", hub]


def test_our_own_places_and_what_lies_in_them_are_left_out(user: Path) -> None:
    """Also by a link; a folder around them is a sibling."""
    (user / "link").symlink_to(user / "vault")
    (user / ".cache" / "huggingface" / "hub").rmdir()
    (user / "vault" / "modelward" / "quarantine").mkdir(parents=True)
    named = ("~/vault", "~/link", "~/vault/modelward/quarantine", "~/.ollama/models/blobs", "~/.ollama")
    assert find(user, *named) == [user / ".ollama"]


def test_what_is_no_folder_is_no_sibling(user: Path) -> None:
    """A file, a dangling link, a link to itself, a name that cannot be: left out without an error."""
    (user / ".cache" / "huggingface" / "hub").rmdir()
    (user / "file").write_bytes(b"")
    (user / "dangling").symlink_to(user / "nothing")
    (user / "loop").symlink_to(user / "loop")
    assert find(user, "~/file", "~/dangling", "~/loop", "~/\0", "~/" + "x" * 300) == []
