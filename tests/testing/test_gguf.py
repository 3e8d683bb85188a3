"""The tiny model is a valid GGUF file that depends on nothing but its parameters."""

import hashlib
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.testing import tiny_gguf

MIB = 1 << 20


def test_same_parameters_same_bytes() -> None:
    """The bytes are the same on every machine and with every version: tests may rely on the digest."""
    expected = "d736a1f008c12b0763113e43653b25af87816bb1b4d40f9d8f02599345fff526"
    assert hashlib.sha256(tiny_gguf()).hexdigest() == expected


def test_every_parameter_counts() -> None:
    """Another seed, name or shape is another file; seed and name leave the size as it is."""
    models = [
        tiny_gguf(),
        tiny_gguf(seed=8),
        tiny_gguf(name="tine"),
        tiny_gguf(embedding=128),
        tiny_gguf(heads=4),
        tiny_gguf(blocks=2),
        tiny_gguf(at_least_bytes=MIB),
    ]
    assert len(set(models)) == len(models)
    assert len(models[0]) == len(models[1]) == len(models[2])


@settings(max_examples=30, deadline=None)
@given(wanted=st.integers(0, 4 * MIB), blocks=st.integers(1, 3))
def test_size_is_at_least_what_was_asked_for(wanted: int, blocks: int) -> None:
    """A file has the bytes asked for, and less than one step more unless the smallest is bigger already."""
    step = 384 * 64 * blocks
    size = len(tiny_gguf(at_least_bytes=wanted, blocks=blocks))
    assert size >= wanted
    assert size < max(wanted + step, len(tiny_gguf(blocks=blocks)) + 1)


@pytest.mark.parametrize(
    "shape",
    [{"embedding": 63}, {"heads": 3}, {"embedding": 6, "heads": 2}, {"embedding": 0}, {"heads": 0}, {"blocks": 0}],
)
def test_shapes_that_no_runtime_loads_are_refused(shape: dict[str, int]) -> None:
    """Heads must share the embedding evenly, each with an even part, and there must be a block."""
    with pytest.raises(ValueError, match="heads"):
        tiny_gguf(embedding=shape.get("embedding", 64), heads=shape.get("heads", 2), blocks=shape.get("blocks", 1))


def test_begins_as_version_three() -> None:
    """Magic and version stand first, then the numbers of tensors and keys."""
    magic, version, tensors, keys = struct.unpack_from("<4sIQQ", tiny_gguf(blocks=2))
    assert (magic, version) == (b"GGUF", 3)
    assert tensors == 3 + 9 * 2
    assert keys > 10


@pytest.mark.parametrize(("blocks", "wanted"), [(1, 0), (3, 0), (1, 2 * MIB)])
def test_the_gguf_package_reads_it(tmp_path: Path, blocks: int, wanted: int) -> None:
    """The format's own reader finds the keys, and every tensor with its shape, in the file's exact length."""
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf(blocks=blocks, name="näme", at_least_bytes=wanted))
    reader = gguf.GGUFReader(path)
    assert reader.get_field("general.architecture").contents() == "llama"
    assert reader.get_field("general.name").contents() == "näme"
    assert len(reader.get_field("tokenizer.ggml.tokens").contents()) == 259
    inner = reader.get_field("llama.feed_forward_length").contents()
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert len(tensors) == 3 + 9 * blocks
    assert list(tensors["token_embd.weight"].shape) == [64, 259]
    assert list(tensors["blk.0.ffn_down.weight"].shape) == [inner, 64]
    last = max(tensors.values(), key=lambda tensor: tensor.data_offset)
    assert last.data_offset + last.n_bytes == path.stat().st_size


def test_weights_are_small_numbers(tmp_path: Path) -> None:
    """Every weight is finite and small, so that no layer overflows; the norms are ones."""
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    assert set(tensors.pop("output_norm.weight").flat) == {1.0}
    values = [float(value) for name, data in tensors.items() if "norm" not in name for value in data.flat]
    assert all(math.isfinite(value) and abs(value) < 2**-5 for value in values)
    assert {value > 0 for value in values} == {True, False}
