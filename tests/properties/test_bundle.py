"""Any model comes out of its bundle as it went in, and no damage of a bundle is believed."""

import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelward.domain.errors import BadBundle
from modelward.services.import_ import import_bundle
from modelward.testing import MemoryVault
from tests.bundles.made import bundle_of, opened, site_with
from tests.models import Model, make_model
from tests.places import Place

CHUNK = 1 << 20
SIZES = st.sampled_from([0, 1, 4095, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 6 * CHUNK + 3])
KINDS = st.sampled_from(["random", "zeros", "text", "mixed"])
SHAPES = st.lists(st.tuples(SIZES, KINDS), min_size=1, max_size=4)
QUICK = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)


def content(size: int, kind: str, rng: random.Random) -> bytes:
    """Bytes that zstd makes smaller, that it does not, or both in turns."""
    match kind:
        case "random":
            return rng.randbytes(size)
        case "zeros":
            return bytes(size)
        case "text":
            return (b"%d words " % rng.randrange(1000) * (size // 8 + 1))[:size]
        case _:
            return (rng.randbytes(CHUNK) + bytes(CHUNK)) * (size // CHUNK) + bytes(size % CHUNK)


def build(shape: list[tuple[int, str]], seed: int) -> Model:
    """A model of such blobs."""
    rng = random.Random(seed)
    return make_model("llama3", *(content(size, kind, rng) for size, kind in shape))


@QUICK
@given(shape=SHAPES, seed=st.integers(0, 2**32))
def test_round_trip(tmp_path: Path, shape: list[tuple[int, str]], seed: int) -> None:
    """Every blob and the manifest come back byte for byte."""
    model, place = build(shape, seed), Place(tmp_path)
    vault = MemoryVault(place.clock)
    with opened(bundle_of(tmp_path, model)) as bundle:
        report = import_bundle(site_with(place, vault), bundle)
    assert report.bytes_moved == sum(len(data) for data in model.blobs.values())
    (snapshot,) = vault.snapshots()
    assert vault.content(snapshot).manifest == model.manifest
    assert all(vault.intact(blob, len(data)) for blob, data in model.blobs.items())


@QUICK
@given(shape=SHAPES, seed=st.integers(0, 2**32), data=st.data())
def test_damage(tmp_path: Path, shape: list[tuple[int, str]], seed: int, data: st.DataObject) -> None:
    """A bundle with some bytes changed, cut out or put in is a BadBundle, and no record is made of it."""
    model, place = build(shape, seed), Place(tmp_path)
    good = bundle_of(tmp_path, model)
    begin = data.draw(st.integers(0, len(good) - 1))
    end = data.draw(st.integers(begin, min(len(good), begin + 100)))
    bad = good[:begin] + data.draw(st.binary(max_size=100)) + good[end:]
    if bad == good:
        return
    vault = MemoryVault(place.clock)
    try:
        with opened(bad) as bundle:
            import_bundle(site_with(place, vault), bundle)
    except BadBundle as error:
        assert error.next_step
        assert vault.snapshots() == ()
        assert all(vault.intact(blob, found.file.size) for blob, found in vault.objects().items())
        return
    raise AssertionError("the damage was not found")
