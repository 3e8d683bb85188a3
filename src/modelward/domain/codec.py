"""One JSON form for all our values: digests and names as text, spans as [offset, length]."""

from threading import Lock
from typing import Any, TypeVar

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject, ModelwardError
from modelward.domain.name import ModelName

T = TypeVar("T")


def as_text(value: object) -> str:
    """The JSON text of our own types; the hook that msgspec asks for what it does not know."""
    if isinstance(value, Digest | ModelName):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _from_text(kind: type[Any], value: object) -> object:
    if kind in (Digest, ModelName) and isinstance(value, str):
        try:
            return kind.parse(value)
        except ModelwardError as error:
            raise ValueError(str(error)) from error
    raise TypeError(f"no JSON form for {kind.__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=as_text)


_LEARNING = Lock()
_LEARNED: set[object] = set()
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def learned(kind: type[T]) -> type[T]:
    """The type itself, once msgspec knows all of it: what reads into a type asks for it here.

    msgspec (seen with 0.22.0) shows a type to other threads while it learns it, and one that uses it then ends the
    process with a segmentation fault. So one thread learns at a time, and nobody uses what is not learned.
    """
    if kind not in _LEARNED:
        with _LEARNING:
            msgspec.json.Decoder(kind)
            _LEARNED.add(kind)
    return kind


def _decoder(kind: type) -> msgspec.json.Decoder[Any]:
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.json.Decoder(learned(kind), dec_hook=_from_text, strict=True)
    return _DECODERS[kind]


def encode(value: object) -> bytes:
    """The value as compact JSON bytes; what is no UTF-8 in a file's name is shown escaped."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(_escaped(msgspec.to_builtins(value, enc_hook=as_text)))


def _escaped(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_escaped(key): _escaped(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_escaped(inner) for inner in value]
        case _:
            return value


def pretty(value: object) -> str:
    """The value as indented JSON text for people and for ``--json``."""
    return msgspec.json.format(encode(value), indent=2).decode()


def decode(data: bytes, kind: type[T]) -> T:
    """Read JSON bytes back as ``kind``; anything else raises BadObject with the reason."""
    try:
        value: T = _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadObject(f"not a {getattr(kind, '__name__', 'value')} ({error})") from error
    return value
