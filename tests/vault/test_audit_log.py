"""The audit log on the disk: never kept waiting by a backup, never broken by a crash, every tampering seen (A1)."""

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward import durable
from modelward.bootstrap import SystemClock
from modelward.domain.codec import decode, pretty
from modelward.domain.errors import DiskFull, Locked, ModelwardError, StorageError, VaultUnreadable
from modelward.durable import Folder, locked
from modelward.testing import FrozenClock, corrupt
from modelward.vault import audit_log
from modelward.vault.audit import Head, faults
from modelward.vault.audit_log import AuditLog
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.kinds import KINDS, put
from tests.models import make_model
from tests.places import BEGIN
from tests.recorder import RecordingOs
from tests.vault.conftest import Shelf

NAME = make_model().name


@pytest.fixture
def vault(shelf: Shelf) -> Shelf:
    """An empty vault."""
    shelf.create()
    return shelf


def log_of(shelf: Shelf) -> Path:
    """The log's file."""
    return shelf.path("modelward", "audit.jsonl")


def lines_of(shelf: Shelf) -> list[bytes]:
    """The log's lines, their ends kept."""
    return log_of(shelf).read_bytes().splitlines(keepends=True)


def audit_faults(shelf: Shelf) -> tuple[str, ...]:
    """What is wrong with the audit log, by the head beside it: read by the test itself."""
    head = decode(shelf.path("modelward", "audit-head.json").read_bytes(), Head)
    found = faults(lines_of(shelf), head)
    assert shelf.open().audit_faults() == found
    return found


def write(shelf: Shelf, *actions: str) -> None:
    """One entry an action, each by a new process."""
    for action in actions:
        shelf.open().audit(action)


def test_every_action_is_chained(vault: Shelf) -> None:
    """Over processes, with its time and its keys; the head beside the log names the last one."""
    for number in range(3):
        vault.clock.advance(minutes=1)
        vault.open().audit("backup", model=NAME, number=number)
        vault.open().audit("more")
    lines = lines_of(vault)
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert json.loads(lines[2])["model"] == str(NAME)
    assert json.loads(lines[2])["at"] == "2026-01-05T12:02:00+00:00"
    assert audit_faults(vault) == ()
    log_of(vault).write_bytes(b"".join(lines[:-1]))
    assert audit_faults(vault) == ("1 entries are cut off at the end",)


def test_an_entry_does_not_wait_for_a_backup(vault: Shelf) -> None:
    """The vault's lock is held elsewhere: the entry is there at once, and entering and leaving sweeps nothing of it."""
    with vault.open().writing("backup"):
        vault.open().audit("step", model=NAME)
        assert len(lines_of(vault)) == 1
    assert audit_faults(vault) == ()


def test_a_reader_sees_entries_as_values(vault: Shelf) -> None:
    """The oldest first, with what the action said of itself; what is no entry is passed over."""
    vault.open().audit("backup", model=NAME, cause="user", bytes=5)
    vault.open().audit("repair", error="gone")
    with log_of(vault).open("ab") as log:
        log.write(b"garbage\n{half a li")
    first, second = vault.open().audit_entries()
    assert (first.seq, first.at, first.action, first.model) == (1, BEGIN, "backup", str(NAME))
    assert (first.cause, first.outcome, first.keys["bytes"]) == ("user", "done", "5")
    assert (second.cause, second.outcome, second.model) == ("", "gone", "")


def test_a_vault_without_a_log(vault: Shelf) -> None:
    """Nothing was done yet: no entries, no faults, no file made by looking."""
    assert list(vault.open().audit_entries()) == []
    assert vault.open().audit_faults() == ()
    assert not log_of(vault).exists()


# Crashes.


@pytest.mark.parametrize("torn", [b"{", b'{"seq":2,"prev', b"\0" * 100])
def test_a_torn_last_line_is_cut(vault: Shelf, torn: bytes) -> None:
    """A power cut in the middle of a line: the line never counted, the chain goes on behind the last whole one."""
    write(vault, "one")
    whole = log_of(vault).read_bytes()
    log_of(vault).write_bytes(whole + torn)
    assert vault.open().audit_faults() == ()
    write(vault, "two")
    assert log_of(vault).read_bytes().startswith(whole)
    assert len(lines_of(vault)) == 2
    assert audit_faults(vault) == ()


def test_a_log_of_one_torn_line_begins_anew(vault: Shelf) -> None:
    """There is nothing to go on behind."""
    log_of(vault).write_bytes(b'{"seq":1')
    write(vault, "one")
    assert audit_faults(vault) == ()


