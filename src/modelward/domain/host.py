"""Names of hosts: which ones are this machine, and which ones are spoken to without TLS."""

from collections.abc import Collection
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
