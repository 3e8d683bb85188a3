"""The outermost layer: host names, rate, concurrency, headers on every answer, no traceback to anybody (T13, T18)."""

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelward.api.access import SAFE, Access, Asking
from modelward.api.limits import AT_ONCE, READING, WRITING, Rates, Slots
from modelward.api.problem import MEDIA_TYPE, Refused, headers_of, problem_of
from modelward.domain.codec import encode
from modelward.domain.errors import ModelwardError
from modelward.ports import Clock, Progress

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How requests reach the guard: whether over TLS of its own, and whether through a proxy."""

    tls: bool = False
    behind_proxy: bool = False


class Shield:
    """Wraps the whole application, so that no route, no static file and no error goes without."""

    def __init__(self, app: ASGIApp, *, access: Access, clock: Clock, log: Progress, front: Front) -> None:
        self._app, self._access, self._log, self._front = app, access, log, front
        self._reads, self._writes = Rates(clock, READING), Rates(clock, WRITING)
        self._slots = Slots(AT_ONCE, "requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit a request, or answer it with a problem document."""
        if scope["type"] != "http":
            return  # no websockets, no lifespan
        asking = asking_of(scope, self._front)
        scope["asking"] = asking
        sent: list[bool] = []
        try:
            self._access.require_host(asking)
            (self._reads if asking.method in SAFE else self._writes).take(asking.client)
            self._slots.take()
        except Exception as error:  # noqa: BLE001 - every refusal becomes its document
            await self._tell(error, scope, self._with_headers(send, sent))
            return
        try:
            await self._app(scope, receive, self._with_headers(send, sent))
        except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is logged, not shown
            await self._tell(error, scope, self._with_headers(send, sent), begun=bool(sent))
        finally:
            self._slots.give()

    def _with_headers(self, send: Send, sent: list[bool]) -> Send:
        extra = (*HEADERS, _HSTS) if self._front.tls else HEADERS

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.append(True)
                message["headers"] = [*_without(message.get("headers", ()), extra), *extra]
            await send(message)

        return wrapped

    async def _tell(self, error: Exception, scope: Scope, send: Send, *, begun: bool = False) -> None:
        problem = problem_of(error, scope["path"])
        if problem.status == 500 or not isinstance(error, ModelwardError | Refused):
            self._log.say("api_failed", error=f"{type(error).__name__}: {error}", path=scope["path"][:200])
        if begun:
            return
        body = encode(problem)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
        headers += [(name.encode(), value.encode()) for name, value in headers_of(error).items()]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def asking_of(scope: MutableMapping[str, Any], front: Front) -> Asking:
    """What of a request decides on access; of a header that comes twice the first one counts."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    client = (scope.get("client") or ("unix", 0))[0]
    if front.behind_proxy and "x-forwarded-for" in headers:
        client = headers["x-forwarded-for"].rpartition(",")[2].strip()[:60]
    return Asking(
        method=scope["method"],
        headers=headers,
        client=client,
        own_address=_literal(scope.get("server")),
        secure=front.tls or front.behind_proxy,
    )


def _literal(server: tuple[str, int | None] | None) -> str:
    """The address and port that this very connection came to, as a Host header writes it; empty for a unix socket."""
    if server is None or server[1] is None:
        return ""
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _without(headers: Iterable[tuple[bytes, bytes]], extra: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in extra}
    return [(name, value) for name, value in headers if name.lower() not in names]
