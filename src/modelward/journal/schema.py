"""The journal's tables: how they are made, how old files are brought up to date, and how values lie in them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, get_args

import msgspec

from modelward.domain.alert import Flip
from modelward.domain.history import (
    ActionRow,
    CheckRow,
    DrillRow,
    FindingRow,
    JobRow,
    ProbeRow,
    ScrubRow,
    ServerRow,
    SpaceRow,
)
from modelward.domain.series import KEPT, SAMPLES_KEPT

Ways = tuple[Callable[[Any], Any], Callable[[Any], Any]]
APPLICATION = 0x4D574A4E  # MWJN, in the file's header: this database is a journal of ours
# Texts that come back in thousands of rows lie once in ``names``; a row holds their number.
INTERNED = frozenset({"model", "device", "of", "subject", "version"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_FIRST = """
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE documents (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE points (
    series TEXT, span INTEGER, subject INTEGER, start INTEGER, count INTEGER, errors INTEGER, good_seconds REAL,
    known_seconds REAL, bytes INTEGER, seconds REAL, low INTEGER, total INTEGER, buckets BLOB,
    PRIMARY KEY (series, span, subject, start)
) WITHOUT ROWID;

CREATE TABLE checks (
    id INTEGER PRIMARY KEY, at INTEGER, model INTEGER, healthy INTEGER, recoverable INTEGER, ready INTEGER
);
CREATE TABLE probes (
    id INTEGER PRIMARY KEY, at INTEGER, model INTEGER, outcome TEXT, seconds REAL, loaded INTEGER
);
CREATE TABLE scrubs (
    id INTEGER PRIMARY KEY, at INTEGER, of INTEGER, device INTEGER, bytes INTEGER, seconds REAL, damaged INTEGER
);
CREATE TABLE space (
    id INTEGER PRIMARY KEY, at INTEGER, of INTEGER, device INTEGER, total INTEGER, free INTEGER
);
CREATE TABLE server (
    id INTEGER PRIMARY KEY, at INTEGER, up INTEGER, seconds REAL, version INTEGER, error TEXT
);
CREATE TABLE findings (
    id INTEGER PRIMARY KEY, at INTEGER, model INTEGER, kind TEXT, text TEXT, blob TEXT, bytes INTEGER, device INTEGER
);
CREATE TABLE actions (
    id INTEGER PRIMARY KEY, at INTEGER, cause TEXT, verb TEXT, step TEXT, model INTEGER, target TEXT, source TEXT,
    bytes INTEGER, seconds REAL, error TEXT
);
CREATE TABLE drills (
    id INTEGER PRIMARY KEY, at INTEGER, model INTEGER, snapshot TEXT, bytes INTEGER, restore_seconds REAL,
    verify_seconds REAL, ok INTEGER, why TEXT
);
CREATE TABLE flips (
    id INTEGER PRIMARY KEY, at INTEGER, kind TEXT, subject INTEGER, bad INTEGER, detail TEXT, next TEXT
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, kind TEXT, models TEXT, cause TEXT, began_at INTEGER, ended_at INTEGER, outcome TEXT,
    detail TEXT
);

CREATE INDEX checks_at ON checks (at);
CREATE INDEX checks_model_at ON checks (model, at);
CREATE INDEX probes_at ON probes (at);
CREATE INDEX probes_model_at ON probes (model, at);
CREATE INDEX scrubs_at ON scrubs (at);
CREATE INDEX space_at ON space (at);
CREATE INDEX server_at ON server (at);
CREATE INDEX findings_at ON findings (at);
CREATE INDEX actions_at ON actions (at);
CREATE INDEX drills_at ON drills (at);
CREATE INDEX flips_at ON flips (at);
CREATE INDEX jobs_began_at ON jobs (began_at)
"""
# The statements that lead from each version (PRAGMA user_version) to the next; never changed, only added to.
MIGRATIONS: tuple[tuple[str, ...], ...] = (tuple(_FIRST.split(";")),)


class Column(NamedTuple):
    """One column of a table, and the way of its values in and out."""

    name: str
    interned: bool
    to_sql: Callable[[Any], Any]
    from_sql: Callable[[Any], Any]


class Table(NamedTuple):
    """Where rows of one kind lie: the table, its column of time, the one that is asked for, and how long it is kept.

    ``selected`` are its columns as SQL names them, ``insert`` is the statement that keeps a row.
    """

    name: str
    kind: type[msgspec.Struct]
    columns: tuple[Column, ...]
    time: str
    subject: str
    kept: timedelta
    selected: str
    insert: str


def to_microseconds(moment: datetime) -> int:
    """Microseconds of Unix time, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """The moment of so many microseconds of Unix time."""
    return _EPOCH + number * _MICROSECOND


def storable(text: str) -> str:
    """The text as SQLite can keep it: what is no UTF-8 in a file's name is shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _same(value: Any) -> Any:  # noqa: ANN401 - whatever SQLite gives
    return value


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


_WAYS: dict[type, Ways] = {
    datetime: (to_microseconds, from_microseconds),
    bool: (int, bool),
    str: (storable, _same),
    int: (_same, _same),
    float: (_same, float),
}


def _ways(kind: Any) -> Ways:  # noqa: ANN401 - an annotation
    """How values of this annotation become SQLite's, and come back."""
    if type(None) in get_args(kind):
        there, back = _ways(get_args(kind)[0])
        return _optional(there), _optional(back)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return (lambda value: value.value), kind
    return _WAYS.get(kind, (_to_json, _from_json))


def _to_json(value: tuple[str, ...]) -> str:
    return msgspec.json.encode([storable(text) for text in value]).decode()


def _from_json(value: str) -> tuple[str, ...]:
    return msgspec.json.decode(value, type=tuple[str, ...])


def _table(name: str, kind: type[msgspec.Struct], *, time: str = "at", subject: str = "", kept: timedelta) -> Table:
    columns = tuple(
        Column(field.name, field.name in INTERNED, *_ways(field.type)) for field in msgspec.structs.fields(kind)
    )
    selected = ", ".join(column.name for column in columns)
    insert = f"INSERT OR REPLACE INTO {name} ({selected}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    return Table(name, kind, columns, time, subject, kept, selected, insert)


TABLES: dict[type, Table] = {
    table.kind: table
    for table in (
        _table("checks", CheckRow, subject="model", kept=SAMPLES_KEPT),
        _table("probes", ProbeRow, subject="model", kept=SAMPLES_KEPT),
        _table("scrubs", ScrubRow, kept=SAMPLES_KEPT),
        _table("space", SpaceRow, kept=SAMPLES_KEPT),
        _table("server", ServerRow, kept=SAMPLES_KEPT),
        _table("findings", FindingRow, subject="model", kept=KEPT),
        _table("actions", ActionRow, subject="model", kept=KEPT),
        _table("drills", DrillRow, subject="model", kept=KEPT),
        _table("flips", Flip, subject="subject", kept=KEPT),
        _table("jobs", JobRow, time="began_at", kept=KEPT),
    )
}
