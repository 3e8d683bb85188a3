"""The journal's file: broken ones are set aside, newer ones refused, full disks told; what was acknowledged stays."""

import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from modelward.domain.alert import Flip, Kind
from modelward.domain.errors import DiskFull, JournalBroken, JournalNewer, Locked, WriteFailed
from modelward.domain.history import ActionRow, CheckRow, FindingRow, ServerRow, SpaceRow
from modelward.domain.series import Series
from modelward.durable import Folder
from modelward.journal import sqlite
from modelward.journal.schema import MIGRATIONS, TABLES, storable
from modelward.journal.sqlite import FILE, Opened, SqliteJournal, open_journal, read_journal
from modelward.testing import FrozenClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MIB = 1 << 20


def opened(folder: Path, largest: int = 64 * MIB) -> Opened:
    """The journal of a folder."""
    return open_journal(folder, FrozenClock(NOON), largest=largest)


def check(number: int, model: str = "llama3") -> CheckRow:
    """The look at a model in a second."""
    at = NOON + timedelta(seconds=number)
    return CheckRow(at=at, model=model, healthy=None, recoverable=True, ready=True)


def filled(folder: Path, rows: int = 2_000) -> None:
    """A journal with rows, closed."""
    journal = opened(folder).journal
    journal.add([check(number, f"model-{number % 10}") for number in range(rows)])
    journal.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """The folder is made with mode 0700, the files in it with 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        journal = opened(tmp_path / "deep" / "state").journal
        journal.add([check(1)])
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "deep" / "state").iterdir()}
        journal.close()
    finally:
        os.umask(before)
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o777 == 0o700


def test_the_log_is_synced_at_every_commit(tmp_path: Path) -> None:
    """WAL and synchronous=FULL (2), as the design promises."""
    journal = opened(tmp_path).journal
    connection = journal._connection  # noqa: SLF001 - what SQLite was told is nowhere else to be seen
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    journal.close()


def test_what_was_kept_is_there_when_opened_again(tmp_path: Path) -> None:
    """Rows and points; and the time between the last check before and the first one after is known."""
    journal = opened(tmp_path).journal
    journal.add([check(0), ServerRow(at=NOON, up=False)])
    journal.close()
    again = opened(tmp_path)
    assert (again.set_aside, again.why) == ("", "")
    again.journal.add([check(60), ServerRow(at=NOON + timedelta(seconds=30), up=True)])
    assert again.journal.rows(CheckRow, NOON) == (check(60), check(0))
    assert [point.good_seconds for point in again.journal.series(Series.CHECKS, NOON)] == [60]
    assert [(p.good_seconds, p.known_seconds) for p in again.journal.series(Series.SERVER, NOON)] == [(0, 30)]
    again.journal.close()


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(9_000))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50_000])


def _rotten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xff" * 64
    path.write_bytes(data)


def _text(path: Path) -> None:
    path.write_text("history\n" * 1000)


def _foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


def _tableless(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE names")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


DAMAGE = [_garbage, _cut, _rotten, _text, _foreign, _folder, _link]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_broken_journal_is_set_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """It is kept under a name with the date, the opener says so, and a new journal works."""
    filled(tmp_path)
    damage(tmp_path / FILE)
    found = opened(tmp_path)
    assert found.set_aside == "journal-20260302T120000Z.broken.db"
    assert os.path.lexists(tmp_path / found.set_aside)
    assert found.why
    found.journal.add([check(1)])
    assert found.journal.rows(CheckRow, NOON) == (check(1),)
    found.journal.close()
    assert opened(tmp_path).set_aside == ""


def test_a_set_aside_journal_keeps_its_bytes_and_its_log(tmp_path: Path) -> None:
    """Nothing is thrown away, the write-ahead log neither: a new database must not find it."""
    filled(tmp_path)
    _garbage(tmp_path / FILE)
    (tmp_path / f"{FILE}-wal").write_bytes(b"an old log")
    damaged = (tmp_path / FILE).read_bytes()
    found = opened(tmp_path)
    assert (tmp_path / found.set_aside).read_bytes() == damaged
    assert (tmp_path / f"{found.set_aside}-wal").read_bytes() == b"an old log"
    found.journal.close()


def test_every_broken_journal_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Three in one second are three files."""
    names = set()
    for _ in range(3):
        filled(tmp_path, 1)
        _garbage(tmp_path / FILE)
        found = opened(tmp_path)
        found.journal.close()
        names.add(found.set_aside)
    assert len(names) == 3
    assert names < {path.name for path in tmp_path.iterdir()}


