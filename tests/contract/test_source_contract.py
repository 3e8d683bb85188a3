"""What every source of good bytes promises, and what becomes of bytes from one that breaks its word (R2)."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK, Span
from modelward.domain.digest import Digest
from modelward.domain.errors import ReadFailed, SourceFailed
from modelward.domain.finding import Corrupt
from modelward.domain.receipt import KnownBad, LedgerChange
from modelward.domain.source import Wanted
from modelward.ports import Ledgers, Source, Vault
from modelward.scan import Pace, Reading, file_id
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.sources.vault import VaultSource
from modelward.testing import FakeStore, Fault, FaultySource, FrozenClock, MemoryLedgers, MemoryVault, corrupt
from modelward.vault.ledgers import FolderLedgers
from modelward.vault.local import LocalVault
from modelward.vault.writer import VaultLimits
from tests.models import add_model, make_model
from tests.places import BEGIN, Notes, Place

MODEL = make_model()
WEIGHTS = MODEL.blobs[MODEL.largest]
KNOWN = [Wanted(blob, len(data)) for blob, data in MODEL.blobs.items()]
UNKNOWN = Digest("0" * 64)


class Offer:
    """A source over a vault that has the model's blobs, and ways to take them from it."""

    def __init__(self, source: Source, vault: Vault, ledgers: Ledgers, lose: Callable[[Digest], None]) -> None:
        self.source, self.vault, self.ledgers, self.lose = source, vault, ledgers, lose

    def found_bad(self, blob: Digest) -> None:
        """All of the blob's file was read, and is wrong."""
        size = len(MODEL.blobs[blob])
        finding = Corrupt(blob=blob, size=size, path="x", spans=(Span(0, size),), exact=False)
        known = KnownBad(self.vault.objects()[blob].file, 0, (finding,))
        self.ledgers.update("vault", LedgerChange(dropped=frozenset({blob.hex}), damaged={blob.hex: known}))


def local(base: Path) -> Offer:
    """Over a vault in a folder."""
    clock = FrozenClock(BEGIN)
    ledgers = FolderLedgers(LocalVault.receipts_path(base), clock)
    reading = Reading(clock=clock, progress=Notes(), pace=Pace(clock))
    vault = LocalVault.create(base, ledgers=ledgers, reading=reading, limits=VaultLimits(reserve=0))
    source = VaultSource(filled(vault), ledgers)
    return Offer(source, vault, ledgers, lambda blob: (base / vault.blob_path(blob)).unlink())


def memory(_: Path) -> Offer:
    """Over a vault in memory."""
    vault = MemoryVault(FrozenClock(BEGIN))
    return Offer(VaultSource(filled(vault), vault.ledgers), vault, vault.ledgers, vault.lose)


def faulty(base: Path) -> Offer:
    """A source whose script is empty keeps its word."""
    offer = memory(base)
    return Offer(FaultySource(offer.source), offer.vault, offer.ledgers, offer.lose)


def filled(vault: Vault) -> Vault:
    """The vault with the model."""
    with vault.writing("backup") as writer:
        add_model(writer, MODEL)
    return vault


@pytest.fixture(params=[local, memory, faulty])
def offer(request: pytest.FixtureRequest, tmp_path: Path) -> Offer:
    """Each source in turn."""
    return cast("Callable[[Path], Offer]", request.param)(tmp_path / "vault")


def take(source: Source, blob: Digest, offset: int, length: int) -> bytes:
    """Read until there is no more, or ``length`` bytes are there."""
    buffer, got = memoryview(bytearray(length)), 0
    while got < length and (step := source.read(blob, offset + got, buffer[got:])):
        got += step
    return bytes(buffer[:got])


# What a source promises.


def test_a_source_has_a_name_and_a_rank(offer: Offer) -> None:
    """For plans, results and logs, and for the order in which sources are asked."""
    assert (offer.source.name, offer.source.rank) == ("vault", 0)


def test_it_offers_what_it_has(offer: Offer) -> None:
    """By digest and size: another size is another blob."""
    source = offer.source
    assert source.offers(KNOWN) == dict.fromkeys(MODEL.blobs, ())
    assert source.offers([Wanted(UNKNOWN, 5), Wanted(MODEL.largest, len(WEIGHTS) - 1)]) == {}
    assert source.offers([]) == {}


def test_it_does_not_offer_what_was_found_bad_or_is_gone(offer: Offer) -> None:
    """What it has of the rest it offers still."""
    offer.found_bad(MODEL.largest)
    assert offer.source.offers(KNOWN).keys() == frozenset(MODEL.blobs) - {MODEL.largest}
    other = next(blob for blob in MODEL.blobs if blob != MODEL.largest)
    offer.lose(other)
    assert offer.source.offers(KNOWN).keys() == frozenset(MODEL.blobs) - {MODEL.largest, other}


