"""Metrics: exactly these names, few series a model, counted once each, and read by the ecosystem's own tools."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from modelward.api.server import Running
from modelward.client import Client
from modelward.domain.alert import Alert, Kind, State
from modelward.domain.errors import JournalBroken
from modelward.domain.exposition import Family, Sample, labelled, text
from modelward.domain.history import ActionRow, CheckRow, DrillRow, FindingRow, ProbeRow, ScrubRow
from modelward.domain.name import ModelName
from modelward.domain.standing import BrakeStanding, ModelStanding, ServerStanding, Standing, TaskStanding
from modelward.domain.store import Space
from modelward.guard.board import Board
from modelward.guard.gauge import Gauge
from modelward.metrics import Figures, Tally, exposition, family_of
from modelward.testing import FrozenClock, MemoryJournal
from tests.api.conftest import admin, anyone, running, stage
from tests.api.stage import Stage
from tests.places import BEGIN

__all__ = ["admin", "anyone", "running", "stage"]

NAMES = {
    "modelward_build_info",
    "modelward_model_healthy",
    "modelward_model_recoverable",
    "modelward_model_last_verified_timestamp_seconds",
    "modelward_model_bytes",
    "modelward_model_snapshots",
    "modelward_model_snapshot_timestamp_seconds",
    "modelward_model_protection_class",
    "modelward_model_availability_ratio",
    "modelward_probe_seconds",
    "modelward_probe_failures_total",
    "modelward_damage_total",
    "modelward_repairs_total",
    "modelward_scrub_bytes_total",
    "modelward_scrub_last_pass_timestamp_seconds",
    "modelward_vault_bytes",
    "modelward_disk_free_bytes",
    "modelward_disk_total_bytes",
    "modelward_drill_seconds",
    "modelward_drill_last_success_timestamp_seconds",
    "modelward_alerts_firing",
    "modelward_brake_engaged",
    "modelward_server_up",
    "modelward_guard_ready",
    "modelward_guard_last_pass_timestamp_seconds",
}
LLAMA = ModelName.parse("llama3")


def standing(names: Iterable[ModelName]) -> Standing:
    """A picture in which every figure has a value."""
    models = tuple(
        ModelStanding(
            name=name,
            size=4_661_224_676,
            healthy=True,
            recoverable=True,
            protected=True,
            policy="restore",
            verified_at=BEGIN,
            snapshots=3,
            snapshot_at=BEGIN,
            protection="2 other device",
        )
        for name in names
    )
    alert = Alert(
        kind=Kind.DISK, subject="store", since=BEGIN, state=State.FIRING, detail="full", next="space", due=BEGIN
    )
    return Standing(
        at=BEGIN,
        started_at=BEGIN,
        version="1",
        store="/s",
        vault="/v",
        ready=True,
        why="",
        models=models,
        server=ServerStanding(up=True),
        brake=BrakeStanding(engaged=True, since=BEGIN, why="four at once"),
        tasks=(TaskStanding(name="scrub vault", last_at=BEGIN),),
        alerts=(alert,),
        space={"store": Space(total=100, free=40), "vault": Space(total=200, free=30)},
    )


def journal(names: Iterable[ModelName]) -> MemoryJournal:
    """A journal in which every counter has something to count."""
    found = MemoryJournal()
    for name in names:
        model = str(name)
        found.add([ProbeRow(at=BEGIN, model=model, outcome="ok", seconds=seconds) for seconds in (0.1, 0.7, 40.0)])
        found.add([ProbeRow(at=BEGIN, model=model, outcome=what, seconds=1.0) for what in ("timeout", "busy")])
        found.add(
            [FindingRow(at=BEGIN, model=model, kind=kind, text="x") for kind in ("Missing", "Corrupt", "Unreadable")]
        )
        found.add([CheckRow(at=BEGIN, model=model, healthy=True, recoverable=True, ready=True)])
        later = BEGIN + timedelta(minutes=1)
        found.add([CheckRow(at=later, model=model, healthy=True, recoverable=True, ready=True)])
    found.add([ActionRow(at=BEGIN, cause="guard", verb="repair", source="vault")])
    found.add([ActionRow(at=BEGIN, cause="guard", verb="repair", source="vault", error="no space")])
    found.add([ScrubRow(at=BEGIN, of="store", device="d", bytes=7, seconds=1.0)])
    drill = DrillRow(at=BEGIN, model="m", snapshot="s", bytes=1, restore_seconds=2, verify_seconds=3, ok=True)
    found.add([drill])
    return found


def made(count: int = 1, *, openmetrics: bool = False) -> str:
    """The text for so many models."""
    names = [ModelName.parse(f"model{number}:7b") for number in range(count)]
    tally = Tally(journal(names), BEGIN - timedelta(days=1))
    tally.update(BEGIN + timedelta(minutes=2), map(str, names))
    figures = Figures(version="1.2.3", ready=True, standing=standing(names), vault_bytes=12)
    return exposition(figures, tally, openmetrics=openmetrics).decode()


def values(text: str) -> dict[str, float]:
    """Series to value."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


