"""Attacks on the files of an audit log: the log, the head beside it, or both at once."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from modelward.domain.codec import decode, encode
from modelward.vault.audit import Head, entry
from tests.places import Place

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
State = tuple[bytes, bytes]  # the log, and its head
Attack = Callable[[Place, list[State], random.Random], object]
# States of the whole that fit in themselves.
FITS = frozenset({"both rolled back", "both made anew", "both gone", "log rolled back, head gone"})

# The log is whole, and the next entry makes a head for it again.
HARMLESS = frozenset({"head of nonsense"})


def grown(place: Place, rng: random.Random) -> list[State]:
    """A vault's log after each of some entries."""
    vault, states = place.site().the_vault(), []
    for count in range(rng.randint(2, 6)):
        vault.audit(rng.choice(("backup", "repair", "forget")), model=f"model{count}")
        states.append(((_own(place) / "audit.jsonl").read_bytes(), (_own(place) / "audit-head.json").read_bytes()))
    assert vault.audit_faults() == (), "the log is good before"
    return states


def head_of(state: State) -> Head:
    """The head, as somebody keeps it elsewhere."""
    return decode(state[1], Head)


def lines(place: Place) -> list[bytes]:
    """The lines that lie there now; none without a log."""
    path = _own(place) / "audit.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def _own(place: Place) -> Path:
    return place.vault / "modelward"


def _log(place: Place, data: bytes) -> None:
    (_own(place) / "audit.jsonl").write_bytes(data)


def _head(place: Place, data: bytes) -> None:
    (_own(place) / "audit-head.json").write_bytes(data)


def _gone(place: Place, *names: str) -> None:
    for name in names:
        (_own(place) / name).unlink()


def _older(states: list[State], rng: random.Random) -> State:
    return states[rng.randrange(len(states) - 1)]


def _forged(place: Place, rng: random.Random, *, with_head: bool) -> None:
    made, written = Head(), b""
    for _ in range(rng.randint(1, 6)):
        line, made = entry(made, BEGIN, "forged", {})
        written += line
    _log(place, written)
    if with_head:
        _head(place, encode(made))


def _rolled_back(place: Place, states: list[State], rng: random.Random) -> None:
    log, head = _older(states, rng)
    _log(place, log)
    _head(place, head)


def _without_head(place: Place, states: list[State], rng: random.Random) -> None:
    _log(place, _older(states, rng)[0])
    _gone(place, "audit-head.json")


ATTACKS: Mapping[str, Attack] = {
    "log cut": lambda place, states, rng: _log(place, states[-1][0][: rng.randrange(len(states[-1][0]))]),
    "log gone": lambda place, _, __: _gone(place, "audit.jsonl"),
    "log replaced": lambda place, _, rng: _log(place, rng.randbytes(rng.randint(1, 500)) + b"\n"),
    "log rolled back": lambda place, states, rng: _log(place, _older(states, rng)[0]),
    "log made anew": lambda place, _, rng: _forged(place, rng, with_head=False),
    "log rolled back, head gone": _without_head,
    "both rolled back": _rolled_back,
    "both made anew": lambda place, _, rng: _forged(place, rng, with_head=True),
    "both gone": lambda place, _, __: _gone(place, "audit.jsonl", "audit-head.json"),
    "head replaced": lambda place, _, rng: _head(
        place, encode(Head(seq=rng.randint(1, 9), hash=rng.randbytes(32).hex()))
    ),
    "head of nonsense": lambda place, _, rng: _head(place, rng.randbytes(rng.randint(1, 60))),
}
