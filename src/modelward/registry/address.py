"""Where a registry is, whether we may go there, and through which proxy."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urljoin, urlsplit

from modelward.domain.errors import BadSetting, RegistryUnreachable
from modelward.domain.host import proxy_of, speaks_plain

_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192


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
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc or len(url) > _LONGEST or not url.isascii():
        raise _nowhere(url, "not an address of a web server")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise _nowhere(url, "blanks or control characters in an address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target)


def redirected(here: Address, location: str) -> Address:
    """Where a redirect leads; raises RegistryUnreachable when it goes from TLS to none."""
    there = parse(urljoin(f"{here.origin}{here.target}", location))
    if here.origin.scheme == "https" and there.origin.scheme == "http":
        raise _nowhere(str(there), "a redirect from https to http")
    return there


class NotReached(RegistryUnreachable):
    """No connection at all: nothing is gained by asking again at once."""


class Addresses:
    """Which server stands for a registry's host, by the settings."""

    def __init__(self, mirrors: tuple[str, ...], plain_http: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._mirrors = dict(_mirror(text) for text in mirrors)
        self._plain, self._environ = frozenset(plain_http), environ

    def of(self, authority: str) -> Origin:
        """The server of a registry named ``host[:port]``."""
        if authority in self._mirrors:
            return self._mirrors[authority]
        scheme = "http" if speaks_plain(authority, self._plain) else "https"
        return parse(f"{scheme}://{authority}").origin

    def proxy(self, origin: Origin) -> Origin | None:
        """The proxy of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); none between two programs here."""
        text = proxy_of(origin.scheme, origin.host, self._environ)
        return parse(text if "://" in text else f"http://{text}").origin if text else None


def connect(origin: Origin, seconds: float, near: bool) -> socket.socket:  # noqa: FBT001 - see below
    """A connection to one of the host's addresses, each looked at first.

    ``near`` allows addresses of this machine and of private networks: for a registry that the user named, never for
    where a registry on the internet redirects to.
    """
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _silent(origin, f"its name is not known ({error})") from error
    problem: OSError | None = None
    for family, kind, protocol, _, place in found:
        if not near and not _is_public(str(place[0])):
            raise _nowhere(str(origin), f"a redirect to {place[0]}, which is not on the internet")
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(seconds)
            link.connect(place)
        except OSError as error:
            link.close()
            problem = error
            continue
        return link
    raise _silent(origin, str(problem)) from problem


def is_near(origin: Origin) -> bool:
    """Whether the server's name leads to this machine or a private network."""
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(not _is_public(str(place[0])) for *_, place in found)


def _is_public(text: str) -> bool:
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def _mirror(text: str) -> tuple[str, Origin]:
    host, equals, url = text.partition("=")
    if not equals or not host.strip():
        raise BadSetting(
            "not a mirror", thing=text, next_step="write host=url, for example host.example=http://box:5000"
        )
    try:
        return host.strip(), parse(url.strip()).origin
    except RegistryUnreachable as error:
        raise BadSetting(error.what, thing=text, next_step="write host=url with http:// or https://") from error


def _nowhere(url: str, why: str) -> RegistryUnreachable:
    return RegistryUnreachable(
        f"not followed: {why}", thing=url[:200], next_step="use another source, or tell who runs that registry"
    )


def _silent(origin: Origin, why: str) -> NotReached:
    return NotReached(
        f"cannot be reached: {why}", thing=str(origin), next_step="check the network, or name a mirror (mirrors)"
    )
