"""Causes follow from what was seen: each with its certainty, what a person understands, and the next command."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.cause import Cause, Certainty, Kind
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.diagnose_damage import GRACE, diagnose_damage
from modelward.domain.digest import Digest
from modelward.domain.evidence import (
    BlobSeen,
    CacheSays,
    ChunkSeen,
    DamageEvidence,
    DiskHealth,
    KernelEvidence,
    KernelLine,
    ManifestSeen,
    ModelSeen,
    OwnerSeen,
    PartialSeen,
    Pattern,
    Place,
    Remains,
    Room,
    Sign,
    TagSeen,
)
from modelward.domain.finding import (
    BlobFinding,
    CaseTwin,
    Corrupt,
    Missing,
    NotRegular,
    Oversized,
    Truncated,
    Unreadable,
    UnstableRead,
)
from modelward.domain.name import ModelName
from modelward.domain.patterns import alone, compare, other_content, unit
from modelward.domain.store import Owner

NOW = 1_800_000_000
LLAMA = ModelName.parse("llama3")
ONE, TWO, THREE = (Digest(digit * 64) for digit in "123")
PATH = f"blobs/sha256-{ONE.hex}"
SIZE = 4 * CHUNK
DATA = bytes(random.Random(1).randbytes(CHUNK))


def blob(*findings: BlobFinding, chunks: tuple[ChunkSeen, ...] = (), **more: object) -> BlobSeen:
    """A damaged blob of four chunks."""
    seen = BlobSeen(
        blob=ONE,
        path=PATH,
        size=SIZE,
        models=(LLAMA,),
        findings=findings or (Corrupt(blob=ONE, size=SIZE, path=PATH, spans=(Span(0, CHUNK),)),),
        actual=SIZE,
        chunks=chunks,
        damaged=len(chunks),
        exact=True,
        compared_with="vault" if chunks else "",
    )
    return replaced(seen, **more)


def replaced(seen: BlobSeen, **more: object) -> BlobSeen:
    """The same with other fields."""
    from msgspec.structs import replace

    return replace(seen, **more)


def chunk(*places: Place, **more: object) -> ChunkSeen:
    """The first chunk, compared with proved bytes."""
    from msgspec.structs import replace

    return replace(ChunkSeen(span=Span(0, CHUNK), places=places, compared=True, proved=True), **more)


def seen(**parts: object) -> tuple[Cause, ...]:
    """The causes of an evidence with these parts."""
    from msgspec.structs import replace

    return diagnose_damage(replace(DamageEvidence(now=NOW, store="/models"), **parts))


def only(**parts: object) -> Cause:
    """The one cause of an evidence."""
    (cause,) = seen(**parts)
    return cause


def text(cause: Cause) -> str:
    """All that a person reads of it."""
    return "\n".join((cause.thing, *cause.evidence, cause.next))


# Patterns.


def damaged(offset: int, data: bytes) -> bytes:
    """The chunk with other bytes somewhere."""
    return DATA[:offset] + data + DATA[offset + len(data) :]


def test_equal_bytes_have_no_place() -> None:
    """No difference, nothing to tell."""
    assert compare(DATA, DATA, 0, SIZE) == ()


@pytest.mark.parametrize(
    ("offset", "length", "pattern"),
    [
        (512, 512, Pattern.ZEROS),
        (4096, 40960, Pattern.ZEROS),
        (0, CHUNK, Pattern.ZEROS),
        (100, 5000, Pattern.LOOSE_ZEROS),
        (512, 700, Pattern.LOOSE_ZEROS),
    ],
)
def test_zeros_are_told_by_their_borders(offset: int, length: int, pattern: Pattern) -> None:
    """Zeros from sector to sector are a crash's; others are somebody's."""
    (place,) = compare(damaged(offset, bytes(length)), DATA, 0, SIZE)
    assert place.pattern is pattern
    assert alone(damaged(offset, bytes(length)), 0, SIZE)[0].pattern is pattern


def test_zeros_that_were_zeros_before_hide_the_border() -> None:
    """Where the good bytes are zeros too, the range that differs is shorter than the range that was zeroed."""
    good = damaged(4096 - 300, bytes(600))
    (place,) = compare(good[:4096] + bytes(4096) + good[8192:], good, 0, SIZE)
    assert place.pattern is Pattern.ZEROS


def test_the_end_of_the_blob_is_a_border() -> None:
    """The last sector of a blob may be short."""
    good = DATA[:10_000]
    (place,) = compare(good[:9728] + bytes(272), good, CHUNK, CHUNK + 10_000)
    assert place.pattern is Pattern.ZEROS
    (inside,) = compare(good[:9728] + bytes(272), good, CHUNK, SIZE)
    assert inside.pattern is Pattern.LOOSE_ZEROS


@given(st.lists(st.tuples(st.integers(0, CHUNK - 1), st.integers(0, 7)), min_size=1, max_size=20, unique=True))
def test_flipped_bits_are_counted(flips: list[tuple[int, int]]) -> None:
    """Every flip in a byte of its own is one bit, wherever it lies."""
    flips = list({offset: (offset, bit) for offset, bit in flips}.values())
    bad = bytearray(DATA)
    for offset, bit in flips:
        bad[offset] ^= 1 << bit
    places = compare(bytes(bad), DATA, 0, SIZE)
    assert {place.pattern for place in places} == {Pattern.BITS}
    assert sum(place.bits for place in places) == len(flips)


@given(st.integers(0, 200), st.integers(1, 40))
def test_whole_sectors_of_other_bytes(first: int, length: int) -> None:
    """Random bytes from border to border are sectors, though chance makes some bytes equal."""
    other = random.Random(first).randbytes(512 * length)
    places = compare(damaged(first * 512, other), DATA, 0, SIZE)
    assert {place.pattern for place in places} == {Pattern.SECTORS}
    inside = compare(damaged(first * 512 + 100, other), DATA, 0, SIZE)
    assert {place.pattern for place in inside} == {Pattern.OTHER}


def test_the_unit_of_the_borders() -> None:
    """Blocks where all borders keep to them, else sectors."""
    assert unit((Place(pattern=Pattern.ZEROS, span=Span(4096, 8192)),)) == 4096
    assert unit((Place(pattern=Pattern.ZEROS, span=Span(512, 4096)),)) == 512


def test_places_are_bounded() -> None:
    """A chunk with bits flipped all over is told by its first places, in no time."""
    bad = bytearray(DATA)
    for offset in range(0, CHUNK, 64):
        bad[offset] ^= 1
    assert len(compare(bytes(bad), DATA, 0, SIZE)) == 1024


@pytest.mark.parametrize(
    ("head", "weights", "what"),
    [
        (b"<!DOCTYPE html><html>", True, "HTML"),
        (b"\n<html lang=en>", True, "HTML"),
        (b"<?xml version='1.0'?><Error>", True, "XML"),
        (b'{"error":"unauthorized"}', True, "JSON"),
        (b"PK\x03\x04", True, "zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", False, "git-lfs"),
        (b"<!DOCTYPE html>", False, ""),
        (b"GGUF\x03", True, ""),
        (b"ggml", True, ""),
        (b"", True, ""),
    ],
)
def test_what_cannot_be_a_blob(head: bytes, weights: bool, what: str) -> None:  # noqa: FBT001 - a table's column
    """Weights are no page and no archive; a template may be a page, but nothing is a git-lfs pointer."""
    found = other_content(head, weights=weights)
    assert what in found
    assert bool(found) == bool(what)


# Manifests.

LOST = ManifestSeen(
    path="manifests/x", model=LLAMA, known=True, blobs=Remains(total=5, present=5, bytes=47, youngest=0)
)


def lost(youngest: int) -> ManifestSeen:
    """A manifest that is gone, with blobs this old."""
    return ManifestSeen(
        path="manifests/x",
        model=LLAMA,
        known=True,
        blobs=Remains(total=5, present=5, bytes=47, youngest=NOW - youngest),
    )


def test_a_lost_manifest_tells_both_rules_where_the_server_is_unknown() -> None:
    """Before v0.21.0 there is no grace at all; from then on an hour by the blobs' mtime."""
    cause = only(manifests=(lost(600),))
    assert (cause.kind, cause.certainty, cause.model) == (Kind.MANIFEST_LOST, Certainty.PROVED, LLAMA)
    assert "before v0.21.0" in text(cause)
    assert "in the next 50 min" in text(cause)
    assert cause.next == "do not restart the server first; modelward repair llama3:latest"


