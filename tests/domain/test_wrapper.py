"""Wrappers: a pure function of the model's bytes, in the form that OCI tools read, and back."""

import json
import random
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK_LIST_TYPE
from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject
from modelward.domain.manifest import Manifest
from modelward.domain.wrapper import (
    ARTIFACT_TYPE,
    DESCRIBES,
    EMPTY_CONFIG,
    EMPTY_DIGEST,
    OCI_MANIFEST,
    Object,
    Wrapper,
    unwrap,
    wrap,
)
from tests.domain.strategies_domain import (
    CONFIG_TYPE,
    DOCKER_TYPE,
    MEDIA_TYPES,
    compact,
    digest,
    digests,
    document,
    layer,
    manifest_bytes,
)

MODEL = Manifest.parse(
    compact(document([layer(1, 4 << 20), layer(2, 30, MEDIA_TYPES[3]), layer(4, 5, "")], layer(3, 500, CONFIG_TYPE)))
)
LIST = Object(digest=digest(9), size=192)
GOOD = wrap(MODEL, {digest(1): LIST})


@st.composite
def models(draw: st.DrawFn) -> tuple[Manifest, dict[Digest, Object]]:
    """A model, and chunk lists for some of its blobs."""
    manifest = Manifest.parse(draw(manifest_bytes()))
    listed = [blob.digest for blob in manifest.blobs if draw(st.booleans())]
    objects = st.builds(Object, digest=digests(), size=st.integers(64, 1 << 30))
    return manifest, {blob: draw(objects) for blob in listed}


@settings(max_examples=30)
@given(models())
def test_what_is_wrapped_is_found_again(model: tuple[Manifest, dict[Digest, Object]]) -> None:
    """The original manifest, every blob once in order, and the chunk list of each blob that has one."""
    manifest, lists = model
    assert unwrap(wrap(manifest, lists)) == Wrapper(
        manifest=Object(digest=manifest.digest, size=len(manifest.raw)),
        blobs=tuple(Object(digest=blob.digest, size=blob.size) for blob in manifest.blobs),
        media_types=tuple(blob.media_type or "application/octet-stream" for blob in manifest.blobs),
        chunk_lists=lists,
    )


@settings(max_examples=30)
@given(models(), st.randoms(use_true_random=False))
def test_same_model_same_bytes(model: tuple[Manifest, dict[Digest, Object]], shuffler: random.Random) -> None:
    """The order in which chunk lists were found does not matter, nor do lists of blobs that the model lacks."""
    manifest, lists = model
    mixed = list(lists.items())
    shuffler.shuffle(mixed)
    foreign = {digest(777): LIST}
    assert wrap(manifest, dict(mixed) | foreign) == wrap(manifest, lists) == wrap(Manifest.parse(manifest.raw), lists)


@settings(max_examples=30)
@given(models(), models())
def test_other_model_other_bytes(
    one: tuple[Manifest, dict[Digest, Object]], other: tuple[Manifest, dict[Digest, Object]]
) -> None:
    """Two wrappers are equal only when the manifest's bytes and the chunk lists are."""
    assert (wrap(*one) == wrap(*other)) == ((one[0].raw, one[1]) == (other[0].raw, other[1]))


