"""What is collected of damage: bounded reads, good bytes that are proved, manifests, downloads, owners, tags."""

import fcntl
import hashlib
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import Interrupted, RegistryRefused, RegistryUnreachable
from modelward.domain.evidence import CacheSays, DamageEvidence, Pattern
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.source import LocalFile, Wanted
from modelward.domain.store import Owner
from modelward.evidence.blobs import Limits
from modelward.evidence.damage import Help, collect, may
from modelward.services.backup import backup
from modelward.services.expect import recalled_manifests
from modelward.services.verify import verify
from modelward.testing import FakeStore, Fault, FaultySource, corrupt
from tests.places import Place
from tests.privileges import public_folder, unprivileged

LLAMA = ModelName.parse("llama3")
DATA = b"GGUF" + random.Random(7).randbytes(6 * CHUNK)
READ = os.preadv


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model of six chunks and a bit, backed up."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", DATA, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    return place


def weights(place: Place) -> Path:
    """The file of the weights."""
    return max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def look(place: Place, others: Help | None = None, *, limits: Limits | None = None) -> DamageEvidence:
    """Verify and collect, with the place's vault and sources unless told otherwise."""
    site = place.site(make_vault=False)
    inventory = site.store.inventory()
    report = verify(site, (), Level.FULL, inventory=inventory)
    others = others or Help(vault=site.vault, sources=site.sources)
    others = replace(others, recalled=recalled_manifests(site, inventory, ()))
    return collect(site.store, inventory, report, site.reading, others, limits=limits)


def test_a_sound_store_is_not_read(place: Place) -> None:
    """Without damage there is nothing to look into."""
    verify(place.site(), (), Level.FULL)
    place.notes.done = 0
    evidence = look(place)
    assert (evidence.blobs, evidence.manifests, evidence.partials, evidence.tags) == ((), (), (), ())
    assert evidence.space is not None


def test_wrong_bytes_are_told_to_the_byte(place: Place) -> None:
    """The vault's proved bytes show where, and how many bits."""
    corrupt.flip_bit(weights(place), 3 * CHUNK + 77, 5)
    (blob,) = look(place).blobs
    (chunk,) = blob.chunks
    assert chunk.proved
    assert [(p.pattern, p.span, p.bits) for p in chunk.places] == [(Pattern.BITS, Span(3 * CHUNK + 77, 1), 1)]
    assert (blob.exact, blob.damaged, blob.compared_with, blob.models) == (True, 1, "vault", (LLAMA,))