def test_exactly_these_metrics_are_there() -> None:
    """Every name of the list, and no other, each with its help and type."""
    text = made()
    assert set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) == NAMES
    assert set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)) == NAMES


def test_a_model_has_at_most_twenty_series() -> None:
    """However much happened to it, so that a thousand models stay affordable; and no label is a digest."""
    mine = [series for series in values(made()) if 'model="model0:7b"' in series]
    assert 15 < len(mine) <= 20
    assert "sha256" not in made()


def test_values_are_those_of_board_and_journal() -> None:
    """Each figure is what was put in, in its unit."""
    found = values(made())
    model = 'model="model0:7b"'
    assert found[f"modelward_model_bytes{{{model}}}"] == 4_661_224_676
    assert found[f"modelward_model_healthy{{{model}}}"] == 1
    assert found[f"modelward_model_protection_class{{{model}}}"] == 2
    assert found[f"modelward_model_last_verified_timestamp_seconds{{{model}}}"] == BEGIN.timestamp()
    assert found[f"modelward_model_availability_ratio{{{model}}}"] == 1
    assert found[f"modelward_probe_failures_total{{{model}}}"] == 1
    assert found[f"modelward_probe_seconds_count{{{model}}}"] == 3
    assert found[f'modelward_probe_seconds_bucket{{le="1.0",{model}}}'] == 2
    assert found[f'modelward_probe_seconds_bucket{{le="+Inf",{model}}}'] == 3
    assert found[f"modelward_probe_seconds_sum{{{model}}}"] == pytest.approx(40.8)
    assert found[f'modelward_damage_total{{kind="lost",{model}}}'] == 1
    assert found['modelward_repairs_total{outcome="done",source="vault"}'] == 1
    assert found['modelward_repairs_total{outcome="failed",source="vault"}'] == 1
    assert found['modelward_scrub_bytes_total{of="store"}'] == 7
    assert found['modelward_scrub_bytes_total{of="vault"}'] == 0
    assert found["modelward_drill_seconds"] == 5
    assert found["modelward_vault_bytes"] == 12
    assert found['modelward_disk_free_bytes{of="vault"}'] == 30
    assert found['modelward_alerts_firing{kind="disk filling"}'] == 1
    assert found['modelward_alerts_firing{kind="brake"}'] == 0
    assert found["modelward_brake_engaged"] == 1
    assert found["modelward_server_up"] == 1


def test_what_nobody_knows_is_left_out() -> None:
    """A model that was not proved is neither healthy nor not; before the first look there are no models at all."""
    unknown = ModelStanding(
        name=LLAMA, size=1, healthy=None, recoverable=False, protected=True, policy="restore", verified_at=None
    )
    seen = standing([])
    figures = Figures(
        version="1",
        ready=False,
        standing=Standing(
            at=seen.at, started_at=seen.at, version="1", store="", vault="", ready=False, why="", models=(unknown,)
        ),
    )
    found = values(exposition(figures, Tally(MemoryJournal(), BEGIN)).decode())
    assert 'modelward_model_healthy{model="llama3:latest"}' not in found
    assert 'modelward_model_last_verified_timestamp_seconds{model="llama3:latest"}' not in found
    assert 'modelward_model_protection_class{model="llama3:latest"}' not in found
    assert found['modelward_model_recoverable{model="llama3:latest"}'] == 0
    assert "modelward_server_up" not in found
    assert "modelward_vault_bytes" not in found
    empty = values(exposition(Figures(version="1", ready=False), Tally(MemoryJournal(), BEGIN)).decode())
    assert empty["modelward_guard_ready"] == 0


