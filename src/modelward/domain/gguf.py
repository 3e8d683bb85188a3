"""Read the header of a GGUF file within hard limits: what the model is, and whether the file is whole (T2).

Format facts: docs/gguf.md of ggml (versions 2 and 3, little-endian), ggml.h and llama.h for the numbers of types.
Words for types and sizes are Ollama's: fs/ggml/type.go and format/format.go of v0.24.0.
"""

import struct
from collections.abc import Callable
from math import prod
from typing import NoReturn

import msgspec

from modelward.domain.errors import BadObject

MAGIC = b"GGUF"
_WINDOW = 1 << 20
_MAX_HEADER = 128 << 20
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_KEY = (1 << 16) - 1
_MAX_TEXT = 16 << 20
_MAX_WANTED = 4096
_MAX_NAME = 1024
_MAX_RANK = 8
_MAX_DEPTH = 4
_MAX_ITEMS = 4 << 20
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_COUNTS = struct.Struct("<4sIQQ")
_WANTED = frozenset({"general.architecture", "general.type", "general.file_type", "general.alignment", "split.count"})
# Elements in a block, then by the tensor's type the bytes of a block. A type that is not listed has no end to check.
_BLOCKS = {
    1: {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2},
    32: {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 9: 40, 20: 18, 39: 17},
    64: {40: 36},
    128: {41: 18},
    256: {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 15: 292, 16: 66, 17: 74, 18: 98, 19: 50, 21: 110, 22: 82}
    | {23: 136, 29: 56, 34: 54, 35: 66},
}
_WIDTHS = {kind: (block, width) for block, kinds in _BLOCKS.items() for kind, width in kinds.items()}
# By number; those that were taken out of the format have no word.
_WORDS = (
    "F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ2_XXS IQ2_XS "
    "Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 - - - TQ1_0 TQ2_0 MXFP4_MOE NVFP4"
)
_FILE_TYPES = tuple(_WORDS.split())
_SIZES = ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0))

Read = Callable[[int, int], bytes]


class GgufHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file says of itself: ``parameters`` counts the tensors' elements, ``parts`` the files of a split."""

    version: int
    architecture: str
    kind: str
    file_type: str
    parameters: int
    parts: int

    @property
    def size_label(self) -> str:
        """The number of parameters as Ollama shows it: ``8.0B``, ``137M``, ``74K``."""
        for unit, letter, digits in _SIZES:
            if self.parameters >= unit:
                whole = self.parameters % unit == 0
                return f"{self.parameters / unit:.{0 if whole else min(digits, 2)}f}{letter}"
        return str(self.parameters)


def read_header(read: Read, size: int) -> GgufHeader:
    """Read the header of a file of ``size`` bytes by ``read(offset, length)``, which gives fewer bytes at its end.

    Raises BadObject for what is no GGUF, goes past a limit, or names tensors behind the end of the file.
    """
    cursor = _Cursor(read, size)
    magic, version, tensors, keys = _COUNTS.unpack(cursor.take(_COUNTS.size))
    if magic != MAGIC:
        _bad("it does not begin with GGUF")
    if version not in (2, 3):
        _bad(f"version {version}, this program reads 2 and 3")
    if keys > _MAX_KEYS or tensors > _MAX_TENSORS:
        _bad(f"{keys:,} keys and {tensors:,} tensors, the limits are {_MAX_KEYS:,} and {_MAX_TENSORS:,}")
    values = _values(cursor, keys)
    parameters = _tensors(cursor, tensors, _number(values, "general.alignment", 32))
    return GgufHeader(
        version=version,
        architecture=_word(values, "general.architecture"),
        kind=_word(values, "general.type"),
        file_type=_file_type(_number(values, "general.file_type", -1)),
        parameters=parameters,
        parts=_number(values, "split.count", 1),
    )


