"""What is foretold, on the page of alerts: with what to do and what it is worth, or that nothing is."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from modelward.api.runtime import Kept
from modelward.client import Client
from modelward.domain.forecast import Confidence, Forecast, ForecastKind, ForecastReport
from modelward.domain.history import SpaceRow
from modelward.forecast.record import BASE_RATES, not_enough
from modelward.services.backup import backup
from modelward.testing import FrozenClock
from modelward.web import foretold
from tests.web.ground import Paged, html

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GB = 10**9
FULL = Forecast(
    subject="disk of vault",
    kind=ForecastKind.DISK,
    what="9 GB free; grows 3 GB a day, full in 3 days; 8 of 10 times between 2 days and never",
    confidence=Confidence.LIKELY,
    base_rate=BASE_RATES[ForecastKind.DISK],
    samples=720,
    enough=True,
    action="modelward space --reclaim",
    alarm=True,
    when=NOW + timedelta(days=3),
    low=NOW + timedelta(days=2),
    hit_rate=0.99,
)
QUIET = msgspec.structs.replace(FULL, alarm=False)
YOUNG = not_enough(ForecastKind.ROT, "/dev/sda", 3, "modelward verify")


def ahead(*forecasts: Forecast) -> foretold.Ahead:
    """The view of these."""
    return foretold.view(ForecastReport(at=NOW, forecasts=forecasts))


def test_an_alarm_says_what_to_do_and_what_it_is_worth() -> None:
    """Date with its band, the action, how often such alarms were right, the base rate and its source, the samples."""
    (one,) = ahead(FULL, QUIET, YOUNG).alarms
    assert (one.kind, one.subject, one.sure) == ("disk full", "disk of vault", "likely")
    assert one.what == "9 GB free; grows 3 GB a day, full in 3 days"
    assert one.band == "8 of 10 times between 2026-01-07 and never"
    assert one.action == "modelward space --reclaim"
    assert "99% of such alarms were right" in one.worth
    assert BASE_RATES[ForecastKind.DISK].text in one.worth
    assert one.worth.endswith("from 720 samples")


@pytest.mark.parametrize(
    ("forecasts", "says"),
    [
        ((), "There is no history yet"),
        ((QUIET,), "Nothing is foretold that needs you. 1 forecast without an alarm."),
        ((YOUNG, YOUNG), "Nothing is foretold that needs you. 2 forecasts with not enough data yet"),
        ((QUIET, YOUNG), "1 forecast without an alarm, 1 forecast with not enough data yet"),
        ((FULL, YOUNG), "1 forecast with not enough data yet (30 samples are needed)."),
    ],
)
def test_what_is_quiet_is_counted(forecasts: tuple[Forecast, ...], says: str) -> None:
    """Nothing, too little, and nothing to fear are three things."""
    assert says in ahead(*forecasts).rest


def test_the_page_shows_it(anyone: Client, stage: Paged) -> None:
    """A disk that fills is foretold with its action; without a history the page says when forecasts begin."""
    assert "There is no history yet" in html(anyone, "/alerts")
    now, hour = stage.clock.now(), timedelta(hours=1)
    stage.journal.add(
        [
            SpaceRow(at=now - ago * hour, of="vault", device="8:1", total=1000 * GB, free=20 * GB + ago * GB // 4)
            for ago in range(480, -1, -1)
        ]
    )
    assert "There is no history yet" in html(anyone, "/alerts"), "made anew at every look"
    stage.clock.advance(minutes=11)
    page = html(anyone, "/alerts")
    assert "disk full" in page
    assert "<code>modelward space --reclaim</code>" in page
    backup(stage.place.site(make_vault=True), ())
    assert "20 GB free; grows 6 GB a day" in html(anyone, "/vault")


def test_an_answer_is_kept_for_its_time_and_an_error_never() -> None:
    """What costs much is made once in a while, and what failed is tried again."""
    clock = FrozenClock(NOW)
    kept, made = Kept(clock), list[int]()

    def make() -> int:
        if not made:
            made.append(0)
            raise ZeroDivisionError
        made.append(len(made))
        return made[-1]

    with pytest.raises(ZeroDivisionError):
        kept.get("it", 60, make)
    assert [kept.get("it", 60, make), kept.get("it", 60, make), kept.get("other", 60, make)] == [1, 1, 2]
    clock.advance(seconds=61)
    assert kept.get("it", 60, make) == 3
