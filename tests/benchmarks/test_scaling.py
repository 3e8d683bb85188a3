"""Time against the amount of work: the line, how straight it is, its picture, and what the machine allows."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.jobs.scaling import _straight
from benchmarks.limits import limits
from benchmarks.line import Line, picture
from benchmarks.report import Conditions, page, raw
from benchmarks.result import Chart, Result

STRAIGHT = Line(label="verify, every byte", points=((1.0, 1.5), (2.0, 2.5), (4.0, 4.5)), limit="reading: 1 s/GB")
BENT = Line(label="first backup", points=((1.0, 1.0), (2.0, 4.0), (4.0, 16.0)))
FLAT = Line(label="second backup, nothing changed", points=((1.0, 0.2), (2.0, 0.29), (4.0, 0.21)))
CHART = Chart(name="size", title="Time against size", about="About.", unit="GB", lines=(STRAIGHT, BENT, FLAT))


def test_a_straight_line_is_found_with_its_start_and_slope() -> None:
    """Half a second to start, one for each unit, no point off it and no bend."""
    assert (STRAIGHT.start, STRAIGHT.slope, STRAIGHT.deviation, STRAIGHT.bend) == pytest.approx((0.5, 1.0, 0.0, 1.0))


def test_a_square_is_no_line() -> None:
    """Points of a parabola are off the best line, and the last step costs more than the mean."""
    assert BENT.deviation > 0.05
    assert BENT.bend == pytest.approx(6.0 / 5.0)
    assert BENT.last_step == "1.20 times the mean"


def test_of_what_takes_as_long_at_any_size_the_last_step_says_nothing() -> None:
    """Two times that differ by noise only have no ratio worth telling."""
    assert FLAT.last_step == "as good as level"


def test_what_is_bent_misses_its_target_and_what_is_flat_meets_it() -> None:
    """Work of one length whatever the size is off by no more than one start and the next; what curves is told."""
    assert FLAT.deviation > 0.15
    assert FLAT.worst < 0.1
    steep = replace(BENT, points=((1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 16.0)))
    met = {
        target.text.split(": ")[1]: target.met for target in _straight(replace(CHART, lines=(STRAIGHT, steep, FLAT)))
    }
    assert met == {STRAIGHT.label: True, BENT.label: False, FLAT.label: True}


def test_the_picture_shows_every_point_and_names_every_line() -> None:
    """A small picture for each line, one dot a point; it is well-formed, whatever the labels hold."""
    odd = replace(FLAT, label='<"&>')
    found = ET.fromstring(picture("Time <1>", "GB", (STRAIGHT, BENT, odd)))  # noqa: S314 - made one line above
    space = "{http://www.w3.org/2000/svg}"
    assert [len(panel.findall(f"{space}circle")) for panel in found.findall(f"{space}g")] == [3, 3, 3]
    texts = {text.text for text in found.iter(f"{space}text")}
    assert {"Time <1>", STRAIGHT.label, BENT.label, odd.label, "2 GB"} <= texts


def test_the_page_has_points_lines_and_limits() -> None:
    """Each work with its seconds, its line and the machine's limit; the raw figures hold the points."""
    given = Conditions(day="2026-08-03", size=10**9, rounds=1, floor=1, machine={}, versions={})
    result = Result(job="scaling", tables=(), charts=(CHART,))
    text = page(given, [result])
    assert "![Time against size](size.svg)" in text
    assert "| verify, every byte | 1.50 | 2.50 | 4.50 |" in text
    assert "| 0.500 s + 1.00 s for each GB | 0% of the longest time | 1.00 times the mean | reading: 1 s/GB |" in text
    assert '"verify, every byte": [' in raw(given, [result])


def test_limits_of_the_machine_are_measured_and_leave_nothing(tmp_path: Path) -> None:
    """Every figure is a positive time."""
    found = limits(tmp_path, 1, 8 << 20)
    assert all(getattr(found, name) > 0 for name in type(found).__slots__)
    assert not list(tmp_path.iterdir())
