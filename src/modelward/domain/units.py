"""Sizes and durations as people write them, and back."""

import re
from datetime import timedelta

from modelward.domain.errors import BadSetting

_BYTES = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?\s*([kmgtp]?)(i?)b?(?:/s)?\Z", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)?\Z", re.IGNORECASE | re.ASCII)
LONGEST = timedelta(days=36_500)  # dates that lie further off are not representable on both sides of now
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_bytes(text: str) -> int:
    """A number of bytes: ``50M`` is 50,000,000, ``1.5GiB`` counts in powers of 1024; ``/s`` is allowed."""
    found = _BYTES.match(text.strip())
    if found is None:
        raise BadSetting("not a size", thing=repr(text), next_step="write for example 500k, 50M or 1.5GiB")
    whole, part, unit, binary = found.groups(default="")
    factor: int = (1024 if binary else 1000) ** _POWER[unit.lower()]
    count: int = int(whole + part) * factor // 10 ** len(part)
    return count


def format_bytes(count: float) -> str:
    """A size with up to three digits and a decimal unit, such as ``4.7 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


def parse_duration(text: str) -> timedelta:
    """A time of a hundred years at most: ``90s``, ``10m``, ``36h``, ``14d``, ``2w``; a bare number is seconds."""
    found = _DURATION.match(text.strip())
    if found is None:
        raise BadSetting("not a duration", thing=repr(text), next_step="write for example 90s, 10m, 36h or 14d")
    number, unit = found.groups()
    seconds = float(number) * _SECONDS[(unit or "s").lower()]
    if seconds > LONGEST.total_seconds():
        raise BadSetting("too long a duration", thing=repr(text), next_step="write for example 14d")
    return timedelta(seconds=seconds)


def format_duration(seconds: float) -> str:
    """Seconds in words, such as ``0.35 s``, ``2 min 5 s`` or ``1 h 3 min``."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
