"""Headers and records of bundles come out as they went in, and hostile ones are refused before they cost anything."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.bundle import (
    DOCUMENT_LIMIT,
    LISTS_LIMIT,
    PREAMBLE_SIZE,
    RAW,
    RECORD_SIZE,
    ZSTD,
    BundledModel,
    BundleHeader,
    Preamble,
    Record,
)
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import BadBundle
from modelward.domain.manifest import MAX_SIZE
from tests.bundles.made import header_of, list_of, sealed
from tests.models import make_model, pattern

MODEL = make_model("llama3", pattern(CHUNK + 1), b"small", b"")


def document(**changes: object) -> dict[str, Any]:
    """The header's document of MODEL, with changes."""
    raw = base64.b64encode(MODEL.manifest.raw).decode()
    blobs = [{"digest": str(blob.digest), "size": blob.size} for blob in MODEL.manifest.blobs]
    return {"models": [{"name": str(MODEL.name), "manifest": raw}], "blobs": blobs, **changes}


def lists() -> bytes:
    """The chunk hashes of MODEL."""
    return b"".join(list_of(blob, data).hashes for blob, data in MODEL.blobs.items() if len(data) > CHUNK)


def parse(raw: bytes) -> BundleHeader:
    """The header in these bytes."""
    first = Preamble.parse(raw[:PREAMBLE_SIZE])
    body = raw[PREAMBLE_SIZE:]
    return BundleHeader.parse(raw[:PREAMBLE_SIZE], body[: first.document], body[first.document :])


def test_a_header_comes_back() -> None:
    """What was made of two models that share a blob is read as it was made; the shared blob stands in it once."""
    other = make_model("other", b"small")
    header = header_of(MODEL, other)
    assert parse(header.raw) == header
    assert [blob.digest for blob in header.blobs].count(other.manifest.blobs[1].digest) == 1
    assert header.manifests == (MODEL.manifest, other.manifest)
    assert header.size == sum(blob.size for blob in header.blobs)


def test_the_header_by_hand() -> None:
    """The documented form, put together without our own code, is what ours writes."""
    assert sealed(document(), lists()) == header_of(MODEL).raw


def test_a_list_that_is_lacking_is_no_header() -> None:
    """A header is not made without the chunk list of a large blob."""
    with pytest.raises(KeyError):
        BundleHeader.make((BundledModel(name=MODEL.name, manifest=MODEL.manifest.raw),), ())


@pytest.mark.parametrize(
    ("at", "value"),
    [(16, DOCUMENT_LIMIT + 1), (16, 2**63), (16, 0), (24, LISTS_LIMIT + 32), (24, 2**64 - 32), (24, 33)],
)
def test_lengths_that_no_bundle_has(at: int, value: int) -> None:
    """A hostile length is refused from the first 64 bytes alone."""
    raw = bytearray(header_of(MODEL).raw[:PREAMBLE_SIZE])
    raw[at : at + 8] = value.to_bytes(8, "little")
    with pytest.raises(BadBundle, match="that long"):
        Preamble.parse(bytes(raw))


@pytest.mark.parametrize("at", [8, 12])
def test_a_newer_format_says_so(at: int) -> None:
    """Another version, or a flag that we do not know, asks for a newer program."""
    raw = bytearray(header_of(MODEL).raw[:PREAMBLE_SIZE])
    raw[at] = 2
    with pytest.raises(BadBundle) as error:
        Preamble.parse(bytes(raw))
    assert error.value.next_step == "install a newer Modelward"


