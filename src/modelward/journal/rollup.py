"""Rolled-up points in SQLite: what rows add to them, and how they are read back."""

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from modelward.domain.series import Key, Point, Series, merge
from modelward.journal.names import Names

_FIELDS = ("count", "errors", "good_seconds", "known_seconds", "bytes", "seconds", "low", "total")
_COLUMNS = f"{', '.join(_FIELDS)}, buckets"
_FIND = f"SELECT {_COLUMNS} FROM points WHERE series = ? AND span = ? AND subject = ? AND start = ?"  # noqa: S608
_PUT = f"INSERT OR REPLACE INTO points (series, span, subject, start, {_COLUMNS}) VALUES ({', '.join('?' * 13)})"  # noqa: S608
_TOTALS = (
    "SELECT text, min(start), sum(count), sum(errors), sum(good_seconds), sum(known_seconds), sum(bytes), sum(seconds),"
    " min(low), max(total) FROM points JOIN names ON names.id = subject"
    " WHERE series = ? AND span = ? AND start >= ? AND start < ? GROUP BY subject"
)
_BUCKETS = msgspec.msgpack.Decoder(dict[int, int])


def add_points(connection: sqlite3.Connection, names: Names, points: Iterable[tuple[Key, Point]]) -> None:
    """Merge each point into what is kept under its key."""
    for key, point in points:
        place = (key.series.value, key.span, names.number(key.subject), key.start)
        found = connection.execute(_FIND, place).fetchone()
        whole = merge(_point(key, found), point) if found else point
        values = [getattr(whole, field) for field in _FIELDS]
        connection.execute(_PUT, (*place, *values, msgspec.msgpack.encode(whole.buckets)))


def read_points(
    connection: sqlite3.Connection, names: Names, key: Key, until: datetime | None, *, whole: bool
) -> Iterator[Point]:
    """Points from the key's start on, the oldest first; ``whole`` takes all subjects, each with its own points."""
    where = "series = ? AND span = ? AND start >= ?"
    values: list[str | float] = [key.series.value, key.span, key.start]
    if not whole:
        where, values = f"{where} AND subject = ?", [*values, names.known(key.subject)]
    if until is not None:
        where, values = f"{where} AND start < ?", [*values, until.timestamp()]
    query = f"SELECT start, {_COLUMNS} FROM points WHERE {where} ORDER BY start"  # noqa: S608 - our own words
    for start, *found in connection.execute(query, values):
        yield _point(key._replace(start=start), found)


def read_totals(
    connection: sqlite3.Connection, series: Series, since: datetime, until: datetime | None, span: int
) -> dict[str, Point]:
    """The points that begin in a time, summed up by SQLite."""
    end = until.timestamp() if until is not None else float("inf")
    values = (series.value, span, since.timestamp(), end)
    found = {}
    for subject, start, *sums in connection.execute(_TOTALS, values):
        fields = dict(zip(_FIELDS, sums, strict=True))
        found[subject] = Point(at=datetime.fromtimestamp(start, UTC), seconds_span=span, **fields)
    return found


def read_subjects(connection: sqlite3.Connection, series: Series) -> tuple[str, ...]:
    """The subjects of a series."""
    query = "SELECT DISTINCT text FROM points JOIN names ON names.id = subject WHERE series = ? ORDER BY text"
    return tuple(text for (text,) in connection.execute(query, (series.value,)))


def _point(key: Key, found: Iterable[Any]) -> Point:
    *values, buckets = found
    fields = dict(zip(_FIELDS, values, strict=True))
    at = datetime.fromtimestamp(key.start, UTC)
    return Point(at=at, seconds_span=key.span, buckets=_BUCKETS.decode(buckets), **fields)
