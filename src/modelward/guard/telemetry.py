"""Telling a collector of jobs and metrics: spans wait in a queue with an end, and a thread of its own sends them."""

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from modelward.domain.errors import DeliveryFailed
from modelward.domain.standing import JobState
from modelward.domain.telemetry import Counts, Parcel, Sent, Span, exported
from modelward.guard.jobs import Job, Step
from modelward.ports import Clock, Collector, Progress
from modelward.scan import signals_held

if TYPE_CHECKING:
    from modelward.domain.exposition import Family

MOST: Final = 2_000  # spans that wait; older ones are dropped for newer ones
BATCH: Final = 500
TRIES: Final = 5
_LAST = 4.0  # seconds that a guard which ends gives the last export
_NAMED = 20  # models that a span names
_LONGEST = 300  # characters of an error


class Telemetry:
    """Spans of ended jobs and, at each turn, the metrics as ``families`` gives them; off without a collector.

    A collector that is dead or hangs costs this thread its time and nobody else: what does not get through is tried
    a few times, then dropped and counted.
    """

    def __init__(
        self,
        clock: Clock,
        log: Progress,
        resource: dict[str, str | int],
        interval: Callable[[], timedelta],
    ) -> None:
        self._clock, self._log, self._resource, self._interval = clock, log, resource, interval
        self._since = nanoseconds(clock.now())
        self._spans: deque[Span] = deque()
        self._lock, self._bell = threading.Lock(), threading.Event()
        self._collector: Collector | None = None
        self._thread: threading.Thread | None = None
        self._failed, self._tries = "", 0
        self.families: Callable[[], Iterable[Family]] = tuple
        self.counts = Counts()

    @property
    def on(self) -> bool:
        """Whether there is a collector."""
        return self._collector is not None

    def use(self, collector: Collector | None) -> None:
        """Send there from now on; nowhere for None, and nothing waits any more."""
        with self._lock:
            self._collector, self._tries = collector, 0
            if collector is None:
                self._spans.clear()

    def ended(self, job: Job) -> None:
        """A job is over: keep its spans; never waits."""
        if self._collector is None:
            return
        with self._lock:
            self._spans.extend(spans_of(job))
            self._shorten()

    def _shorten(self) -> None:
        lost = len(self._spans) - MOST
        for _ in range(lost):
            self._spans.popleft()
        if lost > 0:
            self._count(spans_lost=lost)

    def _count(self, **more: int) -> None:
        now = self.counts
        self.counts = Counts(
            spans_sent=now.spans_sent + more.get("spans_sent", 0),
            spans_lost=now.spans_lost + more.get("spans_lost", 0),
            metrics_sent=now.metrics_sent + more.get("metrics_sent", 0),
            metrics_lost=now.metrics_lost + more.get("metrics_lost", 0),
        )

    # The thread.

    def tick(self) -> None:
        """Called once a second by the guard: begin, where there is a collector; waits for nothing."""
        if self._thread is None and self._collector is not None:
            self._thread = threading.Thread(target=self._run, name="guard telemetry", daemon=True)
            with signals_held():
                self._thread.start()

    def _run(self) -> None:
        while not self._bell.wait(self._interval().total_seconds()):
            self.export()

    def finish(self) -> None:
        """Send what is left, once and quickly; a thread that is sending just now is given as long."""
        self._bell.set()
        if self._thread is not None:
            self._thread.join(_LAST)
            if self._thread.is_alive():
                return
        if self._collector is not None:
            self.export(_LAST)

    def export(self, seconds: float | None = None) -> None:
        """One turn: some spans, and all metrics."""
        collector = self._collector
        if collector is None:
            return
        with self._lock:
            batch = tuple(self._spans.popleft() for _ in range(min(BATCH, len(self._spans))))
        parcel = Parcel(
            resource=self._resource,
            version=str(self._resource.get("service.version", "")),
            since=self._since,
            at=nanoseconds(self._clock.now()),
            spans=batch,
            families=tuple(exported(family) for family in self.families()),
        )
        try:
            sent = collector.send(parcel) if seconds is None else collector.send(parcel, seconds)
        except DeliveryFailed as error:
            sent = Sent(spans=error.what, metrics=error.what)
        self._settle(parcel, sent)

    def _settle(self, parcel: Parcel, sent: Sent) -> None:
        with self._lock:
            self._count(**{"metrics_lost" if sent.metrics else "metrics_sent": 1})
            if sent.spans and parcel.spans:
                self._again(parcel.spans)
            else:
                self._tries = 0
                self._count(spans_sent=len(parcel.spans))
        self._tell(sent.spans or sent.metrics)

    def _again(self, batch: Sequence[Span]) -> None:
        self._tries += 1
        if self._tries >= TRIES:
            self._tries = 0
            self._count(spans_lost=len(batch))
        else:
            self._spans.extendleft(reversed(batch))
            self._shorten()

    def _tell(self, error: str) -> None:
        """Log what changed, not every turn."""
        if error and not self._failed:
            self._log.say("telemetry_failed", error=error)
        elif self._failed and not error:
            self._log.say("telemetry_back", spans_lost=self.counts.spans_lost, metrics_lost=self.counts.metrics_lost)
        self._failed = error


def nanoseconds(moment: datetime) -> int:
    """A moment as OpenTelemetry has it; a date has microseconds."""
    return int(moment.timestamp() * 1_000_000) * 1_000


def spans_of(job: Job) -> tuple[Span, ...]:
    """The job as a span, its stages below it, and the steps of a plan below their stage."""
    view = job.view
    if view.began_at is None or view.ended_at is None or job.steps is None:
        return ()
    trace, root = secrets.token_hex(16), secrets.token_hex(8)
    names = tuple(name.short for name in view.models[:_NAMED])
    keys: dict[str, str | int | tuple[str, ...]] = {
        "modelward.job.id": view.id,
        "modelward.job.cause": view.cause,
        "modelward.job.state": view.state.value,
        "modelward.exit_code": view.exit_code,
        **({"modelward.models": names} if names else {}),
        **({"modelward.steps.dropped": job.steps.unkept} if job.steps.unkept else {}),
    }
    failed = view.state is not JobState.DONE
    whole = Span(
        trace=trace,
        id=root,
        name=view.kind,
        began=nanoseconds(view.began_at),
        ended=nanoseconds(view.ended_at),
        error=(view.error or view.state.value)[:_LONGEST] if failed else "",
        keys=keys | ({"error.type": view.state.value} if failed else {}),
    )
    return (whole, *_below(job.steps.kept, trace, root, view.ended_at))


def _below(steps: Sequence[Step], trace: str, root: str, end: datetime) -> list[Span]:
    found: list[Span] = []
    stage = root
    for step in steps:
        own = secrets.token_hex(8)
        stage = own if step.stage else stage
        keys: dict[str, str | int | tuple[str, ...]] = {"modelward.bytes": step.bytes}
        keys |= {"modelward.model": step.model} if step.model else {}
        keys |= {"error.type": "step_failed"} if step.error else {}
        found.append(
            Span(
                trace=trace,
                id=own,
                parent=root if step.stage else stage,
                name=step.name,
                began=nanoseconds(step.began),
                ended=nanoseconds(step.ended or end),
                error=step.error[:_LONGEST],
                keys=keys,
            )
        )
    return found