def test_rows_are_counted_once() -> None:
    """Asking again counts only what came since, rows of the same moment included."""
    found = MemoryJournal()
    tally = Tally(found, BEGIN)
    rows = [FindingRow(at=BEGIN, model=str(LLAMA), kind="Corrupt", text=str(number)) for number in range(3)]
    for count, row in enumerate(rows, start=1):
        found.add([row])
        for _ in range(3):
            tally.update(BEGIN, [str(LLAMA)])
        assert tally.damage == {(str(LLAMA), "wrong"): count}
    found.add([FindingRow(at=BEGIN + timedelta(seconds=1), model="", kind="Missing", text="x")])
    tally.update(BEGIN, [])
    assert tally.damage["", "lost"] == 1
    assert sum(tally.damage.values()) == 4


def test_what_was_before_the_guard_is_not_counted() -> None:
    """Counters begin at nothing with the guard; only the last drill is remembered from before."""
    tally = Tally(journal([LLAMA]), BEGIN + timedelta(hours=1))
    tally.update(BEGIN + timedelta(hours=2), [str(LLAMA)])
    assert not tally.damage
    assert not tally.repairs
    assert tally.drilled is not None


def test_availability_of_many_models_is_looked_at_in_turn() -> None:
    """A few models a time, each of them in the end, and those that are gone no more."""
    names = [ModelName.parse(f"m{number}") for number in range(120)]
    tally = Tally(journal(names), BEGIN)
    now = BEGIN + timedelta(minutes=2)
    sizes = []
    for _ in range(3):
        tally.update(now, map(str, names))
        sizes.append(len(tally.availability))
    assert sizes == [50, 100, 120]
    tally.update(now, map(str, names[:5]))
    assert set(tally.availability) == set(map(str, names[:5]))


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("Missing", "lost"),
        ("ManifestLost", "lost"),
        ("Unreadable", "unreadable"),
        ("Corrupt", "wrong"),
        ("new", "wrong"),
    ],
)
def test_kinds_of_damage_are_few(kind: str, family: str) -> None:
    """Three families of damage keep a model's series few."""
    assert family_of(kind) == family


def test_openmetrics_ends_as_it_has_to() -> None:
    """The other format closes with its mark of the end."""
    assert made(openmetrics=True).endswith("# EOF\n")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_ecosystems_own_parsers_read_both_formats(*, openmetrics: bool) -> None:
    """Every series comes back with its name, labels and number, in families of the right type."""
    parse = open_families if openmetrics else plain_families
    text = made(3, openmetrics=openmetrics)
    found = list(parse(text))
    assert {family.type for family in found} == {"gauge", "counter", "histogram"} | ({"info"} if openmetrics else set())
    samples = [sample for family in found for sample in family.samples]
    assert [sample.value for sample in samples] == list(values(text).values())
    assert {sample.labels["model"] for sample in samples if "model" in sample.labels} == {
        "model0:7b",
        "model1:7b",
        "model2:7b",
    }


