"""Charts as geometry."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.history import LatencyPoint
from modelward.domain.series import Point
from modelward.web import charts

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = charts.Range(BEGIN, BEGIN + timedelta(days=7))


def point(hours: float, p50: float | None, p95: float | None, *, count: int = 6, errors: int = 0) -> LatencyPoint:
    """The probes of one hour."""
    return LatencyPoint(
        at=BEGIN + timedelta(hours=hours), seconds_span=3600, count=count, errors=errors, p50=p50, p95=p95
    )


def test_no_points_are_no_chart_but_a_sentence() -> None:
    """Nothing to draw is said, not drawn."""
    for chart in (
        charts.response_times([], SPAN),
        charts.error_rates([], SPAN),
        charts.free_space([], BEGIN_RANGE),
    ):
        assert chart.empty
        assert chart.label


BEGIN_RANGE = charts.Range(BEGIN, BEGIN)


def test_the_scale_has_units_and_the_slowest_answer_fits() -> None:
    """Top, middle and bottom are round numbers with units; the last values stand in the label."""
    chart = charts.response_times([point(1, 0.4, 0.9), point(2, 0.5, 1.1)], SPAN)
    assert (chart.top, chart.middle, chart.low) == ("2 s", "1 s", "0 s")
    assert chart.label == "response time: last p50 500 ms, p95 1.1 s"
    assert [line.name for line in chart.lines] == ["p95", "p50"]
    assert chart.rows[0][0] == "2026-01-01 02:00"


def test_a_gap_in_time_is_a_gap_in_the_line() -> None:
    """Hours without an answered probe are not bridged."""
    chart = charts.response_times([point(1, 1, 1), point(2, None, None), point(3, 1, 1), point(4, 1, 1)], SPAN)
    assert chart.lines[0].path.count("M") == 2


def test_failed_probes_are_bars_and_none_is_a_flat_line() -> None:
    """An error rate of nothing is still a chart, with its count."""
    good = charts.error_rates([point(1, 1, 1)], SPAN)
    assert not good.bars
    assert not good.empty
    assert good.label == "error rate: 0 of 6 probes failed"
    bad = charts.error_rates([point(1, 1, 1, errors=3), point(2, 1, 1)], SPAN)
    assert len(bad.bars) == 1
    assert bad.bars[0].title == "2026-01-01 01:00: 50.00 % of probes failed"
    assert bad.top == "60 %"


@given(st.lists(st.tuples(st.floats(0, 168), st.floats(0.001, 300)), min_size=1, max_size=50))
def test_everything_lies_inside_the_picture(values: list[tuple[float, float]]) -> None:
    """Whatever the values, no point leaves the box."""
    chart = charts.response_times([point(hours, seconds, seconds) for hours, seconds in sorted(values)], SPAN)
    numbers = chart.lines[0].path.replace("h0.1", "").replace("M", " ").replace("L", " ").split()
    assert all(0 <= float(x) <= charts.WIDTH for x in numbers[::2])
    assert all(0 <= float(y) <= charts.HEIGHT for y in numbers[1::2])


def test_free_space_needs_two_days() -> None:
    """One day is no course of time; two are, in bytes with units."""
    days = [
        Point(at=BEGIN + timedelta(days=day), seconds_span=86_400, low=low)
        for day, low in ((1, 9 * 10**11), (2, 8 * 10**11))
    ]
    assert charts.free_space(days[:1], SPAN).empty
    chart = charts.free_space(days, SPAN)
    assert (chart.top, chart.low) == ("1 TB", "0 B")
    assert chart.label == "free space: 800 GB at last"


@pytest.mark.parametrize(("value", "round_number"), [(0, 1), (0.0021, 0.003), (0.9, 1), (1, 1), (7, 8), (101, 200)])
def test_scales_end_at_round_numbers(value: float, round_number: float) -> None:
    """The next of 1, 2, 3, 4, 6, 8, 10 times a power of ten."""
    assert charts.nice(value) == pytest.approx(round_number)
