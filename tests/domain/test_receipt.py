"""Receipts hold for the very file that was proved, and a ledger takes in what a run learned."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.receipt import Cursor, FileId, Ledger, LedgerChange, Receipt, apply
from tests.domain.strategies_domain import digest, values

FILE = FileId(7, 4096, 1_000, 2_000)
OTHER = FileId(8, 4096, 1_000, 2_000)
CURSOR = Cursor(blob=digest(1), file=FILE, next_chunk=3)

NAMES = st.sampled_from(["aa", "bb", "cc"])
FILES = st.sampled_from([FILE, OTHER])
RECEIPTS = st.dictionaries(NAMES, st.builds(Receipt, FILES, st.integers(0, 9)))
CURSORS = st.none() | st.builds(Cursor, blob=st.just(digest(1)), file=FILES, next_chunk=st.integers(0, 9))
LEDGERS = st.builds(Ledger, receipts=RECEIPTS, cursor=CURSORS)
CHANGES = st.builds(
    LedgerChange, proved=RECEIPTS, dropped=st.frozensets(NAMES), cursor=CURSORS, cursor_moved=st.booleans()
)


def test_a_receipt_holds_for_the_same_file() -> None:
    """Inode, size, mtime and ctime are the file's identity."""
    assert Receipt(FILE, 5).holds_for(FileId(7, 4096, 1_000, 2_000))


@pytest.mark.parametrize(
    "other",
    [
        FileId(8, 4096, 1_000, 2_000),
        FileId(7, 4095, 1_000, 2_000),
        FileId(7, 4096, 1_001, 2_000),
        FileId(7, 4096, 999, 2_000),
        FileId(7, 4096, 1_000, 2_001),
    ],
    ids=["inode", "size", "mtime", "mtime back", "ctime"],
)
def test_a_receipt_holds_for_no_other_file(other: FileId) -> None:
    """One nanosecond, one byte or another inode ends it (W3)."""
    assert not Receipt(FILE, 5).holds_for(other)


@given(values(FileId), values(FileId))
def test_a_receipt_follows_the_identity(one: FileId, other: FileId) -> None:
    """It holds exactly for an equal identity."""
    assert Receipt(one, 1).holds_for(other) == (one == other)


def test_what_was_proved_is_added() -> None:
    """A new receipt stands beside the old ones."""
    ledger = Ledger(receipts={"aa": Receipt(FILE, 1)})
    after = apply(ledger, LedgerChange(proved={"bb": Receipt(OTHER, 2)}))
    assert after.receipts == {"aa": Receipt(FILE, 1), "bb": Receipt(OTHER, 2)}


def test_what_was_dropped_is_gone() -> None:
    """Damage takes a receipt away, and one that was never there as well."""
    ledger = Ledger(receipts={"aa": Receipt(FILE, 1), "bb": Receipt(FILE, 1)})
    assert apply(ledger, LedgerChange(dropped=frozenset({"aa", "zz"}))).receipts == {"bb": Receipt(FILE, 1)}


def test_what_was_dropped_and_proved_again_is_proved() -> None:
    """A repair in the same run counts: the new proof is of the new file."""
    ledger = Ledger(receipts={"aa": Receipt(FILE, 9)})
    change = LedgerChange(dropped=frozenset({"aa"}), proved={"aa": Receipt(OTHER, 1)})
    assert apply(ledger, change).receipts == {"aa": Receipt(OTHER, 1)}


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (Receipt(FILE, 5), Receipt(FILE, 6), Receipt(FILE, 6)),
        (Receipt(FILE, 5), Receipt(FILE, 5), Receipt(FILE, 5)),
        (Receipt(FILE, 6), Receipt(FILE, 5), Receipt(FILE, 6)),
        (Receipt(FILE, 6), Receipt(OTHER, 5), Receipt(OTHER, 5)),
    ],
    ids=["later", "same time", "earlier", "another file"],
)
def test_of_two_receipts_for_one_file_the_later_counts(old: Receipt, new: Receipt, kept: Receipt) -> None:
    """Two runs may end in any order; a receipt of another file says nothing about this one."""
    assert apply(Ledger(receipts={"aa": old}), LedgerChange(proved={"aa": new})).receipts == {"aa": kept}


@pytest.mark.parametrize(
    ("before", "to", "moved", "after"),
    [
        (None, CURSOR, True, CURSOR),
        (CURSOR, None, True, None),
        (CURSOR, None, False, CURSOR),
        (None, CURSOR, False, None),
    ],
    ids=["set", "cleared", "kept", "not moved"],
)
def test_the_cursor_moves_only_when_the_run_moved_it(
    before: Cursor | None, to: Cursor | None, *, moved: bool, after: Cursor | None
) -> None:
    """A full verify beside a sample pass leaves the cursor where it was."""
    assert apply(Ledger(cursor=before), LedgerChange(cursor=to, cursor_moved=moved)).cursor == after


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (LedgerChange(), False),
        (LedgerChange(cursor=CURSOR), False),
        (LedgerChange(cursor_moved=True), True),
        (LedgerChange(dropped=frozenset({"aa"})), True),
        (LedgerChange(proved={"aa": Receipt(FILE, 1)}), True),
    ],
    ids=["nothing", "cursor not moved", "cursor cleared", "dropped", "proved"],
)
def test_a_change_that_says_nothing_is_false(change: LedgerChange, *, matters: bool) -> None:
    """So that nothing is written when nothing was learned."""
    assert bool(change) == matters


@settings(max_examples=60)
@given(LEDGERS, CHANGES)
def test_a_change_that_is_false_changes_nothing(ledger: Ledger, change: LedgerChange) -> None:
    """And one that was applied already changes nothing either."""
    once = apply(ledger, change)
    assert change or once == ledger
    assert apply(once, change) == once


@settings(max_examples=60)
@given(LEDGERS, CHANGES)
def test_a_ledger_holds_only_what_someone_proved(ledger: Ledger, change: LedgerChange) -> None:
    """Every receipt was there before or was proved now, and nothing that was dropped stays without a new proof."""
    for name, receipt in apply(ledger, change).receipts.items():
        assert receipt in (ledger.receipts.get(name), change.proved.get(name))
        assert name not in change.dropped or receipt == change.proved[name]