DIGEST = "sha256:" + "0" * 64
MANIFEST = document()["models"][0]["manifest"]
HOSTILE: dict[str, object] = {
    "no models": document(models=[]),
    "too many models": document(models=document()["models"] * 1001),
    "a name twice": document(models=document()["models"] * 2),
    "case twins": document(models=[{"name": name, "manifest": MANIFEST} for name in ("a/b:c", "A/b:c")]),
    "a name that leads out": document(models=[{"name": "../../etc/passwd", "manifest": MANIFEST}]),
    "a name with a control character": document(models=[{"name": "a\x00b", "manifest": MANIFEST}]),
    "no manifest": document(models=[{"name": "llama3", "manifest": ""}]),
    "a manifest that is none": document(models=[{"name": "llama3", "manifest": base64.b64encode(b"[1]").decode()}]),
    "a manifest that is no base64": document(models=[{"name": "llama3", "manifest": "%%%"}]),
    "a blob too many": document(blobs=[*document()["blobs"], {"digest": DIGEST, "size": 1}]),
    "a blob too few": document(blobs=document()["blobs"][1:]),
    "a blob twice": document(blobs=[*document()["blobs"], document()["blobs"][0]]),
    "blobs in another order": document(blobs=document()["blobs"][::-1]),
    "another size": document(blobs=[{**blob, "size": blob["size"] + 1} for blob in document()["blobs"]]),
    "a size below nothing": document(blobs=[{**blob, "size": -1} for blob in document()["blobs"]]),
    "a size beyond all": document(blobs=[{**blob, "size": MAX_SIZE} for blob in document()["blobs"]]),
    "a path for a digest": document(blobs=[{"digest": "../x", "size": 1}]),
    "an unknown key": document(path="/etc/passwd"),
    "no object": [1, 2],
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "not UTF-8": b'{"models": "\xff"}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_document(what: str) -> None:
    """A header with a right seal and wrong content is a BadBundle."""
    with pytest.raises(BadBundle):
        parse(sealed(HOSTILE[what], lists()))


@pytest.mark.parametrize("hashes", [b"", lists()[32:], lists() + bytes(32)])
def test_lists_that_do_not_fit(hashes: bytes) -> None:
    """Chunk lists for more or fewer chunks than the blobs have are refused."""
    with pytest.raises(BadBundle, match="lists"):
        parse(sealed(document(), hashes))


def test_two_sizes_of_one_blob() -> None:
    """Models that disagree on a blob's size cannot be in one bundle."""
    raw = MODEL.manifest.raw.replace(b'"size": 5', b'"size": 6')
    assert raw != MODEL.manifest.raw
    models = [*document()["models"], {"name": "other", "manifest": base64.b64encode(raw).decode()}]
    with pytest.raises(BadBundle, match="two sizes"):
        parse(sealed(document(models=models), lists()))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_typed_error(data: bytes) -> None:
    """No bytes break the parser of the first 64."""
    with pytest.raises(BadBundle):
        Preamble.parse(data)


@given(kind=st.sampled_from([RAW, ZSTD]), chunk=st.integers(2, CHUNK), data=st.data())
def test_a_record_comes_back(kind: int, chunk: int, data: st.DataObject) -> None:
    """A record that may stand before a chunk is read as it was written."""
    length = chunk if kind == RAW else data.draw(st.integers(1, chunk - 1))
    record = Record(kind=kind, length=length, check=data.draw(st.binary(min_size=8, max_size=8)))
    assert len(record.encode()) == RECORD_SIZE
    assert Record.parse(record.encode(), chunk) == record


@given(head=st.binary(min_size=RECORD_SIZE, max_size=RECORD_SIZE), chunk=st.integers(1, CHUNK))
def test_any_record_is_bounded(head: bytes, chunk: int) -> None:
    """Whatever a record says, no more than the chunk's length is ever asked for."""
    try:
        record = Record.parse(head, chunk)
    except BadBundle:
        return
    assert 0 < record.length <= chunk


@pytest.mark.parametrize(
    ("kind", "length"), [(RAW, 99), (RAW, 101), (ZSTD, 100), (ZSTD, 0), (ZSTD, 2**32 - 1), (2, 50), (255, 100)]
)
def test_a_record_that_cannot_be(kind: int, length: int) -> None:
    """Unknown kinds, and lengths that a chunk of 100 bytes cannot have, are refused."""
    with pytest.raises(BadBundle):
        Record.parse(Record(kind=kind, length=length, check=bytes(8)).encode(), 100)
