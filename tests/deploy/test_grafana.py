"""The Grafana dashboard: it is whole, and asks for metrics that exist in expressions that Prometheus reads."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.metric_names import METRICS

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "modelward.json"


def document() -> dict[str, Any]:
    """The dashboard."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def panels() -> list[dict[str, Any]]:
    """Its panels, without the rows between them."""
    return [panel for panel in document()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """Every question to Prometheus, with Grafana's variables filled in."""
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [re.sub(r"\$(instance|model)", ".*", text).replace("$__rate_interval", "5m") for text in asked]


def test_every_metric_is_shown() -> None:
    """No metric is exported for nothing, and none is asked for that is not exported."""
    used = {name for text in expressions() for name in re.findall(r"\bmodelward_[a-z_]+", text)}
    parts = {name for name in METRICS if name.endswith(("_sum", "_count"))}
    assert used == METRICS.keys() - parts


def test_labels_exist() -> None:
    """A metric is filtered by labels that it has, and legends name labels that are left."""
    known = {"instance", "job"}
    for text in expressions():
        for name, labels in re.findall(r"(modelward_\w+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)=~?\"", labels)) <= METRICS[name] | known, text
    every = set().union(*METRICS.values())
    for panel in panels():
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= every


def test_prometheus_reads_every_expression(tmp_path: Path) -> None:
    """Each one is a sound expression; promtool is asked by way of a rule."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on PATH")
    rules = [
        {"record": f"asked:{number}:".replace("0", "zero"), "expr": text} for number, text in enumerate(expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_panels_are_named_and_lie_side_by_side() -> None:
    """Every panel has a title and a sentence, an id of its own, and covers no other one."""
    every = document()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert [panel["title"] for panel in panels() if not panel["description"].endswith(".")] == []
    for one, two in combinations([panel["gridPos"] for panel in every], 2):
        apart_across = one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
        apart_down = one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"]
        assert apart_across or apart_down, (one, two)
    assert all(place["gridPos"]["x"] + place["gridPos"]["w"] <= 24 for place in every)


def test_it_works_with_any_data_source() -> None:
    """The data source, the guard and the models are chosen on top; nothing is bound to the maker's Grafana."""
    assert [each["name"] for each in document()["templating"]["list"]] == ["datasource", "instance", "model"]
    sources = {json.dumps(target["datasource"]) for panel in panels() for target in (panel, *panel["targets"])}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