@pytest.mark.parametrize(
    ("server", "age", "said"),
    [
        ("0.20.7", 600, "server 0.20.7: before v0.21.0"),
        ("0.24.0", 600, "server 0.24.0: from v0.21.0 on a start in the next 50 min"),
        ("v1.0.0", GRACE + 7200, "server v1.0.0: from v0.21.0 on the next start deletes"),
        ("weird", 600, "in the next 50 min"),
    ],
)
def test_the_time_left_follows_the_servers_version(server: str, age: int, said: str) -> None:
    """Only the rule that holds is told, where it is known which."""
    assert said in text(only(manifests=(lost(age),), server=server))


def test_a_damaged_manifest_beside_it_stops_the_prune() -> None:
    """A strict read of all manifests comes before the prune."""
    bad = ManifestSeen(path="manifests/y", size=3, reason="not JSON")
    assert "manifests/y is damaged" in text(seen(manifests=(lost(0), bad))[0])


def test_manifest_and_blobs_gone_may_be_a_removal() -> None:
    """Nothing is left that a restart could prune, so nothing warns of one."""
    gone = ManifestSeen(path="manifests/x", model=LLAMA, known=True, blobs=Remains(total=2))
    missing = replaced(blob(Missing(blob=ONE, size=SIZE, path=PATH)), actual=None)
    cause = only(manifests=(gone,), blobs=(missing,), models=(ModelSeen(model=LLAMA, blobs=2, missing=2),))
    assert "ollama rm" in text(cause)
    assert "restart" not in cause.next


