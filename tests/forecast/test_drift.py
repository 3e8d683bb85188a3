"""A model that gets slow or fails is noticed: ratio and burn rates, with rhythm and cold starts left alone."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.forecast import Confidence, Forecast
from modelward.forecast.drift import burn_rate, error_drift, latency_drift, latency_ratio, medians
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.smooth import Point

START = 1_700_006_400.0


def answers(days: float, factor: float = 1.0, since: float = math.inf, *, seed: int = 1) -> list[Point]:
    """A probe every 20 minutes of about a second, times ``factor`` from day ``since`` on; one in 50 is a cold start."""
    rng = random.Random(seed)
    points: list[Point] = []
    for number in range(int(days * 72)):
        day = number / 72
        rhythm = 1 + 0.15 * math.sin(2 * math.pi * day)
        cold = 5 if rng.random() < 0.02 else 1
        points.append((START + day * DAY, rhythm * cold * rng.lognormvariate(0, 0.2) * (factor if day >= since else 1)))
    return points


def told(points: list[Point], limit: float = math.inf) -> Forecast:
    """The forecast at the last answer."""
    now = points[-1][0]
    return latency_drift(
        "llama3", medians(points), [point for point in points if point[0] > now - 3 * DAY], now, limit=limit
    )


def test_rhythm_and_cold_starts_are_no_drift() -> None:
    """Over a dozen quiet months nothing is foretold."""
    assert [told(answers(28, seed=seed)).alarm for seed in range(12)] == [False] * 12


def test_twice_as_slow_is_noticed_within_a_day() -> None:
    """A step to twice the time is an alarm the next day, with the numbers in the sentence."""
    found = told(answers(26, 2.0, since=25))
    assert found.alarm
    assert "usually in" in found.what
    assert found.action == "modelward verify llama3"


def test_a_slow_rise_has_the_date_at_which_probes_time_out() -> None:
    """Doubling every five days, from a second to a limit of 16, ends about 20 days after it began."""
    points = [(at, value * 2 ** (max(0.0, (at - START) / DAY - 14) / 5)) for at, value in answers(26)]
    found = told(points, limit=16.0)
    truth = datetime.fromtimestamp(START, UTC) + timedelta(days=34)
    assert found.alarm
    assert found.when is not None
    assert abs(found.when - truth) < timedelta(days=3)
    assert told(points).when is None


def test_a_tenth_slower_is_no_alarm() -> None:
    """What a new version of a server brings is not worth a word."""
    assert not told(answers(28, 1.12, since=14)).alarm


def test_too_few_answers_say_so() -> None:
    """29 hours are not enough; 30 are."""
    assert not told(answers(29 / 24)).enough
    assert told(answers(30 / 24)).enough
    assert error_drift("llama3", [(START, True)] * 29, START).confidence is Confidence.NOT_ENOUGH


def probes(share: float, hours: float, *, seed: int = 1) -> list[tuple[float, bool]]:
    """A probe every ten minutes for four days, of which 3 in 1,000 fail, and ``share`` in the last hours."""
    rng, end = random.Random(seed), START + 4 * DAY
    return [
        (at, rng.random() < (share if at > end - hours * HOUR else 0.003))
        for at in (START + number * 600 for number in range(577))
    ]


def test_failures_burn_the_budget_in_both_windows() -> None:
    """Half of the probes failing for three hours is an alarm; three in a thousand for days is none."""
    now = START + 4 * DAY
    assert error_drift("llama3", probes(0.5, 3), now).alarm
    assert [error_drift("llama3", probes(0.003, 0, seed=seed), now).alarm for seed in range(20)] == [False] * 20


def test_an_outage_that_is_over_is_no_alarm() -> None:
    """The short window ends an alarm as soon as the model answers again."""
    now = START + 4 * DAY
    past = [(at, now - 12 * HOUR < at < now - 7 * HOUR) for at, _ in probes(0, 0)]
    assert not error_drift("llama3", past, now).alarm


def test_two_bad_answers_are_too_few() -> None:
    """However large their share is, less than three bad answers burn nothing."""
    assert not burn_rate([(START, True), (START, True)], START, 0.01).alarm
    assert burn_rate([(START, True)] * 3, START, 0.01).alarm
    assert burn_rate([], START, 0.01).window == 0.0


@settings(max_examples=25)
@given(st.integers(-8, 8), st.floats(1, 4))
def test_the_unit_does_not_matter(power: int, factor: float) -> None:
    """Times in milliseconds or in minutes give the same ratio and the same alarm."""
    points = answers(20, factor, since=18)
    scaled = [(at, value * 2.0**power) for at, value in points]
    plain, other = latency_ratio(medians(points)), latency_ratio(medians(scaled))
    assert other.times == pytest.approx(plain.times, rel=1e-6)
    assert told(scaled).alarm == told(points).alarm


@given(st.integers(2, 40))
def test_slower_is_never_less_of_an_alarm(factor: int) -> None:
    """Where a drift is an alarm, a larger one is one too."""
    if told(answers(20, factor / 10, since=19)).alarm:
        assert told(answers(20, factor / 10 + 0.5, since=19)).alarm
