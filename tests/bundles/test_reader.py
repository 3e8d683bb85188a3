"""A bundle is believed only where it is proved: every cut, every wrong byte and every hostile frame is found."""

import base64
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from modelward.bundles.reader import BundleReader
from modelward.domain.bundle import END_SIZE
from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BadBundle, HashMismatch
from modelward.ports import Vault
from modelward.services.import_ import import_bundle
from modelward.testing import MemoryVault
from tests.bundles.made import (
    bundle_of,
    header_of,
    list_of,
    opened,
    raw_record,
    sealed,
    site_with,
    small_model,
    zstd_record,
)
from tests.models import Model, make_model, pattern
from tests.places import Place


def all_good(vault: Vault, model: Model) -> None:
    """What the vault holds of the model is right, and it has no record."""
    assert vault.snapshots() == ()
    for blob, data in model.blobs.items():
        if blob in vault.objects():
            fd = vault.open_blob(blob)
            assert os.pread(fd, len(data) + 1, 0) == data
            os.close(fd)


def refused(place: Place, data: bytes, model: Model) -> BadBundle:
    """Importing these bytes is a BadBundle, names the file and the next step, and leaves nothing wrong behind."""
    vault = MemoryVault(place.clock)
    with pytest.raises(BadBundle) as error, opened(data) as bundle:
        import_bundle(site_with(place, vault), bundle)
    assert error.value.thing == "test.bundle"
    assert error.value.next_step
    all_good(vault, model)
    return error.value


def test_every_cut_is_found(tmp_path: Path) -> None:
    """Whatever the length that is left, it is said to be cut short, and whole blobs are kept."""
    place, model = Place(tmp_path), small_model()
    data = bundle_of(tmp_path, model)
    header = header_of(model)
    for length in range(len(data)):
        error = refused(place, data[:length], model)
        assert "cut short" in error.what or length < 8, length
        if length >= len(header.raw):
            assert f"of {header.size:,} bytes of llama3:latest are there" in error.what
    assert f"{header.size:,} of {header.size:,} bytes" in error.what
    assert "4 blob(s) that were whole are in the vault now" in error.what


@pytest.mark.parametrize("mask", [0x01, 0x10, 0x80])
def test_every_wrong_byte_is_found(tmp_path: Path, mask: int) -> None:
    """A flipped bit in any byte of a bundle is found, whether the byte is ours, zstd's or the model's."""
    place, model = Place(tmp_path), small_model()
    data = bundle_of(tmp_path, model)
    for at in range(len(data)):
        refused(place, data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :], model)


def test_wrong_bytes_of_what_is_there_already(tmp_path: Path) -> None:
    """A bundle whose blobs the vault has is still read, and a flipped bit in it is found."""
    place, model = Place(tmp_path), small_model()
    data, vault = bundle_of(tmp_path, model), MemoryVault(place.clock)
    with opened(data) as bundle:
        import_bundle(site_with(place, vault), bundle)
    for at in range(len(data)):
        with pytest.raises(BadBundle), opened(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) as bundle:
            import_bundle(site_with(place, vault), bundle)


def test_bytes_behind_the_end(tmp_path: Path) -> None:
    """What follows the end is not passed over in silence."""
    model = small_model()
    error = refused(Place(tmp_path), bundle_of(tmp_path, model) + b"x", model)
    assert "behind its end" in error.what


def frame(data: bytes, *, write_content_size: bool = True) -> bytes:
    """A zstd frame of these bytes."""
    return zstandard.ZstdCompressor(level=1, write_content_size=write_content_size).compress(data)