def test_an_orphaned_config_is_a_likely_lost_manifest() -> None:
    """Nobody remembers the model's name, so it is not proved."""
    cause = only(manifests=(ManifestSeen(path="blobs/sha256-1", blobs=Remains(total=3, present=3, youngest=NOW)),))
    assert (cause.kind, cause.certainty) == (Kind.MANIFEST_LOST, Certainty.LIKELY)


@pytest.mark.parametrize(("size", "said"), [(0, "0 bytes"), (700, "700 bytes are zeros")])
def test_an_empty_manifest(size: int, said: str) -> None:
    """Empty or zeroed is the mark of a write that never reached the disk; a crash in the log stands beside it."""
    kernel = KernelEvidence(lines=(KernelLine(sign=Sign.CRASH, text="EXT4-fs (sda1): recovery complete"),))
    manifest = ManifestSeen(path="manifests/x", model=LLAMA, size=size, blank=True, reason="empty", known=True)
    cause = only(manifests=(manifest,), kernel=kernel)
    assert (cause.kind, cause.certainty) == (Kind.MANIFEST_EMPTY, Certainty.LIKELY)
    assert said in text(cause)
    assert "recovery complete" in text(cause)


def test_a_garbled_manifest_without_a_copy_is_pulled_again() -> None:
    """The reason of the parser is the evidence."""
    cause = only(manifests=(ManifestSeen(path="manifests/x", model=LLAMA, size=9, reason="not JSON (line 1)"),))
    assert (cause.kind, cause.certainty) == (Kind.MANIFEST_GARBLED, Certainty.PROVED)
    assert cause.next.startswith("ollama pull llama3:latest")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("permission denied (EACCES)", Kind.WRONG_OWNER),
        ("input/output error (EIO)", Kind.BAD_SECTOR),
        ("stale file handle (ESTALE)", Kind.UNKNOWN),
    ],
)
def test_a_manifest_that_we_cannot_look_at_is_not_called_lost(error: str, kind: Kind) -> None:
    """What we may not read may well be there."""
    cause = only(manifests=(ManifestSeen(path="manifests/x", model=LLAMA, denied=error, reason=error),))
    assert cause.kind is kind
    assert cause.certainty is not Certainty.PROVED


# Blobs.


@pytest.mark.parametrize(("gone", "said"), [(1, "1 of its 4 blobs"), (4, "all 4 blobs")])
def test_lost_blobs_are_told_once_a_model(gone: int, said: str) -> None:
    """How many are gone says what can have taken them."""
    blobs = tuple(
        replaced(blob(Missing(blob=ONE, size=SIZE, path=PATH)), blob=Digest(f"{n:064x}"), actual=None)
        for n in range(gone)
    )
    cause = only(blobs=blobs, models=(ModelSeen(model=LLAMA, blobs=4, missing=gone),))
    assert (cause.kind, cause.certainty) == (Kind.BLOB_LOST, Certainty.PROVED)
    assert said in text(cause)


def test_a_name_that_is_nearly_an_orphans_is_the_manifests_fault() -> None:
    """One wrong digit in a manifest makes one blob missing and another an orphan."""
    cause = only(blobs=(replaced(blob(Missing(blob=ONE, size=SIZE, path=PATH)), actual=None, near_orphan=TWO),))
    assert (cause.kind, cause.certainty) == (Kind.MANIFEST_GARBLED, Certainty.LIKELY)


