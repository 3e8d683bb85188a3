"""The pages: each asks the API's own handlers and the presenters, and fills one template."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar, get_args

import msgspec

from modelward.api import (
    handlers_alerts,
    handlers_history,
    handlers_jobs,
    handlers_models,
    handlers_settings,
    handlers_vault,
)
from modelward.api.access import Asking
from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.access import Scope
from modelward.domain.alert import Kind
from modelward.domain.answer import Problem
from modelward.domain.forecast import Forecast
from modelward.domain.name import ModelName
from modelward.domain.outcome import SnapshotLine
from modelward.domain.series import DAY, Series
from modelward.web import blob_map, foretold, model, overview, vault, work
from modelward.web.assets import asset
from modelward.web.engine import HTML, render
from modelward.web.frame import frame, part
from modelward.web.meaning import advice

Query = TypeVar("Query")
FRAGMENT: Final = "x-fragment"
_WEEK, _MONTH = timedelta(days=7), timedelta(days=30)
_ENDED: Final = 25
_LOG: Final = 50
_AHEAD: Final = 600.0  # seconds for which forecasts are shown before they are made anew


class ActivityQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the log of actions goes on."""

    cursor: str = ""


def _as(ask: Ask[Any, Any], query: Query) -> Ask[Query, None]:
    """The same caller with the parameters of another operation."""
    asked: Ask[Any, None] = ask
    return replace(asked, query=query)


def _page(template: str, ask: Ask[Any, Any], page: str, **values: object) -> Reply:
    return Reply(raw=render(template, frame=frame(ask, page), **values), media_type=HTML)


def page_overview(ask: Ask[overview.OverviewQuery, None]) -> Reply:
    """Every model at a glance; what happened, what is next, and the host."""
    seen = ask.deps.board.standing
    if seen is None:
        return _page("waiting.html", ask, "overview")
    journal, since = ask.deps.journal, ask.deps.now() - _WEEK
    rows = handlers_history.RowsQuery(days=7, limit=20)
    events = part(
        lambda: overview.happened(journal.flips(since, limit=40), handlers_history.actions(_as(ask, rows)).items)
    )
    return _page(
        "overview.html",
        ask,
        "overview",
        seen=seen,
        doubts=[advice(finding, None) for finding in seen.findings],
        table=overview.table(seen.models, ask.query),
        events=events,
        tasks=overview.upcoming(seen.tasks),
        disks=[vault.disk(name, space) for name, space in seen.space.items()],
    )


def page_model(ask: Ask[model.ModelQuery, None]) -> Reply:
    """One model: its findings, chunks, snapshots, and how it was over time."""
    known = handlers_models.model(_as(ask, Nothing()))
    query = ask.query
    history = handlers_history.HistoryQuery(days=query.days)
    return _page(
        "model.html",
        ask,
        "model",
        facts=model.facts(known),
        findings=model.advices(known),
        pictures=part(lambda: blob_map.pictures(handlers_models.chunks(_as(ask, Nothing())), ask.deps.now())),
        legend=blob_map.LEGEND,
        versions=part(lambda: model.versions(_snapshots(ask, known.name))),
        difference=part(lambda: _difference(ask)) if query.first and query.second else None,
        trend=part(lambda: model.trend(handlers_history.history(_as(ask, history)))),
        query=query,
    )


def _snapshots(ask: Ask[Any, None], name: ModelName) -> tuple[SnapshotLine, ...]:
    query = handlers_vault.SnapshotsQuery(model=name, limit=200)
    return handlers_vault.snapshots(_as(ask, query)).items


def _difference(ask: Ask[model.ModelQuery, None]) -> model.Difference:
    query = handlers_vault.DiffQuery(first=ask.query.first, second=ask.query.second)
    return model.difference(handlers_vault.diff(_as(ask, query)))


