"""What the guard answers over HTTP beside the documents of the verbs: pages of lists, health, problems."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from modelward.domain import errors
from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.finding import Finding
from modelward.domain.name import ModelName

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A part of a list; ``next`` is the cursor of the part behind it, empty at the end."""

    items: tuple[Item, ...]
    next: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457): ``thing`` is what it happened to, ``next_step`` what to do.

    ``exit_code`` is the one that the verb would end with on the command line.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    thing: str = ""
    next_step: str = ""
    exit_code: int = errors.EXIT_USAGE


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``live``: the guard's loops run. ``ready``: every protected model is healthy. ``why`` is empty when both hold."""

    live: bool
    ready: bool
    why: str
    version: str
    at: datetime | None = None
    started_at: datetime | None = None


class FoundIn(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, in words: of which model (None: of the store itself), what it means, and what to do."""

    model: ModelName | None
    text: str
    next: str
    damage: bool
    finding: Finding


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Chunks that stand in a row in one state: how many, which state, and when they were last proved (Unix seconds).

    States: ``good``, ``bad``, ``unread`` (nobody vouches for it) and ``lost`` (not there).
    """

    count: int
    state: str
    verified_at: int | None


class BlobMap(msgspec.Struct, frozen=True, kw_only=True):
    """One blob of a model, chunk by chunk, as runs from its first chunk to its last."""

    blob: Digest
    media_type: str
    size: int
    runs: tuple[Run, ...]
    bad: tuple[Span, ...] = ()


class ChunkMap(msgspec.Struct, frozen=True, kw_only=True):
    """A model's blobs in the order of its manifest; ``chunk`` is the size of a chunk in bytes."""

    model: ModelName
    chunk: int
    blobs: tuple[BlobMap, ...]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, what they may do, and the token that a page has to send with what it changes."""

    name: str
    scope: str
    csrf: str = ""
    open: bool = False