def test_a_rotten_blob_is_sampled(place: Place) -> None:
    """A bounded number of chunks, spread over the damaged ones; all of them are counted."""
    corrupt.garble(weights(place), 0, len(DATA), 1)
    (blob,) = look(place, limits=Limits(chunks=3)).blobs
    assert [chunk.span.offset // CHUNK for chunk in blob.chunks] == [0, 2, 4]
    assert blob.damaged == 7


def test_sources_over_a_network_are_asked_for_little(place: Place) -> None:
    """A source that costs traffic gives a few chunks only; the others are looked at alone."""
    corrupt.garble(weights(place), 0, len(DATA), 1)
    site = place.site()
    far = FaultySource(site.sources[0], name="upstream")
    far.local = False
    (blob,) = look(place, Help(vault=site.vault, sources=(far,)), limits=Limits(remote_chunks=2)).blobs
    assert [chunk.compared for chunk in blob.chunks] == [True] * 2 + [False] * 5
    assert len(far.reads) == 2
    assert blob.compared_with == "upstream"


def test_a_source_that_lies_is_not_compared_with(place: Place) -> None:
    """Good bytes count only where the chunk list vouches for them (R2)."""
    corrupt.flip_bit(weights(place), 9, 5)
    site = place.site()
    for fault in (Fault.WRONG, Fault.ERROR, Fault.ZEROS):
        liar = FaultySource(site.sources[0], [fault] * 9)
        (blob,) = look(place, Help(vault=site.vault, sources=(liar,))).blobs
        assert [chunk.compared for chunk in blob.chunks] == [False]
        assert blob.compared_with == ""


class Sibling:
    """A source on this host that holds the weights in a file, without anything that vouches for them."""

    name, rank, local = "sibling", 1, True

    def __init__(self, path: Path) -> None:
        path.write_bytes(DATA)
        self.path = path

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """All that has the size of the weights."""
        return {item.blob: () for item in wanted if item.size == len(DATA)}

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:  # noqa: ARG002 - the port's parameter
        """The file's bytes."""
        part = DATA[offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def local_file(self, blob: Digest) -> LocalFile | None:  # noqa: ARG002 - the port's parameter
        """The file."""
        return LocalFile(os.open(self.path, os.O_RDONLY))


def without_vault(place: Place) -> None:
    """Lose the vault."""
    place.vault.rename(place.base / "gone")


def test_without_a_chunk_list_local_bytes_show_the_place(place: Place, tmp_path: Path) -> None:
    """A blob that is only known to be bad is compared from end to end, and nothing vouches for the good bytes."""
    without_vault(place)
    corrupt.zero(weights(place), 4 * CHUNK, 4096)
    (blob,) = look(place, Help(sources=(Sibling(tmp_path / "copy"),))).blobs
    (chunk,) = blob.chunks
    assert (blob.exact, blob.scanned, blob.compared_with) == (False, 7, "sibling")
    assert (chunk.compared, chunk.proved) == (True, False)
    assert chunk.places[0].span == Span(4 * CHUNK, 4096)


def test_the_scan_of_an_unlisted_blob_is_bounded(place: Place) -> None:
    """No more bytes than the limit are read to find zeros."""
    without_vault(place)
    corrupt.zero(weights(place), 4 * CHUNK, 4096)
    (blob,) = look(place, Help(), limits=Limits(scan=2 * CHUNK)).blobs
    assert (blob.scanned, blob.chunks) == (2, ())
    (whole,) = look(place, Help()).blobs
    assert [place.pattern for chunk in whole.chunks for place in chunk.places] == [Pattern.ZEROS]


def test_holes_are_seen(place: Place) -> None:
    """Ranges that the file system never allocated are named by it."""
    path = weights(place)
    with path.open("r+b") as file:
        file.truncate(CHUNK)
        file.truncate(len(DATA))
    (blob,) = look(place).blobs
    assert [hole.end for hole in blob.holes] == [len(DATA)]
    assert blob.holes[0].offset <= CHUNK


def test_cache_and_disk_are_compared(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bit that only reads past the cache have is the disk's; the chunk list says which of them is right."""
    inode = weights(place).stat().st_ino

    def read(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        got = READ(fd, buffers, offset)
        direct = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT
        if os.fstat(fd).st_ino == inode and direct and offset == 2 * CHUNK:
            buffers[0][5] ^= 1
        return got

    monkeypatch.setattr(os, "preadv", read)
    (blob,) = look(place).blobs
    assert [chunk.cache for chunk in blob.chunks] == [CacheSays.CACHE_GOOD]


def test_bytes_that_change_at_each_read_are_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several reads of the same bytes, and how many contents they gave; that is not laid to the cache."""
    inode, rng = weights(place).stat().st_ino, random.Random(3)

    def read(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        got = READ(fd, buffers, offset)
        if os.fstat(fd).st_ino == inode and offset == 2 * CHUNK:
            buffers[0][5] = rng.randrange(256)
        return got

    monkeypatch.setattr(os, "preadv", read)
    (blob,) = look(place).blobs
    assert blob.chunks[0].reads > 1
    assert blob.chunks[0].cache is None


def test_io_errors_are_kept_by_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that cannot be read is told with its error."""
    inode = weights(place).stat().st_ino

    def read(fd: int, buffers: Sequence[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == inode and offset == CHUNK:
            raise OSError(5, "Input/output error")
        return READ(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", read)
    (blob,) = look(place).blobs
    assert [chunk.error for chunk in blob.chunks] == ["EIO"]


def test_a_swapped_file_is_recognised_by_its_digest(place: Place) -> None:
    """A file of another known blob's size is hashed, and that blob is named."""
    other = FakeStore(place.store).add_model("other", b"GGUF" + bytes(range(256)) * 9000)
    corrupt.swap(weights(place), FakeStore(place.store).blob_path(other.layers[0]))
    evidence = look(place)
    assert {blob.same_as for blob in evidence.blobs if blob.size > 1000} == {
        Digest(other.layers[0]),
        *(layer.digest for layer in Manifest.parse(_raw(place, "llama3")).layers if layer.size > 1000),
    }


def _raw(place: Place, name: str) -> bytes:
    return FakeStore(place.store).manifest_path(name).read_bytes()


def test_a_wrong_size_in_the_manifest_clears_the_file(place: Place) -> None:
    """A longer file than the manifest says is hashed: it may be right."""
    without_vault(place)
    path = FakeStore(place.store).manifest_path("llama3")
    path.write_bytes(path.read_bytes().replace(b'"size":%d' % len(DATA), b'"size":%d' % (len(DATA) - 4)))
    (blob,) = look(place, Help()).blobs
    assert blob.same_as == blob.blob


def test_a_blob_that_cannot_be_opened_is_told_by_its_findings(place: Place) -> None:
    """A link under a blob's name is not followed (T1)."""
    path = weights(place)
    path.rename(place.base / "elsewhere")
    path.symlink_to(place.base / "elsewhere")
    (blob,) = look(place).blobs
    assert (blob.actual, blob.chunks) == (None, ())
    assert not blob.missing


def test_more_blobs_than_the_limit_are_a_note(place: Place) -> None:
    """A store that rotted all over is looked into for some blobs only, and that is said."""
    for path in place.store.glob("blobs/*"):
        corrupt.flip_bit(path, 0, 0)
    evidence = look(place, limits=Limits(blobs=1))
    assert len(evidence.blobs) == 1
    assert "3 blobs are damaged, 1 of them" in evidence.notes[0]


def test_stop_ends_it(place: Place) -> None:
    """Ctrl-C ends the looking at the next chunk."""
    corrupt.flip_bit(weights(place), 9, 5)
    site = place.site()
    inventory = site.store.inventory()
    report = verify(site, (), Level.FULL, inventory=inventory)
    site.reading.stop.set()
    with pytest.raises(Interrupted):
        collect(site.store, inventory, report, site.reading, Help(vault=site.vault, sources=site.sources))


# Manifests.


def test_a_lost_manifest_and_what_is_left(place: Place) -> None:
    """The vault knows which blobs the model had; their age is that of their files."""
    FakeStore(place.store).delete_manifest("llama3")
    for path in place.store.glob("blobs/*"):
        os.utime(path, (1000, 1000))
    os.utime(weights(place), (2000, 2000))
    (manifest,) = look(place).manifests
    assert (manifest.model, manifest.known, manifest.size) == (LLAMA, True, None)
    assert (manifest.blobs.total, manifest.blobs.present, manifest.blobs.youngest) == (3, 3, 2000)


def test_a_lost_manifest_whose_copy_rotted_too_is_known(place: Place) -> None:
    """What repair can write anew from the version's wrapper is not called lost to the vault."""
    store = FakeStore(place.store)
    copy = place.vault / "blobs" / "sha256" / hashlib.sha256(store.manifest_path("llama3").read_bytes()).hexdigest()
    copy.chmod(0o600)
    copy.write_bytes(b"rot")
    store.delete_manifest("llama3")
    (manifest,) = look(place).manifests
    assert (manifest.model, manifest.known, manifest.blobs.total) == (LLAMA, True, 3)


def test_a_model_that_nobody_remembers_is_told_by_its_config(place: Place) -> None:
    """Without a vault, an orphaned config that names other orphans was a model; other orphans were none."""
    without_vault(place)
    store = FakeStore(place.store)
    store.delete_manifest("llama3")
    for data in (
        b"just bytes",
        b"[1]",
        b'{"model_format":"gguf"}',
        b'{"model_format":"gguf","rootfs":{"diff_ids":[7]}}',
    ):
        store.add_orphan(data)
    (manifest,) = look(place, Help()).manifests
    assert manifest.model is None
    assert (manifest.blobs.total, manifest.blobs.present) == (3, 3)


@pytest.mark.parametrize(("content", "blank"), [(b"", True), (b"\0" * 300, True), (b"{", False)])
def test_a_damaged_manifest_is_read(place: Place, content: bytes, blank: bool) -> None:  # noqa: FBT001 - a table's column
    """Size, and whether there is anything in it but NULs."""
    FakeStore(place.store).manifest_path("llama3").write_bytes(content)
    (manifest,) = look(place).manifests
    assert (manifest.size, manifest.blank, bool(manifest.reason)) == (len(content), blank, True)
    assert manifest.denied == ""


def test_a_manifest_behind_a_closed_folder_is_not_called_gone() -> None:
    """What we may not enter may well hold it."""
    with public_folder() as base:
        place = Place(base)
        FakeStore(place.store).add_model("llama3", DATA[:5000])
        backup(place.site(), ())
        with unprivileged(base):
            folder = place.store / "manifests" / "registry.ollama.ai" / "library"
            folder.chmod(0)
            (manifest,) = look(place).manifests
            folder.chmod(0o755)
    assert "EACCES" in manifest.denied


def test_one_wrong_digit_finds_the_orphan(place: Place) -> None:
    """A digest in the manifest that is off by a digit is beside the orphan that it meant."""
    without_vault(place)
    path = FakeStore(place.store).manifest_path("llama3")
    right = weights(place).name.removeprefix("sha256-")
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    path.write_bytes(path.read_bytes().replace(right.encode(), wrong.encode()))
    blob = next(blob for blob in look(place, Help()).blobs if blob.missing)
    assert blob.near_orphan == Digest(right)


# Downloads, owners, tags, space.


def test_a_partial_download_is_measured(place: Place) -> None:
    """Bytes done of all, and each way in which sidecars fail."""
    blob = FakeStore(place.store).add_partial(8 * CHUNK, CHUNK)
    sidecar = place.store / "blobs" / f"sha256-{blob}-partial-0"
    (sound,) = look(place).partials
    assert (sound.done, sound.total, sound.sidecars, sound.gap) == (CHUNK, 8 * CHUNK, 1, 0)
    sidecar.write_bytes(b"")
    assert look(place).partials[0].empty == (sidecar.name,)
    sidecar.write_bytes(b'{"Size":5,"Completed":9}')
    assert look(place).partials[0].garbled == (sidecar.name,)
    sidecar.unlink()
    assert (look(place).partials[0].sidecars, look(place).partials[0].gap) == (0, 8 * CHUNK)


@pytest.mark.parametrize(
    ("owner", "right", "allowed"),
    [
        (Owner(7, 7, 0o400), 4, True),
        (Owner(7, 7, 0o044), 4, False),
        (Owner(0, 7, 0o040), 4, True),
        (Owner(0, 7, 0o604), 4, False),
        (Owner(0, 0, 0o604), 4, True),
        (Owner(0, 0, 0o750), 1, False),
        (Owner(0, 0, 0o701), 1, True),
    ],
)
def test_who_may(owner: Owner, right: int, allowed: bool) -> None:  # noqa: FBT001 - a table's column
    """Owner, else group, else others: the first that fits decides; root may all."""
    assert may(owner, Owner(7, 7, 0), right) == allowed
    assert may(owner, Owner(0, 0, 0), right)


def test_folders_on_the_way_are_looked_at(place: Place) -> None:
    """A reader that may not enter a folder above the store is told so; its own files are of no use to it."""
    place.base.chmod(0o700)
    stranger = Owner(54321, 54321, 0)
    found = {seen.path: seen for seen in look(place, Help(reader=stranger)).owners}
    assert found[str(place.base)].folder
    weights(place).chmod(0o600)
    blobs = [seen for seen in look(place, Help(reader=stranger)).owners if seen.path.startswith("blobs/")]
    assert [(seen.known, seen.models) for seen in blobs] == [(True, (LLAMA,))]


class Tags:
    """A registry with one answer for every name."""

    def __init__(self, answer: Manifest | Exception) -> None:
        self.answer, self.asked = answer, 0

    def manifest(self, name: ModelName) -> Manifest:  # noqa: ARG002 - the port's parameter
        """The answer."""
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_upstreams_tags_are_compared(place: Place) -> None:
    """The store's digest, upstream's, and the one that the vault or a pin recorded."""
    raw = _raw(place, "llama3")
    site = place.site()
    moved = Manifest.parse(raw + b" ")
    (tag,) = look(place, Help(vault=site.vault, registry=Tags(moved))).tags
    assert (tag.upstream, tag.store, tag.recorded) == (moved.digest, Manifest.parse(raw).digest, tag.store)
    pin = {LLAMA: moved.digest}
    assert look(place, Help(vault=site.vault, registry=Tags(moved), pinned=pin)).tags[0].recorded == moved.digest


def test_an_upstream_that_is_not_there_is_asked_once(place: Place) -> None:
    """No network is a note; a name that upstream does not know does not end the asking."""
    FakeStore(place.store).add_model("other", DATA[:5000])
    down = Tags(RegistryUnreachable("timed out"))
    assert look(place, Help(registry=down)).notes == ("upstream said nothing of llama3:latest: timed out",)
    assert down.asked == 1
    refused = Tags(RegistryRefused("no such tag"))
    assert len(look(place, Help(registry=refused)).notes) == 2


def test_the_stores_space_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free bytes are those that a user may use; where nothing tells, nothing is said."""
    space = look(place).space
    assert space is not None
    assert 0 < space.free <= space.total

    def none(_: str) -> os.statvfs_result:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(os, "statvfs", none)
    assert look(place).space is None
