"""What the verb ``history`` answers: a table and a small chart for people, CSV and JSON for programs."""

import csv as comma
import io
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import typer

from modelward.cli.pieces import dim, line, table
from modelward.cli.render import document
from modelward.domain.history import ModelHistory
from modelward.domain.name import ModelName
from modelward.domain.series import DAY, HOUR
from modelward.domain.units import format_bytes, format_duration

_COLUMNS = 60
_BLOCKS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_UNKNOWN = " "
_LINES = 20
_WORDS = {HOUR: "1 hour", DAY: "24 hours", 7 * DAY: "7 days", 30 * DAY: "30 days", 365 * DAY: "365 days"}


def show_history(history: ModelHistory, *, csv: bool, json: bool) -> None:
    """Print a history in one of its three forms."""
    if json:
        typer.echo(document("history", history))
    elif csv:
        typer.echo(_csv(history), nl=False)
    else:
        _text(history)


def _csv(history: ModelHistory) -> str:
    """One line a point: its begin, its length, and what is known; empty cells are not known."""
    up = {point.at: point for point in history.up}
    probes = {point.at: point for point in history.latency}
    text = io.StringIO()
    lines = comma.writer(text)
    lines.writerow(("at", "seconds", "availability", "probes", "errors", "p50_seconds", "p95_seconds"))
    for at in sorted({*up, *probes}):
        point, probe = up.get(at), probes.get(at)
        span = (point or probe or history.latency[0]).seconds_span
        measured = (probe.count, probe.errors, probe.p50, probe.p95) if probe else (0, 0, None, None)
        lines.writerow((f"{at:%Y-%m-%dT%H:%M:%SZ}", span, point.share if point else None, *measured))
    return text.getvalue()


def _text(history: ModelHistory) -> None:
    line(f"{ModelName.parse(history.model).short}, {history.since:%Y-%m-%d %H:%M} to {history.at:%Y-%m-%d %H:%M} UTC")
    rows = [
        (_WORDS[each.window_seconds], _share(each.share), _down(each.known_seconds - each.good_seconds, each.share))
        for each in history.availability
    ]
    table(("WINDOW", "AVAILABLE", "DOWN"), rows)
    _charts(history)
    _answers(history)
    _happened(history)
    devices = [
        (each.device, format_bytes(each.bytes), str(each.damaged), _per_terabyte(each.per_terabyte))
        for each in history.devices
    ]
    table(("DEVICE", "SCRUBBED", "FINDINGS", "PER TB"), devices)


def _share(share: float | None) -> str:
    """A percentage that never rounds an outage away."""
    if share is None:
        return "unknown"
    text = f"{share * 100:.2f}"
    return f"{'99.99' if text == '100.00' and share < 1 else text} %"


def _down(seconds: float, share: float | None) -> str:
    return "" if share is None else format_duration(seconds) if seconds else "none"


def _per_terabyte(number: float | None) -> str:
    return "" if number is None else f"{number:.2g}"


def _charts(history: ModelHistory) -> None:
    """Two lines of blocks over the whole time: availability, and the slow answers."""
    up = _slots(history, [(point.at, point.share) for point in history.up], min)
    slow = _slots(history, [(point.at, point.p95) for point in history.latency], max)
    shares = [value for value in up if value is not None]
    times = [value for value in slow if value is not None]
    if shares:
        dim(f"available  |{blocks(up, 0.0, 1.0)}|  lowest {_share(min(shares))}")
    if times:
        most = f"highest {format_duration(max(times))}"
        dim(f"95 % in    |{blocks(slow, 0.0, max(times))}|  {most}")


def _slots(
    history: ModelHistory, points: Sequence[tuple[datetime, float | None]], worst: Callable[[float, float], float]
) -> list[float | None]:
    """The worst value of each column; None where nothing is known."""
    span = max([point.seconds_span for point in history.up] + [point.seconds_span for point in history.latency])
    begin = datetime.fromtimestamp(history.since.timestamp() // span * span, UTC)
    spans = max(1, -((begin - history.at) // timedelta(seconds=span)))
    width = min(_COLUMNS, spans)
    found: list[float | None] = [None] * width
    for at, value in points:
        slot = min(width - 1, int((at - begin).total_seconds() / span * width / spans))
        before = found[slot]
        if value is not None:
            found[slot] = value if before is None else worst(before, value)
    return found


def blocks(values: Sequence[float | None], low: float, high: float) -> str:
    """One character a value, as high as it lies between ``low`` and ``high``; a blank where it is None."""
    signs = _BLOCKS if _can_show(_BLOCKS) else _PLAIN
    top = len(signs) - 1
    reach = (high - low) or 1.0
    return "".join(
        _UNKNOWN if value is None else signs[max(0, min(top, round((value - low) / reach * top)))] for value in values
    )


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _answers(history: ModelHistory) -> None:
    count = sum(point.count for point in history.latency)
    if not count:
        return
    rate = f", {_share(history.error_rate)} of them failed" if history.error_rate else ", none failed"
    times = (
        f"; half were answered within {format_duration(history.p50)}, 95 % within {format_duration(history.p95)}"
        if history.p50 is not None and history.p95 is not None
        else ""
    )
    line(f"{count:,} probes{rate}{times}")


def _happened(history: ModelHistory) -> None:
    """What happened, the newest first."""
    events = [
        (flip.at, flip.kind.value if flip.bad else f"over: {flip.kind.value}", flip.detail) for flip in history.flips
    ]
    events += [(row.at, f"found {row.kind}", row.text) for row in history.findings]
    events += [(row.at, f"{row.verb} {row.step}".strip(), row.error or row.source) for row in history.actions]
    for drill in history.drills:
        how = f"restored in {format_duration(drill.restore_seconds)}" if drill.ok else f"FAILED: {drill.why}"
        events.append((drill.at, "drill", how))
    events.sort(key=lambda event: event[0], reverse=True)
    table(
        ("WHEN (UTC)", "WHAT", "DETAIL"),
        [(f"{at:%Y-%m-%d %H:%M}", what, detail) for at, what, detail in events[:_LINES]],
    )
    if len(events) > _LINES:
        dim(f"and {len(events) - _LINES:,} older ones: --json shows them")
