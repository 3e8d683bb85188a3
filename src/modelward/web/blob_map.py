"""The picture of a blob's chunks: runs become cells, a cell its worst state, a row of equal cells one rectangle."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from modelward.domain.answer import BlobMap, ChunkMap
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.chunks import count as chunks_in
from modelward.web.words import count, number, size

COLUMNS: Final = 64
ROWS: Final = 18
CELL: Final = 10
_DAY = 86_400
_AGES: Final = ((1, "day"), (7, "week"), (30, "month"))
_RANK: Final = ("day", "week", "month", "old", "unread", "lost", "bad")
LEGEND: Final = (
    ("day", "proved within a day"),
    ("week", "within 7 days"),
    ("month", "within 30 days"),
    ("old", "longer ago"),
    ("unread", "not proved yet"),
    ("bad", "damaged"),
    ("lost", "not there"),
)


class Rect(NamedTuple):
    """Equal cells side by side; lengths in units of the picture, ``title`` in words."""

    x: int
    y: int
    width: int
    tone: str
    title: str


class Harm(NamedTuple):
    """A damaged span in words; ``what`` is damaged or not there."""

    what: str
    where: str
    chunks: str
    length: str


class Picture(NamedTuple):
    """One blob: ``label`` tells it in words, ``per_cell`` how many chunks a cell stands for."""

    kind: str
    digest: str
    size: str
    chunks: str
    width: int
    height: int
    rects: tuple[Rect, ...]
    per_cell: str
    label: str
    harms: tuple[Harm, ...]
    more: int


def pictures(chunk_map: ChunkMap, now: datetime) -> tuple[Picture, ...]:
    """The pictures of a model's blobs, in the order of its manifest."""
    return tuple(picture(blob, now) for blob in chunk_map.blobs)


def picture(blob: BlobMap, now: datetime) -> Picture:
    """One blob, in at most COLUMNS times ROWS cells."""
    total = chunks_in(blob.size)
    each = max(1, -(-total // (COLUMNS * ROWS)))
    tones = cells(blob, each, now)
    columns = min(COLUMNS, max(1, len(tones)))
    harms = tuple(_harm(span) for span in blob.bad) or _gone(blob, total)
    return Picture(
        kind=kind_of(blob.media_type),
        digest=blob.blob.short,
        size=size(blob.size),
        chunks=count(total, "chunk"),
        width=columns * CELL,
        height=max(1, -(-len(tones) // columns)) * CELL,
        rects=tuple(_rects(tones, columns, each, total)),
        per_cell=f"one cell is {count(each, 'chunk')} ({each * CHUNK >> 20} MiB)",
        label=_label(blob, tones),
        harms=harms[:8],
        more=max(0, len(harms) - 8),
    )


def cells(blob: BlobMap, each: int, now: datetime) -> list[str]:
    """The tone of each cell of ``each`` chunks: that of its worst chunk, the oldest proof counting as worse."""
    worst: list[int] = []
    at = 0
    for run in blob.runs:
        rank = _RANK.index(_tone(run.state, run.verified_at, now))
        for index in range(at // each, -(-(at + run.count) // each)):
            if index < len(worst):
                worst[index] = max(worst[index], rank)
            else:
                worst.append(rank)
        at += run.count
    return [_RANK[rank] for rank in worst]


def _tone(state: str, verified_at: int | None, now: datetime) -> str:
    if state != "good":
        return state
    if verified_at is None:
        return "day"  # read by the pass that is running now
    age = now.timestamp() - verified_at
    return next((tone for days, tone in _AGES if age < days * _DAY), "old")


def _rects(tones: Sequence[str], columns: int, each: int, total: int) -> Iterator[Rect]:
    words = dict(LEGEND)
    for first, last in _equal(tones, columns):
        begin, end = first * each, min(total, last * each) - 1
        where = f"chunk {number(begin)}" if begin == end else f"chunks {number(begin)} to {number(end)}"
        yield Rect(
            x=first % columns * CELL,
            y=first // columns * CELL,
            width=(last - first) * CELL,
            tone=tones[first],
            title=f"{where}: {words[tones[first]]}",
        )


def _equal(tones: Sequence[str], columns: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) of equal neighbours that stand in one row."""
    first = 0
    for index in range(1, len(tones) + 1):
        if index == len(tones) or index % columns == 0 or tones[index] != tones[first]:
            yield first, index
            first = index


def _harm(span: Span) -> Harm:
    first, last = span.offset // CHUNK, (span.end - 1) // CHUNK
    return Harm(
        what="damaged",
        where=f"bytes {number(span.offset)} to {number(span.end - 1)}",
        chunks=f"chunk {number(first)}" if first == last else f"chunks {number(first)} to {number(last)}",
        length=size(span.length),
    )


def _gone(blob: BlobMap, total: int) -> tuple[Harm, ...]:
    """A blob without a file has no span of its own."""
    if not any(run.state == "lost" for run in blob.runs):
        return ()
    return (Harm(what="not there", where="the whole blob", chunks=count(total, "chunk"), length=size(blob.size)),)


def _label(blob: BlobMap, tones: Iterable[str]) -> str:
    """The picture for those who do not see it."""
    found = {state: sum(run.count for run in blob.runs if run.state == state) for state in ("bad", "lost", "unread")}
    words = {"bad": "damaged", "lost": "not there", "unread": "not proved yet"}
    parts = [f"{number(value)} {words[state]}" for state, value in found.items() if value]
    total = sum(run.count for run in blob.runs)
    rest = "all proved" if not parts and any(tones) else ", ".join(parts) or "empty"
    return f"{count(total, 'chunk')}: {rest}"


def kind_of(media_type: str) -> str:
    """The last word of a media type: ``application/vnd.ollama.image.model`` is ``model``."""
    if "container.image" in media_type:
        return "config"
    return media_type.rpartition(".")[2].partition("+")[0] or "blob"
