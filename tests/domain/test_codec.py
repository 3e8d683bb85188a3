"""The one JSON form: every value of the domain leads back from it, and garbage is refused."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain import codec
from modelward.domain import finding as f
from modelward.domain.chunks import Span
from modelward.domain.codec import decode, encode, pretty
from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject
from modelward.domain.name import ModelName
from modelward.domain.plan import FixOwner, PatchBlob, PlaceBlob, PlaceManifest
from modelward.domain.receipt import FileId, Ledger, Receipt
from modelward.domain.retention import Policy
from modelward.domain.snapshot import Protected, Snapshot, Trashed
from modelward.domain.store import Owner
from tests.domain.strategies_domain import NOON, digest, digests, names, structs, values

LLAMA = ModelName.parse("llama3")
SNAPSHOT = Snapshot(
    id="20260105T120000Z-0123456789ab",
    model=LLAMA,
    created_at=NOON,
    verified_at=NOON - timedelta(minutes=5),
    wrapper=digest(1),
    manifest=digest(2),
    size=5_000_000_000,
    store="/models",
    owner=Owner(1000, 1000, 0o644),
)
KINDS = sorted(get_args(f.Finding), key=lambda kind: kind.__name__)


def test_every_struct_of_the_domain_is_looked_at() -> None:
    """The list of structs that the tests below run over is found, not written down."""
    found = {kind.__name__ for kind in structs()}
    assert {"Snapshot", "Trashed", "KnownStore", "Protected", "Ledger", "Policy", "Plan", "Report"} <= found
    assert {kind.__name__ for kind in KINDS} <= found
    assert len(found) > 50


@pytest.mark.parametrize("kind", structs(), ids=lambda kind: kind.__name__)
def test_every_value_leads_back_from_its_json(kind: type[msgspec.Struct]) -> None:
    """Encoded and decoded, it is equal; and so it is from the indented form."""

    @settings(max_examples=6)
    @given(values(kind))
    def run(value: msgspec.Struct) -> None:
        assert decode(encode(value), kind) == value
        assert decode(pretty(value).encode(), kind) == value

    run()


@settings(max_examples=100)
@given(values(f.Finding))  # type: ignore[arg-type] # a union is no class, and the strategy takes any annotation
def test_a_finding_of_any_kind_says_which_it_is(finding: f.Finding) -> None:
    """``kind`` holds the name of its class, and from it the class is found again."""
    written = json.loads(encode(finding))
    assert written["kind"] == type(finding).__name__
    found: f.Finding = decode(encode(finding), f.Finding)  # type: ignore[arg-type] # as above
    assert found == finding
    assert type(found) is type(finding)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_finding_has_a_path(kind: type[msgspec.Struct]) -> None:
    """And those about a blob name it with its size and spans, as ``--json`` promises."""
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert "path" in fields
    assert ("blob" in fields) == (kind in get_args(f.BlobFinding)) == ({"size", "spans"} <= fields)


@pytest.mark.parametrize("kind", [PlaceBlob, PatchBlob, PlaceManifest, FixOwner], ids=lambda kind: kind.__name__)
def test_a_step_of_a_plan_says_which_it_is(kind: type[msgspec.Struct]) -> None:
    """``step`` holds the name of its class."""

    @settings(max_examples=5)
    @given(values(kind))
    def run(step: msgspec.Struct) -> None:
        assert json.loads(encode(step))["step"] == kind.__name__

    run()


def test_the_json_form_of_a_finding() -> None:
    """Digests are text, spans are pairs of offset and length, and the kind stands there."""
    corrupt = f.Corrupt(blob=digest(5), size=3 << 20, path="blobs/x", spans=(Span(0, 1 << 20), Span(2 << 20, 7)))
    assert json.loads(encode(corrupt)) == {
        "kind": "Corrupt",
        "path": "blobs/x",
        "blob": str(digest(5)),
        "size": 3 << 20,
        "spans": [[0, 1 << 20], [2 << 20, 7]],
        "exact": True,
    }


def test_the_json_form_of_a_snapshot() -> None:
    """Names are full, times are in UTC, the owner is a triple."""
    assert json.loads(encode(SNAPSHOT)) == {
        "version": 1,
        "id": "20260105T120000Z-0123456789ab",
        "model": "registry.ollama.ai/library/llama3:latest",
        "created_at": "2026-01-05T12:00:00Z",
        "verified_at": "2026-01-05T11:55:00Z",
        "wrapper": str(digest(1)),
        "manifest": str(digest(2)),
        "size": 5_000_000_000,
        "store": "/models",
        "owner": [1000, 1000, 0o644],
    }


def test_the_json_form_of_a_ledger() -> None:
    """Receipts are short: there are thousands of them."""
    ledger = Ledger(receipts={"ab": Receipt(FileId(7, 10, 1, 2), 99)})
    assert json.loads(encode(ledger)) == {"receipts": {"ab": [[7, 10, 1, 2], 99]}, "damaged": {}, "cursor": None}


@given(digests(), names())
def test_digests_and_names_are_text(blob: Digest, name: ModelName) -> None:
    """As values and as keys, and they are read back as what they are."""
    assert encode({name: blob}) == f'{{"{name}":"{blob}"}}'.encode()
    back = decode(encode({name: blob}), dict[ModelName, Digest])
    assert [(type(key), type(value)) for key, value in back.items()] == [(ModelName, Digest)]


@given(st.lists(values(Span), max_size=4).map(tuple))
def test_spans_are_pairs(spans: tuple[Span, ...]) -> None:
    """``[offset, length]`` each, read back as spans."""
    assert json.loads(encode(spans)) == [[span.offset, span.length] for span in spans]
    back = decode(encode(spans), tuple[Span, ...])
    assert back == spans
    assert all(isinstance(span, Span) for span in back)


def test_an_unknown_type_has_no_json_form() -> None:
    """A mistake of ours is loud: nothing is turned into text by chance."""
    with pytest.raises(TypeError, match="no JSON form for object"):
        encode(object())


def replaced(**fields: object) -> bytes:
    """The snapshot's JSON with other fields; None drops one."""
    written = json.loads(encode(SNAPSHOT)) | fields
    return json.dumps({key: value for key, value in written.items() if value is not None}).encode()