def test_a_cut_and_a_full_disk() -> None:
    """A blob that lacks more than is free points to the disk; enough room clears it."""
    cut = replaced(blob(Truncated(blob=ONE, size=SIZE, path=PATH, actual=8192)), actual=8192)
    causes = seen(blobs=(cut,), space=Room(free=2 * CHUNK, total=100 * CHUNK))
    assert [(c.kind, c.certainty) for c in causes] == [
        (Kind.CUT_SHORT, Certainty.PROVED),
        (Kind.DISK_FULL, Certainty.PROVED),
    ]
    assert "8,192 of 4,194,304 bytes" in text(causes[0])
    short = seen(blobs=(cut,), space=Room(free=20 << 20, total=100 << 20, entries=0))
    assert short[1].certainty is Certainty.PROVED
    assert [c.kind for c in seen(blobs=(cut,), space=Room(free=1 << 40, total=1 << 41))] == [Kind.CUT_SHORT]


def test_less_room_than_is_lacking_is_a_likely_full_disk() -> None:
    """Room for a while, and still less than the download lacks."""
    cause = seen(partials=(partial(total=80 << 20),), space=Room(free=50 << 20, total=1 << 30))[0]
    assert (cause.kind, cause.certainty) == (Kind.DISK_FULL, Certainty.LIKELY)
    assert "lacks" in text(cause)


def test_zeros_compared_and_not() -> None:
    """Compared zeros are likely a crash's; uncompared ones may be the model's own."""
    place = Place(pattern=Pattern.ZEROS, span=Span(4096, 8192), wrong=8000, bits=30_000)
    cause = only(blobs=(blob(chunks=(chunk(place),)),))
    assert (cause.kind, cause.certainty) == (Kind.ZEROED, Certainty.LIKELY)
    assert "multiples of 4,096 bytes: 4,096+8,192" in text(cause)
    odd = Place(pattern=Pattern.ZEROS, span=Span(512, 1024))
    loose = only(blobs=(blob(chunks=(chunk(odd, compared=False),), compared_with=""),))
    assert loose.certainty is Certainty.POSSIBLE
    holed = blob(chunks=(chunk(odd, compared=False),), compared_with="", holes=(Span(0, 4096),))
    assert only(blobs=(holed,)).certainty is Certainty.LIKELY


def test_a_whole_blob_of_zeros() -> None:
    """A file of the right size without one byte in it is a known story."""
    place = Place(pattern=Pattern.ZEROS, span=Span(0, CHUNK), wrong=CHUNK)
    whole = blob(chunks=tuple(chunk(place, blank=True) for _ in range(4)))
    assert "#17520" in text(only(blobs=(whole,)))
    part = blob(chunks=(chunk(place, blank=True),))
    assert "#17520" not in text(only(blobs=(part,)))
    scanned = blob(chunks=(chunk(place, blank=True),), exact=False, scanned=4)
    assert "#17520" not in text(only(blobs=(scanned,)))


def test_single_bits_name_memory_and_the_log_is_asked() -> None:
    """Counted as a person would; two bits in one byte are less sure; another disk's errors are left out."""
    place = Place(pattern=Pattern.BITS, span=Span(77, 1), wrong=1, bits=1)
    kernel = KernelEvidence(
        lines=(
            KernelLine(sign=Sign.MEMORY, text="EDAC MC0: 1 CE"),
            KernelLine(sign=Sign.LINK, text="other", device="sdz", ours=False),
        ),
        disks=(DiskHealth(device="sda", counters={"CRC errors on the cable": 4, "pending sectors": 0}),),
    )
    cause = only(blobs=(blob(chunks=(chunk(place), chunk(place))),), kernel=kernel)
    assert (cause.kind, cause.certainty) == (Kind.BIT_FLIP, Certainty.LIKELY)
    assert "2 bit(s) in 2 byte(s) of 2 chunk(s)" in text(cause)
    assert "EDAC" in text(cause)
    assert "other" not in text(cause)
    assert "CRC errors on the cable 4" in text(cause)
    assert "pending" not in text(cause)
    double = Place(pattern=Pattern.BITS, span=Span(77, 1), wrong=1, bits=2)
    assert only(blobs=(blob(chunks=(chunk(double),)),)).certainty is Certainty.POSSIBLE


