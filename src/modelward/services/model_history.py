"""History: how available a model was, how fast it answered, what happened to it, and what its disks lost."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from modelward.domain.alert import Flip
from modelward.domain.errors import BadName, UnknownModel
from modelward.domain.history import (
    ActionRow,
    Availability,
    CheckRow,
    DeviceDamage,
    DrillRow,
    FindingRow,
    LatencyPoint,
    ModelHistory,
    UpPoint,
)
from modelward.domain.name import ModelName
from modelward.domain.series import DAY, HOLD, HOUR, Point, Series, merged, quantile
from modelward.ports import Journal
from modelward.services.parts import rows_in_parts

WINDOWS = (HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY)
MONTH = timedelta(days=30)
_WEEK = timedelta(days=7)


def model_history(journal: Journal, name: ModelName, now: datetime, since: datetime | None = None) -> ModelHistory:
    """All of a model from ``since`` (a month ago) to ``now``; availability over its own five windows.

    Up to a week is shown by the hour, more by the day.
    """
    begin = since or now - MONTH
    span = HOUR if now - begin <= _WEEK else DAY
    checks = journal.series(Series.CHECKS, begin, now, subject=name, span=span)
    probes = journal.series(Series.PROBES, begin, now, subject=name, span=span)
    whole = latency(merged(probes) or Point(at=begin, seconds_span=0))
    return ModelHistory(
        model=name,
        at=now,
        since=begin,
        availability=availability(journal, name, now),
        up=tuple(up_point(point) for point in checks),
        latency=tuple(latency(point) for point in probes),
        p50=whole.p50,
        p95=whole.p95,
        error_rate=error_rate(probes),
        flips=_flips(journal, name, begin, now),
        findings=journal.rows(FindingRow, begin, now, model=name),
        actions=journal.rows(ActionRow, begin, now, model=name),
        drills=journal.rows(DrillRow, begin, now, model=name),
        devices=device_damage(journal, begin, now),
    )


def known_history(journal: Journal | None, name: ModelName, now: datetime, since: datetime) -> ModelHistory:
    """As model_history, of a journal that may not be there; raises UnknownModel where nothing is known of the model."""
    if journal is None:
        raise UnknownModel("no guard has kept a history here yet", thing=name.short, next_step="modelward guard")
    found = model_history(journal, name, now, since)
    if not (found.up or found.latency or found.flips or found.findings or found.actions or found.drills):
        known = ", ".join(_short(subject) for subject in journal.subjects(Series.CHECKS))
        raise UnknownModel(
            f"nothing is known of it since {since:%Y-%m-%d %H:%M} UTC",
            thing=name.short,
            next_step=f"look further back with --since, or at another model: {known or 'none has a history yet'}",
        )
    return found


def _short(subject: str) -> str:
    try:
        return ModelName.parse(subject).short
    except BadName:
        return subject


def _flips(journal: Journal, name: ModelName, since: datetime, until: datetime) -> tuple[Flip, ...]:
    """The newest first, whether they name the model in full or as people do."""
    subjects = {str(name), name.short}
    found = [flip for subject in subjects for flip in journal.flips(since, until, subject=subject)]
    return tuple(sorted(found, key=lambda flip: flip.at, reverse=True))


def availability(journal: Journal, name: ModelName, now: datetime) -> tuple[Availability, ...]:
    """The five windows: up to a day by each check, up to a month by hours, a year by days."""
    return _windows(journal, name, now, _long(journal, now, WINDOWS[2:]))


def availabilities(journal: Journal, names: Iterable[ModelName], now: datetime) -> dict[str, tuple[Availability, ...]]:
    """The five windows of many models at once: the last hour by each check, the others by whole hours and days."""
    known = _long(journal, now, WINDOWS[1:])
    return {name: _windows(journal, name, now, known) for name in names}


def _long(journal: Journal, now: datetime, windows: Iterable[int]) -> dict[int, dict[str, Point]]:
    """What rolled-up points say of windows, by subject."""
    return {
        seconds: journal.totals(
            Series.CHECKS, now - timedelta(seconds=seconds), now, span=HOUR if seconds <= 30 * DAY else DAY
        )
        for seconds in windows
    }


def _windows(
    journal: Journal, name: ModelName, now: datetime, known: dict[int, dict[str, Point]]
) -> tuple[Availability, ...]:
    found = []
    for seconds in WINDOWS:
        if seconds in known:
            point = known[seconds].get(name)
            times = (point.good_seconds, point.known_seconds) if point else (0.0, 0.0)
        else:
            since = now - timedelta(seconds=seconds)
            times = _exact(rows_in_parts(journal, CheckRow, since - HOLD, now, name), since, now)
        found.append(_available(seconds, *times))
    return tuple(found)


def _available(seconds: int, good: float, known: float) -> Availability:
    share = good / known if known else None
    return Availability(window_seconds=seconds, good_seconds=good, known_seconds=known, share=share)


def _exact(checks: Iterable[CheckRow], since: datetime, now: datetime) -> tuple[float, float]:
    """Good and known seconds by single checks (the newest first), each true until the next one or for five minutes."""
    good = known = 0.0
    end = now
    for check in checks:
        begin, stop = max(check.at, since), min(end, check.at + HOLD)
        seconds = max(0.0, (stop - begin).total_seconds())
        known += seconds
        good += seconds if check.ready else 0.0
        end = min(end, check.at)
    return good, known


def up_point(point: Point) -> UpPoint:
    """The share of the known time in which the model could be used."""
    share = point.good_seconds / point.known_seconds if point.known_seconds else None
    return UpPoint(at=point.at, seconds_span=point.seconds_span, share=share)


def latency(point: Point) -> LatencyPoint:
    """The response times of one point."""
    return LatencyPoint(
        at=point.at,
        seconds_span=point.seconds_span,
        count=point.count,
        errors=point.errors,
        p50=quantile(point.buckets, 0.5),
        p95=quantile(point.buckets, 0.95),
    )


def error_rate(points: Iterable[Point]) -> float | None:
    """The share of samples that failed; None without samples."""
    whole = merged(points)
    return whole.errors / whole.count if whole and whole.count else None


def device_damage(journal: Journal, since: datetime, until: datetime) -> tuple[DeviceDamage, ...]:
    """For each device that was scrubbed: bytes read, and findings made."""
    found = []
    for device in journal.subjects(Series.SCRUBS):
        whole = merged(journal.series(Series.SCRUBS, since, until, subject=device, span=DAY))
        if whole is not None:
            found.append(DeviceDamage(device=device, bytes=whole.bytes, damaged=whole.errors))
    return tuple(found)
