"""Draw the timeline of a soak as SVG: memory, descriptors and threads, and every fault by the time it took to heal."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, LEFT, RIGHT = 960, 64, 16
_STYLE = """
svg { font: 12px system-ui, sans-serif; background: #ffffff; }
text { fill: #24292f; } .dim { fill: #57606a; } .grid { stroke: #d0d7de; stroke-width: 1; }
.a { stroke: #0969da; } .b { stroke: #bc4c00; } .line { fill: none; stroke-width: 1.5; }
.store { fill: #0969da; } .vault { fill: #8250df; } .server { fill: #bc4c00; } .version { fill: #1a7f37; }
.ta { fill: #0969da; } .tb { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
svg { background: #0d1117; } text { fill: #e6edf3; } .dim { fill: #8d96a0; } .grid { stroke: #30363d; }
.a { stroke: #58a6ff; } .b { stroke: #f0883e; }
.store { fill: #58a6ff; } .vault { fill: #bc8cff; } .server { fill: #f0883e; } .version { fill: #3fb950; }
.ta { fill: #58a6ff; } .tb { fill: #f0883e; }
}
"""
# What a fault is about, by its name; the rest is about the store.
_ABOUT = {"vault damaged": "vault", "server stops": "server", "new version": "version"}
_MARKS = (
    ("store", "damage in the store"),
    ("vault", "damage in the vault"),
    ("server", "the server away"),
    ("version", "a new version to keep"),
)


@dataclass(frozen=True)
class Panel:
    """A rectangle of the chart: ``top`` to ``top + height``, values from ``low`` to ``high``."""

    title: str
    top: int
    height: int
    low: float
    high: float
    scale: Callable[[float], float] = float

    def y(self, value: float) -> float:
        """Where a value lies."""
        low, high = self.scale(self.low), self.scale(self.high)
        return self.top + self.height * (1 - (self.scale(value) - low) / (high - low))


def draw(kept: dict[str, Any]) -> str:
    """The picture of what a run wrote: samples by the second, memory in KiB, faults with seconds to heal."""
    rows: list[dict[str, float]] = [dict(zip(kept["columns"], row, strict=True)) for row in kept["samples"]]
    faults: list[tuple[float, str, float]] = kept["faults"]
    end = max([*(row["at"] for row in rows), *(at for at, *_ in faults), 1.0])

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / end

    memory = Panel("memory of the guard, MiB", 56, 150, 0, _above(max(row["resident"] / 1024 for row in rows)))
    counts = Panel("open descriptors, threads", 254, 100, 0, _above(max(row["descriptors"] for row in rows)))
    healing = Panel("seconds until a fault was healed", 402, 150, *_decades(faults), scale=math.log10)
    parts = [
        *_frame(memory, _even(memory), x, end),
        _line(x, memory, [(row["at"], row["resident"] / 1024) for row in rows], "a"),
        _line(x, memory, [(row["at"], row["anonymous"] / 1024) for row in rows], "b"),
        *_names(memory, (("ta", "resident"), ("tb", "of it anonymous"))),
        *_frame(counts, _even(counts), x, end),
        _line(x, counts, [(row["at"], row["descriptors"]) for row in rows], "a"),
        _line(x, counts, [(row["at"], row["threads"]) for row in rows], "b"),
        *_names(counts, (("ta", "descriptors"), ("tb", "threads"))),
        *_frame(healing, _powers(healing), x, end),
        *_marks(x, healing, faults),
        *_names(healing, _MARKS),
        *_minutes(healing.top + healing.height, x, end),
    ]
    height = healing.top + healing.height + 44
    title = f"{len(faults)} faults in {end / 60:.0f} minutes, all healed; the models served by {kept['server']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">\n'
        f'<style>{_STYLE}</style>\n<text x="{LEFT}" y="22" font-weight="bold">{title}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def about(name: str) -> str:
    """The class of a fault's mark."""
    return _ABOUT.get(name, "store")


def _above(value: float) -> float:
    """The next round number above a value."""
    step = 2 * 10.0 ** math.floor(math.log10(max(value, 1)))
    return math.ceil(value * 1.05 / step) * step


def _decades(faults: Sequence[tuple[float, str, float]]) -> tuple[float, float]:
    times = [max(seconds, 0.05) for *_, seconds in faults] or [1.0]
    return 10.0 ** math.floor(math.log10(min(times))), 10.0 ** max(1, math.ceil(math.log10(max(times))))


def _even(panel: Panel) -> list[float]:
    return [panel.low + (panel.high - panel.low) * part / 4 for part in range(5)]


def _powers(panel: Panel) -> list[float]:
    return [10.0**power for power in range(round(math.log10(panel.low)), round(math.log10(panel.high)) + 1)]


def _frame(panel: Panel, ticks: Sequence[float], x: Callable[[float], float], end: float) -> list[str]:
    found = [f'<text class="dim" x="{LEFT}" y="{panel.top - 10}">{panel.title}</text>']
    for tick in ticks:
        y = panel.y(tick)
        found += [
            f'<line class="grid" x1="{x(0):.1f}" x2="{x(end):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<text class="dim" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    return found


def _line(x: Callable[[float], float], panel: Panel, points: Sequence[tuple[float, float]], name: str) -> str:
    path = " ".join(f"{x(at):.1f},{panel.y(value):.1f}" for at, value in points)
    return f'<polyline class="line {name}" points="{path}"/>'


def _marks(x: Callable[[float], float], panel: Panel, faults: Sequence[tuple[float, str, float]]) -> list[str]:
    places = ((about(name), x(at), panel.y(max(seconds, panel.low))) for at, name, seconds in faults)
    return [f'<circle class="{name}" cx="{cx:.1f}" cy="{cy:.1f}" r="3"/>' for name, cx, cy in places]


def _names(panel: Panel, names: Sequence[tuple[str, str]]) -> list[str]:
    """Said in words and in colour, at the panel's right upper corner; marks get a dot."""
    found, at = [], WIDTH - RIGHT
    for name, words in reversed(names):
        found.append(f'<text class="{name}" x="{at}" y="{panel.top - 10}" text-anchor="end">{words}</text>')
        at -= 7 * len(words) + 16
    return found


def _minutes(y: int, x: Callable[[float], float], end: float) -> list[str]:
    step = next((minutes for minutes in (0.1, 1, 5, 10, 30, 60) if end / 60 / minutes <= 12), 120)
    ticks = [step * number for number in range(int(end / 60 / step) + 1)]
    found = [f'<text class="dim" x="{x(t * 60):.1f}" y="{y + 18}" text-anchor="middle">{t:g}</text>' for t in ticks]
    return [*found, f'<text class="dim" x="{WIDTH - RIGHT}" y="{y + 36}" text-anchor="end">minutes</text>']
