"""``python -m modelward.notify.otlp_child``: send one parcel by OTLP/HTTP in protobuf; the job comes by standard input.

The answer is one JSON document on standard output. Here alone is the package of OpenTelemetry loaded.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from modelward.domain.codec import learned
from modelward.domain.errors import DeliveryFailed
from modelward.domain.telemetry import Bars, Family, Parcel, Sent, Span, Value
from modelward.notify.web import SecretAddress

LONGEST: Final = 64 << 20
SECONDS: Final = 10.0
_SCOPE = "modelward"
_INTERNAL, _ERROR, _CUMULATIVE = 1, 2, 2  # SPAN_KIND_INTERNAL, STATUS_CODE_ERROR, AGGREGATION_TEMPORALITY_CUMULATIVE


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, where to (without /v1/...), with which headers, and the proxies of the environment."""

    endpoint: str
    headers: dict[str, str]
    proxies: dict[str, str]
    parcel: Parcel


def main() -> None:
    """Read the job, send it, say what came of it."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer of ours
    job = msgspec.json.decode(sys.stdin.buffer.read(LONGEST), type=learned(Job))
    os.write(out, msgspec.json.encode(deliver(job)))


def deliver(job: Job) -> Sent:
    """Post the spans, then the metrics, whichever there are."""
    parcel = job.parcel
    spans = _post(job, "traces", traces(parcel)) if parcel.spans else ""
    return Sent(spans=spans, metrics=_post(job, "metrics", metrics(parcel)) if parcel.families else "")


def _post(job: Job, signal: str, body: bytes) -> str:
    """Why it was not taken; empty when it was."""
    headers = {**job.headers, "Content-Type": "application/x-protobuf", "User-Agent": f"modelward/{job.parcel.version}"}
    try:
        address = SecretAddress(f"{job.endpoint.rstrip('/')}/v1/{signal}", "otlp_endpoint", job.proxies, SECONDS)
        address.ask("POST", headers, body)
    except DeliveryFailed as error:
        return error.what
    return ""


# Values as the messages of opentelemetry-proto.


def traces(parcel: Parcel) -> bytes:
    """An ExportTraceServiceRequest."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    block = request.resource_spans.add()
    _keys(block.resource, parcel.resource)
    scope = block.scope_spans.add()
    scope.scope.name, scope.scope.version = _SCOPE, parcel.version
    for span in parcel.spans:
        _span(scope.spans.add(), span)
    return bytes(request.SerializeToString())


def metrics(parcel: Parcel) -> bytes:
    """An ExportMetricsServiceRequest."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    block = request.resource_metrics.add()
    _keys(block.resource, parcel.resource)
    scope = block.scope_metrics.add()
    scope.scope.name, scope.scope.version = _SCOPE, parcel.version
    for family in parcel.families:
        if family.values or family.bars:
            _family(scope.metrics.add(), family, parcel)
    return bytes(request.SerializeToString())


def _span(made: Any, span: Span) -> None:  # noqa: ANN401 - messages are made by protobuf at run time
    made.trace_id, made.span_id = bytes.fromhex(span.trace), bytes.fromhex(span.id)
    made.parent_span_id = bytes.fromhex(span.parent)
    made.name, made.kind = span.name, _INTERNAL
    made.start_time_unix_nano, made.end_time_unix_nano = span.began, span.ended
    if span.error:
        made.status.code, made.status.message = _ERROR, span.error
    _keys(made, span.keys)


def _family(made: Any, family: Family, parcel: Parcel) -> None:  # noqa: ANN401 - as above
    made.name, made.description, made.unit = family.name, family.about, family.unit
    if family.kind == "histogram":
        made.histogram.aggregation_temporality = _CUMULATIVE
        _bars(made.histogram.data_points, family.bars, parcel)
    elif family.kind == "counter":
        made.sum.aggregation_temporality, made.sum.is_monotonic = _CUMULATIVE, True
        _values(made.sum.data_points, family.values, parcel, since=parcel.since)
    else:
        _values(made.gauge.data_points, family.values, parcel)


def _values(points: Any, values: Iterable[Value], parcel: Parcel, *, since: int = 0) -> None:  # noqa: ANN401 - as above
    for value in values:
        point = points.add()
        point.start_time_unix_nano, point.time_unix_nano, point.as_double = since, parcel.at, value.value
        _keys(point, value.labels)


def _bars(points: Any, bars: Iterable[Bars], parcel: Parcel) -> None:  # noqa: ANN401 - as above
    for each in bars:
        point = points.add()
        point.start_time_unix_nano, point.time_unix_nano = parcel.since, parcel.at
        point.explicit_bounds.extend(each.bounds)
        point.bucket_counts.extend(each.counts)
        point.count, point.sum = sum(each.counts), each.total
        _keys(point, each.labels)


def _keys(made: Any, keys: Mapping[str, str | int | tuple[str, ...]]) -> None:  # noqa: ANN401 - as above
    for key, value in keys.items():
        pair = made.attributes.add()
        pair.key = key
        if isinstance(value, str):
            pair.value.string_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        else:
            for text in value:
                pair.value.array_value.values.add().string_value = text


if __name__ == "__main__":
    main()
