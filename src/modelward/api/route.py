"""What an operation of the API is: its address, its types, who may use it, and how it is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from modelward.api.access import Asking, Principal
from modelward.api.deps import Deps
from modelward.api.runtime import Runtime
from modelward.domain.access import Scope

Query = TypeVar("Query")
Body = TypeVar("Body")
BASE = "/api/v1"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[Query, Body]):
    """A request that has been admitted and read: who asks, for what, in which words."""

    deps: Deps
    who: Principal
    path: Mapping[str, str]
    query: Query
    body: Body
    asking: Asking
    url: str
    runtime: Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is more than its value: bytes with their type, a status and headers."""

    value: Any = None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    media_type: str = "application/json"


class Kind(StrEnum):
    """How an operation answers: a JSON value, a stream of events, text, or a page for a browser."""

    JSON = "application/json"
    EVENTS = "text/event-stream"
    TEXT = "text/plain; charset=utf-8"
    PAGE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation; ``scope`` None is for everybody, and has to be written down as such (T16).

    ``path`` stands as it is called, with ``{name}`` for one part and ``{name:path}`` for a model's name. A handler that
    is ``blocking`` touches a disk or a network and runs in a thread. ``errors`` are statuses beside those of every
    operation.
    """

    method: str
    path: str
    handler: Callable[[Ask[Any, Any]], Any]
    summary: str
    scope: Scope | None
    answer: Any = None
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    status: int = 200
    kind: Kind = Kind.JSON
    example: Any = None
    example_body: Any = None
    idempotent: bool = False
    errors: tuple[int, ...] = ()
    blocking: bool = False
    group: str = ""

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return self.path.replace(":path}", "}")

    @property
    def name(self) -> str:
        """The operation's id: its handler's name, unique in the table."""
        return self.handler.__name__.strip("_")
