"""Snapshot records: their ids, picking one by the beginning of its id, and their order."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.digest import Digest
from modelward.domain.errors import UnknownSnapshot
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, newest_first, pick, snapshot_id
from modelward.domain.store import Owner
from tests.domain.strategies_domain import NOON, digest, digests, names, times

LLAMA = ModelName.parse("llama3")


def snapshot(minutes: int, wrapper: Digest, model: ModelName = LLAMA) -> Snapshot:
    """A record made some minutes after noon."""
    made = NOON + timedelta(minutes=minutes)
    return Snapshot(
        id=snapshot_id(made, model, wrapper),
        model=model,
        created_at=made,
        verified_at=made,
        wrapper=wrapper,
        manifest=digest(0),
        size=1,
        store="/models",
        owner=Owner(0, 0, 0o644),
    )


HISTORY = tuple(snapshot(minutes, digest(minutes)) for minutes in range(5))


@settings(max_examples=50)
@given(times(), names(), digests())
def test_an_id_says_when_and_is_safe_as_a_file_name(made: datetime, model: ModelName, wrapper: Digest) -> None:
    """The time to the second in UTC, a dash, and twelve hex digits."""
    text = snapshot_id(made, model, wrapper)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{12}", text)
    assert text.startswith(made.strftime("%Y%m%d"))


@settings(max_examples=50)
@given(names(), names(), digests(), digests())
def test_an_id_tells_models_and_versions_apart(
    model: ModelName, other: ModelName, wrapper: Digest, another: Digest
) -> None:
    """At one moment two ids are equal only for the same model and the same wrapper."""
    same = snapshot_id(NOON, model, wrapper) == snapshot_id(NOON, other, another)
    assert same == ((model, wrapper) == (other, another))


def test_a_snapshot_is_picked_by_its_id_or_the_beginning_of_it() -> None:
    """The whole id, its time, its hash part, or as much of either as is unique."""
    wanted = HISTORY[3]
    time, _, hash_part = wanted.id.partition("-")
    for text in (wanted.id, time, hash_part, hash_part[:6], f"{time}-{hash_part[:1]}"):
        assert pick(HISTORY, text) == wanted


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ("20991231", "no such snapshot"),
        ("zzz", "no such snapshot"),
        ("../../etc/passwd", "no such snapshot"),
        (HISTORY[0].id + "0", "no such snapshot"),
        ("2026", "5 snapshots begin like this"),
    ],
)
def test_what_is_not_one_snapshot_is_refused(wanted: str, what: str) -> None:
    """None or several: UnknownSnapshot says which of the two, and how to list them."""
    with pytest.raises(UnknownSnapshot, match=what) as caught:
        pick(HISTORY, wanted)
    assert caught.value.thing == wanted
    assert "modelward snapshots" in caught.value.next_step


def test_an_empty_vault_has_no_snapshot_to_pick() -> None:
    """Nor is there one for an empty text."""
    with pytest.raises(UnknownSnapshot):
        pick((), "")


@given(st.lists(st.builds(snapshot, st.integers(0, 9), st.integers(0, 5).map(digest))))
def test_the_newest_comes_first_whatever_the_order_was(found: list[Snapshot]) -> None:
    """By date, then by id, so that every listing of a vault is the same."""
    ordered = newest_first(tuple(found))
    keys = [(item.created_at, item.id) for item in ordered]
    assert keys == sorted(keys, reverse=True)
    assert ordered == newest_first(tuple(reversed(found)))
    assert sorted(item.id for item in ordered) == sorted(item.id for item in found)
