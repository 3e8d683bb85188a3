"""Who asks, and whether they may: tokens, browser sessions, the host's name and where a write comes from (T13-T17)."""

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple

from modelward.api.problem import Forbidden, NotAuthenticated, TooMany, WrongHost
from modelward.api.tokens import Tokens, csrf_of
from modelward.domain.access import Scope
from modelward.domain.errors import BadSetting
from modelward.ports import Clock

COOKIE = "modelward_session"
CSRF_HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILURES, _WINDOW = 10, 60.0  # wrong tokens a minute from one address before it has to wait
_ADDRESSES = 1_024
_MAKE = "make a token: modelward token create NAME"


class Listen(NamedTuple):
    """Where the guard listens: an address and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Listen":
        """Read ``address:port``, ``[address]:port`` or ``unix:PATH``; raises BadSetting."""
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(path=text.removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535 or not host:
            raise BadSetting(
                "not an address and port", thing=f"listen = {text!r}", next_step="write 127.0.0.1:8484 or unix:PATH"
            )
        return cls(host=host.strip("[]"), port=int(port))

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Principal(NamedTuple):
    """Who asks: a name for logs and audit, what they may do, and whether a browser's cookie said so."""

    name: str
    scope: Scope
    cookie: str = ""
    anonymous: bool = False


class Asking(NamedTuple):
    """What of a request decides on access; header names in lower case."""

    method: str
    headers: Mapping[str, str]
    client: str
    own_address: str = ""
    secure: bool = False


class Access:
    """The door of one guard.

    ``open_scope`` is what everybody on this machine may do as long as no token was ever made; None where a token is
    demanded in any case.
    """

    def __init__(
        self, tokens: Tokens, clock: Clock, hosts: Iterable[str], open_scope: Scope | None = Scope.OPERATE
    ) -> None:
        self._tokens, self._open = tokens, open_scope
        self._hosts = frozenset(host.casefold() for host in hosts)
        self._failures = Throttle(clock)

    @property
    def open_now(self) -> bool:
        """Whether no token is demanded."""
        return self._open is not None and not self._tokens.any()

    def require_host(self, asking: Asking) -> None:
        """Refuse a name that this guard does not go by: a page elsewhere may have made it point here (T13)."""
        host = asking.headers.get("host", "").casefold()
        if host not in self._hosts and (not asking.own_address or host != asking.own_address):
            raise WrongHost(
                "this host name is not on the list",
                thing=host[:120],
                next_step="call it by its address, or add the name to the setting allowed_hosts",
            )

    def require_same_site(self, asking: Asking) -> None:
        """Refuse a write that a page of another site makes (T14); a program sends neither of these headers."""
        if asking.method in SAFE:
            return
        origin, site = asking.headers.get("origin"), asking.headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") or (origin is not None and not self._ours(origin, asking)):
            raise Forbidden(
                "a page of another site may not change anything here",
                thing=(origin or site)[:120],
                next_step="open the guard's own pages",
            )

    def _ours(self, origin: str, asking: Asking) -> bool:
        """Whether the origin is the very host that is asked; behind a proxy both schemes may be meant."""
        scheme, _, host = origin.partition("://")
        return scheme in ("http", "https") and host.casefold() == asking.headers.get("host", "").casefold()

    def who(self, asking: Asking) -> Principal | None:
        """Who asks; None for nobody. Raises NotAuthenticated for a secret that is not known, TooMany after many."""
        kind, _, secret = asking.headers.get("authorization", "").partition(" ")
        if kind:
            return self._bearer(kind, secret.strip(), asking)
        if (cookie := cookie_of(asking.headers)) and (token := self._tokens.check(cookie, session=True)) is not None:
            return Principal(token.name, token.scope, cookie=cookie)
        if self._open is not None and self.open_now:
            return Principal("this machine", self._open, anonymous=True)
        return None

    def _bearer(self, kind: str, secret: str, asking: Asking) -> Principal:
        self._failures.require(asking.client)
        token = self._tokens.check(secret) if kind.lower() == "bearer" else None
        if token is None:
            self._failures.fail(asking.client)
            raise NotAuthenticated(
                "this token is unknown, revoked or has ended",
                next_step=_MAKE,
                headers={"www-authenticate": 'Bearer realm="modelward", error="invalid_token"'},
            )
        return Principal(token.name, token.scope)

    def require(self, asking: Asking, needed: Scope) -> Principal:
        """Who asks, when they may; raises NotAuthenticated or Forbidden."""
        self.require_same_site(asking)
        who = self.who(asking)
        if who is None:
            raise NotAuthenticated(
                "no token was given", next_step=_MAKE, headers={"www-authenticate": 'Bearer realm="modelward"'}
            )
        if who.cookie and asking.method not in SAFE:
            self._require_csrf(who, asking)
        if not who.scope.allows(needed):
            raise Forbidden(
                f"this needs the scope {needed}, and {who.name} has {who.scope}",
                next_step=f"make a token: modelward token create NAME --scope {needed}",
            )
        return who

    def _require_csrf(self, who: Principal, asking: Asking) -> None:
        from hmac import compare_digest

        given = asking.headers.get(CSRF_HEADER, "")
        if "origin" not in asking.headers or not compare_digest(given.encode(), csrf_of(who.cookie).encode()):
            raise Forbidden(
                "the page did not prove that it is ours", thing=CSRF_HEADER, next_step="load the page again"
            )

    def log_in(self, secret: str, asking: Asking) -> tuple[str, Principal]:
        """A session for a token; returns the cookie's secret. Raises NotAuthenticated, TooMany after many failures."""
        self._failures.require(asking.client)
        token = self._tokens.check(secret)
        if token is None:
            self._failures.fail(asking.client)
            raise NotAuthenticated("this token is unknown, revoked or has ended", next_step=_MAKE)
        cookie, session = self._tokens.open_session(token)
        return cookie, Principal(session.name, session.scope, cookie=cookie)


