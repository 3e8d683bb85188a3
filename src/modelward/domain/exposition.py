"""Metrics as text, as Prometheus and OpenMetrics read them: a library took too long for a thousand models."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

Sort = Literal["gauge", "counter", "histogram", "info"]
_SUFFIX: Final[Mapping[Sort, str]] = {"gauge": "", "counter": "_total", "histogram": "", "info": "_info"}
_VALUE: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Sample(NamedTuple):
    """One line: what is behind the family's name (``_bucket``), the labels as text, and the number."""

    suffix: str
    labels: str
    value: float


class Family(NamedTuple):
    """Samples of one name and one meaning; those of one set of labels stand together."""

    name: str
    sort: Sort
    about: str
    samples: Iterable[Sample]


def labelled(**values: str) -> str:
    """Labels as text, empty for none; made once for all samples that carry the same ones."""
    inner = ",".join(f'{name}="{value.translate(_VALUE)}"' for name, value in sorted(values.items()))
    return f"{{{inner}}}" if inner else ""


def within(labels: str, bound: str) -> str:
    """Labels that are there already, and the upper bound of a histogram's bucket before them."""
    return f'{{le="{bound}",{labels[1:]}' if labels else labelled(le=bound)


def text(families: Iterable[Family], *, openmetrics: bool) -> bytes:
    """The whole document in UTF-8."""
    parts = [part for family in families for part in _family(family, openmetrics=openmetrics)]
    return "".join([*parts, "# EOF\n"] if openmetrics else parts).encode()


def _family(family: Family, *, openmetrics: bool) -> Iterator[str]:
    suffix = _SUFFIX[family.sort]
    # The older format knows no info, and names a counter with its suffix.
    named = family.name if openmetrics else family.name + suffix
    sort = "gauge" if family.sort == "info" and not openmetrics else family.sort
    yield f"# HELP {named} {family.about.translate(_HELP)}\n# TYPE {named} {sort}\n"
    name = family.name
    for sample in family.samples:
        yield f"{name}{sample.suffix or suffix}{sample.labels} {float(sample.value)!r}\n"
