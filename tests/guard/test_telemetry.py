"""Telemetry of the guard: jobs as spans, one source of metrics, and a queue that drops and counts what is too much."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from modelward.domain.errors import DeliveryFailed, WriteFailed
from modelward.domain.exposition import Family, Sample, labelled
from modelward.domain.name import ModelName
from modelward.domain.telemetry import Counts, Parcel, Sent, Span
from modelward.guard.board import Board
from modelward.guard.jobs import Job, Jobs
from modelward.guard.telemetry import BATCH, MOST, TRIES, Telemetry
from modelward.testing import FrozenClock
from modelward.testing.journal import MemoryJournal
from tests.places import Notes

NAME = ModelName.parse("llama3")


class Collector:
    """A collector that keeps parcels, and answers as it is told to."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.answer: Callable[[], Sent] = Sent

    def send(self, parcel: Parcel, seconds: float = 25.0) -> Sent:
        """Keep it."""
        assert seconds > 0
        self.parcels.append(parcel)
        return self.answer()

    @property
    def spans(self) -> list[Span]:
        """All that came."""
        return [span for parcel in self.parcels for span in parcel.spans]


class Desk:
    """Jobs that are told to a collector."""

    def __init__(self) -> None:
        self.clock, self.notes = FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)), Notes()
        self.collector = Collector()
        self.telemetry = Telemetry(self.clock, self.notes, {"service.version": "9"}, lambda: timedelta(seconds=0.02))
        self.telemetry.use(self.collector)
        self.jobs = Jobs(self.clock, self.notes, MemoryJournal(), Board().stir)
        self.jobs.told = self.telemetry.ended

    def do(self, run: Callable[[Job], object], kind: str = "repair") -> None:
        """Carry a job out."""
        self.jobs.now(kind, (NAME,), "user", run, threading.Event())


@pytest.fixture
def desk() -> Desk:
    """A desk with a collector."""
    return Desk()


def test_a_job_is_a_span_with_its_stages_and_steps_below(desk: Desk) -> None:
    """Each has its own time; a step of a plan lies below its stage, with model and bytes, and a failed one says why."""

    def run(job: Job) -> None:
        job.begin("read", 100)
        desk.clock.advance(seconds=2)
        job.advance(100)
        job.begin("look into /srv/models of somebody", 10)
        desk.clock.advance(seconds=1)
        job.begin("heal", 50)
        desk.clock.advance(seconds=3)
        job.say("step", step="PatchBlob", model=str(NAME), bytes=40, seconds=3.0, error="")
        desk.clock.advance(seconds=1)
        job.say("step", step="PlaceManifest", model=str(NAME), bytes=2, seconds=0.5, error="no room")

    desk.do(run)
    desk.telemetry.export()
    job, *below = desk.collector.spans
    assert (job.name, job.parent, job.error, job.ended - job.began) == ("repair", "", "", 7_000_000_000)
    assert job.keys["modelward.models"] == (NAME.short,)
    assert [(span.name, (span.ended - span.began) / 1e9) for span in below] == [
        ("read", 2),
        ("look into", 1),
        ("heal", 4),
        ("PatchBlob", 3),
        ("PlaceManifest", 0.5),
    ]
    read, look, heal, patch, place = below
    assert {read.parent, look.parent, heal.parent} == {job.id}
    assert {patch.parent, place.parent} == {heal.id}
    assert {span.trace for span in below} == {job.trace}
    assert (read.keys["modelward.bytes"], patch.keys["modelward.bytes"], place.error) == (100, 40, "no room")
    assert len({span.id for span in (job, *below)}) == 6


def test_a_failed_job_is_a_failed_span(desk: Desk) -> None:
    """With the error for people, and its kind as an attribute."""

    def run(_: Job) -> None:
        raise WriteFailed("no room", thing="/v")

    desk.do(run)
    desk.telemetry.export()
    (span,) = desk.collector.spans
    assert (span.error, span.keys["error.type"], span.keys["modelward.exit_code"]) == ("/v: no room", "failed", 5)


def test_no_digest_is_an_attribute(desk: Desk) -> None:
    """Digests make a new series of every version; what a step is about is its model."""
    digest = "sha256:" + "ab" * 32
    desk.do(lambda job: job.say("step", step="PlaceBlob", model=str(NAME), blob=digest, bytes=1, seconds=0.1, error=""))
    desk.telemetry.export()
    assert not any("abababab" in str(span.keys) for span in desk.collector.spans)


def test_a_job_of_a_thousand_steps_keeps_the_first(desk: Desk) -> None:
    """And says how many it left out."""

    def run(job: Job) -> None:
        for _ in range(1_000):
            job.say("step", step="PlaceBlob", model=str(NAME), bytes=1, seconds=0.0, error="")

    desk.do(run)
    desk.telemetry.export()
    assert len(desk.collector.spans) == 201
    assert desk.collector.spans[0].keys["modelward.steps.dropped"] == 800