def test_damage_that_shows_later_is_named(tmp_path: Path) -> None:
    """A journal whose tables are gone, or that rots while it is open, raises JournalBroken and not SQLite's error."""
    filled(tmp_path)
    journal = opened(tmp_path).journal
    _tableless(tmp_path / FILE)
    with pytest.raises(JournalBroken) as caught:
        journal.rows(CheckRow, NOON)
    assert str(tmp_path / FILE) in str(caught.value)
    assert caught.value.next_step
    journal.close()


def test_a_newer_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An older program neither changes it nor sets it aside."""
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = (tmp_path / FILE).read_bytes()
    for action in (lambda: opened(tmp_path), lambda: read_journal(tmp_path)):
        with pytest.raises(JournalNewer) as caught:
            action()
        assert caught.value.next_step
    assert (tmp_path / FILE).read_bytes() == before
    assert not list(tmp_path.glob("*.broken.db"))


def test_an_older_journal_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stay, the steps that it lacks are taken once; the older program then refuses it."""
    filled(tmp_path, 5)
    monkeypatch.setattr(sqlite, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (id INTEGER)",)))
    for _ in range(2):
        journal = opened(tmp_path).journal
        assert len(journal.rows(CheckRow, NOON)) == 5
        journal.close()
    monkeypatch.setattr(sqlite, "MIGRATIONS", MIGRATIONS)
    with pytest.raises(JournalNewer):
        opened(tmp_path)


def test_a_step_to_a_newer_version_is_taken_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails in its middle leaves the version before, with all rows."""
    filled(tmp_path, 5)
    statements = ("CREATE TABLE more (id INTEGER)", "INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(sqlite, "MIGRATIONS", (*MIGRATIONS, statements))
    with pytest.raises(JournalBroken):
        SqliteJournal(Folder.open(tmp_path), 64 * MIB)
    monkeypatch.setattr(sqlite, "MIGRATIONS", MIGRATIONS)
    found = opened(tmp_path)
    assert found.set_aside == ""
    assert len(found.journal.rows(CheckRow, NOON)) == 5
    found.journal.close()


def test_the_tables_hold_every_field() -> None:
    """Each kind of row has a column for each of its fields, under its name."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        for kind, table in TABLES.items():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
            assert {field.name for field in msgspec.structs.fields(kind)} <= columns, table.name
            assert table.time in columns


def fill(journal: SqliteJournal, calls: Iterable[list[CheckRow]]) -> tuple[int, DiskFull]:
    """Keep rows until the disk is full: how many calls went well, and the refusal of the one that did not."""
    for number, rows in enumerate(calls):
        try:
            journal.add(rows)
        except DiskFull as refusal:
            return number, refusal
    raise AssertionError("there was room for everything")


def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    """D1: where there is no room for more, DiskFull; all or nothing of the call, and what was there can be read."""
    journal = opened(tmp_path, largest=300_000).journal
    calls = ([check(call * 500 + number, f"model-{number}") for number in range(500)] for call in range(1_000))
    kept, refusal = fill(journal, calls)
    assert refusal.next_step
    assert len(journal.rows(CheckRow, NOON, limit=10**6)) == kept * 500
    assert kept > 1
    journal.close()
    again = opened(tmp_path, largest=64 * MIB).journal
    again.add([check(10**6)])
    assert len(again.rows(CheckRow, NOON, limit=10**6)) == kept * 500 + 1
    again.close()


FULL = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from modelward.domain.errors import StorageError
from modelward.domain.history import CheckRow
from modelward.journal.sqlite import open_journal
from modelward.testing import FrozenClock
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
journal = open_journal(Path(sys.argv[1]), FrozenClock(now)).journal
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
kept = 0
try:
    while kept < 100_000:
        journal.add([CheckRow(at=now, model=f"m{kept}", healthy=None, recoverable=True, ready=True)] * 50)
        kept += 50
except StorageError as error:
    print(kept, type(error).__name__, flush=True)
print(len(journal.rows(CheckRow, now, limit=10**6)), flush=True)
"""


def test_a_file_that_may_not_grow_is_told_as_a_storage_error(tmp_path: Path) -> None:
    """D1, with the operating system saying no: a StorageError, and every acknowledged row is still there."""
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True, env=environ()
    )
    first, there = found.stdout.splitlines()
    kept, kind = first.split()
    assert kind in ("DiskFull", "WriteFailed")
    assert int(there) == int(kept) > 0


def environ() -> dict[str, str]:
    """What a child process of ours needs."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_row_that_cannot_be_kept_takes_nothing_with_it(tmp_path: Path) -> None:
    """A number beyond SQLite's raises; none of its call is kept, and new names are not remembered wrongly."""
    journal = opened(tmp_path).journal
    huge = SpaceRow(at=NOON, of="vault", device="new", total=1 << 70, free=0)
    with pytest.raises(OverflowError):
        journal.add([check(1, "new model"), huge])
    assert journal.rows(CheckRow, NOON) == ()
    assert journal.series(Series.CHECKS, NOON) == ()
    journal.add([check(2, "other model"), check(3, "new model")])
    assert [row.model for row in journal.rows(CheckRow, NOON)] == ["new model", "other model"]
    journal.close()


def test_names_that_are_no_text_are_kept_escaped(tmp_path: Path) -> None:
    """A file's name that is no UTF-8 comes back readable, and breaks nothing."""
    journal = opened(tmp_path).journal
    journal.add([ActionRow(at=NOON, cause="c", verb="repair", target="a\udcffb")])
    journal.flip([Flip(NOON, Kind.STORE, "/m\udcff", bad=True, detail="")])
    assert journal.rows(ActionRow, NOON)[0].target == storable("a\udcffb") == "a\\udcffb"
    assert journal.flips(NOON)[0].subject == "/m\\udcff"
    journal.close()


def test_text_is_text(tmp_path: Path) -> None:
    """Quotes, NUL and statements in a text are kept as they are."""
    texts = ["'; DROP TABLE checks; --", '"', "a\0b", "%", "", "\u2028"]
    journal = opened(tmp_path).journal
    journal.add([FindingRow(at=NOON, model=text, kind="Missing", text=text, device=text) for text in texts])
    for text in texts[:-2]:
        (found,) = journal.rows(FindingRow, NOON, model=text)
        assert (found.model, found.text, found.device) == (text, text, text)
    assert len(journal.rows(FindingRow, NOON)) == len(texts)
    journal.close()


def test_a_reader_stands_beside_the_writer(tmp_path: Path) -> None:
    """It sees what is kept from call to call, and may change nothing."""
    assert read_journal(tmp_path) is None
    journal = opened(tmp_path).journal
    journal.add([check(1)])
    reader = read_journal(tmp_path)
    assert reader is not None
    assert reader.rows(CheckRow, NOON) == (check(1),)
    journal.add([check(2)])
    assert reader.rows(CheckRow, NOON) == (check(2), check(1))
    with pytest.raises(WriteFailed):
        reader.add([check(3)])
    reader.close()
    journal.close()


def test_a_reader_needs_no_writer(tmp_path: Path) -> None:
    """The journal of a guard that ended is read as well, and the reader leaves no file of its own."""
    filled(tmp_path, 3)
    reader = read_journal(tmp_path)
    assert reader is not None
    assert len(reader.rows(CheckRow, NOON)) == 3
    reader.close()
    assert {path.name for path in tmp_path.iterdir()} <= {FILE, f"{FILE}-wal", f"{FILE}-shm"}


def test_a_reader_leaves_a_broken_journal_where_it_is(tmp_path: Path) -> None:
    """Setting aside is the guard's: a reader says what is wrong, and what to do."""
    filled(tmp_path)
    _garbage(tmp_path / FILE)
    with pytest.raises(JournalBroken) as caught:
        read_journal(tmp_path)
    assert "guard" in caught.value.next_step
    assert (tmp_path / FILE).exists()


def test_a_second_writer_waits_and_then_is_told(tmp_path: Path) -> None:
    """L1: while another process holds the journal, a write ends with Locked and can be repeated."""
    filled(tmp_path, 1)
    journal = SqliteJournal(Folder.open(tmp_path), 64 * MIB, patience=0.01)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Locked):
            journal.add([check(2)])
        other.execute("ROLLBACK")
    journal.add([check(2)])
    assert len(journal.rows(CheckRow, NOON)) == 2
    journal.close()


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    """Closing twice is fine; using it afterwards is one of our errors."""
    journal = opened(tmp_path).journal
    journal.close()
    journal.close()
    with pytest.raises(WriteFailed, match="closed"):
        journal.add([check(1)])


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from modelward.domain.alert import Flip, Kind
from modelward.domain.history import CheckRow
from modelward.journal.sqlite import open_journal
from modelward.testing import FrozenClock
noon = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
found = open_journal(Path(sys.argv[1]), FrozenClock(noon))
assert not found.set_aside, found.why
number = int(sys.argv[2])
while True:
    at = noon + timedelta(seconds=number)
    rows = [CheckRow(at=at, model=f"m{n}", healthy=None, recoverable=True, ready=True) for n in range(number % 7 + 1)]
    found.journal.add(rows)
    found.journal.flip([Flip(at, Kind.STORE, "s", True, "")])
    found.journal.put("number", number)
    if number % 10 == 0:
        found.journal.compact(noon)
    print(number, flush=True)
    number += 1
