"""How much to scrub now, and how fast, so that a full pass ends in time: pure arithmetic over what was read last."""

from datetime import datetime, timedelta

import msgspec

_WATCHFUL = timedelta(days=30)  # how long after damage the rate is doubled
_SPARE = 1.25  # a pass is planned to end a fifth before its time
_FLOOR = timedelta(hours=24)
_CEILING = timedelta(days=28)


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A share of a pass: so many bytes, at so many bytes a second at most (0: any)."""

    bytes: int
    rate: int


def period_of(chosen: timedelta, damaged_at: datetime | None, now: datetime) -> timedelta:
    """The time for a full pass: for 30 days after damage half of the chosen one, but not under a day for that."""
    watchful = damaged_at is not None and timedelta() <= now - damaged_at < _WATCHFUL
    if not watchful:
        return chosen
    return min(chosen, max(chosen / 2, min(chosen, _FLOOR)))


def plan_slice(total: int, since_last: timedelta, period: timedelta, rate: int) -> Slice:
    """The share of ``total`` bytes that is due ``since_last``: all of it at most.

    ``rate`` holds unless a pass could not end in time with it.
    """
    elapsed = max(timedelta(), min(since_last, period))
    share = min(1.0, _SPARE * elapsed / period)
    return Slice(bytes=int(total * share), rate=pace(total, period, rate))


def pace(total: int, period: timedelta, rate: int) -> int:
    """The rate that holds: the wished one, or what is needed to read all in half of the period."""
    if not rate:
        return 0
    needed = int(total / max(1.0, period.total_seconds() / 2))
    return max(rate, needed)


def overdue(oldest_proof: datetime | None, first_seen: datetime, period: timedelta, now: datetime) -> bool:
    """Whether the byte that waits longest was not read for one and a half periods (and a day at least)."""
    patience = max(period * 1.5, _FLOOR)
    return now - (oldest_proof or first_seen) > min(patience, _CEILING * 2)