GARBAGE = {
    "empty": b"",
    "zeros": bytes(40),
    "cut": encode(SNAPSHOT)[:-1],
    "byte behind it": encode(SNAPSHOT) + b"x",
    "twice": encode(SNAPSHOT) * 2,
    "list": b"[]",
    "null": b"null",
    "empty object": b"{}",
    "depth 100,000": b"[" * 100_000,
    "a flipped bit in a key": encode(SNAPSHOT).replace(b'"size"', b'"\xf3ize"'),
    "no model": replaced(model=None),
    "bad name": replaced(model="../../x"),
    "name a number": replaced(model=5),
    "bad digest": replaced(wrapper="sha256:../../x"),
    "digest upper-case": replaced(wrapper="sha256:" + "A" * 64),
    "size a string": replaced(size="5"),
    "size a float": replaced(size=5.5),
    "time a number": replaced(created_at=5),
    "time that cannot be": replaced(created_at="2026-02-30T00:00:00Z"),
    "owner too short": replaced(owner=[1, 2]),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused(data: bytes) -> None:
    """Anything but the value's JSON raises BadObject, and it says what it should have been."""
    with pytest.raises(BadObject, match="not a Snapshot"):
        decode(data, Snapshot)


def test_a_finding_of_an_unknown_kind_is_refused() -> None:
    """A record of a newer program is no finding of ours."""
    with pytest.raises(BadObject):
        decode(b'{"kind":"Haunted","path":"x"}', f.Missing)


LEAKS = {
    "bytes that are no UTF-8": encode(SNAPSHOT).replace(b"/models", b"\xff\xfe"),
    "depth 100,000 in an unknown key": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"," + encode(SNAPSHOT)[1:],
}


@pytest.mark.parametrize("data", LEAKS.values(), ids=LEAKS)
def test_no_other_error_leaves(data: bytes) -> None:
    """One flipped bit in a record on the disk must not end in a traceback."""
    with pytest.raises(BadObject):
        decode(data, Snapshot)


def test_garbage_in_place_of_a_union_is_refused() -> None:
    """A finding of any kind, too, is read or raises BadObject."""
    with pytest.raises(BadObject):
        decode(b"[]", f.Finding)  # type: ignore[arg-type] # a union is no class


def test_a_record_with_a_time_of_no_zone_is_refused() -> None:
    """All our times are in UTC and say so."""
    with pytest.raises(BadObject):
        decode(replaced(created_at="2026-01-05T12:00:00"), Snapshot)


@pytest.mark.parametrize("kind", ["entry", "download"])
def test_a_file_name_that_is_no_utf8_has_a_json_form(kind: str) -> None:
    """Such a name stands in a finding's path as Python gives it, and ``--json`` must not end in a traceback."""
    path = b"manifests/\xff".decode("utf-8", "surrogateescape")
    encode(f.BadEntry(path=path, reason="x") if kind == "entry" else f.Partial(path=path, bytes=1))


@given(st.data())
def test_a_damaged_record_is_a_record_or_refused(data: st.DataObject) -> None:
    """Cut or mixed with other text: no other exception leaves, and what is read can be written."""
    good = encode(Trashed(snapshot=SNAPSHOT, forgotten_at=NOON))
    first = data.draw(st.integers(0, len(good)))
    last = data.draw(st.integers(first, len(good)))
    between = data.draw(st.text(st.characters(max_codepoint=0x7F), max_size=8))
    try:
        record = decode(good[:first] + between.encode() + good[last:], Trashed)
    except BadObject:
        return
    assert decode(encode(record), Trashed) == record


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(data: bytes) -> None:
    """They are no record, and raise BadObject only."""
    with pytest.raises(BadObject):
        decode(data, Snapshot)


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=20_000)))
def test_a_length_of_time_leads_back(within: timedelta) -> None:
    """To the microsecond."""
    assert decode(encode(Policy(keep_within=within)), Policy).keep_within == within


