"""Chunks and spans are two views of the same bytes; a chunk list's form notices every change."""

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK, ChunkList, Span, chunk_span, count, indices_of, spans_of, total
from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject
from tests.domain.strategies_domain import chunk_lists, digest

GOOD = Digest("0123456789abcdef" * 4)
HEADER = 64
PADDING = range(56, 64)

# What Modelward never sees as a size: more than a chunk list of it could be held in memory.
SIZES = st.integers(0, 64 * CHUNK) | st.builds(
    lambda chunks, off: max(0, chunks * CHUNK + off), st.integers(0, 64), st.integers(-1, 1)
)


@st.composite
def picked(draw: st.DrawFn) -> tuple[set[int], int]:
    """A size, and some of the chunks of a blob of that size."""
    size = draw(SIZES)
    return draw(st.sets(st.integers(0, count(size) - 1))) if size else set(), size


@pytest.mark.parametrize(
    ("size", "chunks", "last"),
    [
        (0, 0, None),
        (1, 1, Span(0, 1)),
        (CHUNK - 1, 1, Span(0, CHUNK - 1)),
        (CHUNK, 1, Span(0, CHUNK)),
        (CHUNK + 1, 2, Span(CHUNK, 1)),
        (2 * CHUNK - 1, 2, Span(CHUNK, CHUNK - 1)),
        (2 * CHUNK, 2, Span(CHUNK, CHUNK)),
        (5_000_000_000, 4769, Span(4768 * CHUNK, 5_000_000_000 - 4768 * CHUNK)),
    ],
)
def test_sizes_around_a_chunk(size: int, chunks: int, last: Span | None) -> None:
    """A chunk is 1 MiB, the last one may be shorter but never empty, and an empty blob has none."""
    assert count(size) == chunks
    if last is not None:
        assert chunk_span(chunks - 1, size) == last
        assert last.end == size


@given(SIZES)
def test_the_chunks_of_a_blob_lie_side_by_side_and_cover_it(size: int) -> None:
    """Each begins where the one before ends, none is empty or above 1 MiB, and together they are the blob."""
    spans = [chunk_span(index, size) for index in range(count(size))]
    assert [span.offset for span in spans] == [0, *[span.end for span in spans]][: len(spans)]
    assert all(0 < span.length <= CHUNK for span in spans)
    assert total(spans) == size


@given(picked())
def test_spans_and_indices_lead_to_each_other(case: tuple[set[int], int]) -> None:
    """The spans of some chunks touch exactly those chunks, in order."""
    indices, size = case
    spans = spans_of(indices, size)
    assert list(indices_of(spans)) == sorted(indices)
    assert spans_of(indices_of(spans), size) == spans


@given(picked())
def test_spans_never_overlap_and_are_the_fewest(case: tuple[set[int], int]) -> None:
    """Between two spans lies at least one chunk that was not picked, and no span leaves the blob."""
    indices, size = case
    spans = spans_of(indices, size)
    assert all(one.end < other.offset for one, other in pairwise(spans))
    assert all(span.length > 0 and span.offset % CHUNK == 0 and span.end <= size for span in spans)


@given(picked())
def test_total_counts_every_byte_once(case: tuple[set[int], int]) -> None:
    """The bytes of the spans are the bytes of the picked chunks."""
    indices, size = case
    assert total(spans_of(indices, size)) == sum(chunk_span(index, size).length for index in indices)


@given(st.lists(st.integers(0, 20)), st.randoms(use_true_random=False))
def test_order_and_repeats_do_not_matter(indices: list[int], shuffler: random.Random) -> None:
    """Indices may come in any order and more than once."""
    mixed = [*indices, *indices]
    shuffler.shuffle(mixed)
    assert spans_of(mixed, 21 * CHUNK) == spans_of(sorted(set(indices)), 21 * CHUNK)


@pytest.mark.parametrize(
    ("span", "indices"),
    [
        (Span(0, 1), [0]),
        (Span(CHUNK - 1, 1), [0]),
        (Span(CHUNK - 1, 2), [0, 1]),
        (Span(CHUNK, CHUNK), [1]),
        (Span(0, 0), []),
        (Span(4096, 2 * CHUNK), [0, 1, 2]),
    ],
)
def test_a_span_touches_every_chunk_that_it_has_a_byte_in(span: Span, indices: list[int]) -> None:
    """Spans need not begin or end at a chunk's border."""
    assert list(indices_of([span])) == indices


