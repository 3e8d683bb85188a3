"""The Prometheus rules and the sample configuration: each rule fires when it should, and is silent before."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.metric_names import METRICS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "rules.yml"
BY = 'instance="guard:8484", job="modelward"'


class Case(NamedTuple):
    """An alert: the series that raise it, when it is silent still (with them), when it fires, and its own labels."""

    alert: str
    series: dict[str, str]
    silent: str
    fires: str
    labels: str = ""
    one: str = "1m"  # the time between two values of a series


# In the values "0x20" is 0 and 20 more of it, "0+6x20" goes up by 6 twenty times.
CASES = (
    Case("ModelwardGuardDown", {f"up{{{BY}}}": "1 0x20"}, "5m", "7m", BY),
    Case("ModelwardGuardStuck", {f"modelward_guard_last_pass_timestamp_seconds{{{BY}}}": "0x60"}, "20m", "21m", BY),
    Case("ModelwardGuardNotReady", {f"modelward_guard_ready{{{BY}}}": "1 0x60"}, "15m", "16m", BY),
    Case("ModelwardBrakeEngaged", {f"modelward_brake_engaged{{{BY}}}": "0 0 1x60"}, "1m", "3m", BY),
    Case(
        "ModelwardOpenAlert",
        {
            f'modelward_alerts_firing{{{BY}, kind="unstable read"}}': "0 1x60",
            f'modelward_alerts_firing{{{BY}, kind="disk filling"}}': "1x60",
        },
        "0m",
        "2m",
        f'{BY}, kind="unstable read"',
    ),
    Case(
        "ModelwardModelUnhealthy",
        {
            f'modelward_model_healthy{{{BY}, model="llama3:latest"}}': "1 0x60",
            f'modelward_model_healthy{{{BY}, model="other:latest"}}': "1x60",
        },
        "5m",
        "6m",
        f'{BY}, model="llama3:latest"',
    ),
    Case(
        "ModelwardModelNotRecoverable",
        {f'modelward_model_recoverable{{{BY}, model="llama3:latest"}}': "1 0x200"},
        "60m",
        "61m",
        f'{BY}, model="llama3:latest"',
    ),
    Case(
        "ModelwardModelWithoutSnapshot",
        {f'modelward_model_snapshots{{{BY}, model="llama3:latest"}}': "0x100"},
        "25h",
        "26h",
        f'{BY}, model="llama3:latest"',
        "1h",
    ),
    Case(
        "ModelwardModelNotVerified",
        {f'modelward_model_last_verified_timestamp_seconds{{{BY}, model="llama3:latest"}}': "0x400"},
        "336h",
        "338h",
        f'{BY}, model="llama3:latest"',
        "1h",
    ),
    Case(
        "ModelwardDamageFound",
        {
            f'modelward_damage_total{{{BY}, model="llama3:latest", kind="Corrupt"}}': "0x10 1x60",
            f'modelward_damage_total{{{BY}, model="llama3:latest", kind="Missing"}}': "5x60",
        },
        "10m",
        "12m",
        'instance="guard:8484", model="llama3:latest", kind="Corrupt"',
    ),
    Case("ModelwardServerDown", {f"modelward_server_up{{{BY}}}": "1 0x60"}, "2m", "3m", BY),
    Case(
        "ModelwardProbesFail",
        {
            f"modelward_server_up{{{BY}}}": "1x60",
            f'modelward_probe_failures_total{{{BY}, model="llama3:latest"}}': "0x31 1x10 2x40",
        },
        "35m",
        "45m",
        f'{BY}, model="llama3:latest"',
    ),
    Case(
        "ModelwardAnswersSlow",
        {
            f'modelward_probe_seconds_bucket{{{BY}, model="llama3:latest", le="10"}}': "0x200",
            f'modelward_probe_seconds_bucket{{{BY}, model="llama3:latest", le="60"}}': "0+1x200",
            f'modelward_probe_seconds_bucket{{{BY}, model="llama3:latest", le="+Inf"}}': "0+1x200",
        },
        "40m",
        "90m",
        'instance="guard:8484", model="llama3:latest"',
    ),
    Case(
        "ModelwardDiskFilling",
        {
            f'modelward_disk_free_bytes{{{BY}, of="vault"}}': "6 4x60",
            f'modelward_disk_total_bytes{{{BY}, of="vault"}}': "100x60",
        },
        "10m",
        "11m",
        f'{BY}, of="vault"',
    ),
    Case(
        "ModelwardDiskFullSoon",
        {
            f'modelward_disk_free_bytes{{{BY}, of="vault"}}': "340-5x60",
            f'modelward_disk_total_bytes{{{BY}, of="vault"}}': "1000x60",
        },
        "18h",
        "22h",
        f'{BY}, of="vault"',
        "1h",
    ),
    Case(
        "ModelwardScrubOverdue",
        {
            f'modelward_scrub_last_pass_timestamp_seconds{{{BY}, of="store"}}': "0x600",
            f'modelward_scrub_last_pass_timestamp_seconds{{{BY}, of="vault"}}': "0x600",
        },
        "264h",
        "266h",
        f'{BY}, of="store"',
        "1h",
    ),
    Case(
        "ModelwardScrubOverdue",
        {f'modelward_scrub_last_pass_timestamp_seconds{{{BY}, of="vault"}}': "0x600"},
        "504h",
        "506h",
        f'{BY}, of="vault"',
        "1h",
    ),
    Case(
        "ModelwardDrillOverdue",
        {f"modelward_drill_last_success_timestamp_seconds{{{BY}}}": "0x600"},
        "360h",
        "362h",
        BY,
        "1h",
    ),
)


def promtool(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run Prometheus' own checker; skips where it is not installed."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on PATH")
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=120)


def rules() -> list[dict[str, Any]]:
    """Every rule of the file."""
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def tried(tmp_path: Path, *tests: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Let promtool play these tests on our rules, which it looks at whenever the series have a new value."""
    path = tmp_path / "tests.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": tests[0]["interval"], "tests": list(tests)}
    path.write_text(yaml.safe_dump(document))
    return promtool("test", "rules", str(path))