def test_bits_among_muddled_bytes_do_not_count() -> None:
    """In bytes without a pattern a single bit is chance: UNKNOWN."""
    places = (
        Place(pattern=Pattern.BITS, span=Span(7, 1), wrong=1, bits=1),
        Place(pattern=Pattern.OTHER, span=Span(50, 90), wrong=88, bits=350),
    )
    cause = only(blobs=(blob(chunks=(chunk(*places),)),))
    assert (cause.kind, cause.certainty) == (Kind.UNKNOWN, Certainty.POSSIBLE)


def test_whole_sectors_are_a_lost_write_and_all_of_them_another_file() -> None:
    """One block of others is a write's fault; a file that is other bytes from end to end is another file."""
    place = Place(pattern=Pattern.SECTORS, span=Span(4096, 4096), wrong=4080)
    cause = only(blobs=(blob(chunks=(chunk(place, moved=1),)),))
    assert (cause.kind, cause.certainty) == (Kind.LOST_WRITE, Certainty.LIKELY)
    assert "belong elsewhere" in text(cause)
    every = Place(pattern=Pattern.SECTORS, span=Span(0, CHUNK), wrong=CHUNK - 4000)
    whole = only(blobs=(blob(chunks=(chunk(every),) * 4),))
    assert (whole.kind, whole.certainty) == (Kind.WRONG_CONTENT, Certainty.LIKELY)


@pytest.mark.parametrize(
    ("error", "ours", "kind", "certainty"),
    [
        ("EIO", True, Kind.BAD_SECTOR, Certainty.PROVED),
        ("EIO", None, Kind.BAD_SECTOR, Certainty.LIKELY),
        ("EIO", False, Kind.BAD_SECTOR, Certainty.LIKELY),
        ("input/output error (EIO)", True, Kind.BAD_SECTOR, Certainty.PROVED),
        ("EBADMSG", True, Kind.BAD_SECTOR, Certainty.POSSIBLE),
        ("permission denied (EACCES)", None, Kind.WRONG_OWNER, Certainty.POSSIBLE),
        ("ESTALE", None, Kind.UNKNOWN, Certainty.POSSIBLE),
    ],
)
def test_read_errors(error: str, ours: bool | None, kind: Kind, certainty: Certainty) -> None:  # noqa: FBT001 - a table
    """EIO is proved a bad sector only where the kernel says so of this very disk."""
    line = KernelLine(sign=Sign.IO, text="I/O error, dev sda", device="sda", ours=ours)
    kernel = KernelEvidence(lines=(line,), devices=("sda",))
    cause = only(
        blobs=(blob(Unreadable(blob=ONE, size=SIZE, path=PATH, error=error, spans=(Span(0, CHUNK),))),), kernel=kernel
    )
    assert (cause.kind, cause.certainty) == (kind, certainty)


@pytest.mark.parametrize(
    ("says", "certainty", "said"),
    [
        (CacheSays.CACHE_GOOD, Certainty.PROVED, "before it restarts"),
        (CacheSays.DISK_GOOD, Certainty.PROVED, "drop_caches"),
        (CacheSays.NEITHER, Certainty.POSSIBLE, "being written"),
    ],
)
def test_cache_and_disk(says: CacheSays, certainty: Certainty, said: str) -> None:
    """Which of the two has the good bytes decides what to do."""
    cause = only(blobs=(blob(chunks=(chunk(cache=says),)),))
    assert (cause.kind, cause.certainty) == (Kind.CACHE_DIFFERS, certainty)
    assert said in text(cause)


def test_bytes_that_differ_at_each_read() -> None:
    """Still unstable is likely memory or bus; stable again is merely possible."""
    finding = UnstableRead(blob=ONE, size=SIZE, path=PATH, spans=(Span(0, CHUNK),))
    assert only(blobs=(blob(finding, chunks=(chunk(reads=3),)),)).certainty is Certainty.LIKELY
    assert only(blobs=(blob(finding, chunks=(chunk(),)),)).certainty is Certainty.POSSIBLE


@pytest.mark.parametrize(
    "more",
    [
        {"findings": (NotRegular(blob=ONE, size=SIZE, path=PATH, what="symlink"),)},
        {"content": "an HTML page"},
        {"same_as": TWO},
    ],
)
def test_something_else_under_the_name(more: dict[str, object]) -> None:
    """What the file is was read, so it is proved."""
    cause = only(blobs=(blob(**more),))  # type: ignore[arg-type] # fields of the struct
    assert (cause.kind, cause.certainty) == (Kind.WRONG_CONTENT, Certainty.PROVED)


