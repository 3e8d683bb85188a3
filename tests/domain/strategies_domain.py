"""Strategies that draw the domain's values: digests, names, times, manifests, and any struct by its annotations."""

import importlib
import json
import pkgutil
import types
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from modelward import domain
from modelward.domain.chunks import ChunkList, count
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.retention import Policy
from tests import strategies

T = TypeVar("T")

HEX = "0123456789abcdef"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def digests() -> SearchStrategy[Digest]:
    """Any SHA-256."""
    return strategies.digests().map(Digest)


def digest(number: int) -> Digest:
    """The digest number ``number``, for tests that need a few that differ."""
    return Digest(f"{number:064x}")


def names() -> SearchStrategy[ModelName]:
    """Any name that a store may hold, the longest hosts too."""
    return strategies.model_names(350).map(ModelName.parse)


def times() -> SearchStrategy[datetime]:
    """Any time in UTC, to the microsecond."""
    return st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def chunk_lists() -> SearchStrategy[ChunkList]:
    """Chunk lists of blobs of up to four chunks."""
    return st.integers(0, 4 << 20).flatmap(
        lambda size: st.builds(
            ChunkList,
            blob=digests(),
            size=st.just(size),
            hashes=st.binary(min_size=32 * count(size), max_size=32 * count(size)),
        )
    )


def policies() -> SearchStrategy[Policy]:
    """Any policy that keeps something."""
    hours = st.none() | st.integers(1, 60 * 24).map(lambda hours: timedelta(hours=hours))
    return (
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), hours)
        .filter(any)
        .map(lambda rules: Policy(keep_last=rules[0], keep_daily=rules[1], keep_weekly=rules[2], keep_within=rules[3]))
    )


# Manifests.

MEDIA_TYPES = tuple(
    f"application/vnd.ollama.image.{kind}"
    for kind in ("model", "projector", "adapter", "template", "system", "params", "messages", "license", "json")
)
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def layer(number: int, size: int = 10, kind: str = MEDIA_TYPES[0], **more: object) -> dict[str, object]:
    """One layer as Ollama writes it."""
    return {"mediaType": kind, "digest": str(digest(number)), "size": size, **more}


def document(layers: object, config: object = None, **more: object) -> dict[str, object]:
    """A manifest as Ollama writes it; a config is left out when it is None."""
    head: dict[str, object] = {"schemaVersion": 2, "mediaType": DOCKER_TYPE}
    return head | ({"config": config} if config is not None else {}) | {"layers": layers} | more


def compact(value: object) -> bytes:
    """JSON as Go writes it, without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def manifest_bytes() -> SearchStrategy[bytes]:
    """Manifests as Ollama may write them: blobs shared between layers, tensors with names, a cloud model's."""
    sizes = st.lists(st.integers(0, 1 << 40), min_size=4, max_size=4)
    picks = st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(MEDIA_TYPES), st.sampled_from(["", "blk.0.attn_k.weight"])),
        max_size=6,
    )

    def build(sizes: list[int], picks: list[tuple[int, str, str]], shape: str, end: str) -> bytes:
        layers = [layer(n, sizes[n], kind, **({"name": name} if name else {})) for n, kind, name in picks]
        configs: dict[str, object] = {
            "plain": layer(0, sizes[0], CONFIG_TYPE),
            "empty": {"mediaType": "", "digest": "", "size": 0},
            "none": None,
        }
        return compact(document(layers or None, configs[shape])) + end.encode()

    return st.builds(build, sizes, picks, st.sampled_from(["plain", "empty", "none"]), st.sampled_from(["", "\n"]))


# Any struct.


def structs() -> list[type[msgspec.Struct]]:
    """Every public struct that a module of the domain defines."""
    found: list[type[msgspec.Struct]] = []
    for info in pkgutil.iter_modules(domain.__path__, f"{domain.__name__}."):
        module = importlib.import_module(info.name)
        found += [
            value
            for name, value in sorted(vars(module).items())
            if isinstance(value, type)
            and issubclass(value, msgspec.Struct)
            and value.__module__ == info.name
            and not name.startswith("_")
        ]
    return found


TEXT = st.text(max_size=20)
PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)


def values(kind: type[T], text: SearchStrategy[str] = TEXT) -> SearchStrategy[T]:
    """Values of a struct, each field drawn by its annotation, free texts from ``text``."""
    strategy: SearchStrategy[T] = _of(kind, text)
    return strategy


_PLAIN: dict[Any, Callable[[], SearchStrategy[Any]]] = {
    int: lambda: st.integers(0, 1 << 50),
    bool: st.booleans,
    float: lambda: st.floats(allow_nan=False, allow_infinity=False),
    bytes: lambda: st.binary(max_size=40),
    datetime: times,
    type(None): st.none,
    Digest: digests,
    ModelName: names,
    ChunkList: chunk_lists,
    Policy: policies,
}


def _of(kind: Any, text: SearchStrategy[str]) -> SearchStrategy[Any]:  # noqa: ANN401 - an annotation has any form
    if kind is str:
        return text
    if kind is Any or isinstance(kind, TypeVar):
        return st.none() | text  # a document of another kind: JSON as it is
    if kind in _PLAIN:
        return _PLAIN[kind]()
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if isinstance(kind, type) and get_origin(kind) is None:
        hints = get_type_hints(kind)
        named = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else tuple(hints)
        return st.builds(kind, **{name: _of(hints[name], text) for name in named})
    return _generic(get_origin(kind), get_args(kind), text)


def _generic(origin: Any, inner: tuple[Any, ...], text: SearchStrategy[str]) -> SearchStrategy[Any]:  # noqa: ANN401
    drawn = [_of(item, text) for item in inner if item is not Ellipsis]
    if origin in (types.UnionType, Union):
        return st.one_of(drawn)
    if origin is tuple and Ellipsis in inner:
        return st.lists(drawn[0], max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*drawn)
    if origin in (dict, Mapping):
        return st.dictionaries(drawn[0], drawn[1], max_size=3)
    if origin is frozenset:
        return st.frozensets(drawn[0], max_size=3)
    raise TypeError(f"no strategy for {origin}")
