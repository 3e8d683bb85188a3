"""Samples rolled up into points of an hour and of a day: counts, times and histograms that can be merged.

A point is made of its rows alone and merging is a sum, so it does not matter in which order rows come or whether
the raw ones are still there.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import ceil, log2
from typing import NamedTuple

import msgspec

from modelward.domain.history import CheckRow, ProbeRow, Row, ScrubRow, ServerRow, SpaceRow

HOUR, DAY = 3_600, 86_400
SAMPLES_KEPT, HOURS_KEPT, DAYS_KEPT = timedelta(days=14), timedelta(days=90), timedelta(days=1_826)
KEPT = timedelta(days=731)  # what is rare and tells what happened: flips, findings, actions, drills, jobs
SPAN_KEPT = {HOUR: HOURS_KEPT, DAY: DAYS_KEPT}
STEP = timedelta(days=2)  # how far old rows may grow older from one compaction to the next
HOLD = timedelta(minutes=5)  # a check tells of the time until the next one, and no longer than this
_FASTEST, _PER_OCTAVE, _BUCKETS = 0.001, 8, 176  # from 1 ms by steps of 9 % to more than an hour
_ANSWERS = frozenset({"ok", "refused", "timeout", "unreachable"})  # a busy model was not asked


class Series(StrEnum):
    """What is rolled up, and by which subject."""

    CHECKS = "checks"  # a model's full name
    PROBES = "probes"  # a model's full name
    SCRUBS = "scrubs"  # a device
    SPACE = "space"  # store, vault or state
    SERVER = "server"  # the empty text


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """All samples of one span of ``seconds_span`` seconds (an hour or a day of UTC) that begins at ``at``.

    ``errors`` of ``count`` samples were bad: not ready, not answered, not up, or the findings of scrubs. Of the
    ``known_seconds`` the model or server was good for ``good_seconds``. ``bytes`` were read in ``seconds``, or
    ``seconds`` is the sum of all answers' times, of which ``buckets`` is the histogram. ``low`` is the least free
    space, of ``total`` bytes.
    """

    at: datetime
    seconds_span: int
    count: int = 0
    errors: int = 0
    good_seconds: float = 0.0
    known_seconds: float = 0.0
    bytes: int = 0
    seconds: float = 0.0
    low: int | None = None
    total: int = 0
    buckets: dict[int, int] = msgspec.field(default_factory=dict)


class Key(NamedTuple):
    """Which point: the series, its subject, the span and the second (Unix time) that it begins at."""

    series: Series
    subject: str
    span: int
    start: int


class Seen(NamedTuple):
    """The last sample of a subject: when, and whether it was good."""

    at: datetime
    good: bool


Last = Mapping[tuple[Series, str], Seen]


def bucket(seconds: float) -> int:
    """The histogram's bucket for a response time."""
    octaves = log2(max(seconds, _FASTEST)) - log2(_FASTEST)  # no quotient, which may be too large for a number
    return min(int(octaves * _PER_OCTAVE), _BUCKETS - 1)


def middle(index: int) -> float:
    """The time in seconds that stands for a bucket: never more than a twentieth from any time in it."""
    return float(_FASTEST * 2 ** ((index + 0.5) / _PER_OCTAVE))


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """The time that ``share`` of the answers did not exceed, in seconds; None without answers."""
    left = ceil(sum(buckets.values()) * share)
    for index in sorted(buckets):
        left -= buckets[index]
        if left <= 0:
            return middle(index)
    return None


def merge(first: Point, second: Point) -> Point:
    """Both in one; place and span are the first one's."""
    lows = [low for low in (first.low, second.low) if low is not None]
    buckets = first.buckets
    if second.buckets:
        buckets = {**buckets, **{index: buckets.get(index, 0) + number for index, number in second.buckets.items()}}
    return Point(
        at=first.at,
        seconds_span=first.seconds_span,
        count=first.count + second.count,
        errors=first.errors + second.errors,
        good_seconds=first.good_seconds + second.good_seconds,
        known_seconds=first.known_seconds + second.known_seconds,
        bytes=first.bytes + second.bytes,
        seconds=first.seconds + second.seconds,
        low=min(lows, default=None),
        total=max(first.total, second.total),
        buckets=buckets,
    )