"""


def killed(folder: Path, begin: int, dice: random.Random) -> set[int]:
    """Let a child keep rows from ``begin`` on, kill it at any moment, and return the numbers it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(folder), str(begin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ()) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(dice.randrange(1, 5))]
        for _ in range(dice.randrange(20_000)):
            pass  # any moment: not the one right after a line
        child.kill()
        lines += child.stdout.readlines()
    return {int(line) for line in lines if line.endswith("\n")}


def numbers(rows: Iterable[CheckRow | Flip]) -> Counter[int]:
    """How many rows there are of each number."""
    return Counter(int((row.at - NOON).total_seconds()) for row in rows)


def survives(folder: Path, times: int, dice: random.Random) -> None:
    """Kill a writer so many times; after each, every acknowledged row is there, and no half of a call."""
    promised: set[int] = set()
    begin = 0
    for _ in range(times):
        promised |= killed(folder, begin, dice)
        found = opened(folder)
        assert found.set_aside == ""
        rows = found.journal.rows(CheckRow, NOON, limit=10**6)
        there = numbers(rows)
        assert there == {number: number % 7 + 1 for number in there}
        assert promised <= set(there)
        assert promised <= set(numbers(found.journal.flips(NOON, limit=10**6)))
        assert (found.journal.get("number", int) or 0) >= max(promised, default=0)
        assert sum(point.count for point in found.journal.series(Series.CHECKS, NOON)) == len(rows)
        found.journal.close()
        begin = max(there, default=-1) + 1
    assert len(promised) >= times


def test_what_was_acknowledged_survives_fifty_kills(tmp_path: Path) -> None:
    """A writer is killed fifty times at any moment; the file opens, and nothing acknowledged is lost."""
    survives(tmp_path, 50, random.Random(11))


@pytest.mark.campaign
def test_what_was_acknowledged_survives_five_hundred_kills(tmp_path: Path) -> None:
    """The same for longer, with other dice."""
    survives(tmp_path, 500, random.Random(12))
