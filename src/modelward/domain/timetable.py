"""When something may be done: hours of the day, as in ``22:00-06:00``."""

import re
from datetime import datetime, time, timedelta
from typing import Self

import msgspec

from modelward.domain.errors import BadSetting

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = timedelta(days=1)


class Timetable(msgspec.Struct, frozen=True):
    """From ``first`` to before ``last``, every day; over midnight when ``last`` is the earlier one."""

    first: time
    last: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HH:MM-HH:MM``; raises BadSetting."""
        found = _FORM.fullmatch(text.strip())
        if found is None or found[1] + found[2] == found[3] + found[4]:
            raise BadSetting("not two different times of day", next_step="write for example 22:00-06:00")
        return cls(time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4])))

    def __str__(self) -> str:
        return f"{self.first:%H:%M}-{self.last:%H:%M}"

    def wait(self, now: datetime) -> timedelta:
        """How long until it may be done; nothing while it may. ``now`` is the local time of day."""
        clock = now.time().replace(tzinfo=None)
        over_midnight = self.last < self.first
        inside = (clock >= self.first or clock < self.last) if over_midnight else self.first <= clock < self.last
        if inside:
            return timedelta()
        start = datetime.combine(now.date(), self.first, now.tzinfo)
        return (start if start > now else start + _DAY) - now