class _Cursor:
    """A place in the header; reads ahead by windows, and stops at the limit."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self.size = read, size
        self._end = min(size, _MAX_HEADER)
        self.at, self._from, self._window = 0, 0, b""
        self._items = 0

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        start = self.at - self._from
        if start + length > len(self._window):
            self._fill(length)
            start = 0
        self.at += length
        return self._window[start : start + length]

    def skip(self, length: int) -> None:
        """Go on without a look."""
        if length > self._end - self.at:
            self._over()
        self.at += length

    def number(self, form: struct.Struct) -> int:
        """The next number."""
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def text(self, limit: int) -> bytes:
        """The next string: its length, then its bytes."""
        return self.take(self.length(limit))

    def length(self, limit: int) -> int:
        """The next length."""
        length = self.number(_U64)
        if length > limit:
            _bad(f"a text of {length:,} bytes, the limit is {limit:,}")
        return length

    def count(self, items: int) -> None:
        """Items of lists are walked one by one: all lists together have a limit."""
        self._items += items
        if self._items > _MAX_ITEMS:
            _bad(f"lists of {self._items:,} items, the limit is {_MAX_ITEMS:,}")

    def _fill(self, length: int) -> None:
        if length > self._end - self.at:
            self._over()
        self._window = self._read(self.at, min(max(length, _WINDOW), self._end - self.at))
        self._from = self.at
        if len(self._window) < length:
            _bad("it ends inside its header")

    def _over(self) -> NoReturn:
        _bad("it ends inside its header" if self._end == self.size else f"a header above {_MAX_HEADER:,} bytes")


def _values(cursor: _Cursor, keys: int) -> dict[str, object]:
    """The few values that are wanted; all others are passed over."""
    found: dict[str, object] = {}
    for _ in range(keys):
        key = cursor.text(_MAX_KEY).decode("utf-8", "replace")
        kind = cursor.number(_U32)
        if key not in _WANTED:
            _pass(cursor, kind, 0)
        elif key in found:
            _bad(f"the key {key} stands twice")
        else:
            found[key] = _value(cursor, kind)
    return found


def _value(cursor: _Cursor, kind: int) -> object:
    if kind == _STRING:
        return cursor.text(_MAX_WANTED).decode("utf-8", "replace")
    if kind not in _SCALARS:
        _bad("a list where a number or a text belongs")
    form = struct.Struct("<" + _SCALARS[kind])
    value: object = form.unpack(cursor.take(form.size))[0]
    return value


def _pass(cursor: _Cursor, kind: int, depth: int) -> None:
    if kind in _SCALARS:
        cursor.skip(struct.calcsize("<" + _SCALARS[kind]))
    elif kind == _STRING:
        cursor.skip(cursor.length(_MAX_TEXT))
    elif kind == _ARRAY and depth < _MAX_DEPTH:
        inner, items = cursor.number(_U32), cursor.number(_U64)
        if inner in _SCALARS:
            cursor.skip(items * struct.calcsize("<" + _SCALARS[inner]))
            return
        cursor.count(items)
        for _ in range(items):
            _pass(cursor, inner, depth + 1)
    else:
        _bad(f"a value of the unknown kind {kind}, or lists too deep in each other")


def _tensors(cursor: _Cursor, tensors: int, alignment: int) -> int:
    """The number of parameters; every tensor has to lie within the file."""
    if not 0 < alignment <= _WINDOW:
        _bad(f"an alignment of {alignment:,}")
    parameters = end = 0
    for _ in range(tensors):
        cursor.skip(cursor.length(_MAX_NAME))
        rank = cursor.number(_U32)
        if rank > _MAX_RANK:
            _bad(f"a tensor of {rank:,} dimensions")
        elements = prod(cursor.number(_U64) for _ in range(rank))
        kind, offset = cursor.number(_U32), cursor.number(_U64)
        block, width = _WIDTHS.get(kind, (1, 0))
        parameters += elements
        end = max(end, offset + -(-elements // block) * width)
    data = -(-cursor.at // alignment) * alignment
    if tensors and data + end > cursor.size:
        _bad(f"it is cut short: its tensors end at byte {data + end:,}, the file at {cursor.size:,}")
    return parameters


def _file_type(number: int) -> str:
    word = _FILE_TYPES[number] if 0 <= number < len(_FILE_TYPES) else "-"
    return "unknown" if word == "-" else word


def _number(values: dict[str, object], key: str, default: int) -> int:
    value = values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        _bad(f"{key} is not a number")
    return value


def _word(values: dict[str, object], key: str) -> str:
    value = values.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        _bad(f"{key} is not a text")
    return value


def _bad(why: str) -> NoReturn:
    raise BadObject(f"not a whole GGUF file: {why}")
