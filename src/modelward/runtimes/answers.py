"""Ollama's answers as values; what is not in its words does not pass.

Names and shapes: api/types.go and server/routes.go of Ollama v0.24.0.
"""

import re
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from modelward.domain.codec import learned
from modelward.domain.errors import BadName
from modelward.domain.name import ModelName

T = TypeVar("T")
_WORDS = 300
_UNLOADING = timedelta(seconds=10)  # a model that is let go stays in the list for some seconds
# Only these stand before the words of a person in what ``show`` writes (Model.String in server/images.go).
_OPENING = ("#", "FROM ", "ADAPTER ", "DRAFT ")
_FROM = re.compile(r"""FROM\s+["']?(.*?)[/\\]+blobs[/\\]+sha256[-:][0-9a-f]{64}["']?\s*\Z""")


class NotOllama(Exception):
    """An answer in other words than Ollama's."""


class Version(msgspec.Struct, frozen=True):
    """Of ``/api/version``."""

    version: str = ""


class Model(msgspec.Struct, frozen=True):
    """A line of ``/api/tags`` or ``/api/ps``; only the latter has ``expires_at``."""

    name: str = ""
    digest: str = ""
    size: int = 0
    expires_at: str = ""


class Models(msgspec.Struct, frozen=True):
    """Of ``/api/tags`` and ``/api/ps``; a list in Go that nobody filled is null."""

    models: tuple[Model, ...] | None = ()


class Details(msgspec.Struct, frozen=True):
    """A part of ``Shown``."""

    family: str = ""
    format: str = ""


class Shown(msgspec.Struct, frozen=True):
    """Of ``/api/show``."""

    modelfile: str = ""
    capabilities: tuple[str, ...] | None = ()
    details: Details = Details()
    remote_host: str = ""


class Step(msgspec.Struct, frozen=True):
    """A line of ``/api/pull`` or ``/api/create``; ``error`` comes alone, and ends it."""

    status: str = ""
    error: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class Said(msgspec.Struct, frozen=True):
    """Of ``/api/generate`` without streaming."""

    response: str = ""
    thinking: str = ""
    done: bool = False
    eval_count: int = 0


class Embedded(msgspec.Struct, frozen=True):
    """Of ``/api/embed``: a row of numbers for each input."""

    embeddings: tuple[tuple[float, ...], ...] | None = ()


class Anything(msgspec.Struct, frozen=True):
    """Any JSON object."""


class _Refusal(msgspec.Struct, frozen=True):
    error: str


def read(data: bytes, kind: type[T]) -> T:
    """Decode an answer; raises NotOllama."""
    try:
        return msgspec.json.decode(data, type=learned(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotOllama(f"an answer that is not Ollama's ({error})") from error


def refusal(data: bytes) -> str:
    """The server's words for an error, on one line; empty when it said none."""
    try:
        return plain(read(data, _Refusal).error)
    except NotOllama:
        return ""


def plain(text: str) -> str:
    """Foreign words for a message: one line, printable, not endless."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _WORDS else line[:_WORDS] + " ..."


def store_of(modelfile: str) -> str:
    """The folder that the server reads a model from, as its modelfile names the first blob; empty without one.

    A template or a system prompt may hold any words, so reading ends where they begin.
    """
    for line in modelfile.split("\n"):
        if line.strip() and not line.startswith(_OPENING):
            return ""
        if found := _FROM.match(line):
            return found[1] or "/"
    return ""


def overdue(model: Model, date: str) -> bool:
    """Whether a line of ``/api/ps`` is of a model that is surely answering; ``date`` is that answer's Date header.

    Its time to leave is set when its last request ends, and put off while one runs without the list's saying so
    (server/sched.go of Ollama v0.24.0): past its time, it is in use. Both times are of the server's clock, so none
    of ours can be wrong. Of a machine that slept this may say too much, until the model leaves.
    """
    from email.utils import parsedate_to_datetime

    try:
        leaves = datetime.fromisoformat(model.expires_at)
        return leaves.year > 1 and leaves + _UNLOADING < parsedate_to_datetime(date)  # Go's year 1 is no time
    except (ValueError, TypeError, OverflowError):
        return False


def same_name(one: str, other: str) -> bool:
    """Whether two texts name one model: a list gives the whole name, a person leaves out what is usual."""
    try:
        return ModelName.parse(one).twin_key == ModelName.parse(other).twin_key
    except BadName:
        return one == other
