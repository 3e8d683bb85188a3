"""Corruptors change what they say, all of it, and nothing else."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelward.testing import (
    Damage,
    delete,
    empty,
    extend,
    flip_bit,
    garble,
    random_damage,
    swap,
    truncate,
    zero,
)

DATA = bytes(range(1, 256)) * 40
SIZE = len(DATA)
IN_PLACE: dict[str, Callable[[Path], Damage]] = {
    "flip_bit": lambda path: flip_bit(path, 17, 3),
    "zero": lambda path: zero(path, 100, 50),
    "garble": lambda path: garble(path, 4096, 1000, seed=1),
    "truncate": lambda path: truncate(path, 5000),
    "extend": lambda path: extend(path, b"more"),
    "empty": empty,
}
SLOW_FILES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A read-only file of 10,200 bytes, none of them zero."""
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    path.chmod(0o400)
    return path


@pytest.mark.parametrize(
    ("kind", "spans"),
    [
        ("flip_bit", ((17, 1),)),
        ("zero", ((100, 50),)),
        ("garble", ((4096, 1000),)),
        ("truncate", ((5000, SIZE - 5000),)),
        ("extend", ((SIZE, 4),)),
        ("empty", ((0, SIZE),)),
    ],
)
def test_says_what_it_did(file: Path, kind: str, spans: tuple[tuple[int, int], ...]) -> None:
    """The damage names its kind, the file and the bytes that changed."""
    assert IN_PLACE[kind](file) == Damage(kind=kind, path=file, spans=spans)


@pytest.mark.parametrize("kind", IN_PLACE)
def test_stays_in_the_same_file(file: Path, kind: str) -> None:
    """Inode, owner and mode stay: a runtime that has the file mapped sees the damage."""
    before = file.stat()
    IN_PLACE[kind](file)
    after = file.stat()
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert file.read_bytes() != DATA


