"""Every kind of damage on generated stores: all found, all healed bit for bit, and no false alarm on clean ones."""

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelward.domain.errors import EXIT_OK
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.verify import verify
from modelward.testing import FakeStore, fingerprint, random_damage
from tests.places import Place

CHUNK = 1 << 20
SIZES = st.sampled_from([0, 1, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 4097, 3 * CHUNK + 1])
SHAPES = st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=3)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def build(place: Place, shape: list[tuple[int, bool]], seed: int) -> None:
    """Models of these sizes; the flag gives a model a template that all flagged ones share."""
    store = FakeStore(place.store)
    rng = random.Random(seed)
    for number, (size, shared) in enumerate(shape):
        template = b"{{ .Prompt }} shared" if shared else rng.randbytes(20)
        store.add_model(f"m{number}", rng.randbytes(size), template=template)


def files(place: Place) -> list[Path]:
    """All blobs and manifests of the store, in a fixed order."""
    return sorted(path for path in place.store.rglob("*") if path.is_file() and ".modelward" not in path.parts)


@pytest.mark.parametrize("part", range(20))
def test_random_damage_is_found_and_healed_bit_for_bit(tmp_path: Path, part: int) -> None:
    """500 random damages of blobs and manifests: verify names each, repair brings every byte back (R1-R3, V1)."""
    seen = 0

    @QUICK
    @given(shape=SHAPES, seed=st.integers(0, 2**32), hits=st.integers(1, 3))
    def run(shape: list[tuple[int, bool]], seed: int, hits: int) -> None:
        nonlocal seen
        base = tmp_path / f"case{part}-{seen}"
        seen += 1
        heal_one(Place(base), shape, seed, hits)
        shutil.rmtree(base)

    run()
    assert seen >= 25


def heal_one(place: Place, shape: list[tuple[int, bool]], seed: int, hits: int) -> None:
    """Build, back up, damage, verify, repair, compare."""
    build(place, shape, seed)
    assert backup(place.site(), ()).exit_code == EXIT_OK
    before = fingerprint(place.store, ignore=".modelward")
    rng = random.Random(seed + 1)
    victims = rng.sample(files(place), min(hits, len(files(place))))
    damages = [random_damage(path, rng) for path in victims]
    place.clock.advance(seconds=5)
    found = verify(place.site(), (), Level.FULL)
    assert found.exit_code != EXIT_OK, f"not found: {damages} (seed {seed})"
    place.clock.advance(seconds=5)
    healed = repair(place.site(), ())
    assert healed.exit_code == EXIT_OK, f"not healed: {damages} (seed {seed}): {healed}"
    assert fingerprint(place.store, ignore=".modelward") == before, f"not bit for bit: {damages} (seed {seed})"
    assert verify(place.site(), (), Level.FULL).exit_code == EXIT_OK


@pytest.mark.parametrize("part", range(20))
def test_a_clean_store_never_raises_an_alarm(tmp_path: Path, part: int) -> None:
    """500 clean stores, before a backup and after it, at every level: no finding, exit code 0, nothing changed (V2)."""
    seen = 0

    @QUICK
    @given(shape=SHAPES, seed=st.integers(0, 2**32))
    def run(shape: list[tuple[int, bool]], seed: int) -> None:
        nonlocal seen
        place = Place(tmp_path / f"case{part}-{seen}")
        seen += 1
        build(place, shape, seed)
        before = fingerprint(place.store)
        for make_vault in (False, True):
            if make_vault:
                backup(place.site(), ())
            for level in Level:
                report = verify(place.site(make_vault=make_vault), (), level)
                assert not [f for model in report.models for f in model.findings], f"seed {seed}"
                assert not report.findings, f"seed {seed}"
                assert report.exit_code == EXIT_OK, f"seed {seed}"
        assert fingerprint(place.store) == before
        shutil.rmtree(place.base)

    run()
    assert seen >= 25