ZEROS = bytes(CHUNK)
BOMB = frame(bytes(1 << 30))
FRAMES: dict[str, bytes] = {
    "a bomb of a GiB": BOMB,
    "no length": frame(ZEROS, write_content_size=False),
    "a byte too many": frame(ZEROS + b"\0"),
    "a byte too few": frame(ZEROS[1:]),
    "two frames": frame(ZEROS) + frame(ZEROS),
    "a frame and more": frame(ZEROS) + b"x",
    "half a frame": frame(ZEROS)[:-3],
    "no frame": b"no frame",
    "other bytes": frame(b"\1" + ZEROS[1:]),
    "an empty frame": frame(b""),
    "a skippable frame": b"\x50\x2a\x4d\x18\x04\0\0\0abcd",
    "the bomb's length in a frame of zeros": BOMB[:4] + BOMB[4:14] + frame(ZEROS)[10:],
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_hostile_frame(tmp_path: Path, what: str) -> None:
    """A frame that is not exactly the chunk is refused, with no more memory than the chunk's."""
    model = make_model("llama3", ZEROS + b"tail")
    data = header_of(model).raw + raw_record(b"c") + zstd_record(FRAMES[what]) + raw_record(b"tail")
    error = refused(Place(tmp_path), data + header_of(model).end, model)
    assert "says another length" in error.what or not what.startswith(("a bomb", "no length", "the bomb"))


def test_a_bundle_by_hand(tmp_path: Path) -> None:
    """The same bundle with an honest frame is taken: the hostile ones fail for what is wrong with them."""
    model, place = make_model("llama3", ZEROS + b"tail"), Place(tmp_path)
    parts = (header_of(model).raw, raw_record(b"c"), zstd_record(frame(ZEROS)), raw_record(b"tail"))
    with opened(b"".join(parts) + header_of(model).end) as bundle:
        report = import_bundle(site_with(place), bundle)
    assert [one.outcome for one in report.models] == ["stored"]


def test_a_chunk_list_that_is_not_the_blobs(tmp_path: Path) -> None:
    """Chunks that fit a list whose blob has another SHA-256 are refused when the blob is whole."""
    model = make_model("llama3", pattern(CHUNK + 5))
    wrong = pattern(CHUNK + 5, seed=1)
    right = header_of(model)
    document = right.raw[64 : 64 + int.from_bytes(right.raw[16:24], "little")]
    raw = sealed(document, list_of(model.largest, wrong).hashes)
    data = raw + raw_record(b"c") + raw_record(wrong[:CHUNK]) + raw_record(wrong[CHUNK:]) + right.end[:8] + raw[32:64]
    assert "not that of the blob" in refused(Place(tmp_path), data, model).what


def test_an_empty_blob_with_a_wrong_name(tmp_path: Path) -> None:
    """A blob of no bytes has only one name that it may have."""
    model = make_model("llama3", b"")
    empty = Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    raw = model.manifest.raw.replace(empty.hex.encode(), b"0" * 64)
    document = {
        "models": [{"name": "llama3", "manifest": base64.b64encode(raw).decode()}],
        "blobs": [
            {"digest": str(model.manifest.blobs[0].digest), "size": 1},
            {"digest": "sha256:" + "0" * 64, "size": 0},
        ],
    }
    head = sealed(document)
    refused(Place(tmp_path), head + raw_record(b"c") + b"MWBUNEND" + head[32:64], model)


def test_a_pipe_that_gives_little_at_a_time(tmp_path: Path) -> None:
    """A bundle from a pipe is read in the same way, however its bytes are dealt out."""
    model, place = small_model(), Place(tmp_path)
    data = bundle_of(tmp_path, model)
    ours, theirs = os.pipe()

    def feed() -> None:
        for at in range(0, len(data), 100):
            os.write(theirs, data[at : at + 100])
        os.close(theirs)

    feeder = threading.Thread(target=feed)
    feeder.start()
    report = import_bundle(site_with(place), BundleReader(ours, "pipe"))
    feeder.join()
    os.close(ours)
    assert (report.blobs, report.bytes_moved) == (4, header_of(model).size)


def test_a_sink_that_fails(tmp_path: Path) -> None:
    """An error of the place that the bytes go to comes out as it is."""

    class Broken:
        fd = -1
        have: frozenset[int] = frozenset()
        clone_from: Callable[[int], bool] = staticmethod(lambda _: False)
        discard = drop = staticmethod(lambda: None)

        def write_at(self, view: memoryview, length: int, offset: int) -> None:  # noqa: ARG002 - the port's
            raise HashMismatch("broken")

    model = make_model("llama3", pattern(9 * CHUNK))
    with opened(bundle_of(tmp_path, model)) as bundle:
        bundle.take(None, Place(tmp_path).reading())
        with pytest.raises(HashMismatch, match="broken"):
            bundle.take(Broken(), Place(tmp_path).reading())


def test_the_end_is_as_long_as_it_is_said_to_be() -> None:
    """The end of any bundle has its fixed length."""
    assert len(header_of(small_model()).end) == END_SIZE
