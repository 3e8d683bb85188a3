"""Hours of the day in which something may be done."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.errors import BadSetting
from modelward.domain.timetable import Timetable

MINUTES = st.builds(time, st.integers(0, 23), st.integers(0, 59))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(first=MINUTES, last=MINUTES)
def test_what_is_written_reads_back(first: time, last: time) -> None:
    """The text form and the value are one, but for an empty span, which is refused."""
    if first == last:
        with pytest.raises(BadSetting):
            Timetable.parse(str(Timetable(first, last)))
    else:
        assert Timetable.parse(str(Timetable(first, last))) == Timetable(first, last)


@given(first=MINUTES, last=MINUTES, now=MOMENTS)
def test_after_the_wait_it_may_be_done(first: time, last: time, now: datetime) -> None:
    """And never longer than a day, with nothing to wait for inside the hours."""
    table = Timetable(first, last)
    wait = table.wait(now)
    assert timedelta() <= wait <= timedelta(days=1)
    if first != last:
        assert table.wait(now + wait) == timedelta()


@pytest.mark.parametrize(
    ("now", "hours"), [("21:59", 1 / 60), ("22:00", 0), ("03:00", 0), ("05:59", 0), ("06:00", 16), ("12:00", 10)]
)
def test_over_midnight(now: str, hours: float) -> None:
    """Hours that begin in the evening end in the morning."""
    moment = datetime.combine(datetime(2026, 1, 5, tzinfo=UTC).date(), time.fromisoformat(now), UTC)
    assert Timetable.parse("22:00-06:00").wait(moment) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "22:00", "22:00-24:00", "7:00-8:00", "22:00-22:00", "22:00 - 06:00", "25-26"])
def test_other_texts_are_refused(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(BadSetting, match="22:00-06:00"):
        Timetable.parse(text)