def played(case: Case) -> dict[str, Any]:
    """A case as promtool wants it: the alert's own series says whether it fires."""
    asked = f'ALERTS{{alertname="{case.alert}", alertstate="firing"}}'
    severity = next(rule["labels"]["severity"] for rule in rules() if rule["alert"] == case.alert)
    fired = f'ALERTS{{alertname="{case.alert}", alertstate="firing", severity="{severity}", {case.labels}}}'
    return {
        "interval": case.one,
        "name": case.alert,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": case.silent, "exp_samples": []},
            {"expr": asked, "eval_time": case.fires, "exp_samples": [{"labels": fired, "value": 1}]},
        ],
    }


def test_the_rules_are_rules() -> None:
    """promtool reads the file, and finds no fault in it."""
    ran = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(rules())} rules found" in ran.stdout


def test_the_sample_configuration_is_one(tmp_path: Path) -> None:
    """promtool reads it together with the rules and the token that it names."""
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "token").write_text("mw_sample")
    ran = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.labels[-14:-1]}")
def test_each_rule_fires_when_it_should(tmp_path: Path, case: Case) -> None:
    """Silent before its time, with the same series; then it fires, for the right model, folder or guard alone."""
    ran = tried(tmp_path, played(case))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_rule_is_tried() -> None:
    """No rule without a case."""
    assert {rule["alert"] for rule in rules()} == {case.alert for case in CASES}


def test_a_server_that_is_down_hides_failing_probes(tmp_path: Path) -> None:
    """One outage is one alert: the models of a server that is down are not told one by one."""
    case = next(each for each in CASES if each.alert == "ModelwardProbesFail")
    down = case._replace(series={name: "0x60" if "server_up" in name else of for name, of in case.series.items()})
    test = played(down)
    for asked in test["promql_expr_test"]:
        asked["exp_samples"] = []
    assert tried(tmp_path, test).returncode == 0


def test_what_a_message_says(tmp_path: Path) -> None:
    """Templates are filled in: the kind of an open alert is the anchor of its runbook."""
    rule = next(each for each in rules() if each["alert"] == "ModelwardOpenAlert")
    link = rule["annotations"]["runbook_url"].partition("#")[0]
    test = {
        "interval": "1m",
        "input_series": [{"series": f'modelward_alerts_firing{{{BY}, kind="unstable read"}}', "values": "1x10"}],
        "alert_rule_test": [
            {
                "alertname": "ModelwardOpenAlert",
                "eval_time": "5m",
                "exp_alerts": [
                    {
                        "exp_labels": {
                            "severity": "warning",
                            "kind": "unstable read",
                            "instance": "guard:8484",
                            "job": "modelward",
                        },
                        "exp_annotations": {
                            "summary": "The guard at guard:8484 has an open alert: unstable read",
                            "description": rule["annotations"]["description"],
                            "runbook_url": f"{link}#unstable-read",
                        },
                    }
                ],
            }
        ],
    }
    ran = tried(tmp_path, test)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_use_metrics_that_exist() -> None:
    """A rule on a name that nobody exports would never fire."""
    for rule in rules():
        used = set(re.findall(r"\bmodelward_[a-z_]+", rule["expr"]))
        assert used <= METRICS.keys()
        assert used or "up{" in rule["expr"]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_rule_leads_to_help(rule: dict[str, Any]) -> None:
    """Each has a severity, a summary, what to do, and a link to a heading that exists in our documents."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys()
    file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    page = (FOLDER / file).resolve()
    assert page.is_relative_to(ROOT / "docs")
    assert "{{" in anchor or anchor in anchors(page.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as Markdown viewers make them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}
