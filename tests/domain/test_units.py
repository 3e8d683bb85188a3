"""Sizes and durations as people write and read them."""

from datetime import timedelta

import pytest
from hypothesis import example, given
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
    assert abs(parse_bytes(text.replace(",", "")) - count) <= max(1, count * 0.01)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.346, "0.35 s"), (42.2, "42 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    """As a person would say it."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(5 * 10**12, "5 TB"), (999_500_000_000, "1 TB"), (3 * 10**15, "3,000 TB")])
def test_big_disks_are_counted_in_terabytes(count: int, text: str) -> None:
    """The unit follows the size up to TB, and stays there."""
    assert format_bytes(count) == text


@given(st.integers(0, 10**18 - 1))
@example(2**53 + 1)
def test_a_plain_number_of_bytes_is_exact(count: int) -> None:
    """Every whole number that can be written comes back to the byte."""
    assert parse_bytes(str(count)) == count


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "GiB"])
def test_a_size_beyond_every_disk_is_refused(text: str) -> None:
    """More digits than any size has are a mistake of the user, not of the program."""
    with pytest.raises(BadSetting):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["36501d", "200000w", "99999999d"])
def test_a_duration_beyond_a_hundred_years_is_refused(text: str) -> None:
    """Now and the duration together have to stay a date."""
    with pytest.raises(BadSetting):
        parse_duration(text)


@given(st.integers(0, 36_500), st.sampled_from(["s", "m", "h", "d"]))
def test_a_duration_is_its_number_of_units(number: int, unit: str) -> None:
    """What is written is what is meant, in every unit."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]
    assert parse_duration(f"{number}{unit}").total_seconds() == number * seconds


@given(st.floats(0, 10**7))
def test_a_time_in_words_is_near(seconds: float) -> None:
    """The words are at most a tenth, or a minute from an hour up, away from the time."""
    units = {"s": 1, "min": 60, "h": 3600}
    words = format_duration(seconds).split()
    said = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(said - seconds) <= (max(seconds * 0.1, 0.5) if seconds < 3599 else 61)
