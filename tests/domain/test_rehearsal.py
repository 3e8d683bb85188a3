"""Which model is rehearsed: by chance, the likelier the longer it has waited, and none is left out."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.name import ModelName
from modelward.domain.rehearsal import draw
from tests.domain.strategies_domain import names

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ONE, TWO = ModelName.parse("one"), ModelName.parse("two")
ROLLS = st.floats(0, 1, exclude_max=True)


@given(st.dictionaries(names(), st.integers(-90, 900), min_size=1, max_size=8), ROLLS)
def test_every_roll_finds_a_model(days: dict[ModelName, int], roll: float) -> None:
    """Whatever the clock says of their last drills: the future too, after a jump."""
    since = {name: NOW - timedelta(days=past) for name, past in days.items()}
    assert draw(since, NOW, roll) in since


@given(ROLLS)
def test_the_chance_grows_with_the_wait(roll: float) -> None:
    """Nine days of ten belong to the one that has waited nine times as long."""
    since = {ONE: NOW - timedelta(days=1), TWO: NOW - timedelta(days=9)}
    assert draw(since, NOW, roll) == (ONE if roll < 0.1 else TWO)


@given(st.sets(names(), min_size=1, max_size=6))
def test_no_model_is_left_out(models: set[ModelName]) -> None:
    """Not even where all were rehearsed this very second."""
    rolls = [number / 60 for number in range(60)]
    assert {draw(dict.fromkeys(models, NOW), NOW, roll) for roll in rolls} == models


def test_a_roll_at_the_very_end_finds_the_last_one() -> None:
    """Rounding must not run past the line."""
    since = dict.fromkeys((ONE, TWO), NOW - timedelta(seconds=0.1))
    assert draw(since, NOW, 1.0) == TWO
