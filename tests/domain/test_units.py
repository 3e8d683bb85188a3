"""Sizes and durations as people write and read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.errors import BadSetting
from modelward.domain.units import format_bytes, format_duration, parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("17", 17),
        ("500k", 500_000),
        ("50M", 50_000_000),
        ("1.5GiB", 3 << 29),
        ("2 kib", 2048),
        ("3M/s", 3 * 10**6),
    ],
)
def test_sizes(text: str, count: int) -> None:
    """Decimal units, binary ones with an i, a rate or not."""
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "fast", "-1", "1e3", "5X", "1.2.3M", "M", "1 0"])
def test_what_is_no_size(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(BadSetting) as caught:
        parse_bytes(text)
    assert "50M" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("90s", 90), ("10m", 600), ("36h", 129_600), ("14d", 1_209_600), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    """A number and a unit; a bare number is seconds."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5y", "9" * 40 + "w"])
def test_what_is_no_duration(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(BadSetting) as caught:
        parse_duration(text)
    assert "14d" in caught.value.next_step


@given(st.integers(0, 10**16))
def test_sizes_are_short_and_near(count: int) -> None:
    """Three digits say a size to within one percent, and parse back."""
    text = format_bytes(count)
    assert len(text) < 14
    assert abs(parse_bytes(text.replace(",", "")) - count) <= max(1, count * 0.01) + (
        10**12 / 2 if count > 10**12 else 0
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.346, "0.35 s"), (42.2, "42 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    """As a person would say it."""
    assert format_duration(seconds) == text