@pytest.mark.parametrize("kind", IN_PLACE)
def test_damages_what_its_owner_may_only_read(file: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file is damaged by its owner too, not only by root, and is read-only again afterwards."""
    really_open = os.open

    def open_as_owner(path: Path, flags: int) -> int:
        if flags & os.O_RDWR and not path.stat().st_mode & 0o200:
            raise PermissionError
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", open_as_owner)
    IN_PLACE[kind](file)
    assert file.read_bytes() != DATA
    assert file.stat().st_mode & 0o7777 == 0o400


def test_flips_one_bit(file: Path) -> None:
    """Exactly the bit that was named differs."""
    flip_bit(file, 17, 3)
    assert file.read_bytes() == DATA[:17] + bytes([DATA[17] ^ 8]) + DATA[18:]


def test_flipping_twice_undoes_it(file: Path) -> None:
    """The second flip of a bit brings the first content back."""
    flip_bit(file, 0, 0)
    flip_bit(file, 0, 0)
    assert file.read_bytes() == DATA


def test_zeroes_the_range(file: Path) -> None:
    """The range is zeros, the rest is as it was, the size stays."""
    zero(file, 100, 50)
    assert file.read_bytes() == DATA[:100] + bytes(50) + DATA[150:]


def test_zeroing_zeros_is_no_damage(tmp_path: Path) -> None:
    """Where nothing changed there is no span."""
    path = tmp_path / "zeros"
    path.write_bytes(bytes(100))
    assert zero(path, 10, 20).spans == ()


def test_span_is_what_changed_only(tmp_path: Path) -> None:
    """Zeros at both ends of a zeroed range did not change and do not count."""
    path = tmp_path / "blob"
    path.write_bytes(b"abc\0\0def\0\0ghi")
    assert zero(path, 3, 7).spans == ((5, 3),)


FEW_BYTES = st.lists(st.sampled_from([0, 0, 0, 1]), min_size=1, max_size=40).map(bytes)


@SLOW_FILES
@given(data=FEW_BYTES, at=st.integers(0, 39), length=st.integers(1, 40))
def test_span_goes_from_the_first_to_the_last_change(tmp_path: Path, data: bytes, at: int, length: int) -> None:
    """However the zeros lie in the range, the span is what a comparison byte by byte finds."""
    path = tmp_path / "blob"
    path.write_bytes(data)
    offset = at % len(data)
    damage = zero(path, offset, min(length, len(data) - offset))
    assert damage.spans == _spans(data, path.read_bytes())


@SLOW_FILES
@given(one=FEW_BYTES, two=FEW_BYTES)
def test_span_of_a_swap_is_what_differs(tmp_path: Path, one: bytes, two: bytes) -> None:
    """Also for files of two lengths, and for equal ones."""
    path, other = tmp_path / "one", tmp_path / "two"
    path.write_bytes(one)
    other.write_bytes(two)
    assert swap(path, other).spans == _spans(one, two)
    assert (path.read_bytes(), other.read_bytes()) == (two, one)


def test_garbles_every_byte_of_the_range(file: Path) -> None:
    """Each byte of the range differs, none outside of it does, and the seed decides."""
    garble(file, 4096, 1000, seed=1)
    new = file.read_bytes()
    assert [offset for offset in range(SIZE) if new[offset] != DATA[offset]] == list(range(4096, 5096))
    garble(file, 4096, 1000, seed=1)
    assert file.read_bytes() == DATA
    garble(file, 4096, 1000, seed=2)
    assert file.read_bytes() not in {DATA, new}


def test_cuts_extends_and_empties(file: Path) -> None:
    """Length changes at the end only."""
    truncate(file, 5000)
    assert file.read_bytes() == DATA[:5000]
    extend(file, b"more")
    assert file.read_bytes() == DATA[:5000] + b"more"
    empty(file)
    assert file.read_bytes() == b""


def test_deletes(file: Path) -> None:
    """The file is gone, and the damage says how much was lost."""
    assert delete(file) == Damage(kind="delete", path=file, spans=((0, SIZE),))
    assert not file.exists()


def test_swaps_contents_and_keeps_files(file: Path, tmp_path: Path) -> None:
    """Two files have each other's bytes, and keep inode and mode."""
    other = tmp_path / "other"
    other.write_bytes(DATA[:10] + b"short")
    inodes = file.stat().st_ino, other.stat().st_ino
    assert swap(file, other) == Damage(kind="swap", path=file, spans=((10, SIZE - 10),), other=other)
    assert (file.read_bytes(), other.read_bytes()) == (DATA[:10] + b"short", DATA)
    assert (file.stat().st_ino, other.stat().st_ino) == inodes
    assert file.stat().st_mode & 0o7777 == 0o400


@pytest.mark.parametrize(
    "wrong",
    [
        lambda path: flip_bit(path, SIZE, 0),
        lambda path: flip_bit(path, 0, 8),
        lambda path: flip_bit(path, -1, 0),
        lambda path: zero(path, SIZE - 1, 2),
        lambda path: zero(path, 0, 0),
        lambda path: garble(path, SIZE, 1, seed=0),
        lambda path: truncate(path, SIZE),
        lambda path: truncate(path, -1),
    ],
)
def test_damage_beside_the_file_is_refused(file: Path, wrong: Callable[[Path], Damage]) -> None:
    """Damage that would miss the file, or do nothing, is the test's mistake: the file stays as it is."""
    with pytest.raises(ValueError, match=r"byte"):
        wrong(file)
    assert file.read_bytes() == DATA


@pytest.mark.parametrize("damage", [*IN_PLACE.values(), delete])
def test_a_missing_file_is_an_error(tmp_path: Path, damage: Callable[[Path], Damage]) -> None:
    """What is not there is not damaged, and not made either."""
    with pytest.raises(FileNotFoundError):
        damage(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@SLOW_FILES
@given(data=st.binary(max_size=3000) | st.integers(0, 3000).map(bytes), seed=st.integers(0, 2**32))
def test_random_damage_is_real_and_says_where(tmp_path: Path, data: bytes, seed: int) -> None:
    """Whatever the content, also all zeros or none: the bytes differ, inside the spans and nowhere else."""
    path = tmp_path / "blob"
    path.write_bytes(data)
    damage = random_damage(path, random.Random(seed))
    new = path.read_bytes() if path.exists() else None
    assert new != data
    assert damage.path == path
    if new is not None:
        assert damage.spans == _spans(data, new)


@SLOW_FILES
@given(data=st.binary(min_size=1, max_size=3000), seed=st.integers(0, 2**32))
def test_random_damage_can_be_repeated(tmp_path: Path, data: bytes, seed: int) -> None:
    """The same seed does the same damage to the same bytes."""
    path, twin = tmp_path / "blob", tmp_path / "twin"
    done = []
    for each in (path, twin):
        each.write_bytes(data)
        damage = random_damage(each, random.Random(seed))
        done.append((damage.kind, damage.spans, each.read_bytes() if each.exists() else None))
    assert done[0] == done[1]


def test_random_damage_takes_every_kind(tmp_path: Path) -> None:
    """No kind of damage to one file is left out."""
    path = tmp_path / "blob"
    kinds = set()
    for seed in range(200):
        path.write_bytes(DATA)
        kinds.add(random_damage(path, random.Random(seed)).kind)
    assert kinds == {*IN_PLACE, "delete"}


def _spans(old: bytes, new: bytes) -> tuple[tuple[int, int], ...]:
    """From the first to the last byte that differs, found byte by byte; a byte that is missing differs."""
    length = max(len(old), len(new))
    differing = [offset for offset in range(length) if old[offset : offset + 1] != new[offset : offset + 1]]
    return ((differing[0], differing[-1] + 1 - differing[0]),) if differing else ()
