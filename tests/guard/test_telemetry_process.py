"""The guard as a process tells a real receiver what it did and what it shows; one that hangs costs it nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelward.testing import FakeStore
from tests.deploy.metric_names import METRICS
from tests.notify.receiver import Receiver, receiving
from tests.program import Program


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback."""
    with receiving() as found:
        yield found


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program over a store with one model."""
    FakeStore(tmp_path / "store").add_model("llama3", b"GGUF" + os.urandom(3 << 20), template=b"{{ .Prompt }}")
    return Program(tmp_path)


def settings(program: Program, receiver: Receiver) -> dict[str, str]:
    """A guard that sends often and asks nobody."""
    return {
        "MODELWARD_STATE": str(program.base / "state"),
        "MODELWARD_LISTEN": f"unix:{program.base / 'guard.sock'}",
        "MODELWARD_PROBE": "off",
        "MODELWARD_OTLP_ENDPOINT": receiver.url,
        "MODELWARD_OTLP_INTERVAL": "1s",
    }


def _until(holds: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_one_round_is_told_whole(program: Program, receiver: Receiver) -> None:
    """Jobs with their stages, and the very families of /metrics, no other and no digest among their labels."""
    assert program.run("guard", "--once", **settings(program, receiver)).code == 0
    traces = [ExportTraceServiceRequest.FromString(got.body) for got in receiver.got if got.path == "/v1/traces"]
    spans = [span for each in traces for span in each.resource_spans[0].scope_spans[0].spans]
    jobs = {span.span_id: span.name for span in spans if not span.parent_span_id}
    assert set(jobs.values()) == {"maintenance"}
    below = {(jobs[span.parent_span_id], span.name) for span in spans if span.parent_span_id in jobs}
    assert {("maintenance", "read"), ("maintenance", "backup")} <= below
    assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    (told,) = (ExportMetricsServiceRequest.FromString(got.body) for got in receiver.got if got.path == "/v1/metrics")
    metrics = told.resource_metrics[0].scope_metrics[0].metrics
    for metric in metrics:
        kind = metric.WhichOneof("data")
        shown = metric.name + {"sum": "_total", "histogram": "_bucket"}.get(kind, "")
        assert shown in METRICS
        for point in getattr(metric, kind).data_points:
            assert {pair.key for pair in point.attributes} == METRICS[shown] - {"le"}
            assert not any(len(pair.value.string_value) >= 64 for pair in point.attributes)
    names = {metric.name for metric in metrics}
    assert {
        "modelward_model_healthy",
        "modelward_vault_bytes",
        "modelward_scrub_bytes",
        "modelward_build_info",
    } <= names


def test_a_collector_that_hangs_costs_the_guard_nothing(program: Program, receiver: Receiver) -> None:
    """While an export hangs a lost manifest is back as ever, and the guard ends in time when it is told to."""
    receiver.hang = True
    with program.start("guard", **settings(program, receiver)) as process:
        try:
            assert receiver.asked.wait(60)
            manifest = FakeStore(program.store).manifest_path("llama3")
            kept = program.vault / "modelward" / "snapshots"
            _until(lambda: any(kept.glob("*.json")), 60)
            manifest.unlink()
            _until(manifest.exists, 20)  # by its event: the next regular look is further away
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - began < 15
        finally:
            process.kill()


def test_without_the_extra_the_guard_says_what_to_do(program: Program, receiver: Receiver) -> None:
    """Before anything begins, with the exit code of a wrong setting; without the setting it needs no extra."""
    hidden = program.base / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()  # a package of that name, and without what is needed
    environ = program.environ()
    path = os.pathsep.join((str(hidden.parent), environ["PYTHONPATH"]))
    ran = program.run("guard", "--once", **settings(program, receiver), PYTHONPATH=path)
    assert ran.code == 2
    assert "pip install 'modelward[otlp]'" in ran.err
    off = settings(program, receiver) | {"MODELWARD_OTLP_ENDPOINT": ""}
    assert program.run("guard", "--once", **off, PYTHONPATH=path).code == 0
    assert receiver.got == []