def test_the_form_is_what_oci_tools_read() -> None:
    """Schema, media type, artifact type, the empty config, and a descriptor with type, digest and size each."""
    written = json.loads(GOOD)
    assert written["schemaVersion"] == 2
    assert written["mediaType"] == OCI_MANIFEST == "application/vnd.oci.image.manifest.v1+json"
    assert written["artifactType"] == ARTIFACT_TYPE == "application/vnd.modelward.model.v1"
    assert written["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    }
    assert written["layers"] == [
        {"mediaType": DOCKER_TYPE, "digest": str(MODEL.digest), "size": len(MODEL.raw)},
        {"mediaType": CONFIG_TYPE, "digest": str(digest(3)), "size": 500},
        {"mediaType": MEDIA_TYPES[0], "digest": str(digest(1)), "size": 4 << 20},
        {"mediaType": MEDIA_TYPES[3], "digest": str(digest(2)), "size": 30},
        {"mediaType": "application/octet-stream", "digest": str(digest(4)), "size": 5},
        {
            "mediaType": CHUNK_LIST_TYPE,
            "digest": str(digest(9)),
            "size": 192,
            "annotations": {DESCRIBES: str(digest(1))},
        },
    ]


def test_the_empty_config_is_the_one_that_oci_names() -> None:
    """Two bytes, and the digest of the specification's empty descriptor."""
    assert EMPTY_CONFIG == b"{}"
    assert sha256(EMPTY_CONFIG).hexdigest() == EMPTY_DIGEST.hex


@settings(max_examples=30)
@given(models())
def test_the_bytes_are_compact_ascii(model: tuple[Manifest, dict[Digest, Object]]) -> None:
    """No blanks and no escapes to differ in: the digest is the same wherever it is made."""
    raw = wrap(*model)
    assert raw.isascii()
    assert raw == json.dumps(json.loads(raw), separators=(",", ":")).encode()


def test_a_wrapper_names_everything_that_it_keeps_alive() -> None:
    """The empty config, the original manifest, the blobs and the chunk lists (W2)."""
    assert {item.digest for item in unwrap(GOOD).objects} == {
        EMPTY_DIGEST,
        MODEL.digest,
        *[digest(number) for number in (1, 2, 3, 4, 9)],
    }


def test_a_model_without_blobs_has_a_wrapper() -> None:
    """A cloud model is its manifest alone."""
    cloud = Manifest.parse(compact(document(None)))
    assert unwrap(wrap(cloud, {})).blobs == ()


def test_a_blob_that_claims_to_be_a_chunk_list_stays_a_blob() -> None:
    """A manifest may name any media type, ours too: the snapshot of such a model can be read."""
    hostile = Manifest.parse(compact(document([layer(1, 10, CHUNK_LIST_TYPE)])))
    assert unwrap(wrap(hostile, {})).blobs == (Object(digest=digest(1), size=10),)


def edited(**fields: object) -> bytes:
    """A good wrapper with other top-level fields; None drops one."""
    document_ = json.loads(GOOD) | fields
    return compact({key: value for key, value in document_.items() if value is not None})


def with_first(**fields: object) -> bytes:
    """A good wrapper whose first layer has other fields."""
    layers = json.loads(GOOD)["layers"]
    return edited(layers=[layers[0] | fields, *layers[1:]])


def with_list(**fields: object) -> bytes:
    """A good wrapper whose chunk list's descriptor has other fields."""
    layers = json.loads(GOOD)["layers"]
    return edited(layers=[*layers[:-1], layers[-1] | fields])


GARBAGE = {
    "empty": b"",
    "zeros": bytes(100),
    "cut": GOOD[:-1],
    "half": GOOD[: len(GOOD) // 2],
    "byte behind it": GOOD + b"x",
    "list": b"[]",
    "null": b"null",
    "empty object": b"{}",
    "an Ollama manifest": MODEL.raw,
    "no artifact type": edited(artifactType=None),
    "another artifact type": edited(artifactType="application/vnd.example"),
    "artifact type a number": edited(artifactType=1),
    "no layers key": edited(layers=None),
    "no layer": edited(layers=[]),
    "layers an object": edited(layers={}),
    "layer a string": edited(layers=["x"]),
    "digest with a traversal": with_first(digest="sha256:../../etc/passwd"),
    "digest upper-case": with_first(digest="sha256:" + "A" * 64),
    "digest a number": with_first(digest=1),
    "size negative": with_first(size=-1),
    "size a float": with_first(size=1.5),
    "size a string": with_first(size="1"),
    "size of 5,000 digits": with_first(size="HERE").replace(b'"HERE"', b"9" * 5_000),
    "media type a number": with_first(mediaType=1),
    "chunk list of a bad digest": with_list(annotations={DESCRIBES: "sha256:x"}),
    "annotations a list": with_list(annotations=[1]),
    "depth 100,000": b"[" * 100_000,
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused(raw: bytes) -> None:
    """What is no wrapper of ours raises BadObject with the reason."""
    with pytest.raises(BadObject) as caught:
        unwrap(raw)
    assert caught.value.what


LEAKS = {
    "depth 100,000 in an unknown key": edited(x="HERE").replace(b'"HERE"', b"[" * 100_000 + b"]" * 100_000),
    "bytes that are no UTF-8": GOOD.replace(b"vnd.modelward.model", b"\xff\xff\xff.modelward.model"),
    "half a UTF-8 sequence": with_first(mediaType="HERE").replace(b"HERE", b"\xc3"),
}


@pytest.mark.parametrize("raw", LEAKS.values(), ids=LEAKS)
def test_no_other_error_leaves(raw: bytes) -> None:
    """Nesting and bytes that are no text are refused like other garbage."""
    with pytest.raises(BadObject):
        unwrap(raw)


def judge(raw: bytes) -> None:
    """Read: a wrapper with sizes that can be, or BadObject."""
    try:
        wrapper = unwrap(raw)
    except BadObject:
        return
    assert all(item.size >= 0 for item in wrapper.objects)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(raw: bytes) -> None:
    """They raise BadObject and nothing else."""
    with pytest.raises(BadObject):
        unwrap(raw)


# Bytes above 0x7f are left out here: they are the case above that is known to leak.
@given(st.data())
def test_a_damaged_wrapper_is_a_wrapper_or_refused(data: st.DataObject) -> None:
    """Cut or mixed with other bytes: no other exception leaves."""
    first = data.draw(st.integers(0, len(GOOD)))
    last = data.draw(st.integers(first, len(GOOD)))
    between = data.draw(st.text(st.characters(max_codepoint=0x7F), max_size=8) | st.sampled_from(["", "[", "{", "-1"]))
    judge(GOOD[:first] + between.encode() + GOOD[last:])
