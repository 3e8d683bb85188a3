"""Where a registry is, whether we may go there, and through which proxy."""

import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from modelward.dial import Way, dial
from modelward.domain.errors import BadSetting, RegistryUnreachable
from modelward.domain.host import Reach, is_loopback, name_of, proxy_of, reach_of, speaks_plain

_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192
# Nothing that the next reader of the address, such as a proxy, might decode into another host.
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|[0-9a-f.]*:[0-9a-f:.]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A server: scheme, host without brackets, port."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host[:port]`` as the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Address:
    """One thing on a server; ``target`` is path and query."""

    origin: Origin
    target: str

    def __str__(self) -> str:
        return f"{self.origin}{self.target.partition('?')[0]}"


def parse(url: str) -> Address:
    """Read an absolute URL; raises RegistryUnreachable for anything but http and https without user names."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _nowhere(url, str(error)) from error
    known = parts.scheme in _PORTS and _HOST.fullmatch(host)
    if not known or "@" in parts.netloc or len(url) > _LONGEST or not url.isascii():
        raise _nowhere(url, "not an address of a web server")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise _nowhere(url, "blanks or control characters in an address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)


def redirected(here: Address, location: str) -> Address:
    """Where a redirect leads; raises RegistryUnreachable when it goes from TLS to none."""
    try:
        there = parse(urljoin(f"{here.origin}{here.target}", location))
    except ValueError as error:  # urljoin reads an address too, and refuses brackets around what is none
        raise _nowhere(location, str(error)) from error
    if here.origin.scheme == "https" and there.origin.scheme == "http":
        raise _nowhere(str(there), "a redirect from https to http")
    return there


class NotReached(RegistryUnreachable):
    """No connection at all: nothing is gained by asking again at once."""


class Addresses:
    """Which server stands for a registry's host, by the settings, and how far inside it may lie.

    ``outside`` are hosts that may lie on the internet only, because somebody far away named them; it may grow.
    """

    def __init__(
        self,
        mirrors: tuple[str, ...],
        plain_http: tuple[str, ...],
        environ: Mapping[str, str],
        outside: Collection[str] = (),
    ) -> None:
        self._mirrors = dict(_mirror(text) for text in mirrors)
        self._plain, self._environ, self._outside = frozenset(plain_http), environ, outside
        self._named = {origin.host for origin in self._mirrors.values()} | {name_of(text) for text in plain_http}

    def of(self, authority: str) -> Origin:
        """The server of a registry named ``host[:port]``."""
        if authority in self._mirrors:
            return self._mirrors[authority]
        scheme = "http" if speaks_plain(authority, self._plain) else "https"
        return parse(f"{scheme}://{authority}").origin

    def most(self, registry: Origin) -> Reach:
        """How far inside a registry may lie: on this machine only where the settings, or its very name, say so."""
        if registry.host in map(name_of, self._outside):
            return Reach.INTERNET
        here = registry.host in self._named or is_loopback(registry.host)
        return Reach.MACHINE if here else Reach.NETWORK

    def proxy(self, origin: Origin) -> Origin | None:
        """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); none between two programs here."""
        text = proxy_of(origin.scheme, origin.host, self._environ)
        try:
            return parse(text if "://" in text else f"http://{text}").origin if text else None
        except RegistryUnreachable as error:
            raise BadSetting(
                "a proxy of the environment is none of the form http://host:port",
                thing=f"{origin.scheme.upper()}_PROXY",
                next_step="write it so; a proxy that wants a password is not supported",
            ) from error


def connect(origin: Origin, seconds: float, most: Reach) -> socket.socket:
    """A connection to one of the host's addresses; none that lies further inside than ``most`` is ever asked."""
    try:
        return dial(_allowed(origin, most), seconds)
    except OSError as error:
        raise _silent(origin, str(error)) from error


def check(origin: Origin, most: Reach) -> None:
    """Raise RegistryUnreachable where a host is known to lie too far inside: for what a proxy is to connect to.

    A name that only the proxy knows is for the proxy to judge.
    """
    try:
        _allowed(origin, most)
    except NotReached:
        return


def reach(origin: Origin, most: Reach) -> Reach:
    """How far inside a server lies: where it has several addresses, by the outermost. Raises NotReached.

    An address beyond ``most`` does not count, so that a name cannot win anything by having one.
    """
    return min(reach_of(str(place[0])) for *_, place in _allowed(origin, most))


def _allowed(origin: Origin, most: Reach) -> Sequence[Way]:
    """The host's addresses that may be connected to; looked up once, so that what was judged is what is asked."""
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _silent(origin, f"its name is not known ({error})") from error
    usable = [
        (family, kind, protocol, place) for family, kind, protocol, _, place in found if reach_of(str(place[0])) <= most
    ]
    if not usable:
        raise _nowhere(str(origin), f"{found[0][4][0]} is {_WHERE[reach_of(str(found[0][4][0]))]}")
    return usable


_WHERE = {
    Reach.NETWORK: "an address of a private network",
    Reach.MACHINE: "an address of this machine or its link",
    Reach.NEVER: "an address that is never asked",
}


def _mirror(text: str) -> tuple[str, Origin]:
    host, equals, url = text.partition("=")
    if not equals or not host.strip():
        raise BadSetting(
            "not a mirror", thing=shown(text), next_step="write host=url, for example host.example=http://box:5000"
        )
    try:
        return host.strip(), parse(url.strip()).origin
    except RegistryUnreachable as error:
        raise BadSetting(
            error.what, thing=shown(text), next_step="write host=url with http:// or https://, without a user name"
        ) from error


def shown(url: str) -> str:
    """An address for other eyes: without user and password, and without the parameters, which may sign it."""
    return _USER.sub("//", url.partition("?")[0])[:200]


_USER = re.compile(r"//[^/]*@")


def _nowhere(url: str, why: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"not followed: {why}", thing=shown(url), next_step="use another source, or tell who runs that registry"
    )


def _silent(origin: Origin, why: str) -> NotReached:
    return NotReached(
        f"cannot be reached: {why}", thing=str(origin), next_step="check the network, or name a mirror (mirrors)"
    )
