"""What wrong bytes look like: zeros, single bits, whole sectors, or something else that they are.

Disks and file systems lose whole sectors (512 bytes) and blocks (4,096 bytes); memory and buses lose single bits.
"""

import re
from collections.abc import Iterator
from itertools import islice

from modelward.domain.chunks import Span
from modelward.domain.evidence import Pattern, Place

SECTOR = 512
BLOCK = 4096
# By chance a byte beside a damaged range equals what it was damaged to, so borders are looked for this near.
_SLACK = 4
_NEAR = 16  # bytes; differences that lie closer are one
_WRONG = re.compile(rb"[^\0]+")
_ZEROS = re.compile(rb"\0{%d,}" % SECTOR)
_MOST_PLACES = 1024

_POINTER = (re.compile(rb"version https://git-lfs\.github\.com/spec/"), "a git-lfs pointer")
_HEADS = (
    _POINTER,
    (re.compile(rb"\s*<(!doctype html|html|head|body)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*<\?xml|\s*<Error>"), "an XML document"),
    (re.compile(rb'\s*\{\s*"(errors?|message|code|status)"'), "an error message in JSON"),
    (re.compile(rb"\x1f\x8b"), "a gzip file"),
    (re.compile(rb"PK\x03\x04"), "a zip archive (PyTorch weights are such)"),
    (re.compile(rb"\x28\xb5\x2f\xfd"), "a zstd file"),
)


def other_content(head: bytes, *, weights: bool) -> str:
    """What a file that begins with ``head`` is, where it is nothing that the blob can be; else empty.

    Texts may begin as they like, but for a git-lfs pointer; ``weights`` may not.
    """
    heads = _HEADS if weights else (_POINTER,)
    return next((name for form, name in heads if form.match(head)), "")


def compare(bad: bytes, good: bytes, offset: int, size: int) -> tuple[Place, ...]:
    """Where a chunk of a blob of ``size`` bytes, read at ``offset``, differs from its good bytes, and how.

    Bytes that ``bad`` lacks at its end are not counted. At most 1,024 places are told.
    """
    good = good[: len(bad)]
    if bad == good:
        return ()
    mask = (int.from_bytes(bad) ^ int.from_bytes(good)).to_bytes(len(bad))
    ends = offset + len(bad) == size
    return tuple(_place(bad, mask, run, offset, ends=ends) for run in islice(_runs(mask), _MOST_PLACES))


def alone(bad: bytes, offset: int, size: int) -> tuple[Place, ...]:
    """The runs of zeros of at least one sector in a chunk that has nothing to be compared with."""
    ends = offset + len(bad) == size
    return tuple(
        Place(
            pattern=Pattern.ZEROS if _framed(*run.span(), len(bad), ends=ends) else Pattern.LOOSE_ZEROS,
            span=Span(offset + run.start(), run.end() - run.start()),
        )
        for run in islice(_ZEROS.finditer(bad), _MOST_PLACES)
    )


def _runs(mask: bytes) -> Iterator[tuple[int, int]]:
    """Where wrong bytes begin and end. Not by one pattern: possessive ones are broken before Python 3.11.5."""
    start = end = -_NEAR
    for wrong in _WRONG.finditer(mask):
        if wrong.start() - end >= _NEAR:
            if end > start:
                yield start, end
            start = wrong.start()
        end = wrong.end()
    if end > start:
        yield start, end


def _place(bad: bytes, mask: bytes, run: tuple[int, int], offset: int, *, ends: bool) -> Place:
    start, end = run
    piece = mask[start:end]
    wrong, bits = len(piece) - piece.count(0), int.from_bytes(piece).bit_count()
    span = Span(offset + start, end - start)
    if bits == wrong or (wrong == 1 and bits == 2):
        return Place(pattern=Pattern.BITS, span=span, wrong=wrong, bits=bits)
    if not bad[start:end].strip(b"\0"):
        pattern = Pattern.ZEROS if _covers(bad, start, end, ends=ends) else Pattern.LOOSE_ZEROS
    else:
        whole = 2 * wrong > span.length >= SECTOR - 2 * _SLACK
        pattern = Pattern.SECTORS if whole and _framed(start, end, len(bad), ends=ends) else Pattern.OTHER
    return Place(pattern=pattern, span=span, wrong=wrong, bits=bits)


def _covers(bad: bytes, start: int, end: int, *, ends: bool) -> bool:
    """Whether the zeros around a run of them can have begun and ended on sector borders: good zeros hide some."""
    first = len(bad[:start].rstrip(b"\0"))
    last = len(bad) - len(bad[end:].lstrip(b"\0"))
    return _up(first) <= start and (_down(last) >= end or (ends and last == len(bad)))


def _framed(start: int, end: int, length: int, *, ends: bool) -> bool:
    """Whether a run begins and ends on sector borders, give or take what chance hides or adds."""
    lead = min(start % SECTOR, -start % SECTOR)
    tail = min(end % SECTOR, -end % SECTOR)
    return lead <= _SLACK and (tail <= _SLACK or (ends and length - end <= _SLACK))


def unit(places: tuple[Place, ...]) -> int:
    """The greatest of 512 and 4,096 that all these places keep to; other borders are taken for sectors."""
    borders = [border for place in places for border in (place.span.offset, place.span.end)]
    near = all(min(border % BLOCK, -border % BLOCK) <= _SLACK for border in borders[:-1])
    return BLOCK if near else SECTOR


def _up(number: int) -> int:
    return -(-number // SECTOR) * SECTOR


def _down(number: int) -> int:
    return number // SECTOR * SECTOR