def page_vault(ask: Ask[Nothing, None]) -> Reply:
    """The vault: space, what is saved, what copies survive, drills."""
    seen, now = ask.deps.board.standing, ask.deps.now()
    cost = part(lambda: handlers_vault.space(ask))
    drills = handlers_history.RowsQuery(days=365, limit=30)
    return _page(
        "vault.html",
        ask,
        "vault",
        vault=part(lambda: vault.view(handlers_vault.vaults(ask), cost.value, _ahead(ask))),
        cost=cost,
        costs=vault.costs(cost.value.models) if cost.value is not None else (),
        leftovers=vault.leftovers(cost.value.leftovers) if cost.value is not None else (),
        classes=vault.classes(seen.models) if seen is not None else (),
        free=part(
            lambda: vault.free(
                ask.deps.journal.series(Series.SPACE, now - _MONTH, None, "vault", DAY), now - _MONTH, now
            )
        ),
        drills=part(lambda: vault.drills(handlers_history.drills(_as(ask, drills)).items)),
    )


def _ahead(ask: Ask[Any, None]) -> Forecast | None:
    """When the vault's disk is full, by all that grows on it; None where nobody can tell."""
    from modelward.services.forecast import disks

    found = ask.runtime.kept.get("disks", _AHEAD, lambda: tuple(disks(ask.deps.journal, ask.deps.now())))
    return next((each for each in found if "vault" in each.subject and each.enough), None)


def page_activity(ask: Ask[ActivityQuery, None]) -> Reply:
    """What runs, what ran, why; and everything that can be asked for."""
    views = ask.deps.jobs.list()
    seen = ask.deps.board.standing
    query = handlers_history.RowsQuery(cursor=ask.query.cursor, limit=_LOG)
    return _page(
        "activity.html",
        ask,
        "activity",
        running=[work.job_row(view) for view in reversed(views) if not view.over],
        ended=[work.job_row(view) for view in views if view.over][:_ENDED],
        log=part(lambda: handlers_history.actions(_as(ask, query))),
        event=overview.of_action,
        forms=work.forms(Scope(ask.who.scope), PLANNED),
        models=[each.name.short for each in seen.models] if seen is not None else [],
    )


PLANNED: Final = tuple(kind.__struct_config__.tag for kind in get_args(handlers_jobs.MakePlan))


def page_job(ask: Ask[Nothing, None]) -> Reply:
    """One job: its progress, and its report once it is done."""
    view = handlers_jobs.job(ask)
    values = {"job": work.job_row(view), "told": work.told(view.report)}
    if FRAGMENT in ask.asking.headers:
        return Reply(raw=render("part_job.html", **values), media_type=HTML)
    return _page("job.html", ask, "job", **values)


def show_plan(ask: Ask[Nothing, Any]) -> Reply:
    """The dry run of a verb, as a part of a page."""
    found = work.told(handlers_jobs.plan(ask))
    return Reply(raw=render("part_plan.html", told=found), status=200, media_type=HTML)


def page_alerts(ask: Ask[Nothing, None]) -> Reply:
    """What is open, and what nobody wants to be told for a while."""
    report = part(lambda: handlers_alerts.alerts(ask))
    ahead = part(
        lambda: foretold.view(ask.runtime.kept.get("forecast", _AHEAD, lambda: handlers_history.forecast(ask)))
    )
    return _page("alerts.html", ask, "alerts", report=report, foretold=ahead, kinds=[kind.value for kind in Kind])


def page_settings(ask: Ask[Nothing, None]) -> Reply:
    """Every setting, its origin and its meaning."""
    origins = handlers_settings.settings(ask)
    mine = [each for each in origins if each.origin != "default"]
    rest = [each for each in origins if each.origin == "default"]
    return _page("settings.html", ask, "settings", mine=mine, rest=rest, session=handlers_settings.session(ask))


def page_login(ask: Ask[Nothing, None]) -> Reply:
    """The door."""
    del ask
    return Reply(raw=render("login.html"), media_type=HTML)


def static(ask: Ask[Nothing, None]) -> Reply:
    """A file of the pages."""
    body, media_type = asset(ask.path["name"])
    return Reply(raw=body, media_type=media_type)


def page_error(problem: Problem, asking: Asking) -> bytes:
    """The page, or the part of one, for what was refused."""
    return render("part_problem.html" if FRAGMENT in asking.headers else "problem.html", problem=problem)
