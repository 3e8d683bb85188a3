"""``OLLAMA_HOST`` in every form that Ollama itself accepts (envconfig.Host of Ollama v0.24.0)."""

from dataclasses import dataclass

DEFAULT_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a server listens on, and where a client finds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server listens. ``host`` is without brackets, ``path`` begins with a slash or is empty."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_host(text: str) -> Endpoint:
    """Read ``[scheme://]host[:port][/path]``; what is missing or not a port becomes Ollama's default.

    An address that means "listen everywhere" becomes the loopback address, where a client finds that server.
    """
    scheme, rest = _scheme(text.strip().strip("\"'").strip())
    hostport, slash, path = rest.partition("/")
    host, port = _split(hostport)
    default = _PORTS[scheme] if "://" in text else DEFAULT_PORT
    host = host or "127.0.0.1"
    return Endpoint(
        scheme=scheme,
        host=_EVERYWHERE.get(host, host),
        port=_port(port, default),
        path=f"/{path.strip('/')}" if slash and path.strip("/") else "",
    )


def _scheme(text: str) -> tuple[str, str]:
    scheme, found, rest = text.partition("://")
    if not found:
        return "http", text
    return ("https" if scheme.lower() == "https" else "http"), rest


def _split(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address may stand in brackets, or bare when no port follows."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _port(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 and 0 <= int(text) <= 65535 else default
