"""A file with a seal is what was written, or it is refused; one of two is enough where there is a copy."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.codec import decode, pretty
from modelward.domain.digest import Digest
from modelward.domain.errors import BadObject, BlobMissing
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Protected
from modelward.durable import Folder
from modelward.vault.sealed import copy_of, keep_twice, read_twice, sealed, unsealed
from tests.vault.conftest import Shelf

LLAMA, MISTRAL = ModelName.parse("llama3"), ModelName.parse("mistral")
VALUE = Protected(released=(LLAMA,), pins={MISTRAL: Digest("a" * 64)})
DATA = sealed(VALUE)


def test_a_sealed_value_is_json_that_people_and_older_programs_read() -> None:
    """The seal is one more member, the last."""
    assert list(msgspec.json.decode(DATA)) == ["released", "pins", "seal"]
    assert msgspec.json.decode(DATA)["released"] == [str(LLAMA)]
    assert decode(DATA, Protected) == VALUE, "a program that knows no seals"


@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_no_flipped_bit_is_believed(at: int, bit: int) -> None:
    """Wherever it is: in the value, in the seal, or in what marks the seal."""
    damaged = bytearray(DATA)
    damaged[at] ^= 1 << bit
    with pytest.raises(BadObject):
        unsealed(bytes(damaged), Protected)


@given(st.integers(0, len(DATA) - 1))
def test_no_cut_file_is_believed(length: int) -> None:
    """However little is lost."""
    with pytest.raises(BadObject):
        unsealed(DATA[:length], Protected)


def test_a_seal_of_another_value_is_not_believed() -> None:
    """The text that it was made of is all of the text."""
    other = sealed(Protected())
    with pytest.raises(BadObject, match="not those that were written"):
        unsealed(DATA.replace(DATA[-70:], other[-70:]), Protected)


def test_an_older_file_has_no_seal() -> None:
    """It is read as it was; with a member that no older program wrote it is none."""
    assert unsealed(pretty(VALUE).encode(), Protected) == VALUE
    with pytest.raises(BadObject, match="no older file"):
        unsealed(b'{"released": [], "sfal": "0"}', Protected)


def test_a_file_and_its_copy(shelf: Shelf) -> None:
    """The file counts, then its copy; where neither is sound the error is about the file."""
    shelf.create()
    own = Folder.open(shelf.path("modelward"))
    with pytest.raises(BlobMissing):
        read_twice(own, "x.json", Protected)
    keep_twice(own, own, "x.json", VALUE)
    path, copy = shelf.path("modelward", "x.json"), shelf.path("modelward", copy_of("x.json"))
    assert path.read_bytes() == copy.read_bytes() == DATA
    copy.write_bytes(sealed(Protected()))
    assert read_twice(own, "x.json", Protected) == VALUE
    path.unlink()
    assert read_twice(own, "x.json", Protected) == Protected()
    path.write_bytes(b"[]")
    assert read_twice(own, "x.json", Protected) == Protected()
    copy.unlink()
    with pytest.raises(BadObject):
        read_twice(own, "x.json", Protected)


def test_what_stands_there_is_not_written_again(shelf: Shelf) -> None:
    """Only what is damaged or lost is: a session that changes nothing writes nothing."""
    shelf.create()
    own = Folder.open(shelf.path("modelward"))
    keep_twice(own, own, "x.json", VALUE)
    path, copy = shelf.path("modelward", "x.json"), shelf.path("modelward", copy_of("x.json"))
    before = path.stat().st_ino, copy.stat().st_ino
    keep_twice(own, own, "x.json", VALUE)
    assert (path.stat().st_ino, copy.stat().st_ino) == before
    copy.write_bytes(b"")
    keep_twice(own, own, "x.json", VALUE)
    assert path.stat().st_ino == before[0]
    assert copy.read_bytes() == DATA
