"""What the shared strategies draw is what they promise."""

import re
from pathlib import Path

import pytest
from hypothesis import find, given, settings

from modelward.domain.name import ModelName
from tests.strategies import BORDERS, LARGEST, LayerShape, ModelShape, StoreShape, digests, model_names, store_shapes


@given(name=model_names(350))
def test_names_are_valid_full_names(name: str) -> None:
    """Our own parser takes each name and gives it back unchanged."""
    assert str(ModelName.parse(name)) == name


@given(digest=digests())
def test_digests_are_lower_case_hex(digest: str) -> None:
    """A digest is 64 lower-case hex digits."""
    assert re.fullmatch(r"[0-9a-f]{64}", digest)


@given(shape=store_shapes())
def test_shapes_keep_their_bounds(shape: StoreShape) -> None:
    """One to four models of one to four layers of up to 5 MiB."""
    assert 1 <= len(shape.models) <= 4
    assert all(1 <= len(model.layers) <= 4 for model in shape.models)
    assert all(0 <= layer.size <= LARGEST for model in shape.models for layer in model.layers)


def test_some_shapes_share_a_blob() -> None:
    """Two models with one blob in common are among the shapes."""

    def shares(shape: StoreShape) -> bool:
        return len(shape.models) > 1 and bool(set(shape.models[0].layers) & set(shape.models[1].layers))

    assert find(store_shapes(), shares, settings=settings(database=None, max_examples=2000))


def test_borders_stand_on_both_sides_of_a_chunk() -> None:
    """The sizes that are tried most are a chunk, one byte less and one more."""
    assert {0, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, LARGEST} <= set(BORDERS)
    assert max(BORDERS) == LARGEST


@pytest.mark.parametrize("newline", [False, True])
def test_a_shape_is_built_as_it_says(tmp_path: Path, *, newline: bool) -> None:
    """Equal layers become one blob, others become their own, of the size that the shape says."""
    one, two = LayerShape(size=10, seed=0), LayerShape(size=10, seed=1)
    shape = StoreShape(
        models=(ModelShape(layers=(one, two), newline=newline), ModelShape(layers=(one,), newline=newline))
    )
    store = shape.build(tmp_path / "models")
    names = store.models()
    assert names == ("registry.ollama.ai/library/m0:latest", "registry.ollama.ai/library/m1:latest")
    sizes = sorted(path.stat().st_size for path in (store.root / "blobs").iterdir())
    assert sizes[:2] == [10, 10]
    assert len(sizes) == 4
    assert all(store.manifest_path(name).read_bytes().endswith(b"\n") == newline for name in names)
