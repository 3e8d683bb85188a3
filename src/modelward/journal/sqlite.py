"""The journal in one SQLite file: write-ahead log, every commit synced, one connection behind one lock.

A file that is broken is set aside and a new one begun: history is worth keeping, and never worth a guard that
does not start.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_ISREG
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

import msgspec

from modelward.domain.alert import Flip
from modelward.domain.codec import decode, encode
from modelward.domain.errors import (
    BadObject,
    DiskFull,
    JournalBroken,
    JournalNewer,
    Locked,
    StorageError,
    WriteFailed,
)
from modelward.domain.history import CheckRow, JobRow, Row, ServerRow
from modelward.domain.series import SPAN_KEPT, Point, Seen, Series, horizon, key_of, tally, together
from modelward.durable import Folder, kind_of, move, put_small, reading_errors
from modelward.journal.names import Names
from modelward.journal.rollup import add_points, read_points, read_subjects, read_totals
from modelward.journal.schema import APPLICATION, MIGRATIONS, TABLES, Table, from_microseconds, to_microseconds
from modelward.ports import Clock

R = TypeVar("R")
D = TypeVar("D")
FILE = "journal.db"
LARGEST = 512 << 20
_PAGE = 4096
_HEAD = b"SQLite format 3\0"
_BEGIN_ANEW = "start the guard: it sets the file aside and begins a new one"
_COMPACTED = "journal/compacted"
_SETUP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = 1",  # macOS: past the drive's cache
    "PRAGMA checkpoint_fullfsync = 1",
    "PRAGMA cache_size = -256",  # full within minutes; four times as much is as quick, and fills for an hour
    f"PRAGMA journal_size_limit = {4 << 20}",
)
_LAST = {
    Series.CHECKS: "SELECT at, ready FROM checks WHERE model = ? ORDER BY id DESC LIMIT 1",
    Series.SERVER: "SELECT at, up FROM server WHERE ? ORDER BY id DESC LIMIT 1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open journal; where the one before was broken, the name that it was set aside under, and why."""

    journal: "SqliteJournal"
    set_aside: str = ""
    why: str = ""


def open_journal(folder: Path, clock: Clock, *, largest: int = LARGEST) -> Opened:
    """Open the journal in a folder, made if it is not there (0700), for one guard that writes.

    ``largest`` is the size in bytes that its file never passes. Raises JournalNewer, and StorageErrors.
    """
    place = Folder.open(folder, create=True)
    try:
        return Opened(journal=SqliteJournal(place, largest))
    except JournalBroken as error:
        aside = _set_aside(place, clock.now())
        return Opened(journal=SqliteJournal(place, largest), set_aside=aside, why=error.what)


def read_journal(folder: Path) -> "SqliteJournal | None":
    """The journal of a folder to read only, beside a guard that writes; None where there is none yet.

    Raises JournalBroken and JournalNewer; nothing is changed.
    """
    if not (folder / FILE).exists():
        return None
    return SqliteJournal(Folder.open(folder), 0)


def _set_aside(place: Folder, now: datetime) -> str:
    """Move the file out of its name, its log first: a new database must not find an old one's log."""
    stamp, taken = f"{now:%Y%m%dT%H%M%SZ}", set(place.names())
    names = (f"journal-{stamp}{extra}.broken.db" for extra in ("", *(f"-{number}" for number in range(1, 1000))))
    aside = next(name for name in names if name not in taken)
    for ending in ("-wal", "-shm", ""):
        if place.stat(FILE + ending) is not None:
            move(place, FILE + ending, place, aside + ending)
    return aside


