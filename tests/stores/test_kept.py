"""A transfer that is kept over a cut: only what is still as it came counts, and nothing is left when it is done."""

from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK, count
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.durable import Folder
from modelward.stores.kept import Kept
from modelward.testing import corrupt
from tests.models import pattern

BLOB = Digest("a" * 64)
DATA = pattern(4 * CHUNK + 100)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Where transfers are kept."""
    return Folder.open(tmp_path / "incoming", create=True)


def kept(folder: Folder) -> Kept:
    """The transfer of the blob, begun or gone on with."""
    return Kept(folder, len(DATA), BLOB)


def bring(staged: Kept, *indices: int) -> None:
    """Let these chunks come."""
    for index in indices:
        part = bytearray(DATA[index * CHUNK : (index + 1) * CHUNK])
        view = memoryview(part + bytes(-len(part) % 4096))
        staged.write_at(view, len(part), index * CHUNK)


def path(folder: Folder, kind: str) -> Path:
    """The file of data or of hashes."""
    return Path(folder.path) / f"{BLOB.hex}.{kind}"


def test_what_came_is_there_the_next_time(folder: Folder) -> None:
    """In any order; the rest comes, and the file is the blob."""
    first = kept(folder)
    bring(first, 3, 0, 4)
    first.discard()
    second = kept(folder)
    assert second.have == {0, 3, 4}
    bring(second, 1, 2)
    second.finish(0o644)
    second.publish(folder, "whole")
    assert (Path(folder.path) / "whole").read_bytes() == DATA
    assert folder.names() == ["whole"]


def test_what_rotted_meanwhile_does_not_count(folder: Folder) -> None:
    """The hash in the log is of what came (W3)."""
    first = kept(folder)
    bring(first, 0, 1, 2)
    first.discard()
    corrupt.flip_bit(path(folder, "data"), CHUNK + 9, 1)
    assert kept(folder).have == {0, 2}


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 3 * 36), noise=st.binary(max_size=80))
def test_a_torn_or_garbled_log_costs_time_and_no_truth(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes
) -> None:
    """Whatever stands in it: a chunk counts only with its right bytes."""
    folder = Folder.open(tmp_path_factory.mktemp("incoming"))
    first = kept(folder)
    bring(first, 0, 1, 2)
    first.discard()
    log = path(folder, "chunks")
    log.write_bytes(log.read_bytes()[:cut] + noise)
    again = kept(folder)
    assert again.have <= {0, 1, 2}
    assert noise or len(again.have) == cut // 36
    for index in again.have:
        part = DATA[index * CHUNK : (index + 1) * CHUNK]
        assert blake3(path(folder, "data").read_bytes()[index * CHUNK :][:CHUNK]).digest() == blake3(part).digest()
    again.drop()


def test_a_chunk_that_is_there_is_not_written_again(folder: Folder) -> None:
    """Other bytes for it are: then they are the ones that count."""
    first = kept(folder)
    bring(first, 0)
    first.discard()
    second = kept(folder)
    inode = path(folder, "data").stat().st_mtime_ns
    bring(second, 0)
    assert path(folder, "data").stat().st_mtime_ns == inode
    other = bytearray(bytes(CHUNK))
    second.write_at(memoryview(other), CHUNK, 0)
    second.discard()
    assert path(folder, "data").read_bytes()[:CHUNK] == bytes(CHUNK)
    assert kept(folder).have == {0}


def test_dropped_is_gone(folder: Folder) -> None:
    """Data and log; safe to repeat."""
    first = kept(folder)
    bring(first, *range(count(len(DATA))))
    first.drop()
    first.drop()
    assert folder.names() == []
    assert kept(folder).have == frozenset()


def test_a_link_in_its_place_is_refused(folder: Folder, tmp_path: Path) -> None:
    """Nothing is written through it (T1)."""
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    path(folder, "data").symlink_to(target)
    with pytest.raises(ModelwardError):
        kept(folder)
    assert target.read_bytes() == b"mine"
