"""The pieces that every report for people is made of: tables, lines, words for health."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import typer

from modelward.domain.finding import Finding, StoreFinding
from modelward.domain.name import ModelName
from modelward.domain.words import describe, printable, way_out

GOOD, BAD, DIM = typer.colors.GREEN, typer.colors.RED, typer.colors.BRIGHT_BLACK
Row = Sequence[str]


def health(healthy: bool | None, *, recoverable: bool) -> str:  # noqa: FBT001 - the axis itself
    """The two axes of health in words."""
    if healthy is None:
        return "not proved yet"
    if healthy:
        return "healthy" if recoverable else "healthy, no copy"
    return "DAMAGED, repairable" if recoverable else "DAMAGED, no copy"


def proved(when: datetime | None, healthy: bool | None) -> str:  # noqa: FBT001 - the axis itself
    """When it was last proved."""
    if when is not None:
        return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
    return "" if healthy is False else "never"


def facts(*pairs: tuple[str, str]) -> None:
    """Name and value, one a line; empty values are left out."""
    for name, value in pairs:
        if value:
            dim(f"{name:>6}  {value}")


def findings(found: Iterable[tuple[ModelName | None, Finding]]) -> None:
    """Each finding once, damage in red."""
    shown: set[str] = set()
    for name, finding in found:
        text = f"{name.short}: {describe(finding)}" if name is not None else describe(finding)
        if text not in shown:
            line(text, BAD if finding.damage else None)
        shown.add(text)


def ways_out(found: Iterable[Finding]) -> None:
    """What to do about findings of the store itself."""
    for finding in found:
        if isinstance(finding, StoreFinding):
            line(f"  next: {way_out(finding)}")


def table(head: Row, rows: Sequence[Row]) -> None:
    """Columns as wide as their widest cell; nothing is wrapped or cut, so that it can be searched and piped."""
    if not rows:
        return
    widths = [max(len(printable(row[i])) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.secho("  ".join(cells).rstrip(), bold=row is head, fg=_row_colour(row))


def _row_colour(row: Row) -> str | None:
    return BAD if any(cell.startswith(("DAMAGED", "FAILED", "refused", "NOT SOUND")) for cell in row) else None


def line(text: str, colour: str | None = None) -> None:
    """One line."""
    typer.secho(printable(text), fg=colour)


def dim(text: str) -> None:
    """One line that nobody has to read."""
    typer.secho(printable(text), fg=DIM)
