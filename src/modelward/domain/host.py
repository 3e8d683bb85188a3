"""Hosts: which ones are this machine or its network, which are spoken to without TLS, and which through a proxy."""

from collections.abc import Collection, Mapping
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final


class Reach(IntEnum):
    """How far inside an address lies: what may be sent to one kind may be sent to those above it, never below."""

    INTERNET = 0
    NETWORK = 1  # private and shared ranges
    MACHINE = 2  # loopback and link-local, where containers find their host
    NEVER = 3  # metadata services, which hand out credentials; multicast, broadcast and what is reserved


# Where clouds answer whoever asks from inside with credentials: AWS (machines, tasks, pods), Google, Alibaba, Oracle,
# Azure, Tencent; by their own documentation.
_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.0.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
# Prefixes of IPv6 that carry an IPv4 address, and where in it: mapped, compatible, NAT64, 6to4.
_CARRIERS: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)
_SITE = IPv6Network("fec0::/10")  # private before fc00::/7 was
_PROTOCOLS = IPv4Network("192.0.0.0/24")


def reach_of(address: str) -> Reach:
    """How far inside an address lies, a scope behind ``%`` left out; raises ValueError for what is none."""
    return _reach(ip_address(address.partition("%")[0]))


def _reach(found: IPv4Address | IPv6Address) -> Reach:
    if found in _METADATA:
        return Reach.NEVER
    if found.is_loopback or found.is_unspecified or found.is_link_local:
        return Reach.MACHINE
    if isinstance(found, IPv6Address) and (inner := _carried(found)) is not None:
        return _reach(inner)
    if found.is_multicast or found.is_reserved:
        return Reach.NEVER
    inside = not found.is_global or found in (_SITE if found.version == 6 else _PROTOCOLS)
    return Reach.NETWORK if inside else Reach.INTERNET


def _carried(found: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which packets for this one are sent in the end; Teredo turns its bits over."""
    if found.teredo is not None:
        return found.teredo[1]
    for network, shift in _CARRIERS:
        if found in network:
            return IPv4Address(int(found) >> shift & 0xFFFFFFFF)
    return None


def name_of(authority: str) -> str:
    """The host of ``host[:port]``, without brackets, in lower case."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself."""
    host = host.lower().removesuffix(".")
    try:
        found = ip_address(host)
        return (getattr(found, "ipv4_mapped", None) or found).is_loopback
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
