"""The audit log tells every edit, drop, reorder and cut (A1)."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.errors import BadObject
from modelward.vault.audit import GENESIS, Head, entry, faults, last, read_entry

BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
WORDS = st.text(max_size=20)
LOGS = st.lists(
    st.tuples(st.sampled_from(["backup", "repair", "prune"]), st.dictionaries(WORDS, WORDS | st.integers())),
    min_size=1,
    max_size=6,
)
OURS = {"seq", "at", "action", "prev", "hash"}


def write(actions: list[tuple[str, dict[str, str | int]]]) -> tuple[list[bytes], Head]:
    """The lines of a log and its head."""
    lines, head = [], Head()
    for number, (action, keys) in enumerate(actions):
        line, head = entry(head, BEGIN + timedelta(minutes=number), action, dict(keys))
        lines.append(line)
    return lines, head


def test_an_entry_is_one_line_of_json() -> None:
    """Who did what when, to what, after which entry."""
    line, head = entry(Head(), BEGIN, "backup", {"model": "m", "bytes": 5})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    body = json.loads(line)
    assert body == {
        "seq": 1,
        "at": "2026-01-05T12:00:00+00:00",
        "action": "backup",
        "model": "m",
        "bytes": 5,
        "prev": GENESIS,
        "hash": head.hash,
    }


@given(LOGS)
def test_an_untouched_log_has_no_faults(actions: list[tuple[str, dict[str, str | int]]]) -> None:
    """Whatever was written; and the last line makes the head that the next entry follows."""
    lines, head = write(actions)
    assert faults(lines, head) == ()
    assert last(b"".join(lines)) == head
    assert head.seq == len(actions)


def test_a_log_without_a_line_begins_anew() -> None:
    """The first entry names nothing before it."""
    assert last(b"") == Head()
    assert faults([], Head()) == ()


@given(LOGS, st.data())
def test_an_edit_of_any_byte_is_found(actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject) -> None:
    """Any byte of any line replaced by any other."""
    lines, head = write(actions)
    number = data.draw(st.integers(0, len(lines) - 1), label="line")
    at = data.draw(st.integers(0, len(lines[number]) - 2), label="byte")
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != lines[number][at]), label="new")
    lines[number] = lines[number][:at] + bytes([new]) + lines[number][at + 1 :]
    assert faults(lines, head)


@given(LOGS, st.data())
def test_a_changed_value_is_found(actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject) -> None:
    """Also when the line stays well-formed JSON, and when its own hash is made to fit."""
    lines, head = write(actions)
    number = data.draw(st.integers(0, len(lines) - 1), label="line")
    body = json.loads(lines[number])
    key = data.draw(st.sampled_from(sorted(body)), label="key")
    body[key] = "other"
    lines[number] = json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert faults(lines, head)


@given(LOGS, st.data())
def test_a_forged_line_with_a_fitting_hash_is_found(
    actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject
) -> None:
    """The line after it, or the head, names the true one."""
    lines, head = write(actions)
    number = data.draw(st.integers(0, len(lines) - 1), label="line")
    before = last(b"".join(lines[:number]))
    lines[number], _ = entry(before, BEGIN, "forged", {})
    assert faults(lines, head)


@given(LOGS, st.data())
def test_a_dropped_line_is_found(actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject) -> None:
    """The last ones too: a cut shows, because the head is kept beside the log."""
    lines, head = write(actions)
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1), label="gone")
    assert faults([line for number, line in enumerate(lines) if number not in gone], head)


@given(LOGS.filter(lambda actions: len(actions) > 1), st.data())
def test_another_order_is_found(actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject) -> None:
    """Every order but the one in which it was written."""
    lines, head = write(actions)
    order = data.draw(st.permutations(range(len(lines))).filter(lambda order: order != sorted(order)), label="order")
    assert faults([lines[number] for number in order], head)


@given(LOGS, st.data())
def test_a_repeated_line_is_found(actions: list[tuple[str, dict[str, str | int]]], data: st.DataObject) -> None:
    """Anywhere in the log."""
    lines, head = write(actions)
    number = data.draw(st.integers(0, len(lines) - 1), label="line")
    place = data.draw(st.integers(0, len(lines)), label="place")
    assert faults([*lines[:place], lines[number], *lines[place:]], head)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_garbage_is_told_and_never_raises(lines: list[bytes]) -> None:
    """Each line that is no entry is named."""
    assert len(faults(lines, Head())) >= len(lines)


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace(b",", b" , "),
        lambda line: line.replace(b'"action":"backup"', b'"action":"forged","action":"backup"'),
        lambda line: line.replace(b'"backup"', b'"\\u0062ackup"'),
    ],
    ids=["blanks", "a key twice", "escapes"],
)
def test_an_edit_that_reads_the_same_is_found(edit: "object") -> None:
    """The log is bytes: other bytes that mean the same are an edit, and a reader may take them otherwise."""
    assert callable(edit)
    line, head = entry(Head(), BEGIN, "backup", {})
    assert edit(line) != line
    assert faults([edit(line)], head)


@pytest.mark.parametrize("key", sorted(OURS - {"hash"}))
def test_keys_of_an_action_do_not_take_the_place_of_the_chain(key: str) -> None:
    """What an action says of itself cannot break the chain."""
    line, head = entry(Head(), BEGIN, "backup", {key: "mine"})
    assert faults([line], head) == ()
    assert json.loads(line)[key] != "mine"


def test_numbers_are_counted_from_one() -> None:
    """Also in a log, and a head, that somebody wrote anew."""
    line, head = entry(Head(seq=5), BEGIN, "forged", {})
    assert faults([line], Head(seq=1, hash=head.hash))


def test_a_last_line_that_cannot_be_read() -> None:
    """A typed error: nothing is chained to what nobody can read."""
    with pytest.raises(BadObject):
        last(b"garbage\n")


@pytest.mark.parametrize("seq", ["1e999", "-1e999"])
def test_a_number_beyond_all_numbers_is_no_entry(seq: str) -> None:
    """JSON can say it, and no log has it."""
    line = f'{{"seq":{seq},"at":"2026-01-05T12:00:00+00:00","action":"backup","prev":"","hash":""}}'
    with pytest.raises(BadObject):
        read_entry(line.encode())
