"""What a vault in memory has beyond the port: its contract is in tests/contract."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelward.domain.digest import Digest
from modelward.domain.errors import ReadFailed
from modelward.domain.reading import Level
from modelward.domain.receipt import FileId, Ledger, LedgerChange, Receipt
from modelward.scan import id_of
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.sources.vault import VaultSource
from modelward.testing import FakeStore, FrozenClock, MemoryLedgers, MemoryVault, corrupt
from tests.descriptors import open_now
from tests.models import add_blob, add_model, digest_of, make_model, pattern
from tests.places import BEGIN, Place

CHUNK = 1 << 20


def test_every_action_is_remembered() -> None:
    """For a test that asks what was audited."""
    vault = MemoryVault(FrozenClock(BEGIN))
    vault.audit("backup", model="m")
    vault.audit("more")
    assert vault.audited == (("backup", {"model": "m"}), ("more", {}))


def test_a_vault_that_is_gone_gives_its_descriptors_back() -> None:
    """A test may make as many as it likes."""
    before = open_now()
    for _ in range(3):
        vault = MemoryVault(FrozenClock(BEGIN))
        with vault.writing("backup") as writer:
            add_model(writer, make_model())
        vault.put(digest_of(b"c"), b"d")
        vault.lose(digest_of(b"c"))
    del vault, writer
    assert not open_now() - before


def test_what_was_put_has_an_identity_of_its_own() -> None:
    """Equal bytes put again are another file, as on a disk."""
    vault, blob = MemoryVault(FrozenClock(BEGIN)), digest_of(b"x")
    vault.put(blob, b"x")
    first = vault.objects()[blob].file
    fd = vault.open_blob(blob)
    assert id_of(os.fstat(fd)) == first
    vault.put(blob, b"x")
    assert vault.objects()[blob].file != first
    assert os.pread(fd, 5, 0) == b"x", "who has it open goes on reading"
    os.close(fd)


def test_a_file_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's word for it."""

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    vault = MemoryVault(FrozenClock(BEGIN))
    with monkeypatch.context() as patch, vault.writing("backup") as writer:
        patch.setattr("modelward.testing.memory.os.pread", fail)
        with pytest.raises(ReadFailed, match="Input/output error"):
            add_blob(writer, b"x")


def test_ledgers_in_memory_keep_what_they_learn() -> None:
    """By key, as those in a folder do."""
    ledgers, receipt = MemoryLedgers(), Receipt(FileId(1, 2, 3, 4), 5)
    ledgers.update("vault", LedgerChange(proved={"x": receipt}))
    ledgers.update("vault", LedgerChange(proved={"y": receipt}))
    assert ledgers.ledger("vault").receipts == {"x": receipt, "y": receipt}
    assert ledgers.ledger("other") == Ledger()


def test_the_use_cases_work_on_it(tmp_path: Path) -> None:
    """Backup, damage, repair and verify with no vault on any disk."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", pattern(3 * CHUNK + 1), template=b"{{ .Prompt }}")
    path = max(place.store.glob("blobs/*"), key=lambda found: found.stat().st_size)
    site = in_memory(place)
    assert backup(site, ()).exit_code == 0
    assert backup(site, ()).models[0].outcome == "unchanged"
    place.clock.advance(minutes=1)
    corrupt.zero(path, CHUNK, 10)
    report = repair(site, ())
    assert (report.exit_code, report.bytes_moved) == (0, CHUNK)
    assert path.read_bytes() == pattern(3 * CHUNK + 1)
    assert verify(site, (), Level.FULL).exit_code == 0
    assert verify_vault(site, (), Level.FULL).exit_code == 0
    spoil(site, Digest(path.name.removeprefix("sha256-")))
    assert verify_vault(site, (), Level.FULL).exit_code == 1


def in_memory(place: Place) -> Site:
    """The place's site with a vault, and ledgers, in memory."""
    real, ledgers = place.site(make_vault=False), MemoryLedgers()
    vault = MemoryVault(place.clock, ledgers=ledgers)
    return replace(real, vault=vault, ledgers=ledgers, sources=(VaultSource(vault, ledgers),))


def spoil(site: Site, blob: Digest) -> None:
    """Rot in the vault."""
    assert isinstance(site.vault, MemoryVault)
    site.vault.put(blob, bytes(3 * CHUNK + 1))
