"""Manifests: Ollama's own are read and their bytes kept; anything else is refused, whatever it is (T2)."""

import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelward.domain.errors import BadManifest
from modelward.domain.manifest import MAX_BYTES, MAX_DEPTH, MAX_LAYERS, MAX_SIZE, Layer, Manifest, garbled_bytes
from tests.domain.strategies_domain import (
    CONFIG_TYPE,
    DOCKER_TYPE,
    MEDIA_TYPES,
    compact,
    digest,
    document,
    layer,
    manifest_bytes,
)

PLAIN = document([layer(1, 4_000), layer(2, 30, MEDIA_TYPES[3])], layer(3, 500, CONFIG_TYPE))
DIGEST = str(digest(1))


# What Ollama writes.


def test_an_ordinary_manifest_is_read() -> None:
    """Config and layers with digest, size and kind, in order; every blob is counted."""
    manifest = Manifest.parse(compact(PLAIN))
    assert manifest.config == Layer(digest=digest(3), size=500, media_type=CONFIG_TYPE)
    assert manifest.layers == (
        Layer(digest=digest(1), size=4_000, media_type=MEDIA_TYPES[0]),
        Layer(digest=digest(2), size=30, media_type=MEDIA_TYPES[3]),
    )
    assert [blob.digest for blob in manifest.blobs] == [digest(3), digest(1), digest(2)]
    assert manifest.size == 4_530


def test_layers_that_were_made_from_another_model_are_read() -> None:
    """``create`` notes the file that a layer was made from; it names no blob of ours."""
    manifest = Manifest.parse(compact(document([layer(1) | {"from": "/root/.ollama/models/blobs/sha256-ab"}])))
    assert [blob.digest for blob in manifest.blobs] == [digest(1)]


def test_a_tensor_model_keeps_the_names_of_its_tensors() -> None:
    """One layer a tensor, each with its name."""
    tensors = [layer(n, n, "application/vnd.ollama.image.tensor", name=f"blk.{n}.attn") for n in range(1, 2_001)]
    manifest = Manifest.parse(compact(document(tensors, layer(9_000, 3, CONFIG_TYPE))))
    assert [item.name for item in manifest.layers] == [f"blk.{n}.attn" for n in range(1, 2_001)]
    assert len(manifest.blobs) == 2_001


CLOUD = {
    "layers null": (document(None, layer(3, 500, CONFIG_TYPE)), 1),
    "no layers key": ({"schemaVersion": 2, "config": layer(3, 500, CONFIG_TYPE)}, 1),
    "empty layers": (document([], layer(3, 500, CONFIG_TYPE)), 1),
    "empty config digest": (document([layer(1)], {"mediaType": "", "digest": "", "size": 0}), 1),
    "empty config digest, layers null": (document(None, {"mediaType": "", "digest": "", "size": 0}), 0),
    "config null": (document([layer(1)]) | {"config": None}, 1),
    "empty config": (document([layer(1)], {}), 1),
    "no config": (document([layer(1)]), 1),
}


@pytest.mark.parametrize(("cloud", "blobs"), CLOUD.values(), ids=CLOUD)
def test_models_without_weights_are_read(cloud: dict[str, object], blobs: int) -> None:
    """A cloud model may have no layers, and its config may be left out or have an empty digest."""
    assert len(Manifest.parse(compact(cloud)).blobs) == blobs


def test_a_blob_that_several_layers_name_counts_once() -> None:
    """Blobs are given once, in the manifest's order, and the size counts each once; the layers stay as they are."""
    manifest = Manifest.parse(compact(document([layer(1, 7), layer(2, 5), layer(1, 7), layer(3, 2)], layer(3, 2))))
    assert [blob.digest for blob in manifest.blobs] == [digest(3), digest(1), digest(2)]
    assert manifest.size == 14
    assert len(manifest.layers) == 4


