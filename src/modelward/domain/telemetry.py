"""What is told to a collector of OpenTelemetry, as values: spans of jobs, and the families of the metrics."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from modelward.domain import exposition

_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
# The unit that a name ends with, by the conventions of Prometheus; others have none.
_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1"}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work: ids in hex, times in nanoseconds of Unix time, ``error`` empty where it went well."""

    trace: str
    id: str
    name: str
    began: int
    ended: int
    parent: str = ""
    error: str = ""
    keys: dict[str, str | int | tuple[str, ...]] = msgspec.field(default_factory=dict)


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One series of a family, and its value."""

    labels: dict[str, str]
    value: float


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """One series of a histogram: ``counts`` of what lies between the ``bounds``, one more of them than bounds."""

    labels: dict[str, str]
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one name; ``kind`` is gauge, counter or histogram, the unit one of UCUM (s, By, 1) or empty."""

    name: str
    about: str
    kind: str
    unit: str = ""
    values: tuple[Value, ...] = ()
    bars: tuple[Bars, ...] = ()


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent at once: who tells it, counters since when, and at which moment (nanoseconds of Unix time)."""

    resource: dict[str, str | int]
    version: str
    since: int
    at: int
    spans: tuple[Span, ...] = ()
    families: tuple[Family, ...] = ()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: why spans or metrics were not taken, empty where they were."""

    spans: str = ""
    metrics: str = ""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many spans and exports of metrics were delivered and lost since the guard began."""

    spans_sent: int = 0
    spans_lost: int = 0
    metrics_sent: int = 0
    metrics_lost: int = 0


def exported(family: exposition.Family) -> Family:
    """A family as OpenMetrics shows it, told to a collector: same name, same labels, same numbers."""
    unit = _UNITS.get(family.name.rpartition("_")[2], "")
    if family.sort == "histogram":
        bars = tuple(_bars(family.samples))
        return Family(name=family.name, about=family.about, kind="histogram", unit=unit, bars=bars)
    values = tuple(Value(labels=labels_of(sample.labels), value=float(sample.value)) for sample in family.samples)
    name, kind = (f"{family.name}_info", "gauge") if family.sort == "info" else (family.name, family.sort)
    return Family(name=name, about=family.about, kind=kind, unit=unit, values=values)


def labels_of(text: str) -> dict[str, str]:
    """Labels as text, read back."""
    return {name: _ESCAPED.sub(_plain, value) for name, value in _LABEL.findall(text)}


def _plain(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _bars(samples: Iterable[exposition.Sample]) -> Iterator[Bars]:
    """Buckets count all up to their bound; here each counts what lies above the bound before."""
    below: list[tuple[float, int]] = []
    for sample in samples:
        labels = labels_of(sample.labels)
        if sample.suffix == "_bucket":
            below.append((float(labels.pop("le")), int(sample.value)))
        elif sample.suffix == "_sum":
            counts = [many for _, many in below]
            yield Bars(
                labels=labels,
                bounds=tuple(bound for bound, _ in below[:-1]),
                counts=tuple(now - before for before, now in itertools.pairwise([0, *counts])),
                total=float(sample.value),
            )
            below = []
