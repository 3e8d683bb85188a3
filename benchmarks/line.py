"""Time against the amount of work: the fitted straight line, how far the measured points lie off it, and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 420, 64, 48, 32, 190
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by the colour-blind too


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
    def deviation(self) -> float:
        """How far the point that lies worst is off the line, as a share of the longest time."""
        worst = max(abs(y - self.at(x)) for x, y in self.points)
        return worst / max(y for _, y in self.points)

    @property
    def bend(self) -> float:
        """Seconds a unit over the last step, by those over all of it: 1 on a straight line, 2 where it doubles."""
        (x1, y1), (x2, y2) = self.points[0], self.points[-1]
        (a1, b1), (a2, b2) = list(pairwise(self.points))[-1]
        whole = (y2 - y1) / (x2 - x1)
        return (b2 - b1) / (a2 - a1) / whole if whole else 1.0

    @property
    def _means(self) -> tuple[float, float]:
        many = len(self.points)
        return sum(x for x, _ in self.points) / many, sum(y for _, y in self.points) / many

    def at(self, amount: float) -> float:
        """Seconds on the fitted line."""
        mean_x, mean_y = self._means
        return mean_y + self.slope * (amount - mean_x)


def picture(title: str, unit: str, lines: Sequence[Line]) -> str:
    """An SVG of the points and the fitted lines, both axes linear and from 0: straight is straight."""
    most_x = max(x for line in lines for x, _ in line.points)
    most_y = max(max(y for _, y in line.points) for line in lines)

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return round(_LEFT + wide * x / most_x, 1), round(_TOP + high * (1 - y / most_y), 1)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            f'font-size="12" role="img"><title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>'
        ),
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    for step in range(5):
        x, y = place(most_x * step / 4, most_y * step / 4)
        floor, left = _HEIGHT - _BOTTOM, _LEFT
        parts.append(f'<path d="M{left} {y}H{_WIDTH - _RIGHT}M{x} {_TOP}V{floor}" stroke="#ddd" fill="none"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{most_y * step / 4:.3g} s</text>')
        parts.append(f'<text x="{x}" y="{floor + 18}" text-anchor="middle">{most_x * step / 4:,.4g}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">{escape(unit)}</text>')
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        (x1, y1), (x2, y2) = place(0, max(0, line.start)), place(most_x, max(0, line.at(most_x)))
        parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" stroke-dasharray="5 4"/>')
        for x, y in (place(*point) for point in line.points):
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
        at = _TOP + 14 + 20 * number
        parts.append(f'<circle cx="{_WIDTH - _RIGHT + 18}" cy="{at - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 28}" y="{at}">{escape(line.label)}</text>')
    return "\n".join([*parts, "</svg>\n"])
