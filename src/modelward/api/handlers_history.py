"""History: what was done and why, how things went over time, and the audit log with its proof."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from modelward.api.at_work import place_of
from modelward.api.paging import Paged, page_of_numbered, page_of_rows
from modelward.api.route import Ask, Nothing
from modelward.domain.answer import Page
from modelward.domain.audit import AuditEntry, AuditFilter, AuditVerdict
from modelward.domain.forecast import ForecastReport
from modelward.domain.history import ActionRow, DrillRow, ModelHistory
from modelward.domain.name import ModelName
from modelward.domain.series import DAY, HOUR, Point, Series

_DAYS = Annotated[int, msgspec.Meta(ge=1, le=3_650, description="how many days back")]


class RowsQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``model`` by name, ``days`` back from now."""

    model: ModelName | None = None
    days: _DAYS = 365


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far back; up to a week comes by the hour, more by the day."""

    days: _DAYS = 30


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which series, of which subject (all together without one), by hour or by day, how far back."""

    series: Series
    subject: Annotated[str, msgspec.Meta(max_length=600)] = ""
    by: Literal["hour", "day"] = "hour"
    days: _DAYS = 7


class AuditQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``model`` by name, ``action`` by its word, ``days`` back from now."""

    model: ModelName | None = None
    action: Annotated[str, msgspec.Meta(max_length=80)] = ""
    days: _DAYS | None = None


def actions(ask: Ask[RowsQuery, None]) -> Page[ActionRow]:
    """What was done, to what, from where and for which cause; the newest first."""
    since, name, journal = _since(ask, ask.query.days), ask.query.model or "", ask.deps.journal
    return page_of_rows(lambda until, limit: journal.rows(ActionRow, since, until, name, limit), ask.query)


def drills(ask: Ask[RowsQuery, None]) -> Page[DrillRow]:
    """Rehearsed restores and how long they took; the newest first."""
    since, name, journal = _since(ask, ask.query.days), ask.query.model or "", ask.deps.journal
    return page_of_rows(lambda until, limit: journal.rows(DrillRow, since, until, name, limit), ask.query)


def history(ask: Ask[HistoryQuery, None]) -> ModelHistory:
    """A model over time: availability, response times, error rate, and what happened to it."""
    from modelward.services.model_history import model_history

    name = ModelName.parse(ask.path["name"])
    return model_history(ask.deps.journal, name, ask.deps.now(), _since(ask, ask.query.days))


def forecast(ask: Ask[Nothing, None]) -> ForecastReport:
    """What the history lets one expect, alarms first, each with a cheap action."""
    from modelward.services.forecast import forecasts

    with place_of(ask) as place:
        known = place.known_to_forecasts()
    return forecasts(ask.deps.journal, ask.deps.now(), known)


def series(ask: Ask[SeriesQuery, None]) -> tuple[Point, ...]:
    """Points of an hour or a day, the oldest first: checks, probes, scrubs, space or the server."""
    query = ask.query
    span = HOUR if query.by == "hour" else DAY
    return ask.deps.journal.series(query.series, _since(ask, query.days), None, query.subject, span)


def audit(ask: Ask[AuditQuery, None]) -> Page[AuditEntry]:
    """The audit log, the newest entry first (A1)."""
    from modelward.services.audit import show_audit

    query = ask.query
    since = _since(ask, query.days) if query.days is not None else None

    def last(before: int, limit: int) -> tuple[AuditEntry, ...]:
        wanted = AuditFilter(since=since, model=query.model or "", action=query.action, before=before, limit=limit)
        return show_audit(place.site, wanted).entries

    with place_of(ask) as place:
        return page_of_numbered(last, lambda entry: entry.seq, query)


def audit_verify(ask: Ask[Nothing, None]) -> AuditVerdict:
    """Whether the audit log was edited, cut or reordered, line by line (A1)."""
    from modelward.services.audit import verify_audit

    with place_of(ask) as place:
        return verify_audit(place.site)


def _since(ask: Ask[Any, None], days: int) -> datetime:
    return ask.deps.now() - timedelta(days=days)