def test_a_right_file_of_another_size_is_the_manifests_fault() -> None:
    """A file whose SHA-256 is its name cannot be wrong."""
    grown = blob(Oversized(blob=ONE, size=SIZE, path=PATH, actual=SIZE + 1), same_as=ONE, actual=SIZE + 1)
    cause = only(blobs=(grown,))
    assert (cause.kind, cause.certainty) == (Kind.MANIFEST_GARBLED, Certainty.PROVED)


def test_nothing_to_go_by_is_unknown() -> None:
    """Wrong bytes without good ones, and bytes that were appended."""
    cause = only(blobs=(blob(),))
    assert cause.kind is Kind.UNKNOWN
    assert "no good bytes" in text(cause)
    grown = blob(Oversized(blob=ONE, size=SIZE, path=PATH, actual=SIZE + 9), compared_with="vault", actual=SIZE + 9)
    assert "appended" in text(only(blobs=(grown,)))


# The rest.


def test_owner() -> None:
    """Proved of a user that was seen, likely where the user is guessed or may be in the group."""
    owner, reader = Owner(0, 0, 0o600), Owner(998, 998, 0)
    known = only(owners=(OwnerSeen(path=PATH, owner=owner, reader=reader, known=True),))
    assert (known.kind, known.certainty) == (Kind.WRONG_OWNER, Certainty.PROVED)
    assert known.next == f"chown 998:998 /models/{PATH}; chmod 644 /models/{PATH}"
    assert only(owners=(OwnerSeen(path=PATH, owner=owner, reader=reader),)).certainty is Certainty.LIKELY
    grouped = OwnerSeen(path="/data", owner=Owner(0, 0, 0o750), reader=reader, known=True, folder=True)
    assert only(owners=(grouped,)).certainty is Certainty.LIKELY
    assert only(owners=(grouped,)).next == "chmod o+x /data"


def partial(**more: object) -> PartialSeen:
    """A download of which a quarter came, an hour ago."""
    from msgspec.structs import replace

    base = PartialSeen(path="blobs/p", blob=ONE.hex, done=25, total=100, modified=NOW - 7200, sidecars=2)
    return replace(base, **more)


@pytest.mark.parametrize(
    ("more", "certainty", "said", "removes"),
    [
        ({}, Certainty.PROVED, "25 of 100 bytes are done (25 %)", False),
        ({"modified": NOW - 5}, Certainty.POSSIBLE, "5 s ago", False),
        ({"empty": ("p-1",)}, Certainty.PROVED, "says EOF", True),
        ({"garbled": ("p-1",)}, Certainty.PROVED, "damaged", True),
        ({"gap": 50}, Certainty.PROVED, "one is lost", True),
        ({"sidecars": 0}, Certainty.PROVED, "begins anew", False),
    ],
)
def test_partial_downloads(more: dict[str, object], certainty: Certainty, said: str, removes: bool) -> None:  # noqa: FBT001 - a table's column
    """How far it came, what is wrong with it, and whether it has to go before the next pull."""
    cause = only(partials=(partial(**more),))
    assert (cause.kind, cause.certainty) == (Kind.STUCK_PARTIAL, certainty)
    assert said in text(cause)
    assert ("rm /models/blobs/p*" in cause.next) == removes


def test_tags() -> None:
    """Moved upstream is proved where the store still has the recorded version; the same version is no cause."""
    moved = only(tags=(TagSeen(model=LLAMA, store=ONE, upstream=TWO, recorded=ONE),))
    assert (moved.kind, moved.certainty) == (Kind.TAG_MOVED, Certainty.PROVED)
    assert only(tags=(TagSeen(model=LLAMA, store=ONE, upstream=TWO, recorded=THREE),)).certainty is Certainty.POSSIBLE
    assert seen(tags=(TagSeen(model=LLAMA, store=ONE, upstream=ONE),)) == ()


def test_twins() -> None:
    """Both names are told."""
    twin = CaseTwin(path="manifests/x", models=(LLAMA, ModelName.parse("LLAMA3")))
    assert "LLAMA3:latest" in text(only(twins=(twin,)))


def test_nothing_seen_nothing_named() -> None:
    """A sound store has no cause."""
    assert seen(space=Room(free=1 << 40, total=1 << 41)) == ()


def test_a_terminal_obeys_nothing_of_it() -> None:
    """Escapes in names of files or in reasons are shown, never sent (T19)."""
    cause = only(manifests=(ManifestSeen(path="manifests/\x1b[2J", model=LLAMA, size=3, reason="\x1b]0;x\x07"),))
    assert "\x1b" not in text(cause)
