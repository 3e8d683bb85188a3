"""Small files that no digest names: each carries a seal, so that rot in it is seen, and the rarest have a copy."""

from contextlib import suppress
from hashlib import sha256
from typing import TypeVar

import msgspec

from modelward.domain.codec import decode, pretty
from modelward.domain.errors import BadObject, DamageError
from modelward.durable import Folder, put_small

T = TypeVar("T", bound=msgspec.Struct)
SMALL = 16 << 20  # bytes; no small file of the vault is larger
_MARK, _END = b',\n  "seal": "', b"\n}"


def sealed(value: msgspec.Struct) -> bytes:
    """The value as indented JSON; its last member is a hash of the text without it."""
    text = pretty(value).encode()
    return text.removesuffix(_END) + _MARK + _seal(text)


def unsealed(data: bytes, kind: type[T]) -> T:
    """Read a value back; raises BadObject where a byte of it changed.

    Files from before there were seals have none. They hold no other members than ours, so that a seal which rot took
    away is missed.
    """
    value = decode(data, kind)
    text, mark, seal = data.rpartition(_MARK)
    if mark and seal != _seal(text + _END):
        raise BadObject("its bytes are not those that were written")
    if not mark and not decode(data, dict[str, msgspec.Raw]).keys() <= {*kind.__struct_fields__}:
        raise BadObject("it has no seal, and is no older file")
    return value


def _seal(text: bytes) -> bytes:
    return sha256(text).hexdigest().encode() + b'"' + _END


def copy_of(name: str) -> str:
    """What the copy of a file is called."""
    return f"{name.removesuffix('.json')}.copy.json"


def keep_twice(staging: Folder, folder: Folder, name: str, value: msgspec.Struct) -> None:
    """Put the value into a file and its copy, where it does not stand there to the last byte already."""
    data = sealed(value)
    for place in (copy_of(name), name):
        if folder.read_if_any(place, SMALL) != data:
            put_small(staging, folder, place, data)


def read_twice(folder: Folder, name: str, kind: type[T]) -> T:
    """The value in a file, or in its copy where the file is lost or damaged.

    Raises:
        BlobMissing: There is neither.
        BadObject, DamageError: What is wrong with the file, where there is no sound copy either.

    """
    try:
        return unsealed(folder.read(name, SMALL), kind)
    except DamageError:
        with suppress(DamageError):
            return unsealed(folder.read(copy_of(name), SMALL), kind)
        raise
