"""A faulty source fails as its script says, and in no other way."""

from collections.abc import Iterable

import pytest

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import SourceFailed
from modelward.domain.source import LocalFile, Wanted
from modelward.testing import Fault, FaultySource

BLOB = Digest("1" * 64)
DATA = bytes(range(100))


class Plain:
    """A source of one blob."""

    name, rank = "plain", 3

    local = True

    def offers(self, wanted: Iterable[Wanted]) -> dict[Digest, tuple[Span, ...]]:
        """All of them."""
        return {item.blob: () for item in wanted}

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """The bytes there are."""
        assert blob == BLOB
        part = DATA[offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def local_file(self, blob: Digest) -> LocalFile | None:
        """A descriptor that nobody may see."""
        raise AssertionError(blob)


def faulty(*script: Fault) -> FaultySource:
    """The plain source with this script."""
    return FaultySource(Plain(), script)


def read(source: FaultySource, offset: int = 0, length: int = 10) -> bytes:
    """One read."""
    buffer = bytearray(b"?" * length)
    got = source.read(BLOB, offset, memoryview(buffer))
    assert buffer[got:] == b"?" * (length - got)
    return bytes(buffer[:got])


def test_without_a_script_it_is_the_source() -> None:
    """Name, rank and bytes, but for the local file: every byte goes through ``read``."""
    source = faulty()
    assert (source.name, source.rank) == ("plain", 3)
    assert source.offers([Wanted(BLOB, 100)]) == {BLOB: ()}
    assert read(source, 95) == DATA[95:]
    assert source.local_file(BLOB) is None


def test_name_and_rank_may_be_others() -> None:
    """So that it can stand before or behind another source."""
    source = FaultySource(Plain(), name="sibling", rank=0)
    assert (source.name, source.rank) == ("sibling", 0)


def test_a_short_read_gives_half() -> None:
    """The rest comes when it is asked for; of one byte there is no half."""
    source = faulty(Fault.SHORT, Fault.SHORT)
    assert read(source) == DATA[:5]
    assert read(source, 5, 1) == DATA[5:6]
    assert read(source) == DATA[:10]


def test_wrong_bytes_are_wrong_everywhere() -> None:
    """No byte is by accident the right one."""
    source = faulty(Fault.WRONG)
    assert read(source) == bytes(255 - byte for byte in DATA[:10])
    assert read(source) == DATA[:10]


def test_an_error_comes_once() -> None:
    """After as many good reads as the script has."""
    source = faulty(Fault.NONE, Fault.NONE, Fault.ERROR)
    assert [read(source), read(source)] == [DATA[:10]] * 2
    with pytest.raises(SourceFailed):
        read(source)
    assert read(source) == DATA[:10]


def test_what_vanished_stays_away() -> None:
    """Nothing is offered and nothing is read any more, whatever else the script says."""
    source = faulty(Fault.VANISH, Fault.NONE)
    for _ in range(3):
        with pytest.raises(SourceFailed):
            read(source)
    assert source.offers([Wanted(BLOB, 100)]) == {}


def test_zeros_have_no_end() -> None:
    """Behind the blob's end too."""
    source = faulty(Fault.ZEROS, Fault.NONE)
    assert [read(source), read(source, 1 << 40)] == [bytes(10)] * 2


def test_every_read_is_recorded() -> None:
    """Digest, offset and length: the budget of a repair."""
    source = faulty(Fault.ERROR)
    with pytest.raises(SourceFailed):
        read(source, 5, 7)
    read(source, 50)
    assert source.reads == [(BLOB, 5, 7), (BLOB, 50, 10)]
