"""Receipts in a folder: what is lost costs time, never truth, and never an error."""

import errno
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelward import durable
from modelward.bootstrap import SystemClock
from modelward.domain.digest import Digest
from modelward.domain.receipt import Cursor, FileId, Ledger, LedgerChange, Receipt
from modelward.durable import Folder, locked
from modelward.testing import FrozenClock, fingerprint
from modelward.vault.ledgers import FolderLedgers
from tests.faults.scripted import ScriptedOs, count_calls
from tests.kinds import KINDS, at_most, put
from tests.places import BEGIN
from tests.privileges import public_folder, unprivileged

ONE, TWO = "1" * 64, "2" * 64
FILE = FileId(1, 2, 3, 4)


def ledgers(base: Path) -> FolderLedgers:
    """As a new process opens them."""
    return FolderLedgers(base / "receipts", FrozenClock(BEGIN))


def proof(name: str, at: int = 5) -> LedgerChange:
    """One blob was proved."""
    return LedgerChange(proved={name: Receipt(FILE, at)})


def test_what_was_learned_lasts(tmp_path: Path) -> None:
    """The next process finds it, under its own key only, and nobody else may read it."""
    ledgers(tmp_path).update("vault", proof(ONE))
    assert ledgers(tmp_path).ledger("vault").receipts == {ONE: Receipt(FILE, 5)}
    assert ledgers(tmp_path).ledger("store-1") == Ledger()
    assert stat.S_IMODE((tmp_path / "receipts").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "receipts" / "vault.json").stat().st_mode) == 0o600


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """What one wrote after the other had read is merged, not replaced."""
    one, two = ledgers(tmp_path), ledgers(tmp_path)
    assert one.ledger("vault") == two.ledger("vault") == Ledger()
    cursor = Cursor(blob=Digest(TWO), file=FILE, next_chunk=7)
    one.update("vault", proof(ONE))
    two.update("vault", LedgerChange(proved={TWO: Receipt(FILE, 6)}, cursor=cursor, cursor_moved=True))
    assert set(two.ledger("vault").receipts) == {ONE, TWO}
    one.update("vault", LedgerChange(dropped=frozenset({TWO})))
    assert ledgers(tmp_path).ledger("vault") == Ledger(receipts={ONE: Receipt(FILE, 5)}, cursor=cursor)


def test_what_another_process_learned_is_seen_at_once(tmp_path: Path) -> None:
    """A guard that runs for months reads the file anew when it is another one, and only then."""
    one, two = ledgers(tmp_path), ledgers(tmp_path)
    assert one.ledger("vault") == Ledger()
    two.update("vault", proof(ONE))
    assert set(one.ledger("vault").receipts) == {ONE}
    assert one.ledger("vault") is one.ledger("vault"), "nothing changed, nothing is read"
    two.update("vault", LedgerChange(dropped=frozenset({ONE})))
    assert one.ledger("vault") == Ledger()
    (tmp_path / "receipts" / "vault.json").unlink()
    assert one.ledger("vault") == Ledger()