def test_metrics_come_from_the_one_source(desk: Desk) -> None:
    """Gauges, counters, histograms and info are told as they are shown, with labels read back and cumulation undone."""
    name = 'odd "name" \\ of\nlines'
    buckets = [("0.25", 1), ("1.0", 3), ("+Inf", 4)]
    desk.telemetry.families = lambda: [
        Family("modelward_build", "info", "It.", [Sample("", labelled(version="1"), 1)]),
        Family("modelward_model_bytes", "gauge", "Size.", [Sample("", labelled(model=name), 7)]),
        Family("modelward_scrub_bytes", "counter", "Read.", [Sample("", labelled(of="store"), 8)]),
        Family(
            "modelward_probe_seconds",
            "histogram",
            "Time.",
            [
                *(Sample("_bucket", labelled(le=bound, model=name), many) for bound, many in buckets),
                Sample("_count", labelled(model=name), 4),
                Sample("_sum", labelled(model=name), 42.5),
            ],
        ),
    ]
    desk.telemetry.export()
    info, size, read, probes = desk.collector.parcels[0].families
    assert (info.name, info.kind, info.values[0].labels) == ("modelward_build_info", "gauge", {"version": "1"})
    assert (size.unit, size.values[0].labels, size.values[0].value) == ("By", {"model": name}, 7)
    assert (read.name, read.kind, read.unit) == ("modelward_scrub_bytes", "counter", "By")
    (bars,) = probes.bars
    assert (bars.labels, bars.bounds, bars.counts, bars.total) == ({"model": name}, (0.25, 1.0), (1, 2, 1), 42.5)


def test_spans_of_a_dead_collector_are_tried_again_then_lost_and_counted(desk: Desk) -> None:
    """A few times; the next ones are not lost with them, and the log tells the change only."""
    desk.collector.answer = lambda: Sent(spans="nobody listens there", metrics="nobody listens there")
    desk.do(lambda _: None, "verify")
    for _ in range(TRIES - 1):
        desk.telemetry.export()
    assert desk.telemetry.counts == Counts(metrics_lost=TRIES - 1)
    desk.telemetry.export()
    assert desk.telemetry.counts == Counts(spans_lost=1, metrics_lost=TRIES)
    desk.collector.answer = Sent
    desk.do(lambda _: None, "drill")
    desk.telemetry.export()
    assert desk.telemetry.counts == Counts(spans_sent=1, spans_lost=1, metrics_sent=1, metrics_lost=TRIES)
    assert [event for event, _ in desk.notes.events if event.startswith("telemetry")] == [
        "telemetry_failed",
        "telemetry_back",
    ]


def test_a_queue_has_an_end(desk: Desk) -> None:
    """What is too much is dropped, the oldest first, and counted; a turn sends a part of it."""

    def gone() -> Sent:
        raise DeliveryFailed("not sent within 25 s", thing="otlp_endpoint")

    desk.collector.answer = gone
    for number in range(MOST + 100):
        desk.do(lambda _: None, f"job {number}")
    assert desk.telemetry.counts.spans_lost == 100
    desk.telemetry.export()
    desk.collector.answer = Sent
    desk.telemetry.export()
    again, first = desk.collector.parcels
    assert again.spans == first.spans
    assert len(first.spans) == BATCH
    assert first.spans[0].name == "job 100"


def test_nothing_waits_for_a_collector_that_hangs(desk: Desk) -> None:
    """Jobs end and ticks pass while it hangs; the end of the guard waits some seconds at most."""
    hangs = threading.Event()

    def hang() -> Sent:
        hangs.wait(20)
        return Sent()

    desk.collector.answer = hang
    desk.telemetry.tick()
    give_up = time.monotonic() + 10
    while not desk.collector.parcels and time.monotonic() < give_up:
        time.sleep(0.01)
    assert desk.collector.parcels
    began = time.monotonic()
    for _ in range(50):
        desk.do(lambda _: None)
        desk.telemetry.tick()
    assert time.monotonic() - began < 2
    hangs.set()
    desk.telemetry.finish()
    assert len(desk.collector.spans) == 50


def test_without_a_collector_nothing_is_kept(desk: Desk) -> None:
    """Switched off by new settings, what waited is gone, no thread begins, and nothing is sent."""
    desk.do(lambda _: None)
    desk.telemetry.use(None)
    desk.do(lambda _: None)
    desk.telemetry.tick()
    desk.telemetry.export()
    desk.telemetry.finish()
    desk.telemetry.use(desk.collector)
    desk.telemetry.export()
    assert desk.collector.spans == []
    assert len(desk.collector.parcels) == 1


def test_a_job_that_nobody_asks_for_keeps_no_steps() -> None:
    """Memory is for those who switched it on."""
    jobs = Jobs(FrozenClock(datetime(2026, 1, 1, tzinfo=UTC)), Notes(), MemoryJournal(), Board().stir)
    seen: list[Job] = []

    def run(job: Job) -> None:
        job.begin("read", 1)
        seen.append(job)

    jobs.now("verify", (), "user", run, threading.Event())
    assert [job.steps for job in seen] == [None]
