"""Troubles as values: which changes are flips, what a silence covers, how urgent each kind is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.alert import (
    EVENT_KINDS,
    Condition,
    Flip,
    Key,
    Kind,
    Severity,
    Silence,
    flips_of,
    severity_of,
)

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LOST = Condition(Kind.MODEL_MISSING, "llama3", "the manifest is gone", "modelward repair llama3")
FULL = Condition(Kind.DISK, "/models", "4 % free", "make room")
CONDITIONS = st.lists(
    st.builds(Condition, st.sampled_from(Kind), st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]))
)
COVERS = st.frozensets(st.sampled_from(Kind))


def opened(*conditions: Condition) -> dict[Key, Condition]:
    """The conditions as the caller keeps them."""
    return {condition.key: condition for condition in conditions}


def test_what_is_new_is_a_flip_to_bad() -> None:
    """A condition that was not open flips, with its words."""
    found = flips_of({}, [LOST], [Kind.MODEL_MISSING], AT)
    assert found == (Flip(AT, Kind.MODEL_MISSING, "llama3", bad=True, detail=LOST.detail, next=LOST.next),)


def test_what_is_open_already_is_no_flip() -> None:
    """A trouble that lasts, in other words even, changes nothing."""
    worse = Condition(LOST.kind, LOST.subject, "the manifest and two blobs are gone")
    assert flips_of(opened(LOST), [worse], list(Kind), AT) == ()


def test_what_is_gone_is_a_flip_to_good_when_it_was_looked_at() -> None:
    """Only kinds that were looked at are closed by absence; the flip says what is over, and asks for nothing."""
    found = flips_of(opened(LOST, FULL), [], [Kind.DISK], AT)
    assert found == (Flip(AT, Kind.DISK, "/models", bad=False, detail="4 % free"),)


def test_an_event_flips_each_time_and_is_never_closed() -> None:
    """Moved tags and new journals are events."""
    moved = Condition(Kind.TAG, "llama3", "upstream's tag names another version")
    assert {Kind.TAG, Kind.JOURNAL} == EVENT_KINDS
    assert [flip.bad for flip in flips_of(opened(moved), [moved], [Kind.TAG], AT)] == [True]
    assert flips_of(opened(moved), [], [Kind.TAG], AT) == ()


def test_of_equal_keys_the_first_counts() -> None:
    """One subject has one trouble of a kind at a time."""
    twice = [LOST, Condition(LOST.kind, LOST.subject, "again")]
    assert [flip.detail for flip in flips_of({}, twice, [], AT)] == [LOST.detail]


@given(was=CONDITIONS, bad=CONDITIONS, covers=COVERS)
def test_after_the_flips_what_is_open_is_what_is_bad(
    was: list[Condition], bad: list[Condition], covers: frozenset[Kind]
) -> None:
    """For every kind that was looked at; the others keep what they had, and gain what is bad."""
    keys = set(opened(*was))
    for flip in flips_of(opened(*was), bad, covers, AT):
        assert flip.kind in EVENT_KINDS or (flip.key not in keys) == flip.bad
        keys = keys | {flip.key} if flip.bad else keys - {flip.key}
    lasting = {key for key in keys if key[0] not in EVENT_KINDS}
    wanted = {each.key for each in bad} | {each.key for each in was if each.kind not in covers}
    assert lasting == {key for key in wanted if key[0] not in EVENT_KINDS}


@pytest.mark.parametrize(
    ("kind", "subject", "covered"),
    [
        ("", "*", True),
        ("", "LLAMA*", True),
        ("model missing", "llama?", True),
        ("disk filling", "*", False),
        ("", "l", False),
    ],
)
def test_a_silence_covers_by_kind_and_glob(kind: str, subject: str, *, covered: bool) -> None:
    """An empty kind means any; upper and lower case are the same."""
    silence = Silence(id="1", kind=kind, subject=subject, until=AT + timedelta(hours=1), why="", made_at=AT)
    assert silence.covers(Kind.MODEL_MISSING, "llama3") is covered


def test_what_cannot_wait_is_critical() -> None:
    """The severity of each kind, as documented."""
    assert {kind for kind in Kind if severity_of(kind) is not Severity.CRITICAL} == {
        Kind.MAINTENANCE,
        Kind.DISK,
        Kind.BACKUP,
        Kind.SCRUB,
        Kind.TAG,
        Kind.JOURNAL,
    }
    assert severity_of(Kind.TAG) is Severity.INFO