def merged(points: Iterable[Point]) -> Point | None:
    """All in one; None without any."""
    found: Point | None = None
    for point in points:
        found = point if found is None else merge(found, point)
    return found


def empty(key: Key) -> Point:
    """The point of a key before anything is known."""
    return Point(at=datetime.fromtimestamp(key.start, UTC), seconds_span=key.span)


def key_of(series: Series, subject: str, span: int, at: datetime) -> Key:
    """The key of the point that a moment belongs to."""
    return Key(series, subject, span, int(at.timestamp()) // span * span)


def tally(rows: Iterable[Row], last: Last) -> tuple[dict[Key, Point], dict[tuple[Series, str], Seen]]:
    """What the rows, in the order in which they were made, add to which points, and the last samples after them."""
    hours: dict[Key, Point] = {}
    seen = dict(last)
    for row in rows:
        for series, subject, part in _parts(row, seen):
            _add(hours, key_of(series, subject, HOUR, part.at), part)
    days: dict[Key, Point] = {}
    for key, point in hours.items():
        _add(days, key_of(key.series, key.subject, DAY, point.at), point)
    return hours | days, seen


def _add(points: dict[Key, Point], key: Key, part: Point) -> None:
    points[key] = merge(points.get(key) or empty(key), part)


Part = tuple[Series, str, Point]


def _parts(row: Row, seen: dict[tuple[Series, str], Seen]) -> Iterator[Part]:
    match row:
        case CheckRow():
            yield (Series.CHECKS, row.model, Point(at=row.at, seconds_span=0, count=1, errors=int(not row.ready)))
            yield from _time(Series.CHECKS, row.model, Seen(row.at, row.ready), seen)
        case ServerRow():
            yield (Series.SERVER, "", _answered(row.at, row.seconds, good=row.up))
            yield from _time(Series.SERVER, "", Seen(row.at, row.up), seen)
        case ProbeRow() if row.outcome in _ANSWERS:
            yield (Series.PROBES, row.model, _answered(row.at, row.seconds, good=row.outcome == "ok"))
        case ScrubRow():
            part = Point(at=row.at, seconds_span=0, count=1, errors=row.damaged, bytes=row.bytes, seconds=row.seconds)
            yield (Series.SCRUBS, row.device, part)
        case SpaceRow():
            yield (Series.SPACE, row.of, Point(at=row.at, seconds_span=0, count=1, low=row.free, total=row.total))


def _answered(at: datetime, seconds: float, *, good: bool) -> Point:
    if not good:
        return Point(at=at, seconds_span=0, count=1, errors=1)
    return Point(at=at, seconds_span=0, count=1, seconds=seconds, buckets={bucket(seconds): 1})


def _time(series: Series, subject: str, now: Seen, seen: dict[tuple[Series, str], Seen]) -> Iterator[Part]:
    """The time since the sample before, as it was then; a clock that was set back gives none."""
    before = seen.get((series, subject))
    seen[series, subject] = now
    if before is None or before.at >= now.at:
        return
    for begin, seconds in _by_hour(before.at, min(now.at, before.at + HOLD)):
        good = seconds if before.good else 0.0
        yield (series, subject, Point(at=begin, seconds_span=0, known_seconds=seconds, good_seconds=good))


def _by_hour(begin: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    while begin < end:
        border = datetime.fromtimestamp((int(begin.timestamp()) // HOUR + 1) * HOUR, UTC)
        stop = min(border, end)
        yield begin, (stop - begin).total_seconds()
        begin = stop


def horizon(now: datetime, before: datetime | None) -> datetime:
    """The time that a compaction counts ages from: now, but at most two days after the one before."""
    return now if before is None else min(now, before + STEP)


def together(points: Iterable[Point]) -> tuple[Point, ...]:
    """Points in the order of time, with those of one time in one."""
    found: dict[datetime, Point] = {}
    for point in points:
        found[point.at] = merge(found[point.at], point) if point.at in found else point
    return tuple(found[at] for at in sorted(found))