def test_killed_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Death at any call: the chain is sound at once and after the next entry, and what was answered for is there."""
    probe = Shelf(tmp_path / "probe")
    probe.create()
    write(probe, "first")
    total = count_calls(monkeypatch, lambda: probe.open().audit("second"))
    assert total > 5
    for at in range(1, total + 1):
        shelf = Shelf(tmp_path / f"at{at}")
        shelf.create()
        write(shelf, "first")
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                shelf.open().audit("second")
        assert shelf.open().audit_faults() == ()
        write(shelf, "third")
        assert audit_faults(shelf) == ()
        actions = [entry.action for entry in shelf.open().audit_entries()]
        assert actions in (["first", "third"], ["first", "second", "third"])
        assert shelf.names("modelward", "staging") == []
        assert not shelf.path("modelward", "audit-head.json.new").exists()


def test_an_error_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails once: a typed error or an entry, never a broken chain (D1)."""
    probe = Shelf(tmp_path / "probe")
    probe.create()
    total = count_calls(monkeypatch, lambda: probe.open().audit("first"))
    for error in (errno.ENOSPC, errno.EIO):
        for at in range(1, total + 1):
            shelf = Shelf(tmp_path / f"{error}-{at}")
            shelf.create()
            answered = True
            with monkeypatch.context() as patch:
                patch.setattr(durable, "os", ScriptedOs(at, error=error))
                try:
                    shelf.open().audit("first")
                except StorageError as problem:
                    answered = False
                    assert problem.next_step
            write(shelf, "second")
            actions = [entry.action for entry in shelf.open().audit_entries()]
            assert actions == ["first", "second"] or (actions == ["second"] and not answered)
            assert audit_faults(shelf) == ()


