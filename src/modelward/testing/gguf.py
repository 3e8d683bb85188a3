"""Write a tiny real GGUF model: runtimes load it and answer, and its bytes follow from its parameters alone.

Format facts: docs/gguf.md of ggml (version 3). Keys, tensors and shapes: what Ollama v0.24.0 demands of the
architecture ``llama``. It does not load a file with a tensor that it does not know, so a bigger model has wider
feed-forward layers and no padding.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import shake_128
from math import prod

_MAGIC = b"GGUF"
_VERSION = 3
_ALIGNMENT = 32
_F32 = 0
_FLOAT = 4
_SPECIAL = ("<unk>", "<s>", "</s>")
_VOCABULARY = (*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)))
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6
_TOKEN_TYPES = (_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256)
_PRINTABLE = range(len(_SPECIAL) + 0x20, len(_SPECIAL) + 0x7F)

# A random byte becomes the top byte of a float of either sign and of a size from 2**-7 to 2**-5.
_TOP_BYTE = bytes(0x3C | (byte & 0x80) for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    seed: int
    embedding: int
    heads: int
    blocks: int
    feed_forward: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """``dimensions`` with the fastest one first, and what makes the bytes."""

    name: str
    dimensions: tuple[int, ...]
    content: Callable[[], bytes]

    @property
    def size(self) -> int:
        return _FLOAT * prod(self.dimensions)


def tiny_gguf(  # noqa: PLR0913 - one keyword for each number of the shape
    *, seed: int = 7, embedding: int = 64, heads: int = 2, blocks: int = 1, name: str = "tiny", at_least_bytes: int = 0
) -> bytes:
    """The bytes of a model of architecture llama with 259 tokens: three special ones and every byte.

    The same parameters give the same bytes. A model of the default shape has about 300 KB; ``at_least_bytes``
    widens its feed-forward layers until the file has that many bytes (a bit more at most: one step is
    384 bytes x embedding x blocks). A runtime that takes the likeliest token answers in printable ASCII.
    Raises ValueError for a shape that no runtime loads: each head needs an even share of the embedding.
    """
    if min(embedding, heads, blocks) < 1 or embedding % (2 * heads):
        raise ValueError(f"{embedding} does not split into {heads} heads of even size, or blocks ({blocks}) is below 1")
    shape = _Shape(seed=seed, embedding=embedding, heads=heads, blocks=blocks, feed_forward=2 * embedding, name=name)
    lacking = max(0, at_least_bytes - _size(shape))
    step = 3 * embedding * _FLOAT * blocks * _ALIGNMENT
    wider = -(-lacking // step) * _ALIGNMENT
    return _write(replace(shape, feed_forward=shape.feed_forward + wider))


def _size(shape: _Shape) -> int:
    tensors = _tensors(shape)
    return len(_header(shape, tensors)) + sum(_aligned(tensor.size) for tensor in tensors)


def _write(shape: _Shape) -> bytes:
    tensors = _tensors(shape)
    return b"".join((_header(shape, tensors), *(_padded(tensor.content()) for tensor in tensors)))


def _header(shape: _Shape, tensors: Sequence[_Tensor]) -> bytes:
    """Everything before the tensors' data: counts, keys, and where each tensor lies."""
    keys = _keys(shape)
    parts = [_MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(keys))]
    parts += [_text(key) + value for key, value in keys.items()]
    offset = 0
    for tensor in tensors:
        parts.append(_tensor_info(tensor, offset))
        offset += _aligned(tensor.size)
    return _padded(b"".join(parts))