FORMS = {
    "without blanks": compact(PLAIN),
    "with a newline, as create writes it": compact(PLAIN) + b"\n",
    "with blanks": json.dumps(PLAIN).encode(),
    "indented, as registries send it": json.dumps(PLAIN, indent=3).encode(),
    "with Windows newlines": json.dumps(PLAIN, indent=1).replace("\n", "\r\n").encode(),
    "blanks in front and behind": b" \t\r\n" + compact(PLAIN) + b" \t\r\n",
    "with escapes": compact(PLAIN).replace(b"sha256", b"\\u0073ha256"),
    "keys in another order": compact(dict(reversed(PLAIN.items()))),
    "with an unknown key": compact(PLAIN | {"annotations": {"a": [1.5, None, True, "\u00e4", {"b": []}]}}),
    "with brackets in a string": compact(PLAIN | {"note": "[{" * 100}),
    "with quotes in a string": compact(PLAIN | {"note": '\\"[[' * 100}),
}


@pytest.mark.parametrize("raw", FORMS.values(), ids=FORMS)
def test_the_bytes_are_kept_exactly(raw: bytes) -> None:
    """However the JSON is written, the same blobs are read, the bytes are kept and the digest is theirs."""
    manifest = Manifest.parse(raw)
    assert manifest.raw == raw
    assert manifest.digest.hex == sha256(raw).hexdigest()
    assert manifest.blobs == Manifest.parse(compact(PLAIN)).blobs


@given(manifest_bytes())
def test_every_manifest_of_ollamas_shape_is_read(raw: bytes) -> None:
    """Blobs are given once each, none is lost, and the bytes are kept."""
    manifest = Manifest.parse(raw)
    written = json.loads(raw)
    named = {item["digest"] for item in [written.get("config") or {}, *(written["layers"] or [])] if item.get("digest")}
    assert {str(blob.digest) for blob in manifest.blobs} == named
    assert len(manifest.blobs) == len(named)
    assert manifest.raw == raw


# Right at the limits.


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    """A manifest whose deepest part lies ``depth`` deep."""
    inner = opening * (depth - 1) + closing * (depth - 1)
    return compact(document([])).replace(b"{", b'{"x":' + inner.encode() + b",", 1)


WITHIN = {
    "depth 32": nested(MAX_DEPTH),
    "10,000 layers": compact(document([layer(n) for n in range(MAX_LAYERS)])),
    "4 MiB": compact(document([])).ljust(MAX_BYTES),
    "the largest size": compact(document([layer(1, MAX_SIZE)])),
    "size 0": compact(document([layer(1, 0)])),
    "media type of 255 characters": compact(document([layer(1, 1, "a" * 255)])),
    "no media type": compact(document([{"digest": DIGEST, "size": 1}])),
}


@pytest.mark.parametrize("raw", WITHIN.values(), ids=WITHIN)
def test_the_limits_themselves_are_allowed(raw: bytes) -> None:
    """What lies on a limit and not above it is read (T2)."""
    assert Manifest.parse(raw).raw == raw


# Hostile ones.


def with_layer(**fields: object) -> bytes:
    """A manifest with one layer, some of its fields replaced."""
    return compact(document([layer(1) | fields]))


def with_raw(key: str, text: str) -> bytes:
    """A manifest with one layer, one of its fields replaced by JSON text that Python would not write."""
    return with_layer(**{key: "HERE"}).replace(b'"HERE"', text.encode())


def without(key: str) -> bytes:
    """A manifest whose only layer lacks a field."""
    return compact(document([{name: value for name, value in layer(1).items() if name != key}]))


GOOD_BYTES = compact(PLAIN)

