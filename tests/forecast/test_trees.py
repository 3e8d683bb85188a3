"""What half-space trees are shown, when their scores alarm, and when they win: all of it without trees."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.forecast import ForecastKind, Score, ScrubSeen
from modelward.forecast.backtest.trees import COURSES, trees_backtest
from modelward.forecast.record import DAY, HOUR
from modelward.forecast.trees import (
    HABITS,
    Features,
    Habit,
    Seen,
    errors_seen,
    fail_slow_seen,
    hourly_shares,
    latency_seen,
    trees_alarm,
    wins,
)

HABIT = Habit(window=10, many=3, bound=0.8)
SCORE = Score(
    kind=ForecastKind.LATENCY, months=6, events=20, alarms=20, precision=0.9, recall=0.9, lead=-5, false_a_month=0.1
)
numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=1e-9, max_value=1e12)


@given(st.lists(numbers, max_size=60))
def test_features_lie_between_0_and_1(values: list[float]) -> None:
    """Whatever was measured: the trees know no other range."""
    hours = [(number * HOUR, value) for number, value in enumerate(values)]
    scrubs = [ScrubSeen(at=at, bytes=int(value) + 1, seconds=value) for at, value in hours]
    shares = [(at, value / 1e12) for at, value in hours]
    for seen in (latency_seen(hours), errors_seen(shares), fail_slow_seen(scrubs)):
        assert len(seen.moments) == len(seen.features) == len(values)
        assert all(0 <= part <= 1 for feature in seen.features for part in feature)


def test_worse_lies_above_a_half() -> None:
    """Slower answers, more failures, slower devices: all of them lie above it, and better ones below."""
    hours = [*((number * HOUR, 1.0) for number in range(100)), *((number * HOUR, 3.0) for number in range(100, 140))]
    slow = latency_seen(hours)
    assert slow.features[50] == (0.5, 0.5)
    assert min(slow.features[120]) > 0.6
    assert max(latency_seen([(at, 4 - value) for at, value in hours]).features[120]) < 0.4
    failing = errors_seen([(at, (value - 1) / 2) for at, value in hours])
    assert min(failing.features[120]) > 0.6
    device = [ScrubSeen(at=at / HOUR * DAY, bytes=10**9, seconds=value) for at, value in hours]
    assert min(fail_slow_seen(device).features[110]) > 0.6


def test_an_hour_is_known_at_its_end() -> None:
    """What is not over tells nothing yet."""
    probes = [(0.0, False), (1200.0, True), (2400.0, True), (3600.0, False)]
    assert hourly_shares(probes) == [(3600.0, 2 / 3), (7200.0, 0.0)]


def seen(worse: float, count: int = 10) -> Seen:
    """A series that is so much worse than usual."""
    return Seen(moments=tuple(map(float, range(count))), features=((worse, worse),) * count)


def test_an_alarm_is_odd_and_worse() -> None:
    """The last scores together, in the direction that does harm; too few of them are none."""
    odd = [0.1] * 7 + [0.9, 0.7, 0.9]
    assert trees_alarm(HABIT, seen(0.7), odd, 10)
    assert not trees_alarm(HABIT, seen(0.3), odd, 10)
    assert not trees_alarm(HABIT, seen(0.7), odd, 9)
    assert not trees_alarm(HABIT, seen(0.7), [1.0] * 10, 2)


@pytest.mark.parametrize(
    ("better", "won"),
    [
        ({}, False),
        ({"precision": 0.95}, True),
        ({"recall": 0.95}, True),
        ({"lead": -4.0}, True),
        ({"precision": 0.95, "recall": 0.89}, False),
        ({"recall": 1.0, "lead": -6.0}, False),
        ({"precision": None}, False),
        ({"false_a_month": 0.0}, False),
    ],
)
def test_to_win_is_to_be_better_and_nowhere_worse(better: dict[str, float | None], *, won: bool) -> None:
    """In precision, recall and lead."""
    fields = {name: getattr(SCORE, name) for name in SCORE.__struct_fields__}
    assert wins(SCORE, Score(**(fields | better))) is won


def test_the_back_test_asks_for_every_series_once() -> None:
    """Each kind with its own window; what finds all odd is right where things got worse, and wrong elsewhere."""
    asked: list[tuple[int, int]] = []

    def all_odd(series: Sequence[Sequence[Features]], window: int) -> list[list[float]]:
        asked.append((len(series), window))
        return [[1.0] * len(each) for each in series]

    scores = trees_backtest(all_odd, (5,), 2)
    assert asked == [(count, HABITS[course.kind].window) for count, course in zip((8, 8, 24), COURSES, strict=True)]
    assert all(score.recall == 1 for score in scores if score.events)
    assert all(score.precision is not None and score.precision < 0.8 for score in scores)
    blind = trees_backtest(lambda series, _: [[0.0] * len(each) for each in series], (5,), 2)
    assert [score.alarms for score in blind] == [0, 0, 0]
