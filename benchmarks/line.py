"""Time against the amount of work: the fitted straight line, how far the measured points lie off it, and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

_COLUMNS, _WIDTH, _HEIGHT, _HEAD = 2, 380, 210, 36
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 34, 30, 34
_COLOUR = "#0072b2"
NOISE = 0.1  # seconds by which one start of a program differs from the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kind of work at several amounts: ``points`` are (amount, seconds); ``limit`` is what the machine allows."""

    label: str
    points: tuple[tuple[float, float], ...]
    limit: str = ""

    @property
    def slope(self) -> float:
        """Seconds for one more unit of work, by least squares; 0 for a single amount."""
        mean_x, mean_y = self._means
        spread = sum((x - mean_x) ** 2 for x, _ in self.points)
        return sum((x - mean_x) * (y - mean_y) for x, y in self.points) / spread if spread else 0.0

    @property
    def start(self) -> float:
        """Seconds for no work at all, on the fitted line."""
        mean_x, mean_y = self._means
        return mean_y - self.slope * mean_x

    @property
    def worst(self) -> float:
        """Seconds by which the point that lies worst is off the line."""
        return max(abs(y - self.at(x)) for x, y in self.points)

    @property
    def deviation(self) -> float:
        """How far the point that lies worst is off the line, as a share of the longest time."""
        return self.worst / max(y for _, y in self.points)

    @property
    def bend(self) -> float:
        """Seconds a unit over the last step, by those over all of it: 1 on a straight line, 2 where it doubles."""
        (x1, y1), (x2, y2) = self.points[0], self.points[-1]
        (a1, b1), (a2, b2) = list(pairwise(self.points))[-1]
        whole = (y2 - y1) / (x2 - x1)
        return (b2 - b1) / (a2 - a1) / whole if whole else 1.0

    @property
    def last_step(self) -> str:
        """What the last step costs, in words; of times that differ by noise only there is nothing to tell."""
        times = [y for _, y in self.points]
        return "as good as level" if max(times) - min(times) <= NOISE else f"{self.bend:.2f} times the mean"

    @property
    def _means(self) -> tuple[float, float]:
        many = len(self.points)
        return sum(x for x, _ in self.points) / many, sum(y for _, y in self.points) / many

    def at(self, amount: float) -> float:
        """Seconds on the fitted line."""
        mean_x, mean_y = self._means
        return mean_y + self.slope * (amount - mean_x)


def picture(title: str, unit: str, lines: Sequence[Line]) -> str:
    """An SVG with a small picture for each line: its points and the fit, axes linear and from 0, so straight shows."""
    rows = -(-len(lines) // _COLUMNS)
    panels = [
        f'<g transform="translate({number % _COLUMNS * _WIDTH} {_HEAD + number // _COLUMNS * _HEIGHT})">'
        f"{_panel(unit, line)}</g>"
        for number, line in enumerate(lines)
    ]
    wide, high = _COLUMNS * _WIDTH, _HEAD + rows * _HEIGHT
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="11" '
        f'role="img"><title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="12" y="22" font-size="15">{escape(title)}</text>'
    )
    return "\n".join([begin, *panels, "</svg>\n"])


def _panel(unit: str, line: Line) -> str:
    most_x, most_y = max(x for x, _ in line.points), max(y for _, y in line.points)
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        part_x, part_y = x / most_x, min(1.0, max(0.0, y / most_y))
        return round(_LEFT + (right - _LEFT) * part_x, 1), round(floor - (floor - _TOP) * part_y, 1)

    parts = [f'<text x="{_LEFT}" y="{_TOP - 10}" font-size="13">{escape(line.label)}</text>']
    for step in range(3):
        amount, seconds = most_x * step / 2, most_y * step / 2
        x, y = place(amount, seconds)
        parts.append(f'<path d="M{_LEFT} {y}H{right}M{x} {_TOP}V{floor}" stroke="#ddd" fill="none"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{seconds:.3g} s</text>')
        parts.append(
            f'<text x="{x}" y="{floor + 16}" text-anchor="middle">{amount:,.4g}{f" {unit}" if step == 1 else ""}</text>'
        )
    (x1, y1), (x2, y2) = place(0, line.start), place(most_x, line.at(most_x))
    parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{_COLOUR}" stroke-dasharray="5 4"/>')
    parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{_COLOUR}"/>' for x, y in (place(*each) for each in line.points)]
    return "".join(parts)
