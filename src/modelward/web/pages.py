"""The table of pages, beside that of the API: address, scope, handler."""

from typing import Final

from modelward.api.handlers_jobs import MakePlan
from modelward.api.route import Kind, Route
from modelward.domain.access import Scope
from modelward.web import handlers as web
from modelward.web.model import ModelQuery
from modelward.web.overview import OverviewQuery

READ, OPERATE = Scope.READ, Scope.OPERATE
_PAGE: Final = Kind.PAGE

PAGES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/",
        handler=web.page_overview,
        summary="Overview.",
        scope=READ,
        query=OverviewQuery,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/models/{name:path}",
        handler=web.page_model,
        summary="One model.",
        scope=READ,
        query=ModelQuery,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/vault",
        handler=web.page_vault,
        summary="The vault.",
        scope=READ,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/activity",
        handler=web.page_activity,
        summary="Jobs and actions.",
        scope=READ,
        query=web.ActivityQuery,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/activity/{id}",
        handler=web.page_job,
        summary="One job.",
        scope=READ,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/alerts",
        handler=web.page_alerts,
        summary="Alerts and silences.",
        scope=READ,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/settings",
        handler=web.page_settings,
        summary="Settings.",
        scope=READ,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="POST",
        path="/plan",
        handler=web.show_plan,
        summary="A dry run in words.",
        scope=OPERATE,
        body=MakePlan,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/login",
        handler=web.page_login,
        summary="The door: for everybody.",
        scope=None,
        kind=_PAGE,
        blocking=True,
    ),
    Route(
        method="GET",
        path="/static/{name}",
        handler=web.static,
        summary="Stylesheet, scripts and icon: for everybody.",
        scope=None,
        kind=_PAGE,
        blocking=True,
    ),
)