def test_threads_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Eight threads of one process that learn and look at the same time."""
    shared, names = FolderLedgers(tmp_path / "receipts", SystemClock()), [f"{number:064d}" for number in range(40)]

    def work(mine: list[str]) -> None:
        for name in mine:
            shared.update("vault", proof(name))
            assert name in shared.ledger("vault").receipts

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, names[number::8]) for number in range(8)]:
            done.result()
    assert set(shared.ledger("vault").receipts) == set(names)
    assert set(ledgers(tmp_path).ledger("vault").receipts) == set(names)


def test_reading_and_learning_nothing_write_nothing(tmp_path: Path) -> None:
    """Not even the folder is made."""
    kept = ledgers(tmp_path)
    assert kept.ledger("vault") == Ledger()
    kept.update("vault", LedgerChange())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"{", bytes(100), b"[]", b'{"receipts":{"x":[[1,2],3]}}', b"\xff\xfe"])
def test_a_damaged_ledger_is_empty(tmp_path: Path, data: bytes) -> None:
    """Everything is proved anew then, and what is learned is kept again."""
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "vault.json").write_bytes(data)
    assert ledgers(tmp_path).ledger("vault") == Ledger()
    ledgers(tmp_path).update("vault", proof(ONE))
    assert set(ledgers(tmp_path).ledger("vault").receipts) == {ONE}


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_that_is_no_file(tmp_path: Path, kind: str) -> None:
    """Empty, at once, and a link is not written through."""
    (tmp_path / "receipts").mkdir()
    put(kind, tmp_path / "receipts" / "vault.json", tmp_path / "secret")
    with at_most(10):
        kept = ledgers(tmp_path)
        assert kept.ledger("vault") == Ledger()
        kept.update("vault", proof(ONE))
    assert set(kept.ledger("vault").receipts) == {ONE}
    if kind == "symlink":
        assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """It leads out of the vault: nothing there is read, made, or swept away (T1)."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (tmp_path / "receipts").symlink_to(outside)
    before = fingerprint(outside)
    kept = ledgers(tmp_path)
    kept.update("vault", proof(ONE))
    assert kept.ledger("vault") == Ledger()
    assert fingerprint(outside) == before


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """A good verdict stays a good verdict; this process goes on with what it learned."""
    ledgers(tmp_path / "probe").update("vault", proof(ONE))
    total = count_calls(monkeypatch, lambda: ledgers(tmp_path / "probe").update("vault", proof(TWO)))
    for at in range(1, total + 1):
        base = tmp_path / f"at{at}"
        ledgers(base).update("vault", proof(ONE))
        kept = ledgers(base)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at, error=error, sticky=True))
            kept.update("vault", proof(TWO))
        assert set(kept.ledger("vault").receipts) == {ONE, TWO}
        assert ONE in ledgers(base).ledger("vault").receipts


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_of_another_user_is_no_error(mode: int) -> None:
    """Somebody who may not write to the vault, or not even read it, can verify the store."""
    with public_folder() as base:
        ledgers(base).update("vault", proof(ONE))
        before = fingerprint(base / "receipts" / "vault.json")
        (base / "receipts").chmod(mode)
        with unprivileged():
            kept = ledgers(base)
            kept.update("vault", proof(TWO))
            assert kept.ledger("vault").receipts.keys() <= {ONE, TWO}
        (base / "receipts").chmod(0o700)
        assert fingerprint(base / "receipts" / "vault.json") == before


def test_a_lock_that_is_never_given_back_is_no_error(tmp_path: Path) -> None:
    """The wait ends, and this process goes on with what it learned."""
    ledgers(tmp_path).update("vault", proof(ONE))
    folder, clock = Folder.open(tmp_path / "receipts"), FrozenClock(BEGIN)
    with locked(folder, "lock", holder="somebody", clock=clock, wait=0):
        kept = FolderLedgers(tmp_path / "receipts", clock)
        kept.update("vault", proof(TWO))
    assert set(kept.ledger("vault").receipts) == {ONE, TWO}
    assert set(ledgers(tmp_path).ledger("vault").receipts) == {ONE}


def test_what_a_killed_process_of_the_same_number_left_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container every run has the same process number and host name: the staged file of a killed one is there."""
    monkeypatch.setattr(durable, "_serial", iter(range(100)))
    ledgers(tmp_path).update("vault", proof(ONE))
    left = tmp_path / "receipts" / f"{socket.gethostname()[:40]}-{os.getpid()}-0"
    left.write_bytes(b"half a ledger")
    monkeypatch.setattr(durable, "_serial", iter(range(100)))
    ledgers(tmp_path).update("vault", proof(TWO))
    assert set(ledgers(tmp_path).ledger("vault").receipts) == {ONE, TWO}
    assert not left.exists()


def test_nothing_is_made_where_the_home_vanished(tmp_path: Path) -> None:
    """A disk that was unplugged leaves a mount point: no folder of ours appears there, and the run goes on."""
    home = tmp_path / "vault" / "modelward"
    ledgers = FolderLedgers(home / "receipts", FrozenClock(BEGIN), home=home)
    receipt = Receipt(FILE, 5)
    ledgers.update("vault", LedgerChange(proved={"a": receipt}))
    assert not (tmp_path / "vault").exists()
    assert ledgers.ledger("vault").receipts == {"a": receipt}
    home.mkdir(parents=True)
    ledgers.update("vault", LedgerChange(proved={"b": receipt}))
    assert (home / "receipts" / "vault.json").exists()
