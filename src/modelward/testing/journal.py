"""A journal in memory that keeps the promises of the Journal port, for tests of what writes and reads history."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from modelward.domain.alert import Flip
from modelward.domain.codec import decode, encode
from modelward.domain.errors import BadObject, ModelwardError
from modelward.domain.history import AnyRow, CheckRow, JobRow, ProbeRow, Row, ScrubRow, ServerRow, SpaceRow
from modelward.domain.series import (
    KEPT,
    SAMPLES_KEPT,
    SPAN_KEPT,
    Key,
    Point,
    Seen,
    Series,
    empty,
    horizon,
    key_of,
    merge,
    merged,
    tally,
    together,
)

R = TypeVar("R", bound=AnyRow)
D = TypeVar("D")
_SAMPLES = (CheckRow, ProbeRow, ScrubRow, SpaceRow, ServerRow)


class MemoryJournal:
    """The Journal port, as long as this object lasts; ``fail_with`` makes every method that writes raise it."""

    def __init__(self) -> None:
        self.fail_with: ModelwardError | None = None
        self._rows: list[Any] = []
        self._jobs: dict[str, JobRow] = {}
        self._documents: dict[str, bytes] = {}
        self._points: dict[Key, Point] = {}
        self._last: dict[tuple[Series, str], Seen] = {}
        self._compacted: datetime | None = None
        self._lock = threading.RLock()

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows, and what they add to the points of their hour and day."""
        self._may_fail()
        with self._lock:
            points, self._last = tally(rows, self._last)
            self._rows.extend(rows)
            for key, point in points.items():
                self._points[key] = merge(self._points.get(key) or empty(key), point)

    def flip(self, flips: Sequence[Flip]) -> None:
        """Keep changes of health."""
        self._may_fail()
        with self._lock:
            self._rows.extend(flips)

    def rows(
        self, kind: type[R], since: datetime, until: datetime | None = None, model: str = "", limit: int = 1000
    ) -> tuple[R, ...]:
        """Rows of one kind, the newest first."""
        with self._lock:
            everything = [*self._rows, *self._jobs.values()]
        return _newest([row for row in everything if isinstance(row, kind)], since, until, model, limit)

    def flips(
        self, since: datetime, until: datetime | None = None, subject: str = "", limit: int = 1000
    ) -> tuple[Flip, ...]:
        """Changes of health, the newest first."""
        with self._lock:
            flips = [row for row in self._rows if isinstance(row, Flip)]
        return _newest(flips, since, until, subject, limit)

    def job_begin(self, row: JobRow) -> None:
        """Keep that a job began."""
        self._may_fail()
        with self._lock:
            self._jobs[row.id] = row

    def job_end(self, job: str, outcome: str, detail: str, at: datetime) -> None:
        """Keep how a job ended."""
        self._may_fail()
        with self._lock:
            row = self._jobs.get(job)
            if row is not None and row.outcome == "running":
                self._jobs[job] = msgspec.structs.replace(row, outcome=outcome, detail=detail, ended_at=at)

    def interrupt_jobs(self, at: datetime) -> int:
        """Call every running job interrupted."""
        with self._lock:
            running = [row for row in self._jobs.values() if row.outcome == "running"]
            for row in running:
                self.job_end(row.id, "interrupted", row.detail, at)
        return len(running)

    def get(self, key: str, kind: type[D]) -> D | None:
        """The document under ``key``."""
        with suppress(BadObject):
            return decode(self._documents[key], kind) if key in self._documents else None
        return None

    def put(self, key: str, value: object) -> None:
        """Keep a document."""
        self._may_fail()
        self._documents[key] = encode(value)

    def series(
        self, series: Series, since: datetime, until: datetime | None = None, subject: str = "", span: int = 3_600
    ) -> tuple[Point, ...]:
        """Points, the oldest first."""
        first = key_of(series, subject, span, since).start
        last = until.timestamp() if until is not None else float("inf")
        with self._lock:
            found = [
                point
                for key, point in self._points.items()
                if (key.series, key.span) == (series, span)
                and (not subject or key.subject == subject)
                and first <= key.start < last
            ]
        return together(found)

    def totals(
        self, series: Series, since: datetime, until: datetime | None = None, span: int = 3_600
    ) -> dict[str, Point]:
        """All points in one, for each subject."""
        found: dict[str, Point] = {}
        for subject in self.subjects(series):
            points = [point for point in self.series(series, since, until, subject, span) if point.at >= since]
            whole = merged(points)
            if whole is not None:
                found[subject] = msgspec.structs.replace(whole, at=points[0].at, buckets={})
        return found

    def subjects(self, series: Series) -> tuple[str, ...]:
        """The subjects of a series."""
        with self._lock:
            return tuple(sorted({key.subject for key in self._points if key.series is series}))

    def compact(self, now: datetime) -> int:
        """Drop what is past its time."""
        self._may_fail()
        with self._lock:
            old = self._compacted = horizon(now, self._compacted)
            before = len(self._rows) + len(self._points) + len(self._jobs)
            self._rows = [row for row in self._rows if row.at >= old - _kept(row)]
            self._jobs = {name: row for name, row in self._jobs.items() if row.began_at >= old - KEPT}
            self._points = {key: point for key, point in self._points.items() if point.at >= old - SPAN_KEPT[key.span]}
            return before - len(self._rows) - len(self._points) - len(self._jobs)

    def close(self) -> None:
        """Keep everything: a test may still want to look at it."""

    def _may_fail(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with


def _kept(row: object) -> timedelta:
    return SAMPLES_KEPT if isinstance(row, _SAMPLES) else KEPT


def _newest(rows: list[Any], since: datetime, until: datetime | None, subject: str, limit: int) -> tuple[Any, ...]:
    chosen = [
        (_time(row), number, row)
        for number, row in enumerate(rows)
        if since <= _time(row) and (until is None or _time(row) < until) and (not subject or subject in _subjects(row))
    ]
    chosen.sort(key=lambda item: item[:2], reverse=True)
    return tuple(row for _, _, row in chosen[:limit])


def _time(row: Any) -> datetime:  # noqa: ANN401 - a row of any kind
    moment: datetime = row.began_at if isinstance(row, JobRow) else row.at
    return moment


def _subjects(row: Any) -> tuple[str, ...]:  # noqa: ANN401 - a row of any kind
    if isinstance(row, JobRow):
        return row.models
    return (row.subject,) if isinstance(row, Flip) else (getattr(row, "model", ""),)
