"""Spans and metrics by OTLP: what a real receiver decodes, and a collector that is away, hangs or refuses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelward.bootstrap import collector
from modelward.config import resolve
from modelward.domain.errors import BadSetting, DeliveryFailed, MissingExtra
from modelward.domain.telemetry import Bars, Family, Parcel, Sent, Span, Value
from modelward.notify import otlp
from modelward.notify.otlp import OtlpCollector, headers_of
from tests.notify.receiver import Receiver, receiving

SECRET = "Bearer 4f9c-never-shown"  # noqa: S105 - a text to look for, no secret of anybody
SECOND = 1_000_000_000
AT = 1_767_614_400 * SECOND
TRACE = "0af7651916cd43dd8448eb211c80319c"
JOB = Span(
    trace=TRACE,
    id="b7ad6b7169203331",
    name="repair",
    began=AT - 3 * SECOND,
    ended=AT,
    error="no source gave good bytes",
    keys={"modelward.models": ("llama3", "mistral:7b"), "modelward.exit_code": 3, "error.type": "failed"},
)
STAGE = Span(trace=TRACE, id="00f067aa0ba902b7", parent=JOB.id, name="heal", began=AT - 2 * SECOND, ended=AT)
PARCEL = Parcel(
    resource={"service.name": "modelward", "process.pid": 7},
    version="1.2.3",
    since=AT - 60 * SECOND,
    at=AT,
    spans=(JOB, STAGE),
    families=(
        Family(
            name="modelward_vault_bytes",
            about="Bytes of the vault's objects.",
            kind="gauge",
            unit="By",
            values=(Value(labels={}, value=12.0),),
        ),
        Family(
            name="modelward_damage",
            about="Damage found.",
            kind="counter",
            values=(Value(labels={"model": "llama3", "kind": "lost"}, value=2.0),),
        ),
        Family(
            name="modelward_probe_seconds",
            about="Time to an answer.",
            kind="histogram",
            unit="s",
            bars=(Bars(labels={"model": "llama3"}, bounds=(0.25, 1.0), counts=(1, 2, 1), total=42.5),),
        ),
        Family(name="modelward_repairs", about="None yet.", kind="counter"),
    ),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A web server on loopback."""
    with receiving() as found:
        yield found


def at(url: str, **headers: str) -> OtlpCollector:
    """A collector there, without proxies."""
    return OtlpCollector(url, headers, {name: text for name, text in os.environ.items() if "proxy" not in name.lower()})


def test_a_receiver_reads_the_spans(receiver: Receiver) -> None:
    """Ids, parents, times, attributes and the error are those of the job, under the resource that tells them."""
    assert at(receiver.url).send(PARCEL) == Sent()
    (got,) = (got for got in receiver.got if got.path == "/v1/traces")
    assert (got.method, got.headers["Content-Type"]) == ("POST", "application/x-protobuf")
    (block,) = ExportTraceServiceRequest.FromString(got.body).resource_spans
    assert {pair.key for pair in block.resource.attributes} == {"service.name", "process.pid"}
    (scope,) = block.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("modelward", "1.2.3")
    job, stage = scope.spans
    assert (job.trace_id.hex(), job.span_id.hex(), job.parent_span_id, job.name) == (TRACE, JOB.id, b"", "repair")
    assert (job.start_time_unix_nano, job.end_time_unix_nano) == (JOB.began, JOB.ended)
    assert (job.status.code, job.status.message) == (2, JOB.error)
    keys = {pair.key: pair.value for pair in job.attributes}
    assert [each.string_value for each in keys["modelward.models"].array_value.values] == ["llama3", "mistral:7b"]
    assert (keys["modelward.exit_code"].int_value, keys["error.type"].string_value) == (3, "failed")
    assert (stage.parent_span_id.hex(), stage.status.code) == (JOB.id, 0)


def test_a_receiver_reads_the_metrics(receiver: Receiver) -> None:
    """Gauges, counters that only grow, and histograms by their buckets; a family without a series is left out."""
    at(receiver.url).send(PARCEL)
    (got,) = (got for got in receiver.got if got.path == "/v1/metrics")
    (block,) = ExportMetricsServiceRequest.FromString(got.body).resource_metrics
    gauge, counter, histogram = block.scope_metrics[0].metrics
    assert (gauge.name, gauge.unit, gauge.gauge.data_points[0].as_double) == ("modelward_vault_bytes", "By", 12.0)
    assert (counter.sum.is_monotonic, counter.sum.aggregation_temporality) == (True, 2)
    (point,) = counter.sum.data_points
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (2.0, PARCEL.since, AT)
    assert {pair.key: pair.value.string_value for pair in point.attributes} == {"model": "llama3", "kind": "lost"}
    (bars,) = histogram.histogram.data_points
    assert (list(bars.explicit_bounds), list(bars.bucket_counts)) == ([0.25, 1.0], [1, 2, 1])
    assert (bars.count, bars.sum) == (4, 42.5)


