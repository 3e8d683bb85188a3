"""A device that slows down is noticed; busy servers, small slices and small losses are not."""

import random

import pytest

from modelward.domain.forecast import Forecast, ScrubSeen
from modelward.forecast.failslow import fail_slow, residuals
from modelward.forecast.record import DAY

START = 1_700_000_000.0
MB = 10**6


def scrubs(days: int, loss: float = 0.0, since: int = 0, *, seed: int = 1, unit: float = 1.0) -> list[ScrubSeen]:
    """A scrub a day at about 500 MB/s, less ``loss`` from a day on; one in 20 meets a busy server."""
    rng = random.Random(seed)
    found: list[ScrubSeen] = []
    for day in range(days):
        busy = 0.5 if rng.random() < 0.05 else 1.0
        speed = 500 * MB * rng.lognormvariate(0, 0.08) * busy * (1 - loss if day >= since else 1)
        size = rng.randrange(20, 80) * 1000 * MB
        found.append(ScrubSeen(at=START + day * DAY, bytes=size, seconds=unit * (2 + size / speed)))
    return found


def told(seen: list[ScrubSeen]) -> Forecast:
    """The forecast after the last scrub."""
    return fail_slow("/dev/sda", seen, seen[-1].at if seen else START)


def test_a_steady_device_is_left_alone() -> None:
    """Over 20 devices and 100 days there is no alarm."""
    assert [told(scrubs(100, seed=seed)).alarm for seed in range(20)] == [False] * 20


@pytest.mark.parametrize("loss", [0.3, 0.5, 0.8])
def test_a_loss_is_noticed_within_ten_days(loss: float) -> None:
    """A third of the speed gone is an alarm ten days later, and the sentence says what is left."""
    found = told(scrubs(90, loss, since=80))
    assert found.alarm
    assert "of its usual speed" in found.what
    assert found.action == "modelward backup"


def test_one_slow_day_is_no_alarm() -> None:
    """A scrub at a tenth of the speed, once, changes nothing."""
    assert not told(scrubs(90, 0.9, since=89)).alarm


def test_a_loss_of_a_twentieth_is_not_worth_a_word() -> None:
    """However sure it is, a small loss is no alarm."""
    assert not told(scrubs(120, 0.05, since=60)).alarm


def test_small_readings_are_slow_by_nature() -> None:
    """Where short readings are slower, their size explains it: what is left is the same for large and small."""
    sizes = [1000 * MB, 50_000 * MB] * 30
    seen = [ScrubSeen(at=START + n, bytes=size, seconds=5 + size / (500 * MB)) for n, size in enumerate(sizes)]
    left = residuals(seen)
    assert abs(left[0] - left[1]) < 0.2 * abs(_log_speed(seen[0]) - _log_speed(seen[1]))


def _log_speed(scrub: ScrubSeen) -> float:
    import math

    return math.log(scrub.bytes / scrub.seconds)


def test_the_unit_does_not_matter() -> None:
    """Seconds counted in another unit give the same verdict."""
    for loss in (0.0, 0.5):
        assert told(scrubs(90, loss, since=80, unit=60)).alarm == told(scrubs(90, loss, since=80)).alarm


def test_too_few_scrubs_say_so() -> None:
    """Below 30 there is no verdict, nor from scrubs that read nothing."""
    assert not told(scrubs(29, 0.9, since=10)).enough
    empty = [ScrubSeen(at=START, bytes=0, seconds=0.0)] * 50
    assert (told(empty).enough, told([]).samples) == (False, 0)