def _keys(shape: _Shape) -> Mapping[str, bytes]:
    return {
        "general.architecture": _string("llama"),
        "general.name": _string(shape.name),
        "general.file_type": _uint32(_F32),
        "llama.context_length": _uint32(512),
        "llama.embedding_length": _uint32(shape.embedding),
        "llama.block_count": _uint32(shape.blocks),
        "llama.feed_forward_length": _uint32(shape.feed_forward),
        "llama.attention.head_count": _uint32(shape.heads),
        "llama.attention.head_count_kv": _uint32(shape.heads),
        "llama.attention.layer_norm_rms_epsilon": _float32(1e-5),
        "llama.rope.dimension_count": _uint32(shape.embedding // shape.heads),
        "llama.vocab_size": _uint32(len(_VOCABULARY)),
        "tokenizer.ggml.model": _string("llama"),
        "tokenizer.ggml.tokens": _array(8, [_text(token) for token in _VOCABULARY]),
        "tokenizer.ggml.scores": _array(6, [struct.pack("<f", 0.0)] * len(_VOCABULARY)),
        "tokenizer.ggml.token_type": _array(5, [struct.pack("<i", kind) for kind in _TOKEN_TYPES]),
        "tokenizer.ggml.unknown_token_id": _uint32(0),
        "tokenizer.ggml.bos_token_id": _uint32(1),
        "tokenizer.ggml.eos_token_id": _uint32(2),
    }


def _tensors(shape: _Shape) -> list[_Tensor]:
    width, vocabulary = shape.embedding, len(_VOCABULARY)
    tensors = [_weights(shape, "token_embd.weight", width, vocabulary)]
    for block in range(shape.blocks):
        tensors += _block(shape, f"blk.{block}")
    return [
        *tensors,
        _ones("output_norm.weight", width),
        _Tensor(name="output.weight", dimensions=(width, vocabulary), content=lambda: _output(shape)),
    ]


def _block(shape: _Shape, prefix: str) -> list[_Tensor]:
    width, inner = shape.embedding, shape.feed_forward
    return [
        _ones(f"{prefix}.attn_norm.weight", width),
        *(_weights(shape, f"{prefix}.attn_{part}.weight", width, width) for part in ("q", "k", "v", "output")),
        _ones(f"{prefix}.ffn_norm.weight", width),
        _weights(shape, f"{prefix}.ffn_gate.weight", width, inner),
        _weights(shape, f"{prefix}.ffn_up.weight", width, inner),
        _weights(shape, f"{prefix}.ffn_down.weight", inner, width),
    ]


def _ones(name: str, width: int) -> _Tensor:
    return _Tensor(name=name, dimensions=(width,), content=lambda: struct.pack("<f", 1.0) * width)


def _weights(shape: _Shape, name: str, columns: int, rows: int) -> _Tensor:
    return _Tensor(
        name=name, dimensions=(columns, rows), content=lambda: _floats(f"{shape.seed} {name}", columns * rows)
    )


def _output(shape: _Shape) -> bytes:
    """Rows of zeros for what is not printable: of 95 random scores one is above zero, and that one wins."""
    row = shape.embedding * _FLOAT
    rows = _floats(f"{shape.seed} output.weight", shape.embedding * len(_PRINTABLE))
    return bytes(_PRINTABLE.start * row) + rows + bytes((len(_VOCABULARY) - _PRINTABLE.stop) * row)


def _floats(key: str, count: int) -> bytes:
    """Small random float32 values, little-endian; SHAKE-128 is fast and the same everywhere."""
    data = bytearray(shake_128(key.encode()).digest(count * _FLOAT))
    data[3::4] = data[3::4].translate(_TOP_BYTE)
    return bytes(data)


# The format's words.


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _uint32(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def _float32(value: float) -> bytes:
    return struct.pack("<If", 6, value)


def _string(text: str) -> bytes:
    return struct.pack("<I", 8) + _text(text)


def _array(kind: int, items: Sequence[bytes]) -> bytes:
    return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)


def _tensor_info(tensor: _Tensor, offset: int) -> bytes:
    rank = len(tensor.dimensions)
    return _text(tensor.name) + struct.pack(f"<I{rank}QIQ", rank, *tensor.dimensions, _F32, offset)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padded(data: bytes) -> bytes:
    return data + bytes(_aligned(len(data)) - len(data))
