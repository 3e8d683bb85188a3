"""Names of hosts: which ones are this machine, which are spoken to without TLS, and which through a proxy."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address


def name_of(authority: str) -> str:
    """The host of ``host[:port]``, without brackets, in lower case."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # 127.1 is short for 127.0.0.1 (inet_aton(3)).
        short = host.startswith("127.") and host.replace(".", "").isdecimal()
        return short or host == "localhost" or host.endswith(".localhost")


def speaks_plain(authority: str, plain: Collection[str]) -> bool:
    """Whether a registry is spoken to without TLS: the machine itself, and those that the settings name."""
    return authority in plain or is_loopback(name_of(authority))


def proxy_of(scheme: str, host: str, environ: Mapping[str, str]) -> str:
    """The proxy that the environment names for a server (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), as it stands there.

    Empty where there is none, and for this machine: a proxy has no business between two programs on it.
    """
    if is_loopback(host) or _spared(host.lower(), _setting(environ, "no_proxy")):
        return ""
    return _setting(environ, f"{scheme}_proxy")


def _setting(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "") or environ.get(name.upper(), "")


def _spared(host: str, rule: str) -> bool:
    names = [name.strip().lstrip(".").lower() for name in rule.split(",") if name.strip()]
    return any(name in ("*", host) or host.endswith(f".{name}") for name in names)