def test_what_is_missing_has_its_default() -> None:
    """A field that a newer record lacks, or an older one never had, takes the struct's default."""
    assert decode(b"{}", Protected) == Protected()
    assert decode(b'{"later":1}', Protected) == Protected()


def test_times_of_another_zone_are_the_same_moment() -> None:
    """A record that was written elsewhere is read as the moment that it names."""
    read = decode(replaced(created_at="2026-01-05T14:00:00+02:00"), Snapshot)
    assert read.created_at == datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


# In a process of its own, for the fault that is looked for ends it. Types are new in every round, as at a start.
RACE = """
import sys, threading
import msgspec
from modelward.domain.codec import decode

sys.setswitchinterval(1e-6)
A_TEXT = b'{"a":1,"b":"x","c":3}'
B_TEXT = b'{"x":' + A_TEXT + b',"y":[' + A_TEXT + b'],"z":{"k":' + A_TEXT + b"}}"

def fresh():
    class A(msgspec.Struct):
        a: int
        b: str
        c: int
        d: str | None = None

    class B(msgspec.Struct):
        x: A
        y: tuple[A, ...]
        z: dict[str, A]
        w: A | None = None

    return B

def read(kind, barrier):
    barrier.wait()
    assert decode(B_TEXT, kind).z["k"].c == 3

for _ in range(1_000):
    kind, barrier = fresh(), threading.Barrier(3)
    threads = [threading.Thread(target=read, args=(kind, barrier)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("all read")
"""


def test_threads_that_read_a_type_for_the_first_time_at_once() -> None:
    """Without the lock msgspec 0.22.0 ends the process by a segmentation fault within some hundred rounds."""
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "all read"), done.stderr[-2000:]


def test_nobody_reads_into_a_type_that_is_not_learned() -> None:
    """Every call of msgspec that reads into a type of ours asks for it by ``learned``."""
    source = Path(codec.__file__).parents[1]
    calls = re.compile(r"msgspec\.(?:json\.decode\([^\n]*type=|convert\([^,\n]+, |json\.Decoder\()([\w.\[\], ]+)\(?")
    plain = {"tuple[str, ...]", "kind"}
    found = {
        (path.name, match[1].strip())
        for path in source.rglob("*.py")
        if "testing" not in path.parts
        for match in calls.finditer(path.read_text(encoding="utf-8"))
    }
    assert {name for name, kind in found if kind == "learned"} >= {"reading.py", "answers.py", "wrapper.py", "codec.py"}
    assert {(name, kind) for name, kind in found if kind != "learned" and kind not in plain} == set()
    assert {name for name, kind in found if kind == "kind"} == {"codec.py"}, "the one that learns"
