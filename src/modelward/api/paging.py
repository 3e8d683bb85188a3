"""Lists in parts: a limit, and a cursor that says behind which item the next part begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Protocol, TypeVar

import msgspec

from modelward.api.problem import Unfit
from modelward.domain.answer import Page

Item = TypeVar("Item")
MOST, USUAL = 500, 100
_DIGITS = 18
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST, description="how many items at most")]
Cursor = Annotated[str, msgspec.Meta(max_length=400, description="the field `next` of the part before")]
Text = Annotated[str, msgspec.Meta(max_length=400)]


class Paged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that every list takes."""

    limit: Limit = USUAL
    cursor: Cursor = ""


def page(items: Sequence[Item], key: Callable[[Item], str], query: Paged) -> Page[Item]:
    """The part that the query asks for; raises Unfit for a cursor whose item is gone."""
    start = 0
    if query.cursor:
        wanted = _read(query.cursor)
        start = next((number + 1 for number, item in enumerate(items) if key(item) == wanted), -1)
        if start < 0:
            raise _lost()
    found = tuple(items[start : start + query.limit])
    more = start + query.limit < len(items)
    return Page(items=found, next=_write(key(found[-1])) if more and found else "")


def page_of_numbered(
    fetch: Callable[[int, int], Sequence[Item]], number: Callable[[Item], int], query: Paged
) -> Page[Item]:
    """Items that are counted from 1, the newest first.

    ``fetch`` gives the last ones before a number (0: of all), as many as it is asked for, the oldest first.
    """
    items = fetch(_number(query.cursor), query.limit + 1)
    found = tuple(items[::-1][: query.limit])
    return Page(items=found, next=_write(str(number(found[-1]))) if len(items) > query.limit else "")


def _number(cursor: str) -> int:
    text = _read(cursor) if cursor else "0"
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        raise _lost()
    return int(text)


class Dated(Protocol):
    """A row with a time."""

    @property
    def at(self) -> datetime:
        """When."""


Row = TypeVar("Row", bound=Dated)


def page_of_rows(
    fetch: Callable[[datetime | None, int], Sequence[Row]], query: Paged, key: Callable[[Row], datetime] | None = None
) -> Page[Row]:
    """Rows, the newest first; ``fetch`` gives those before a moment, as many as it is asked for.

    Several rows may have one time, so the cursor also counts those that were given of its time.
    """
    when = key or _at
    until, skip = _moment(query.cursor)
    rows = fetch(until + timedelta(microseconds=1) if until is not None else None, query.limit + skip + 1)
    seen = min(skip, sum(1 for row in rows if when(row) == until))
    found, rest = tuple(rows[seen : seen + query.limit]), rows[seen + query.limit :]
    if not rest or not found:
        return Page(items=found)
    last = when(found[-1])
    given = sum(1 for row in found if when(row) == last) + (skip if last == until else 0)
    return Page(items=found, next=_write(f"{last.isoformat()} {given}"))


def _at(row: Dated) -> datetime:
    return row.at


def _moment(cursor: str) -> tuple[datetime | None, int]:
    if not cursor:
        return None, 0
    text, _, number = _read(cursor).partition(" ")
    try:
        moment, skip = datetime.fromisoformat(text), int(number)
        if moment.tzinfo is None or not 0 <= skip <= 100_000:
            raise _lost()
        moment + timedelta(days=1)  # a moment at the end of all days would overflow below
    except (ValueError, OverflowError) as error:
        raise _lost() from error
    return moment, skip


def _write(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> str:
    try:
        return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, UnicodeError) as error:
        raise _lost() from error


def _lost() -> Unfit:
    return Unfit("this cursor leads nowhere, or no more", thing="cursor", next_step="begin again without one")
