"""``OLLAMA_HOST`` in every form that Ollama itself accepts (envconfig.Host of Ollama v0.24.0)."""

import socket
from dataclasses import dataclass

DEFAULT_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_CLOUD = "ollama.com"  # the one name that means its own service, over TLS, without a scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens. ``host`` is without brackets, ``path`` begins with a slash or is empty."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_host(text: str) -> Endpoint:
    """Read ``[scheme://]host[:port][/path]``; what is missing or not a port becomes Ollama's default.

    An address that means "listen everywhere" becomes the loopback address, where a client finds that server.
    """
    scheme, rest, default = _scheme(text.strip().strip("\"'").strip())
    hostport, slash, path = rest.partition("/")
    host, port = _split(hostport)
    return Endpoint(
        scheme=scheme,
        host=_connectable(host),
        port=_port(port, default),
        path=f"/{path.strip('/')}" if slash and path.strip("/") else "",
    )


def _scheme(text: str) -> tuple[str, str, int]:
    """Scheme, the rest, and the port where the rest has none; a scheme that no client speaks counts as http."""
    scheme, found, rest = text.partition("://")
    if not found:
        return ("https", text, _PORTS["https"]) if text == _CLOUD else ("http", text, DEFAULT_PORT)
    return ("https" if scheme.lower() == "https" else "http"), rest, _PORTS.get(scheme, DEFAULT_PORT)


def _split(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address may stand in brackets, or bare when no port follows."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _connectable(host: str) -> str:
    """Where a client finds a server that listens there; an IPv6 address in its short form."""
    if host in ("", "0.0.0.0"):  # noqa: S104 - what a server listens on
        return "127.0.0.1"
    if ":" not in host:
        return host
    from ipaddress import AddressValueError, IPv6Address  # only for the few who write one

    try:
        address = IPv6Address(host)
    except AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return _connectable(str(address.ipv4_mapped))
    return "::1" if address.is_unspecified else str(address)


def _port(text: str, default: int) -> int:
    found = text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= 65535
    return int(text) if found else default


def route_to(endpoint: Endpoint) -> str:
    """The address of this machine by which the server is reached; loopback where nothing is known.

    A connected datagram socket sends nothing, and knows its own address (ip(7)).
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            endpoint.host, endpoint.port, family=socket.AF_INET, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
