"""docs/metrics-json.md names every field of model-metrics.json, and no other."""

import re
from pathlib import Path

import msgspec
import pytest

from modelward.domain.alert import Alert
from modelward.domain.history import ActionRow, Availability, LatencyPoint, UpPoint
from modelward.domain.metrics_document import SCHEMA, MetricsDocument, ModelMetrics, SpaceMetrics
from modelward.domain.standing import BrakeStanding, ServerStanding, TaskStanding

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "metrics-json.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "The document": MetricsDocument,
    "A model": ModelMetrics,
    "A disk": SpaceMetrics,
}
INNER: dict[str, type[msgspec.Struct]] = {
    "server": ServerStanding,
    "alerts": Alert,
    "schedule": TaskStanding,
    "brake": BrakeStanding,
    "actions": ActionRow,
    "availability": Availability,
    "history": UpPoint,
    "response_times": LatencyPoint,
}


def fields(kind: type[msgspec.Struct]) -> set[str]:
    """The names that JSON shows."""
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def rows(section: str) -> list[tuple[set[str], str]]:
    """The rows of a section's table: the fields named in the first cell, and the text of the second."""
    part = TEXT.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1:3] for line in part.splitlines() if line.startswith("| `")]
    return [(set(re.findall(r"`(\w+)`", names)), meaning) for names, meaning in cells]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_explained(section: str) -> None:
    """Each field once, and nothing that is not there."""
    named = [name for names, _ in rows(section) for name in names]
    assert sorted(named) == sorted(fields(SECTIONS[section]))


@pytest.mark.parametrize("name", INNER)
def test_every_inner_field_is_named(name: str) -> None:
    """What stands in a list or an object is named where that is explained."""
    (meaning,) = [meaning for section in SECTIONS for names, meaning in rows(section) if name in names]
    assert fields(INNER[name]) == set(re.findall(r"`(\w+)`", meaning))


def test_the_schema_is_the_programs() -> None:
    """The version that a reader compares with."""
    assert f"`{SCHEMA}`" in TEXT
