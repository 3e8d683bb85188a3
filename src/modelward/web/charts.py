"""Small charts as geometry: points in a box of fixed units, the words at its edges, and the figures as a table."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from modelward.domain.history import LatencyPoint
from modelward.domain.series import Point
from modelward.web.words import duration, share, size

WIDTH: Final = 600
HEIGHT: Final = 120
_NICE: Final = (1, 2, 3, 4, 6, 8, 10)


class Bar(NamedTuple):
    """A bar of a chart, in units of the picture."""

    x: float
    y: float
    width: float
    height: float
    title: str


class Line(NamedTuple):
    """A line of a chart: its tone, its word, and the paths of its unbroken pieces."""

    tone: str
    name: str
    path: str


class Chart(NamedTuple):
    """A chart: ``top``, ``middle`` and ``low`` are the words of its scale, ``first`` and ``last`` those of its time."""

    label: str
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    top: str = ""
    middle: str = ""
    low: str = ""
    first: str = ""
    last: str = ""
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.lines and not self.bars


class Range(NamedTuple):
    """The time that a chart shows."""

    since: datetime
    until: datetime

    def x(self, moment: datetime) -> float:
        """Where a moment lies, in units of the picture."""
        whole = (self.until - self.since).total_seconds() or 1.0
        return round(min(1.0, max(0.0, (moment - self.since).total_seconds() / whole)) * WIDTH, 1)


def response_times(points: Sequence[LatencyPoint], span: Range) -> Chart:
    """The middle and the slow answers of a model, p50 and p95."""
    known = [point for point in points if point.p95 is not None]
    if not known:
        return Chart(label="response time: no probe was answered in this time")
    top = nice(max(point.p95 or 0.0 for point in known))
    lines = (
        Line("second", "p95", _path(points, span, lambda point: point.p95, top)),
        Line("first", "p50", _path(points, span, lambda point: point.p50, top)),
    )
    rows = tuple((_when(point.at), _time(point.p50), _time(point.p95), f"{point.count:,}") for point in points[::-1])
    label = f"response time: last p50 {_time(known[-1].p50)}, p95 {_time(known[-1].p95)}"
    return _framed(span, label, top, duration)._replace(
        lines=lines, head=("time (UTC)", "p50", "p95", "probes"), rows=rows
    )


def error_rates(points: Sequence[LatencyPoint], span: Range) -> Chart:
    """The share of probes that failed."""
    known = [point for point in points if point.count]
    if not known:
        return Chart(label="error rate: no probe in this time")
    rates = {point.at: point.errors / point.count for point in known}
    top = max(0.05, min(1.0, nice(max(rates.values()))))
    wide = _wide(known[0].seconds_span, span)
    bars = tuple(
        _bar(span.x(at), wide, rate / top, f"{_when(at)}: {share(rate)} of probes failed")
        for at, rate in rates.items()
        if rate
    )
    rows = tuple(
        (_when(point.at), share(rates[point.at]), f"{point.errors:,}", f"{point.count:,}") for point in known[::-1]
    )
    failed, asked = sum(point.errors for point in known), sum(point.count for point in known)
    label = f"error rate: {failed:,} of {asked:,} probes failed"
    chart = _framed(span, label, top, _percent)
    flat = (Line("first", "", f"M0 {HEIGHT}H{WIDTH}"),) if not bars else ()
    return chart._replace(bars=bars, lines=flat, head=("time (UTC)", "error rate", "failed", "probes"), rows=rows)


def free_space(points: Sequence[Point], span: Range) -> Chart:
    """The least free space of each day."""
    known = [point for point in points if point.low is not None]
    if len(known) < 2:
        return Chart(label="free space: not enough data yet")
    top = nice(max(point.low or 0 for point in known))
    line = Line("first", "free", _path(known, span, lambda point: point.low, top))
    rows = tuple((_when(point.at), size(point.low or 0)) for point in known[::-1])
    label = f"free space: {size(known[-1].low or 0)} at last"
    return _framed(span, label, top, size)._replace(lines=(line,), head=("time (UTC)", "free"), rows=rows)


def nice(value: float) -> float:
    """The next round number at or above a value."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in _NICE if power * step >= value * 0.999999)


def _path(points: Sequence[object], span: Range, value: Callable[..., float | None], top: float) -> str:
    """The line through the points that have a value; a gap where one has none."""
    path, pen = "", "M"
    for point in points:
        found = value(point)
        if found is None:
            pen = "M"
            continue
        y = round(HEIGHT - min(1.0, found / top) * HEIGHT, 1)
        x = span.x(point.at)  # type: ignore[attr-defined]  # every point has its moment
        path += f"{pen}{x:g} {y:g}" + ("h0.1" if pen == "M" else "")
        pen = "L"
    return path


def _bar(x: float, wide: float, part: float, title: str) -> Bar:
    height = round(max(1.0, min(1.0, part) * HEIGHT), 1)
    return Bar(x=min(x, WIDTH - wide), y=HEIGHT - height, width=wide, height=height, title=title)


def _wide(seconds: int, span: Range) -> float:
    whole = (span.until - span.since).total_seconds() or 1.0
    return round(max(1.5, seconds / whole * WIDTH * 0.8), 1)


def _framed(span: Range, label: str, top: float, word: Callable[[float], str]) -> Chart:
    return Chart(
        label=label,
        top=word(top),
        middle=word(top / 2),
        low=word(0).replace(" ms", " s"),
        first=f"{span.since.astimezone(UTC):%d %b}",
        last=f"{span.until.astimezone(UTC):%d %b %H:%M} UTC",
    )


def _percent(value: float) -> str:
    return f"{value * 100:g} %"


def _time(value: float | None) -> str:
    return "–" if value is None else duration(value)  # noqa: RUF001 - an en dash is the sign for no value


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
