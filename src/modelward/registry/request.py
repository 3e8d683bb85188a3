"""What is asked of a registry, and how long an answer may take: known before anything of a network is loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Body = bytes | Iterable[bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds to connect, between two bytes, and for a whole answer beside its bytes at ``slowest`` bytes a second."""

    connect: float = 5.0
    stall: float = 30.0
    base: float = 20.0
    slowest: int = 16 << 10
    wait: float = 60.0
    attempts: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent; ``size`` is how many bytes will move, one way or the other."""

    method: str
    headers: Mapping[str, str]
    body: Body = None
    size: int = 64 << 10