def test_a_log_that_the_disk_does_not_give_is_said(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typed error with a next step where an entry is to follow, and where the log is looked at (D1)."""
    write(vault, "one")
    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "os", Unreadable())
        for work in (lambda: write(vault, "two"), vault.open().audit_faults):
            with pytest.raises(VaultUnreadable) as caught:
                work()
            assert caught.value.next_step
    write(vault, "three")
    assert [entry.action for entry in vault.open().audit_entries()] == ["one", "three"]
    assert audit_faults(vault) == ()


class Unreadable:
    """The module ``os`` on a disk that opens files and gives none of their bytes."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - stands in for a module
        return getattr(os, name)

    def pread(self, *_: object) -> bytes:
        """Never."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fdopen(self, fd: int, mode: str) -> "Unreadable":
        """A file of the same disk."""
        assert mode == "rb"
        os.close(fd)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def readline(self, limit: int) -> bytes:
        """Never."""
        return self.pread(limit)


def test_a_disk_without_room_for_the_head_keeps_the_entry(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is what was asked for; the head is brought up to date by the next one (D1)."""
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", RecordingOs({"pwrite": errno.ENOSPC}))
        write(vault, "one")
    assert [entry.action for entry in vault.open().audit_entries()] == ["one"]
    write(vault, "two")
    assert audit_faults(vault) == ()


def test_a_long_entry_does_not_end_the_log(vault: Shelf) -> None:
    """The error texts of many steps may be long."""
    for _ in range(2):
        vault.open().audit("repair", error="x" * (1 << 17))
    assert audit_faults(vault) == ()


def test_an_entry_that_could_not_be_written_breaks_no_chain(vault: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full for a moment: what was not written does not count."""
    write(vault, "one")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", RecordingOs({"write": errno.ENOSPC}))
        with pytest.raises(DiskFull):
            vault.open().audit("lost")
    write(vault, "two")
    assert audit_faults(vault) == ()


# Damage and tampering.


def test_a_last_line_that_is_damaged_says_what_to_do(vault: Shelf) -> None:
    """Without a head nothing is chained to it, and the user is told how to go on."""
    log_of(vault).write_bytes(b"garbage\n")
    with pytest.raises(ModelwardError) as caught:
        vault.open().audit("one")
    assert caught.value.next_step
    assert caught.value.thing == str(log_of(vault))


def test_a_last_line_that_rots_ends_nothing(vault: Shelf) -> None:
    """With the head to go on from, the next entry is written, and the damage stays for verify to see."""
    write(vault, "one", "two")
    lines = lines_of(vault)
    log_of(vault).write_bytes(lines[0] + b"x" * 50 + b"\n")
    write(vault, "three")
    assert any("line 2" in fault for fault in audit_faults(vault))
    assert [entry.action for entry in vault.open().audit_entries()] == ["one", "three"]


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_cut_is_not_hidden_by_the_entries_that_follow(vault: Shelf, left: int) -> None:
    """Whoever cuts the log and goes on working leaves a gap in the numbers and the chain."""
    write(vault, "one", "two", "three", "four", "five")
    log_of(vault).write_bytes(b"".join(lines_of(vault)[:left]))
    assert audit_faults(vault) == (f"{5 - left} entries are cut off at the end",)
    write(vault, "six", "seven")
    assert any(f"line {left + 1} " in fault for fault in audit_faults(vault))


def test_a_forged_last_line_is_not_hidden_by_the_entries_that_follow(vault: Shelf) -> None:
    """Its own hash may fit: the head names the true one, and the next entry follows the head."""
    write(vault, "one", "two")
    forged = Shelf(vault.root.parent / "forged")
    forged.create()
    write(forged, "one", "other")
    log_of(vault).write_bytes(log_of(forged).read_bytes())
    assert audit_faults(vault)
    write(vault, "three", "four")
    assert any("line 3 does not follow" in fault for fault in audit_faults(vault))


@pytest.mark.parametrize("at", range(0, 160, 7))
def test_a_bit_that_flips_in_the_head_breaks_no_chain(vault: Shelf, at: int) -> None:
    """The head has a seal: the next entry follows the last one in the log, not what rot made of the head (A1)."""
    write(vault, "one", "two")
    path = vault.path("modelward", "audit-head.json")
    corrupt.flip_bit(path, min(at, path.stat().st_size - 1), at % 8)
    assert any("audit-head.json" in fault for fault in vault.open().audit_faults())
    write(vault, "three")
    assert audit_faults(vault) == ()


def test_a_head_of_an_older_program_has_no_seal(vault: Shelf) -> None:
    """It counts as it always did: a cut shows."""
    write(vault, "one", "two")
    path = vault.path("modelward", "audit-head.json")
    path.write_text(pretty(decode(path.read_bytes(), Head)))
    assert audit_faults(vault) == ()
    log_of(vault).write_bytes(lines_of(vault)[0])
    assert audit_faults(vault) == ("1 entries are cut off at the end",)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"seq":"x"}', bytes(40)])
def test_a_head_that_cannot_be_read_is_a_fault_until_the_next_entry(vault: Shelf, data: bytes) -> None:
    """A cut could hide behind it; the log itself goes on."""
    write(vault, "one")
    shelf_head = vault.path("modelward", "audit-head.json")
    shelf_head.write_bytes(data)
    assert any("audit-head.json" in fault for fault in vault.open().audit_faults())
    write(vault, "two")
    assert audit_faults(vault) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_no_file(vault: Shelf, kind: str) -> None:
    """A typed error at once, and a link is not written through (T1)."""
    put(kind, log_of(vault), vault.path("secret"))
    with pytest.raises(ModelwardError):
        vault.open().audit("one")
    if kind == "symlink":
        assert vault.path("secret").read_bytes() == b"secret"


ACTIONS = st.lists(st.sampled_from(["backup", "repair", "prune"]), min_size=2, max_size=5)


def test_any_tampering_between_entries_stays_seen(tmp_path: Path) -> None:
    """Lines dropped, swapped or doubled in the file, and work going on behind it: verify finds it ever after."""
    runs = 0

    @settings(max_examples=25, deadline=None)
    @given(actions=ACTIONS, data=st.data())
    def run(actions: list[str], data: st.DataObject) -> None:
        nonlocal runs
        runs += 1
        shelf = Shelf(tmp_path / str(runs))
        shelf.create()
        write(shelf, *actions)
        lines = lines_of(shelf)
        order = data.draw(
            st.lists(st.integers(0, len(lines) - 1), max_size=6).filter(lambda o: o != [*range(len(lines))])
        )
        log_of(shelf).write_bytes(b"".join(lines[number] for number in order))
        write(shelf, *data.draw(ACTIONS))
        assert shelf.open().audit_faults()

    run()


# Many at once.


def test_threads_and_vaults_share_one_chain(vault: Shelf) -> None:
    """Eight threads with vaults of their own: every entry is there, in one chain."""
    own, clock = vault.open().layout.own, SystemClock()

    def work(number: int) -> None:
        for turn in range(5):
            AuditLog(own, clock).add("work", {"by": number, "turn": turn})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = list(vault.open().audit_entries())
    assert {(entry.keys["by"], entry.keys["turn"]) for entry in entries} == {
        (str(n), str(t)) for n in range(8) for t in range(5)
    }
    assert audit_faults(vault) == ()


def test_a_lock_that_is_never_given_back(vault: Shelf) -> None:
    """The wait ends, and the holder is named (L1)."""
    clock = FrozenClock(BEGIN)
    with locked(Folder.open(vault.path("modelward")), "audit.lock", holder="somebody", clock=clock, wait=0):
        with pytest.raises(Locked) as caught:
            vault.open().audit("one")
        assert f"pid {os.getpid()}" in caught.value.what
    write(vault, "two")
    assert audit_faults(vault) == ()