class SqliteJournal:
    """The Journal port over one file in ``folder``; ``largest`` bytes at most, 0 to read only.

    Another process that writes is waited for, ``patience`` seconds.
    """

    def __init__(self, folder: Folder, largest: int, patience: float = 5.0) -> None:
        self._path = f"{folder.path}/{FILE}"
        self._lock = threading.RLock()
        self._last: dict[tuple[Series, str], Seen] = {}
        _require_plain(folder, make=bool(largest))
        with _errors(self._path):
            self._connection = _connect(self._path, patience, writing=bool(largest))
        self._names = Names(self._connection)
        try:
            with _errors(self._path):
                self._prepare(largest)
        except BaseException:
            self.close()
            raise

    def _prepare(self, largest: int) -> None:
        version = _version(self._connection, self._path)
        if largest:
            for statement in (*_SETUP, f"PRAGMA max_page_count = {largest // _PAGE}"):
                self._connection.execute(statement)
            _migrate(self._connection, version)
        elif version < len(MIGRATIONS):
            raise JournalBroken("not made yet, or of an older version", thing=self._path, next_step="start the guard")
        damage = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise JournalBroken(f"malformed: {damage}", thing=self._path, next_step=_BEGIN_ANEW)

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows, and what they add to the points of their hour and day."""
        with self._writing():
            self._remember(rows)
            points, seen = tally(rows, self._last)
            for row in rows:
                self._put(TABLES[type(row)], row)
            add_points(self._connection, self._names, points.items())
        self._last = seen

    def _remember(self, rows: Sequence[Row]) -> None:
        """Load the last samples of subjects that this process has not seen yet."""
        for row in rows:
            if isinstance(row, CheckRow | ServerRow):
                key = (Series.CHECKS, row.model) if isinstance(row, CheckRow) else (Series.SERVER, "")
                if key not in self._last:
                    subject = self._names.known(key[1]) if key[1] else 1
                    found = self._connection.execute(_LAST[key[0]], (subject,)).fetchone()
                    if found:
                        self._last[key] = Seen(from_microseconds(found[0]), bool(found[1]))

    def flip(self, flips: Sequence[Flip]) -> None:
        """Keep changes of health."""
        with self._writing():
            for each in flips:
                self._put(TABLES[Flip], each)

    def _put(self, table: Table, row: object) -> None:
        values = []
        for column in table.columns:
            value = column.to_sql(getattr(row, column.name))
            values.append(self._names.number(value) if column.interned else value)
        self._connection.execute(table.insert, values)

    def rows(
        self, kind: type[R], since: datetime, until: datetime | None = None, model: str = "", limit: int = 1000
    ) -> tuple[R, ...]:
        """Rows of one kind, the newest first."""
        return self._select(TABLES[kind], since, until, model, limit)

    def flips(
        self, since: datetime, until: datetime | None = None, subject: str = "", limit: int = 1000
    ) -> tuple[Flip, ...]:
        """Changes of health, the newest first."""
        return self._select(TABLES[Flip], since, until, subject, limit)

    def _select(
        self, table: Table, since: datetime, until: datetime | None, subject: str, limit: int
    ) -> tuple[Any, ...]:
        where, values = [f"{table.time} >= ?"], [to_microseconds(since)]
        if until is not None:
            where, values = [*where, f"{table.time} < ?"], [*values, to_microseconds(until)]
        with self._reading():
            if subject:
                condition, value = self._condition(table, subject)
                where, values = [*where, condition], [*values, value]
            query = (
                f"SELECT {table.selected} FROM {table.name} WHERE {' AND '.join(where)}"  # noqa: S608 - our own words
                f" ORDER BY {table.time} DESC, rowid DESC LIMIT ?"
            )
            found = self._connection.execute(query, (*values, limit)).fetchall()
            return tuple(self._row(table, values) for values in found)

    def _condition(self, table: Table, subject: str) -> tuple[str, Any]:
        if table.subject:
            return f"{table.subject} = ?", self._names.known(subject)
        if table.kind is JobRow:
            return "instr(models, ?)", f'"{subject}"'
        return "?", False  # a kind without models has no row of any

    def _row(self, table: Table, found: Sequence[Any]) -> msgspec.Struct:
        fields: dict[str, Any] = {}
        for column, value in zip(table.columns, found, strict=True):
            fields[column.name] = self._names.text(value) if column.interned else column.from_sql(value)
        return table.kind(**fields)

    def job_begin(self, row: JobRow) -> None:
        """Keep that a job began."""
        with self._writing():
            self._put(TABLES[JobRow], row)

    def job_end(self, job: str, outcome: str, detail: str, at: datetime) -> None:
        """Keep how a job ended."""
        query = "UPDATE jobs SET outcome = ?, detail = ?, ended_at = ? WHERE id = ? AND outcome = 'running'"
        with self._writing():
            self._connection.execute(query, (outcome, detail, to_microseconds(at), job))

    def interrupt_jobs(self, at: datetime) -> int:
        """Call every running job interrupted."""
        query = "UPDATE jobs SET outcome = 'interrupted', ended_at = ? WHERE outcome = 'running'"
        with self._writing():
            return self._connection.execute(query, (to_microseconds(at),)).rowcount

    def get(self, key: str, kind: type[D]) -> D | None:
        """The document under ``key``."""
        with self._reading():
            found = self._connection.execute("SELECT value FROM documents WHERE key = ?", (key,)).fetchone()
        with suppress(BadObject):
            return decode(found[0], kind) if found else None
        return None

    def put(self, key: str, value: object) -> None:
        """Keep a document."""
        with self._writing():
            self._keep(key, value)

    def _keep(self, key: str, value: object) -> None:
        self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (key, encode(value)))

    def series(
        self, series: Series, since: datetime, until: datetime | None = None, subject: str = "", span: int = 3_600
    ) -> tuple[Point, ...]:
        """Points, the oldest first."""
        key = key_of(series, subject, span, since)
        whole = not subject and series is not Series.SERVER
        with self._reading():
            return together(read_points(self._connection, self._names, key, until, whole=whole))

    def totals(
        self, series: Series, since: datetime, until: datetime | None = None, span: int = 3_600
    ) -> dict[str, Point]:
        """All points in one, for each subject."""
        with self._reading():
            return read_totals(self._connection, series, since, until, span)

    def subjects(self, series: Series) -> tuple[str, ...]:
        """The subjects of a series."""
        with self._reading():
            return read_subjects(self._connection, series)

    def compact(self, now: datetime) -> int:
        """Drop what is past its time."""
        old = horizon(now, self.get(_COMPACTED, datetime))
        with self._writing():
            dropped = sum(self._drop_rows(table, old) for table in TABLES.values())
            dropped += sum(self._drop_points(span, old) for span in SPAN_KEPT)
            self._keep(_COMPACTED, old)
        with self._reading():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return dropped

    def _drop_rows(self, table: Table, old: datetime) -> int:
        query = f"DELETE FROM {table.name} WHERE {table.time} < ?"  # noqa: S608 - our own words
        return self._connection.execute(query, (to_microseconds(old - table.kept),)).rowcount

    def _drop_points(self, span: int, old: datetime) -> int:
        values = [(series.value, span, (old - SPAN_KEPT[span]).timestamp()) for series in Series]
        query = "DELETE FROM points WHERE series = ? AND span = ? AND start < ?"
        return sum(self._connection.execute(query, each).rowcount for each in values)

    def close(self) -> None:
        """Close the file; safe to repeat."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never opened
            self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, _errors(self._path), _cells(self._path):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: durable when the block is left, undone when it raises."""
        with self._lock, _errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._names.forget()
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                    self._connection.execute("ROLLBACK")
                raise


def _require_plain(folder: Folder, *, make: bool) -> None:
    found = folder.stat(FILE)
    if found is None and make:
        put_small(folder, folder, FILE, b"")  # SQLite would make it readable by others
    elif found is not None and not S_ISREG(found.st_mode):
        raise JournalBroken(
            f"a {kind_of(found.st_mode)}, not a plain file", thing=f"{folder.path}/{FILE}", next_step=_BEGIN_ANEW
        )
    elif found is not None and found.st_size and _head(folder) != _HEAD:
        # SQLite would find out too, and throw the log away that lies beside it.
        raise JournalBroken("not a database", thing=f"{folder.path}/{FILE}", next_step=_BEGIN_ANEW)


def _head(folder: Folder) -> bytes:
    fd = folder.open_file(FILE)
    try:
        with reading_errors(f"{folder.path}/{FILE}"):
            return os.pread(fd, len(_HEAD), 0)
    finally:
        os.close(fd)


def _connect(path: str, patience: float, *, writing: bool) -> sqlite3.Connection:
    address = f"file:{quote(path)}?mode={'rw' if writing else 'ro'}"
    return sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The version of the tables; raises JournalNewer, or JournalBroken for a database that is none of ours."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION and (tables or version):
        raise JournalBroken("a database of another program", thing=path, next_step=_BEGIN_ANEW)
    if version > len(MIGRATIONS):
        raise JournalNewer(
            f"the journal has version {version}, this program knows {len(MIGRATIONS)}",
            thing=path,
            next_step="use the newer Modelward, or name another folder with --state",
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables up to date, each version in one transaction."""
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in (*statements, f"PRAGMA user_version = {number}", f"PRAGMA application_id = {APPLICATION}"):
            connection.execute(statement)
        connection.execute("COMMIT")


_BROKEN = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


@contextmanager
def _errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        _raise(error, path)


@contextmanager
def _cells(path: str) -> Iterator[None]:
    """SQLite sees a page that is none; a cell that holds what we never wrote is for us to see."""
    try:
        yield
    except (msgspec.DecodeError, ValueError, TypeError, OverflowError) as error:
        raise JournalBroken(
            f"a row is damaged ({error})", thing=path, next_step="move that file away; the guard begins a new one"
        ) from error


def _raise(error: sqlite3.Error, path: str) -> NoReturn:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF  # the low byte is the kind of error
    kind, advice = _kind(code)
    raise kind(str(error), thing=path, next_step=advice) from error


def _kind(code: int) -> tuple[type[StorageError], str]:
    if code == sqlite3.SQLITE_FULL:
        return DiskFull, "free some space there; what happened meanwhile is not in the history"
    if code in _BROKEN:
        return JournalBroken, _BEGIN_ANEW
    if code in _BUSY:
        return Locked, "wait until the other process has finished and run the command again"
    return WriteFailed, "check that the folder is there, and that you may write to it"