# The chunk list.


@given(chunk_lists())
def test_a_chunk_list_leads_back_from_its_bytes(chunks: ChunkList) -> None:
    """What the vault keeps is read back as the same value."""
    assert ChunkList.parse(chunks.encode()) == chunks


@given(chunk_lists())
def test_every_chunk_has_its_hash(chunks: ChunkList) -> None:
    """As many hashes of 32 bytes as the blob has chunks, in order."""
    assert len(chunks) == count(chunks.size)
    assert b"".join(chunks[index] for index in range(len(chunks))) == chunks.hashes


def test_the_form_is_the_documented_one() -> None:
    """Magic, chunk size, hash kind, blob size, SHA-256 and eight zero bytes, little-endian; then the hashes."""
    chunks = ChunkList(blob=GOOD, size=CHUNK + 1, hashes=bytes(range(64)))
    assert chunks.encode() == (
        b"MWCHUNKS"
        + (1 << 20).to_bytes(4, "little")
        + (1).to_bytes(4, "little")
        + (CHUNK + 1).to_bytes(8, "little")
        + GOOD.raw
        + bytes(8)
        + bytes(range(64))
    )


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
def test_a_list_whose_length_does_not_fit_is_refused(size: int) -> None:
    """One hash too few, one too many, or a part of one raises BadObject."""
    right = bytes(32 * count(size))
    ChunkList(blob=GOOD, size=size, hashes=right)
    for wrong in (right + bytes(32), right + b"\0", right[:-1], right[:-32]):
        if wrong != right:
            with pytest.raises(BadObject):
                ChunkList(blob=GOOD, size=size, hashes=wrong)


def test_a_negative_size_is_refused() -> None:
    """No blob has one."""
    with pytest.raises(BadObject):
        ChunkList(blob=GOOD, size=-1, hashes=b"")


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_cut_list_is_refused(size: int) -> None:
    """Wherever the bytes are cut, and whatever is added, parsing raises BadObject."""
    whole = ChunkList(blob=GOOD, size=size, hashes=bytes(32 * count(size))).encode()
    for length in range(len(whole)):
        with pytest.raises(BadObject):
            ChunkList.parse(whole[:length])
    with pytest.raises(BadObject):
        ChunkList.parse(whole + b"\0")


def changed(data: bytes, at: int, flip: int) -> ChunkList | None:
    """What is read when the bits ``flip`` of one byte are turned; None when it is refused."""
    damaged = bytearray(data)
    damaged[at] ^= flip
    try:
        return ChunkList.parse(bytes(damaged))
    except BadObject:
        return None


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK])
def test_no_changed_header_byte_goes_unnoticed(size: int) -> None:
    """Any other value of one header byte is refused or is another value."""
    chunks = ChunkList(blob=GOOD, size=size, hashes=bytes(32 * count(size)))
    places = [at for at in range(HEADER) if at not in PADDING]
    missed = [at for at in places for flip in range(1, 256) if changed(chunks.encode(), at, flip) == chunks]
    assert missed == []


def test_no_changed_padding_byte_goes_unnoticed() -> None:
    """The zeros at the header's end are a part of the form: one value has one form."""
    chunks = ChunkList(blob=GOOD, size=1, hashes=bytes(32))
    assert [at for at in PADDING if changed(chunks.encode(), at, 0x01) is not None] == []


def test_an_index_behind_the_last_chunk_is_an_error() -> None:
    """As with any sequence; a loop over the list would never end otherwise."""
    chunks = ChunkList(blob=GOOD, size=CHUNK + 1, hashes=bytes(64))
    with pytest.raises(IndexError):
        chunks[2]


@given(st.binary(max_size=200))
@example(b"")
@example(b"MWCHUNKS")
def test_random_bytes_are_refused(data: bytes) -> None:
    """They raise BadObject and nothing else."""
    with pytest.raises(BadObject):
        ChunkList.parse(data)


@given(st.integers(0, (1 << 64) - 1))
@example((1 << 64) - 1)
@example(1 << 63)
def test_a_hostile_size_in_the_header_costs_nothing(size: int) -> None:
    """A size that does not fit the hashes that are there is refused before anything is made of it."""
    head = ChunkList(blob=digest(1), size=0, hashes=b"").encode()
    data = head[:16] + size.to_bytes(8, "little") + head[24:]
    if size:
        with pytest.raises(BadObject):
            ChunkList.parse(data)
