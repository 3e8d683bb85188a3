"""What a job hands back: tables of rows, and how its figures stand beside the targets."""

from dataclasses import dataclass

from benchmarks.line import Line
from benchmarks.race import Row

MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows that belong side by side. All ratios are to the first row's time.

    ``size`` is how many bytes each row works through, 0 where a rate would mean nothing; ``writes`` asks for the
    columns of bytes written, ``ratios`` for the one of times.
    """

    title: str
    about: str
    rows: tuple[Row, ...]
    size: int = 0
    writes: bool = False
    ratios: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lines that belong in one picture, which is written beside the page as ``name``.svg; ``unit`` is that of x."""

    name: str
    title: str
    about: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise about speed or memory, what was measured, and whether it was met; None: it was not measured."""

    text: str
    measured: str
    met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one job found."""

    job: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    charts: tuple[Chart, ...] = ()


def row_of(rows: tuple[Row, ...], label: str) -> Row:
    """The row with this label; raises KeyError for a label that no row has."""
    for row in rows:
        if row.label == label:
            return row
    raise KeyError(label)


def faster(text: str, ours: Row, peer: Row, factor: float) -> Target:
    """At least ``factor`` times as fast as the peer."""
    if missing := ours.skipped or peer.skipped:
        return Target(text=text, measured=missing, met=None)
    ratio = peer.seconds / ours.seconds
    return Target(text=text, measured=f"{ratio:.2f} times as fast", met=ratio >= factor)


def not_slower(text: str, ours: Row, peer: Row, factor: float = 1.0) -> Target:
    """At most ``factor`` times the peer's time."""
    if missing := ours.skipped or peer.skipped:
        return Target(text=text, measured=missing, met=None)
    ratio = ours.seconds / peer.seconds
    return Target(text=text, measured=f"{ratio:.2f} times its time", met=ratio <= factor)


def under(text: str, measured: float, limit: float, unit: str) -> Target:
    """Less than a limit."""
    return Target(text=text, measured=f"{measured:.3g} {unit}", met=measured < limit)