class Throttle:
    """Counts failures by address, and makes an address wait that failed too often. Safe from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def fail(self, address: str) -> None:
        """One more failure."""
        with self._lock:
            recent = self._recent(address)
            self._failed[address] = [*recent, self._clock.monotonic()][-_FAILURES:]
            self._failed.move_to_end(address)
            while len(self._failed) > _ADDRESSES:
                self._failed.popitem(last=False)

    def require(self, address: str) -> None:
        """Raise TooMany while the address has to wait."""
        with self._lock:
            recent = self._recent(address)
        if len(recent) >= _FAILURES:
            wait = max(1, int(recent[0] + _WINDOW - self._clock.monotonic()) + 1)
            raise TooMany(
                "too many wrong tokens from this address",
                next_step=f"wait {wait} seconds",
                headers={"retry-after": str(wait)},
            )

    def _recent(self, address: str) -> list[float]:
        since = self._clock.monotonic() - _WINDOW
        return [at for at in self._failed.get(address, ()) if at > since]


def cookie_of(headers: Mapping[str, str]) -> str:
    """The session's secret in the cookie header; empty without one."""
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def set_cookie(secret: str, *, secure: bool) -> str:
    """The header that gives a browser its session; an empty secret takes it away."""
    life = "" if secret else "; Max-Age=0"
    return f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{life}"


def hosts_of(listen: Listen, allowed: Iterable[str]) -> frozenset[str]:
    """The names by which the guard may be called: its own address, and those of the setting, each with the port.

    One of the setting without a port counts with the guard's own and, as behind a proxy, without any.
    """
    if listen.path:
        own = {"localhost"}
    else:
        literal = f"[{listen.host}]" if ":" in listen.host else listen.host
        names = {literal, *(("localhost", "127.0.0.1", "[::1]") if listen.local else ())}
        own = {f"{name}:{listen.port}" for name in names}
    for name in allowed:
        bare = not (name.rpartition(":")[2].isdecimal() and not name.endswith("]") and name.count(":") != 0)
        own |= {name, f"{name}:{listen.port}"} if bare and listen.port else {name}
    return frozenset(name.casefold() for name in own)


def require_fit(listen: Listen, tokens: Tokens, *, tls: bool, behind_proxy: bool) -> Scope | None:
    """What everybody may do while there is no token; raises BadSetting for a place not to be served from (T15)."""
    if listen.path:
        return Scope.ADMIN  # a socket of mode 0600: nobody but this very user reaches it
    if listen.local and not behind_proxy:
        return Scope.OPERATE
    where = f"listen = {listen.host}:{listen.port}"
    if not tokens.any():
        raise BadSetting(
            "others can reach this address, and there is no token yet",
            thing=where,
            next_step=f"{_MAKE}; or listen on 127.0.0.1",
        )
    if not (tls or behind_proxy):
        raise BadSetting(
            "others can reach this address, and tokens would cross the network in clear",
            thing=where,
            next_step="set tls_cert and tls_key, or behind_proxy where a proxy in front does TLS",
        )
    return None