@pytest.mark.parametrize("openmetrics", [False, True])
@given(value=st.text(), about=st.text(min_size=1), number=st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_and_number_comes_back_from_a_parser(  # a label is not always as tame as a model's name
    value: str, about: str, number: float, *, openmetrics: bool
) -> None:
    """Quotes, backslashes and ends of lines in labels are escaped, and a number loses no digit."""
    family = Family("a_b", "gauge", "about", [Sample("", labelled(of=value, at=about), number)])
    parse = open_families if openmetrics else plain_families
    (found,) = parse(text([family], openmetrics=openmetrics).decode(errors="surrogatepass"))
    (sample,) = found.samples
    assert (sample.labels, sample.value) == ({"of": value, "at": about}, number)


def test_promtool_finds_nothing_to_say() -> None:
    """Names, units, types and help are as Prometheus' own linter wants them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=made(3), capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# Over HTTP.


def test_metrics_need_the_scope_read(stage: Stage, anyone: Client) -> None:
    """Names and sizes of models are not for everybody, once there is a token."""
    assert anyone.raw("GET", "/metrics").status == 200
    stage.token()
    assert anyone.raw("GET", "/metrics").status == 401


def test_both_formats_are_served(anyone: Client) -> None:
    """Prometheus' text, or OpenMetrics where that is asked for, each with its content type."""
    plain = anyone.raw("GET", "/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'modelward_model_bytes{model="llama3:latest"}' in plain.body.decode()
    other = anyone.raw("GET", "/metrics", None, {"accept": "application/openmetrics-text;version=1.0.0"})
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.body.endswith(b"# EOF\n")


def test_the_vaults_size_is_counted_now_and_then(stage: Stage, anyone: Client) -> None:
    """Counting walks the vault, so a figure of some minutes ago is good enough."""
    assert "modelward_vault_bytes" not in values(anyone.raw("GET", "/metrics").body.decode())
    anyone.finish(anyone.start("backup").id)
    assert "modelward_vault_bytes" not in values(anyone.raw("GET", "/metrics").body.decode())
    stage.clock.advance(minutes=11)
    give_up = time.monotonic() + 20
    while not (found := values(anyone.raw("GET", "/metrics").body.decode()).get("modelward_vault_bytes")):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert found > 2 << 20


def test_a_large_vault_keeps_no_scrape_waiting() -> None:
    """The walk goes on behind the figures, once for all who ask meanwhile, and shows when it is done."""
    walking, walks = threading.Event(), list[int]()

    def count() -> int:
        walks.append(1)
        walking.wait(20)
        return 7

    gauge = Gauge(Board(), MemoryJournal(), FrozenClock(BEGIN), count)
    assert [gauge.figures().vault_bytes for _ in range(3)] == [None] * 3
    walking.set()
    give_up = time.monotonic() + 20
    while gauge.figures().vault_bytes != 7:
        assert time.monotonic() < give_up
    assert walks == [1]


def test_a_broken_journal_leaves_the_rest(  # a guard that cannot count must still say how it is
    stage: Stage,
    anyone: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A journal that cannot be read costs the counters, not the scrape."""

    def broken(*_: object, **__: object) -> tuple[()]:
        raise JournalBroken("the disk is gone")

    monkeypatch.setattr(stage.journal, "rows", broken)
    assert anyone.raw("GET", "/metrics").status == 200


def test_a_real_prometheus_scrapes_a_guard(
    stage: Stage,
    running: Running,
    tmp_path: Path,
) -> None:
    """Prometheus with a token finds the guard up, and knows its models."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("no prometheus on PATH")
    place = running.address.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: modelward\n"
        f"  authorization: {{credentials: {stage.token()}}}\n  static_configs: [{{targets: ['{place}']}}]\n"
    )
    words = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [*words, "--web.listen-address=127.0.0.1:0", "--log.level=info"], stdout=log, stderr=log
        ) as process,
    ):
        try:
            assert _up(process, tmp_path / "log")
        finally:
            process.terminate()


def _up(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    """Whether the scraped figures can be asked for, within a generous time."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and process.poll() is None:
        found = re.search(r"[Ll]istening on.*?address=\S*?127\.0\.0\.1:(\d+)", log.read_text())
        if found is not None:
            asking = Client(f"http://127.0.0.1:{found[1]}")
            answer = asking.raw("GET", "/api/v1/query?query=modelward_model_bytes")
            if answer.status == 200 and b'"llama3:latest"' in answer.body:
                return b'"1"' in asking.raw("GET", "/api/v1/query?query=up").body
        time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])
