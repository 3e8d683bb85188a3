"""Read many rows of the journal, some at a time: what is only counted or summed up must not lie in memory whole."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from modelward.domain.history import AnyRow, JobRow
from modelward.ports import Journal

R = TypeVar("R", bound=AnyRow)
_SOME = 250
_INSTANT = timedelta(microseconds=1)


def rows_in_parts(  # noqa: PLR0913, PLR0917 - what of which kind, from when to when, of whom, and how many
    journal: Journal, kind: type[R], since: datetime, until: datetime, model: str = "", most: int = 100_000
) -> Iterator[R]:
    """What ``journal.rows`` gives, the newest first, at most ``most``; raises what it raises."""
    same = 0  # of those that were given, how many have the time at which the next part begins
    while most > 0:
        limit = min(_SOME, most) + same
        rows = journal.rows(kind, since, until, model, limit)
        fresh = rows[same:]
        yield from fresh
        if len(rows) < limit or not fresh:
            return
        most -= len(fresh)
        last = _time(fresh[-1])
        same = sum(1 for row in rows if _time(row) == last)
        until = last + _INSTANT


def _time(row: AnyRow) -> datetime:
    return row.began_at if isinstance(row, JobRow) else row.at