def test_receipts_that_are_lost_hide_nothing(offer: Offer) -> None:
    """What nobody vouches for is offered, to be proved as it is read: a ledger saves time, and is no truth."""
    offer.ledgers.update("vault", LedgerChange(dropped=frozenset(blob.hex for blob in MODEL.blobs)))
    assert offer.source.offers(KNOWN) == dict.fromkeys(MODEL.blobs, ())


def test_it_gives_the_bytes_of_any_range(offer: Offer) -> None:
    """From any offset, of any length; fewer only at the blob's end, none behind it."""
    size = len(WEIGHTS)
    borders = st.sampled_from([0, 1, 4096, CHUNK - 1, CHUNK, CHUNK + 1, size - 1, size, size + 1, size + CHUNK])

    @settings(max_examples=40, deadline=None)
    @given(offset=borders | st.integers(0, size), length=st.integers(1, CHUNK))
    def run(offset: int, length: int) -> None:
        assert take(offer.source, MODEL.largest, offset, length) == WEIGHTS[offset : offset + length]

    run()


def test_it_leaves_the_rest_of_the_buffer_alone(offer: Offer) -> None:
    """Only as many bytes as it says are written."""
    buffer = bytearray(b"x" * 100)
    got = offer.source.read(MODEL.largest, len(WEIGHTS) - 10, memoryview(buffer))
    assert 0 < got <= 10
    assert buffer[got:] == b"x" * (100 - got)


def test_what_it_does_not_have_is_an_error_of_its_own(offer: Offer) -> None:
    """SourceFailed, so that the next source is asked; also for what it had a moment ago."""
    offer.lose(MODEL.largest)
    for blob in (UNKNOWN, MODEL.largest):
        with pytest.raises(SourceFailed) as caught:
            offer.source.read(blob, 0, memoryview(bytearray(10)))
        assert caught.value.thing == str(blob)
        assert offer.source.local_file(blob) is None


def test_a_local_file_is_the_blob(offer: Offer) -> None:
    """Where there is one: to clone from, the caller's to close."""
    local = offer.source.local_file(MODEL.largest)
    if local is not None:
        assert os.pread(local.fd, len(WEIGHTS) + 1, 0) == WEIGHTS
        assert local.receipt is not None
        assert local.receipt.holds_for(file_id(local.fd))
        os.close(local.fd)
    else:
        assert isinstance(offer.source, FaultySource)


def test_several_threads_may_read_at_once(offer: Offer) -> None:
    """Each gets what it asked for."""
    found: dict[int, bytes] = {}

    def read(number: int) -> None:
        found[number] = take(offer.source, MODEL.largest, number * 1000, 200_000)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: WEIGHTS[number * 1000 : number * 1000 + 200_000] for number in range(8)}


class Broken:
    """A vault on a disk that is gone."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fail(*_: object) -> object:
            raise ReadFailed("input/output error (EIO)", thing=name)

        return fail


def test_it_says_no_rather_than_raise() -> None:
    """A disk that is gone offers nothing, so that the next source is asked."""
    source = VaultSource(cast("Vault", Broken()), MemoryLedgers())
    assert source.offers(KNOWN) == {}


def test_a_broken_disk_is_an_error_of_the_source() -> None:
    """Reading from it raises SourceFailed, and there is no local file."""
    source = VaultSource(cast("Vault", Broken()), MemoryLedgers())
    with pytest.raises(SourceFailed):
        source.read(MODEL.largest, 0, memoryview(bytearray(10)))
    assert source.local_file(MODEL.largest) is None


# A source that breaks its word: the next one is asked, and no wrong byte reaches the store.


@pytest.mark.parametrize(
    "script",
    [
        [Fault.SHORT] * 20,
        [Fault.WRONG],
        [Fault.NONE, Fault.WRONG] * 10,
        [Fault.NONE, Fault.ERROR],
        [Fault.NONE, Fault.NONE, Fault.VANISH],
        [Fault.VANISH],
        [Fault.ZEROS],
        [Fault.NONE, Fault.ZEROS],
    ],
    ids=lambda script: ", ".join(word.name for word in script[:3]),
)
@pytest.mark.parametrize("loss", ["span", "file"])
def test_what_a_bad_source_gives_never_gets_into_the_store(tmp_path: Path, script: list[Fault], loss: str) -> None:
    """Chunks that do not match are taken from the next source; the model is whole afterwards (R2)."""
    place = Place(tmp_path, threads=1)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    place.clock.advance(minutes=1)
    path = max(place.store.glob("blobs/*"), key=lambda found: found.stat().st_size)
    if loss == "span":
        corrupt.zero(path, CHUNK - 10, 20)
    else:
        path.unlink()
    site = place.site()
    bad = FaultySource(site.sources[0], script, name="faulty", rank=-1)
    report = repair(replace(site, sources=(bad, *site.sources)), ())
    assert path.read_bytes() == WEIGHTS
    assert report.exit_code == 0
    assert bad.reads or loss == "file", "it was asked"