HOSTILE: dict[str, bytes] = {
    # No JSON at all.
    "empty": b"",
    "one zero": b"\0",
    "zeros, as after a power cut": bytes(500),
    "4 MiB of zeros": bytes(MAX_BYTES),
    "blanks": b" \n\t\r\n",
    "zeros and newline": b"\0\0\0\n",
    "one byte lost at the end": GOOD_BYTES[:-1],
    "half of it": GOOD_BYTES[: len(GOOD_BYTES) // 2],
    "first byte only": GOOD_BYTES[:1],
    "first byte lost": GOOD_BYTES[1:],
    "second half zeros": GOOD_BYTES[: len(GOOD_BYTES) // 2].ljust(len(GOOD_BYTES), b"\0"),
    "zeros behind it": GOOD_BYTES + bytes(100),
    "zeros in front": bytes(100) + GOOD_BYTES,
    "twice": GOOD_BYTES * 2,
    "bracket behind it": GOOD_BYTES + b"}",
    "plain text": b"404 page not found\n",
    "HTML": b"<!doctype html><title>x</title>",
    "GGUF": b"GGUF\x03\0\0\0",
    "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "JSON with comments": b"// x\n" + GOOD_BYTES,
    "single quotes": GOOD_BYTES.replace(b'"', b"'"),
    "comma at the end": GOOD_BYTES[:-1] + b",}",
    "control character in a string": with_raw("mediaType", '"a\nb"'),
    # Another kind of JSON.
    "list": b"[]",
    "list with a manifest in it": b"[" + GOOD_BYTES + b"]",
    "string": b'"x"',
    "number": b"2",
    "null": b"null",
    "true": b"true",
    "empty object": b"{}",
    # Text that is not UTF-8.
    "byte ff": GOOD_BYTES.replace(b"ollama", b"\xff\xff\xff\xff\xff\xff", 1),
    "half a UTF-8 sequence": with_layer(mediaType="HERE").replace(b"HERE", b"\xc3"),
    "overlong slash": with_layer(mediaType="HERE").replace(b"HERE", b"\xc0\xaf"),
    "latin-1": with_layer(mediaType="HERE").replace(b"HERE", "\u00e4".encode("latin-1")),
    # Too much.
    "depth 33": nested(MAX_DEPTH + 1),
    "depth 33 of objects": nested(MAX_DEPTH + 1, '{"a":', "}").replace(b":}", b":0}"),
    "depth 100,000": nested(100_000),
    "depth 100,000, never closed": b"[" * 100_000,
    "depth 100,000 of objects, never closed": b'{"a":' * 100_000,
    "2 million brackets, never closed": b"[" * 2_000_000,
    "4 MiB of opening brackets": b"{" * MAX_BYTES,
    "depth 33 in a layer": with_raw("x", "[" * 31 + "]" * 31),
    "4 MiB and a byte": GOOD_BYTES.ljust(MAX_BYTES + 1),
    "40 MiB": GOOD_BYTES.ljust(10 * MAX_BYTES),
    "10,001 layers": compact(document([layer(n) for n in range(MAX_LAYERS + 1)])),
    "10,001 times the same layer": compact(document([layer(1)] * (MAX_LAYERS + 1))),
    "a million numbers as layers": compact(document([0] * 1_000_000)),
    "number of 5,000 digits": with_raw("size", "9" * 5_000),
    "number of 4 million digits": GOOD_BYTES[:-1] + b',"x":' + b"9" * 4_000_000 + b"}",
    # A key twice: which one counts differs between parsers.
    "schemaVersion twice": GOOD_BYTES.replace(b"{", b'{"schemaVersion":2,', 1),
    "layers twice": GOOD_BYTES[:-1] + b',"layers":[]}',
    "config twice": GOOD_BYTES[:-1] + b',"config":null}',
    "unknown key twice": GOOD_BYTES[:-1] + b',"x":1,"x":1}',
    "digest twice in a layer": with_raw("x", '0,"digest":"' + DIGEST + '"'),
    "size twice in a layer": with_raw("x", '0,"size":1'),
    "digest twice in the config": compact(document([], {"x": "HERE"})).replace(
        b'"HERE"', f'0,"digest":"{DIGEST}","digest":"","size":1'.encode()
    ),
    "a key twice, once escaped": GOOD_BYTES[:-1] + b',"l\\u0061yers":[]}',
    "a key twice far down": GOOD_BYTES[:-1] + b',"x":[{"y":{"z":1,"z":2}}]}',
    # The version.
    "schemaVersion missing": compact({"layers": []}),
    "schemaVersion 1": compact(PLAIN | {"schemaVersion": 1}),
    "schemaVersion 3": compact(PLAIN | {"schemaVersion": 3}),
    'schemaVersion "2"': compact(PLAIN | {"schemaVersion": "2"}),
    "schemaVersion null": compact(PLAIN | {"schemaVersion": None}),
    "schemaVersion true": compact(PLAIN | {"schemaVersion": True}),
    "schemaVersion in a list": compact(PLAIN | {"schemaVersion": [2]}),
    # Layers and config of another kind.
    "layers is an object": compact(document(layer(1))),
    "layers is a string": compact(document(DIGEST)),
    "layers is a number": compact(document(1)),
    "layers is true": compact(document(True)),  # noqa: FBT003 - a value, no flag
    "a layer is null": compact(document([layer(1), None])),
    "a layer is a string": compact(document([DIGEST])),
    "a layer is a list": compact(document([[DIGEST, 1]])),
    "a layer is empty": compact(document([{}])),
    "config is a string": compact(document([], DIGEST)),
    "config is a list": compact(document([], [layer(1)])),
    "config is a number": compact(document([], 1)),
    # Sizes.
    "size missing": without("size"),
    "size null": with_layer(size=None),
    "size negative": with_layer(size=-1),
    "size very negative": with_layer(size=-(1 << 63)),
    "size a float": with_layer(size=10.0),
    "size with an exponent": with_raw("size", "1e3"),
    "size true": with_layer(size=True),
    "size a string": with_layer(size="10"),
    "size in a list": with_layer(size=[10]),
    "size above the limit": with_layer(size=MAX_SIZE + 1),
    "size of 2**63": with_layer(size=1 << 63),
    "size of 400 digits": with_layer(size=10**400),
    "size infinite by its exponent": with_raw("size", "1e999"),
    "size NaN": with_raw("size", "NaN"),
    "size Infinity": with_raw("size", "Infinity"),
    "size -Infinity": with_raw("size", "-Infinity"),
    "NaN in an unknown key": GOOD_BYTES[:-1] + b',"x":NaN}',
    "Infinity in an unknown key": GOOD_BYTES[:-1] + b',"x":[Infinity]}',
    "size with a leading zero": with_raw("size", "010"),
    "size in hex": with_raw("size", "0x10"),
    "two sizes for one blob": compact(document([layer(1, 10), layer(1, 11)])),
    "another size in the config": compact(document([layer(1, 10)], layer(1, 11))),
    "config without a size": compact(document([], {"digest": DIGEST})),
    "config with a negative size": compact(document([], layer(1, -5))),
    # Digests.
    "digest missing": without("digest"),
    "digest null": with_layer(digest=None),
    "digest empty in a layer": with_layer(digest=""),
    "digest a number": with_layer(digest=256),
    "digest in a list": with_layer(digest=[DIGEST]),
    "digest with a traversal": with_layer(digest="sha256:../../etc/passwd"),
    "digest with a traversal of 64 characters": with_layer(digest="sha256:" + "../" * 21 + "x"),
    "digest an absolute path": with_layer(digest="/etc/passwd"),
    "digest upper-case": with_layer(digest="sha256:" + "ABCDEF01" * 8),
    "digest sha512": with_layer(digest="sha512:" + "0" * 128),
    "digest with a dash": with_layer(digest="sha256-" + "0" * 64),
    "digest without its kind": with_layer(digest="0" * 64),
    "digest of 63 digits": with_layer(digest="sha256:" + "0" * 63),
    "digest of 65 digits": with_layer(digest="sha256:" + "0" * 65),
    "digest of a million digits": with_layer(digest="sha256:" + "0" * 1_000_000),
    "digest with a newline": with_layer(digest=DIGEST + "\n"),
    "digest with a NUL": with_layer(digest=DIGEST + "\0"),
    "digest with fullwidth digits": with_layer(digest="sha256:" + "\uff10" * 64),
    "digest with a lone surrogate": with_layer(digest=DIGEST[:-1] + "\ud800"),
    "traversal in the config": compact(document([], layer(1) | {"digest": "sha256:../../x"})),
    # Media types end up in the wrapper that other tools read.
    "media type with a newline": with_layer(mediaType="a\nb"),
    "media type with a newline at the end": with_layer(mediaType="a\n"),
    "media type with a NUL": with_layer(mediaType="a\0"),
    "media type with a blank": with_layer(mediaType="a b"),
    "media type with an escape sequence": with_layer(mediaType="\x1b[31m"),
    "media type that is not ASCII": with_layer(mediaType="\u00e4"),
    "media type with a lone surrogate": with_layer(mediaType="\ud800"),
    "media type of 256 characters": with_layer(mediaType="a" * 256),
    "media type a number": with_layer(mediaType=1),
    "media type null": with_layer(mediaType=None),
    "media type a list": with_layer(mediaType=["a"]),
    "media type of the config with a newline": compact(document([], layer(1, 1, "a\nb"))),
}


def verdict(raw: bytes) -> BadManifest:
    """The refusal of these bytes; it must come, be the typed one, and name its reason on one line."""
    with pytest.raises(BadManifest) as caught:
        Manifest.parse(raw)
    return caught.value


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused(raw: bytes) -> None:
    """It raises BadManifest, and nothing else, with a short reason on one printable line, within a second (T2)."""
    began = time.process_time()
    error = verdict(raw)
    assert time.process_time() - began < 1
    assert error.what.isprintable()
    assert 0 < len(error.what) < 500


def test_no_depth_overflows_the_stack() -> None:
    """Every depth from the limit to far beyond Python's own is refused alike (T2)."""
    for depth in (MAX_DEPTH + 1, 500, sys.getrecursionlimit() - 1, sys.getrecursionlimit(), 5_000, 300_000):
        assert "nested" in verdict(nested(depth)).what


# Found by the tables above; each is a promise that the parser does not keep yet.

UNICODE: dict[str, bytes] = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD_BYTES,
    "UTF-16": GOOD_BYTES.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD_BYTES.decode().encode("utf-16-le"),
    "UTF-32": GOOD_BYTES.decode().encode("utf-32"),
    "depth 900 hidden in UTF-16": ('{"schemaVersion":2,"a":"\\"","b":' + "[" * 900 + '"x"' + "]" * 900 + "}").encode(
        "utf-16-le"
    ),
    "surrogate in UTF-8": GOOD_BYTES[:-1] + b',"x":"\xed\xa0\x80"}',
}


@pytest.mark.parametrize("raw", UNICODE.values(), ids=UNICODE)
def test_only_plain_utf8_is_a_manifest(raw: bytes) -> None:
    """The runtime reads UTF-8 only; another encoding is refused, and hides no depth from the limit (T2)."""
    verdict(raw)


NAMES: dict[str, object] = {
    "lone surrogate": "\ud800",
    "number": 1,
    "true": True,
    "list": ["a"],
    "object": {"a": 1},
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_layers_name_is_a_text(name: object) -> None:
    """A tensor's name is text that has a form in UTF-8; anything else is refused (T2)."""
    verdict(with_layer(name=name))


EMPTY_KINDS: dict[str, dict[str, object]] = {
    "layers is 0": document(0),
    "layers is false": document(False),  # noqa: FBT003 - a value, no flag
    "layers is an empty string": document(""),
    "layers is an empty object": document({}),
    "config is 0": document([], 0),
    "config is false": document([], False),  # noqa: FBT003 - a value, no flag
    "config is an empty string": document([], ""),
    "config is an empty list": document([], []),
    "config's digest is 0": document([], {"digest": 0}),
    "config's digest is false": document([], {"digest": False}),
    "schemaVersion is 2.0": {"schemaVersion": 2.0, "layers": []},
}


@pytest.mark.parametrize("wrong", EMPTY_KINDS.values(), ids=EMPTY_KINDS)
def test_empty_values_of_the_wrong_kind_are_refused(wrong: dict[str, object]) -> None:
    """Only null, an empty list and an empty digest mean that there is none (T2)."""
    verdict(compact(wrong))


QUADRATIC: dict[str, bytes] = {
    "escaped quotes, never closed": b'"' + b'\\"' * 3_000,
    "quotes and backslashes": b'"\\' * 3_000,
}


@pytest.mark.parametrize("raw", QUADRATIC.values(), ids=QUADRATIC)
def test_6_kb_are_judged_at_once(raw: bytes) -> None:
    """Strings that never end cost no more than others of their length (T2)."""
    began = time.process_time()
    verdict(raw)
    assert time.process_time() - began < 0.03


def peak(work: Callable[[], object]) -> int:
    """The most bytes that were allocated at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_string_takes_little_memory() -> None:
    """Memory is a few times the manifest's own 4 MiB at most, so that any verb stays under 60 MB (T2)."""
    raw = GOOD_BYTES[:-1] + b',"x":"' + b"a" * 4_000_000 + b'"}'
    assert peak(lambda: Manifest.parse(raw)) < 8 * len(raw)


# Whatever comes.


def judge(raw: bytes) -> None:
    """Parse: a manifest that keeps its bytes and lies within the limits, or BadManifest."""
    try:
        manifest = Manifest.parse(raw)
    except BadManifest as error:
        assert error.what
        return
    assert manifest.raw == raw
    assert all(0 <= blob.size <= MAX_SIZE for blob in manifest.blobs)
    assert len({blob.digest for blob in manifest.blobs}) == len(manifest.blobs)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_manifest_or_refused(raw: bytes) -> None:
    """No other exception leaves the parser (T2)."""
    judge(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(DIGEST),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["schemaVersion", "config", "layers", "digest", "size", "mediaType", "name", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(JSON, JSON, JSON)
def test_random_json_is_a_manifest_or_refused(config: object, first: object, layers: object) -> None:
    """Values of any kind in any place: no other exception leaves the parser (T2)."""
    judge(compact({"schemaVersion": 2, "config": config, "layers": [first]}))
    judge(compact({"schemaVersion": 2, "config": config, "layers": layers}))
    judge(compact(layers))


@settings(max_examples=100)
@given(manifest_bytes(), st.data())
def test_a_damaged_manifest_is_a_manifest_or_refused(raw: bytes, data: st.DataObject) -> None:
    """Cut, zeroed, flipped, doubled or mixed with other bytes: no other exception leaves the parser (T2)."""
    first = data.draw(st.integers(0, len(raw)))
    last = data.draw(st.integers(first, len(raw)))
    between = data.draw(
        st.sampled_from([b"", b"\0", b'"', b"\\", b"{", b"}", b"[", b"null", b"-1", raw]) | st.binary(max_size=8)
    )
    judge(raw[:first] + between + raw[last:])
    judge(raw[:first] + bytes(last - first) + raw[last:])


@example(0)
@given(st.integers(0, 10_000))
def test_a_manifest_cut_anywhere_is_refused(at: int) -> None:
    """Every proper beginning of a manifest is no manifest (T2)."""
    verdict(GOOD_BYTES[: at % len(GOOD_BYTES)])


def test_the_media_type_of_the_document_is_not_what_makes_a_manifest() -> None:
    """Ollama's ``create`` and registries differ in it; it is kept with the bytes."""
    for kind in (DOCKER_TYPE, "application/vnd.oci.image.manifest.v1+json", ""):
        assert Manifest.parse(compact(PLAIN | {"mediaType": kind})).size == 4_530


# Damage that leaves a manifest well formed.


@pytest.mark.parametrize(
    ("now", "known", "bytes_"),
    [
        (b"abcdefghij", b"abcdefghij", 0),
        (b"", b"", 0),
        (b"abcdefghiJ", b"abcdefghij", 1),
        (b"ABCDEFGHij", b"abcdefghij", 8),
        (b"ABCDEFGHIj", b"abcdefghij", 0),
        (b"abcdefghij\n", b"abcdefghij", 0),
        (b"", b"abcdefghij", 0),
    ],
    ids=["same", "both empty", "one byte", "eight bytes", "nine bytes", "longer", "empty"],
)
def test_a_few_changed_bytes_are_damage_and_many_are_another_version(now: bytes, known: bytes, bytes_: int) -> None:
    """Up to eight bytes at equal length: another version of a model changes a whole digest."""
    assert garbled_bytes(now, known) == bytes_


@given(st.integers(1, 50), st.integers(1, 50))
def test_another_version_is_not_called_damage(one: int, other: int) -> None:
    """Two manifests whose digests are real ones differ in more bytes than a damaged one does."""
    first, second = (
        compact(document([layer(0) | {"digest": "sha256:" + sha256(bytes([n])).hexdigest()}])) for n in (one, other)
    )
    assert garbled_bytes(first, second) == 0


@given(manifest_bytes(), st.data())
def test_a_flipped_bit_is_found(raw: bytes, data: st.DataObject) -> None:
    """Wherever it is, also where the manifest still parses."""
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    damaged = raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]
    assert garbled_bytes(damaged, raw) == 1
