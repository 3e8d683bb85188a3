"""The store as a source, and sources that are paced: they keep the promises of every source."""

import os
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import SourceFailed
from modelward.domain.finding import Corrupt
from modelward.domain.reading import Level
from modelward.domain.receipt import FileId, KnownBad, LedgerChange
from modelward.domain.source import Wanted
from modelward.scan import Pace
from modelward.services.verify import verify
from modelward.sources.paced import PacedSource
from modelward.sources.store import StoreSource
from modelward.testing import FakeStore, FrozenClock, MemorySource
from tests.models import digest_of, pattern
from tests.places import BEGIN, Place

DATA = pattern(2 * CHUNK + 7)
BLOB = digest_of(DATA)
UNKNOWN = Digest("0" * 64)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A store with one model."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", DATA)
    return place


def source(place: Place) -> StoreSource:
    """The store as a source."""
    site = place.site(make_vault=False)
    return StoreSource(site.store, site.ledgers, site.store_key)


def test_the_store_offers_what_lies_in_it(place: Place) -> None:
    """By digest and size, without bad spans; a file that is known to be damaged is not, another one in its place is."""
    assert source(place).offers([Wanted(BLOB, len(DATA)), Wanted(UNKNOWN, 5)]) == {BLOB: ()}
    assert source(place).offers([Wanted(BLOB, len(DATA) + 1)]) == {}
    finding = Corrupt(blob=BLOB, size=len(DATA), path="x")
    for file, offered in ((FileId(1, 2, 3, 4), {BLOB: ()}), (place.site().store.inventory().blobs[BLOB].file, {})):
        change = LedgerChange(damaged={BLOB.hex: KnownBad(file, 0, (finding,))})
        place.site().ledgers.update(place.site().store_key, change)
        assert source(place).offers([Wanted(BLOB, len(DATA))]) == offered


def test_the_store_gives_any_range(place: Place) -> None:
    """Up to the end, and SourceFailed for what is not there."""
    buffer = memoryview(bytearray(100))
    assert source(place).read(BLOB, len(DATA) - 10, buffer) == 10
    assert bytes(buffer[:10]) == DATA[-10:]
    with pytest.raises(SourceFailed):
        source(place).read(UNKNOWN, 0, buffer)


def test_a_file_of_the_store_comes_with_its_receipt(place: Place) -> None:
    """To clone from, where a verify proved it."""
    local = source(place).local_file(BLOB)
    assert local is not None
    assert local.receipt is None
    os.close(local.fd)
    verify(place.site(make_vault=False), (), Level.FULL)
    local = source(place).local_file(BLOB)
    assert local is not None
    assert local.receipt is not None
    os.close(local.fd)
    assert source(place).local_file(UNKNOWN) is None


def test_a_paced_source_is_the_source_slower() -> None:
    """Name, rank, offers and bytes are the same; the clock says how long it took."""
    clock = FrozenClock(BEGIN)
    inner = MemorySource([DATA])
    paced = PacedSource(inner, Pace(clock, CHUNK))
    assert (paced.name, paced.rank, paced.local) == (inner.name, inner.rank, inner.local)
    assert paced.offers([Wanted(BLOB, len(DATA))]) == {BLOB: ()}
    assert paced.local_file(BLOB) is None
    buffer, began = memoryview(bytearray(CHUNK)), clock.monotonic()
    for _ in range(3):
        paced.read(BLOB, 0, buffer)
    assert clock.monotonic() - began == pytest.approx(2.0)
