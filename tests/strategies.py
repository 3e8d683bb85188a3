"""What hypothesis draws for more than one folder of tests: names, digests and shapes of stores."""

import random
import string
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from modelward.testing import FakeStore

CHUNK = 1 << 20
LARGEST = 5 * CHUNK
# Sizes at which something may go wrong: nothing, a page, and both sides of each chunk's border.
BORDERS = (
    0,
    1,
    4095,
    4096,
    4097,
    *(n * CHUNK + d for n in (1, 2, 3, 4, 5) for d in (-1, 0, 1) if n * CHUNK + d <= LARGEST),
)
_FIRST = string.ascii_letters + string.digits + "_"
# The longest name of a file that the usual file systems take; Ollama itself allows a host 350 characters.
FILE_NAME = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """A blob of ``size`` bytes; equal shapes have equal bytes, so that they share one blob."""

    size: int
    seed: int

    @property
    def content(self) -> bytes:
        """The blob's bytes."""
        return random.Random(self.seed).randbytes(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A model of these layers; ``newline`` as ``FakeStore.add_model`` has it."""

    layers: tuple[LayerShape, ...]
    newline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreShape:
    """The models of a store; the first is named ``m0``, the second ``m1``, and so on."""

    models: tuple[ModelShape, ...]

    def build(self, root: Path) -> FakeStore:
        """Write the store into the folder ``root``."""
        store = FakeStore(root)
        for number, model in enumerate(self.models):
            store.add_model(f"m{number}", [layer.content for layer in model.layers], newline=model.newline)
        return store


def model_names(host_length: int = FILE_NAME) -> st.SearchStrategy[str]:
    """Full names ``host/namespace/model:tag`` by Ollama's rules (types/model/name.go)."""
    host = st.sampled_from(["registry.ollama.ai", "hf.co", "localhost:5000"]) | _segment("-_.:", host_length)
    namespace = st.just("library") | _segment("-_", 80)
    tag = st.just("latest") | _segment("-_.", 80)
    return st.builds("{}/{}/{}:{}".format, host, namespace, _segment("-_.", 80), tag)


def digests() -> st.SearchStrategy[str]:
    """SHA-256 digests as 64 lower-case hex digits."""
    return st.binary(min_size=32, max_size=32).map(bytes.hex)


def layer_shapes() -> st.SearchStrategy[LayerShape]:
    """Blobs of up to 5 MiB, mostly of sizes around the borders of chunks; few seeds, so that some are shared."""
    sizes = st.sampled_from(BORDERS) | st.integers(0, LARGEST)
    return st.builds(LayerShape, size=sizes, seed=st.integers(0, 2))


def store_shapes() -> st.SearchStrategy[StoreShape]:
    """Stores of one to four models, each of one to four layers."""
    layers = st.lists(layer_shapes(), min_size=1, max_size=4).map(tuple)
    models = st.lists(st.builds(ModelShape, layers=layers, newline=st.booleans()), min_size=1, max_size=4).map(tuple)
    return st.builds(StoreShape, models=models)


def _segment(further: str, length: int) -> st.SearchStrategy[str]:
    """One part of a name: a letter, digit or ``_`` first, then those and ``further``."""
    rest = st.text(_FIRST + further, max_size=length - 1)
    return st.builds(str.__add__, st.sampled_from(_FIRST), rest)