def test_headers_go_to_the_collector_and_are_shown_to_nobody(receiver: Receiver) -> None:
    """Neither the arguments nor the environment of a process have them, nor does a failure."""
    receiver.watch, receiver.status = True, 401
    sent = at(receiver.url, Authorization=SECRET).send(PARCEL)
    assert {got.headers["Authorization"] for got in receiver.got} == {SECRET}
    assert sent == Sent(spans="answered 401", metrics="answered 401")
    assert not any(SECRET in text for text in receiver.shown)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """It could lead the headers elsewhere."""
    receiver.status, receiver.location = 307, f"{receiver.url}/elsewhere"
    assert "redirect" in at(receiver.url).send(PARCEL).spans
    assert {got.path for got in receiver.got} == {"/v1/traces", "/v1/metrics"}


def test_a_dead_collector_is_said(receiver: Receiver) -> None:
    """Nobody listens: both signals fail, and that is an answer, no error of the guard."""
    with receiving() as gone:
        url = gone.url
    assert receiver.url != url
    sent = at(url).send(PARCEL)
    assert "nobody listens" in sent.spans
    assert "nobody listens" in sent.metrics


def test_a_collector_that_hangs_is_given_up(receiver: Receiver) -> None:
    """At the deadline the child is ended, and nothing of it is left."""
    receiver.hang = True
    began = time.monotonic()
    with pytest.raises(DeliveryFailed, match=r"not sent within 1\.5 s"):
        at(receiver.url).send(PARCEL, 1.5)
    assert time.monotonic() - began < 10


def test_without_the_extra_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that needs the extra is refused at the start, with the command that installs it."""
    monkeypatch.setattr(otlp, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"otlp_endpoint: needs the extra otlp.*pip install 'modelward\[otlp\]'"):
        at("http://127.0.0.1:4318")


def test_the_guards_process_stays_without_the_library(receiver: Receiver) -> None:
    """What decodes and encodes is loaded by the child alone, also while the collector is in use."""
    code = (
        "import sys, msgspec, modelward.serve\n"
        "from modelward.domain.telemetry import Parcel\n"
        "from modelward.notify.otlp import OtlpCollector\n"
        "parcel = msgspec.json.decode(sys.stdin.buffer.read(), type=Parcel)\n"
        "print(OtlpCollector(sys.argv[1], {}, {}).send(parcel))\n"
        "print([name for name in sys.modules if name.startswith('google') or name.endswith('_pb2')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, receiver.url],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        input=msgspec.json.encode(PARCEL),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [str(Sent()), "[]"]
    assert {got.path for got in receiver.got} == {"/v1/traces", "/v1/metrics"}


def test_settings_lead_to_the_collector(tmp_path: Path, receiver: Receiver) -> None:
    """Off by default; the endpoint with headers of both places, which are never shown."""
    file = tmp_path / "headers"
    file.write_text(f"# for the collector\nAuthorization={SECRET}\n")
    given = {
        "MODELWARD_OTLP_ENDPOINT": f"{receiver.url}/otlp/",
        "MODELWARD_OTLP_HEADERS": "x-tenant=home",
        "MODELWARD_OTLP_HEADERS_FILE": str(file),
    }
    off = resolve({}, {}, platform="linux", home=tmp_path, cwd=tmp_path)
    assert collector(off.settings) is None
    on = resolve({}, given, platform="linux", home=tmp_path, cwd=tmp_path)
    found = collector(on.settings)
    assert found is not None
    assert found.send(PARCEL) == Sent()
    assert {got.path for got in receiver.got} == {"/otlp/v1/traces", "/otlp/v1/metrics"}
    assert {(got.headers["x-tenant"], got.headers["Authorization"]) for got in receiver.got} == {("home", SECRET)}
    shown = json.dumps([origin.value for origin in on.origins])
    assert SECRET not in shown
    assert "x-tenant" not in shown


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "http://user:pass@collector", "http://a b/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """At the start, naming the setting and not the value."""
    with pytest.raises(BadSetting, match="otlp_endpoint"):
        at(url)


@pytest.mark.parametrize("line", ["token", "=value", "two words=1", "name=a\x07b", "name=käse"])
def test_what_is_no_header_is_refused(line: str) -> None:
    """Naming the setting and not the value."""
    with pytest.raises(BadSetting, match="otlp_headers: one of its parts is no header"):
        headers_of((line,), "otlp_headers")
