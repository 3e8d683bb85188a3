"""The application: the route table behind the shield, each operation admitted, read, done and answered in one way."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Way

from modelward.api.access import SAFE, Access, Asking, Listen, Principal, hosts_of, require_fit
from modelward.api.deps import Deps
from modelward.api.etag import etag, matches
from modelward.api.events import Streams
from modelward.api.limits import read_body
from modelward.api.problem import (
    MEDIA_TYPE,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Refused,
    headers_of,
    problem_of,
)
from modelward.api.reading import body_of, query_of
from modelward.api.route import BASE, Ask, Kind, Reply, Route
from modelward.api.routes import ROUTES
from modelward.api.runtime import Kept, Once, Runtime
from modelward.api.shield import Front, Shield
from modelward.domain.access import Scope
from modelward.domain.answer import Problem
from modelward.domain.codec import encode
from modelward.domain.errors import ModelwardError
from modelward.guard.gauge import Gauge, vault_bytes

_THREADS = 6  # that read a disk for callers; more would only wait for one another
_FRESH = {"cache-control": "no-cache, private", "vary": "authorization, cookie"}
_NOBODY = Principal("nobody", Scope.READ, anonymous=True)
Endpoint = Callable[[Request], Awaitable[Response]]
PageError = Callable[[Problem, Asking], bytes]


def create_app(
    deps: Deps, *, listen: Listen | None = None, pages: Sequence[Route] = (), page_error: PageError | None = None
) -> Starlette:
    """The whole API over a guard, with ``pages`` for browsers beside it.

    ``listen`` is where it really listens, when the port of the settings is 0. Raises BadSetting for a place that may
    not be served from (T15). ``page_error`` makes the page for a problem of one of the pages.
    """
    settings = deps.settings().settings
    place = listen or Listen.parse(settings.listen)
    front = Front(tls=bool(settings.tls_cert), behind_proxy=settings.behind_proxy)
    opened = require_fit(place, deps.tokens, tls=front.tls, behind_proxy=front.behind_proxy)
    access = Access(deps.tokens, deps.clock, hosts_of(place, settings.allowed_hosts), opened)
    runtime = Runtime(
        access=access,
        streams=Streams(deps.board),
        once=Once(deps.clock),
        kept=Kept(deps.clock),
        gauge=deps.gauge or Gauge(deps.board, deps.journal, deps.clock, partial(vault_bytes, deps.opener, deps.log)),
    )
    desk = _Desk(deps, runtime, page_error)
    app = Starlette(
        routes=[_way(path, routes, desk) for path, routes in _by_path((*ROUTES, *pages)).items()],
        middleware=[Middleware(Shield, access=access, clock=deps.clock, log=deps.log, front=front)],
        exception_handlers={HTTPException: desk.unrouted},
    )
    app.router.redirect_slashes = False
    app.state.runtime = runtime
    return app


def _by_path(routes: Iterable[Route]) -> dict[str, list[Route]]:
    found: dict[str, list[Route]] = {}
    for route in routes:
        found.setdefault(route.path, []).append(route)
    return found


def _way(path: str, routes: Sequence[Route], desk: "_Desk") -> Way:
    """One address with all its methods."""
    by_method = {route.method: route for route in routes}

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await desk.serve(by_method[method], request)

    return Way(path, endpoint, methods=list(by_method))


class _Desk:
    """Where requests are served, all in the same order: admitted, read, done, answered."""

    def __init__(self, deps: Deps, runtime: Runtime, page_error: PageError | None) -> None:
        self._deps, self._runtime, self._page_error = deps, runtime, page_error
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def serve(self, route: Route, request: Request) -> Response:
        """Carry out an operation; what it refuses, and every error of ours, is a problem document."""
        try:
            ask = await self._admitted(route, request)
            if route.blocking:
                answer = await anyio.to_thread.run_sync(route.handler, ask, limiter=self._threads)
            else:
                answer = route.handler(ask)
            return self._answer(route, ask, answer)
        except (Refused, ModelwardError) as error:
            return self._refusal(error, request.scope["asking"], request.url.path, page=route.kind is Kind.PAGE)

    async def _admitted(self, route: Route, request: Request) -> Ask[Any, Any]:
        asking: Asking = request.scope["asking"]
        who = _NOBODY
        if route.scope is not None:
            who = self._runtime.access.require(asking, route.scope)
        else:
            self._runtime.access.require_same_site(asking)
        query = query_of(request.scope["query_string"], route.query)
        raw = b"" if asking.method in SAFE else await read_body(request.scope, request.receive)
        return Ask(
            deps=self._deps,
            who=who,
            path=request.path_params,
            query=query,
            body=body_of(raw, asking.headers, route.body),
            asking=asking,
            url=request.url.path,
            runtime=self._runtime,
        )

    def _answer(self, route: Route, ask: Ask[Any, Any], answer: object) -> Response:
        if route.kind is Kind.EVENTS and ask.asking.method == "HEAD":
            return Response(media_type=route.kind, headers={"cache-control": "no-store"})
        if route.kind is Kind.EVENTS:
            return self._runtime.streams.begin(answer)  # type: ignore[arg-type]  # the table says so, a test checks it
        reply = answer if isinstance(answer, Reply) else Reply(value=answer)
        body = reply.raw if reply.raw is not None else encode(reply.value)
        status = reply.status or route.status
        media_type = reply.media_type if reply.raw is not None else "application/json"
        headers = dict(reply.headers)
        if ask.asking.method in SAFE and status == 200 and "cache-control" not in headers:
            headers |= {**_FRESH, "etag": etag(body)}
            if matches(ask.asking.headers.get("if-none-match", ""), headers["etag"]):
                return Response(status_code=304, headers=headers)
        headers.setdefault("cache-control", "no-store")
        if status == 204:
            return Response(status_code=204, headers=headers)
        return Response(body, status, headers, media_type=media_type)

    def _refusal(self, error: Exception, asking: Asking, path: str, *, page: bool) -> Response:
        problem = problem_of(error, path)
        headers = {"cache-control": "no-store", **headers_of(error)}
        if page and isinstance(error, NotAuthenticated):
            return Response(status_code=303, headers={**headers, "location": "/login"})
        if page and self._page_error is not None:
            return Response(self._page_error(problem, asking), problem.status, headers, media_type="text/html")
        return Response(encode(problem), problem.status, headers, media_type=MEDIA_TYPE)

    async def unrouted(self, request: Request, error: Exception) -> Response:
        """What the router refused: no such address, or no such method there."""
        found: Refused = NotFound("no such address", thing=request.url.path[:200], next_step="see /api/v1/openapi.json")
        if isinstance(error, HTTPException) and error.status_code == 405:
            headers = {"allow": (error.headers or {}).get("Allow", "GET")}
            found = NotAllowed("not a method of this address", thing=request.method, headers=headers)
        asking: Asking = request.scope["asking"]
        return self._refusal(found, asking, request.url.path, page=_for_people(asking, request.url.path))


def _for_people(asking: Asking, path: str) -> bool:
    """Whether a browser asks for what might have been a page."""
    return not path.startswith(BASE) and "text/html" in asking.headers.get("accept", "")
