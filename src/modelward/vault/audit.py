"""The audit log: one JSON line an action, each naming the hash of the line before (A1)."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from modelward.domain.audit import AuditEntry
from modelward.domain.codec import decode, encode
from modelward.domain.errors import BadObject

GENESIS = "0" * 64
_OURS = frozenset({"seq", "at", "action", "prev", "hash"})


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The last entry: its number, counted from 1, and its hash. Kept beside the log, so that a cut shows."""

    seq: int = 0
    hash: str = GENESIS


def entry(head: Head, at: datetime, action: str, keys: dict[str, object]) -> tuple[bytes, Head]:
    """The next line, newline included, and the head after it."""
    given = {f"{key}_" if key in _OURS else key: value for key, value in json.loads(encode(keys)).items()}
    body = given | {"seq": head.seq + 1, "at": at.isoformat(), "action": action, "prev": head.hash}
    digest = _hash(body)
    return _line(body | {"hash": digest}) + b"\n", Head(seq=head.seq + 1, hash=digest)


def last(lines: bytes) -> Head:
    """The head that the last whole line in ``lines`` makes."""
    whole = [line for line in lines.split(b"\n") if line]
    return decode(whole[-1], Head) if whole else Head()


def read_entry(line: bytes) -> AuditEntry:
    """The entry that a line holds, whether or not the chain holds; raises BadObject for anything else."""
    try:
        body = json.loads(line)
        keys = {key: value for key, value in body.items() if key not in _OURS}
        at = datetime.fromisoformat(body["at"]).astimezone(UTC)
        return AuditEntry.of(int(body["seq"]), at, str(body["action"]), keys)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadObject(f"not an entry of the audit log ({error})") from error


def faults(lines: Iterable[bytes], head: Head) -> tuple[str, ...]:
    """Every edit, drop, reorder or cut in the log, in words; empty when the chain holds to the head."""
    found: list[str] = []
    before = Head()
    for number, line in enumerate(lines, start=1):
        try:
            body = json.loads(line)
            digest = body.pop("hash")
            if body["prev"] != before.hash or body["seq"] != number:
                found.append(f"line {number} does not follow the line before")
            if _hash(body) != digest or _line(body | {"hash": digest}) != line.rstrip(b"\n"):
                found.append(f"line {number} was changed")
            before = Head(seq=number, hash=digest)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            found.append(f"line {number} is not an entry")
        if number == head.seq and before.hash != head.hash:
            found.append(f"line {number} is not the one that the head names")
    if before.seq < head.seq:
        found.append(f"{head.seq - before.seq} entries are cut off at the end")
    return tuple(found)


def _hash(body: dict[str, object]) -> str:
    return sha256(_line(body)).hexdigest()


def _line(body: dict[str, object]) -> bytes:
    """The one form of an entry: what reads the same in another form was edited."""
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
