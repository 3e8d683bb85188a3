"""Killed at every mutating call of every verb: nothing acknowledged is lost, a second run finishes the work."""

import errno
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from modelward import durable
from modelward.domain.errors import ModelwardError, VaultMissing
from modelward.domain.reading import Level
from modelward.domain.snapshot import Snapshot
from modelward.services.retention import prune
from modelward.services.sound import is_sound
from modelward.services.verify_vault import verify_vault
from tests.faults.scripted import Crash, ScriptedOs, count_calls
from tests.faults.verbs import VERBS, Verb
from tests.places import Place

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


def acknowledged(place: Place) -> tuple[Snapshot, ...]:
    """The records of the vault, none where there is no vault yet."""
    try:
        vault = place.site(make_vault=False).vault
    except VaultMissing:
        return ()
    return vault.snapshots() if vault is not None else ()


def check_nothing_lost(place: Place, before: tuple[Snapshot, ...], verb: str) -> None:
    """Every record that was there is there or in the trash, every live one is whole, no name holds wrong bytes."""
    site = place.site()
    vault = site.the_vault()
    kept = {s.id for s in vault.snapshots()} | {item.snapshot.id for item in vault.trashed()}
    if verb != "prune":
        assert {s.id for s in before} <= kept
    if verb != "repair-vault":  # which begins with a rotten one
        for snapshot in vault.snapshots():
            assert is_sound(vault, snapshot) or verify_vault(site, (), Level.FULL).exit_code == 0
        for path in (place.vault / "blobs" / "sha256").iterdir():
            assert sha256(path) == path.name
    for path in place.store.glob("blobs/sha256-" + "?" * 64):
        assert verb.startswith(("repair", "re-pull")) or sha256(path) == path.name.removeprefix("sha256-")


def sha256(path: Path) -> str:
    """The hash as coreutils computes it: not with our own code."""
    return subprocess.run(["sha256sum", str(path)], check=True, capture_output=True, text=True).stdout.split()[0]


def finish(place: Place, verb: Verb) -> None:
    """Run the verb again, undisturbed, and expect it done; prune then leaves nothing in staging."""
    place.clock.advance(minutes=1)
    verb.work(place)
    assert verb.done(place)
    prune(place.site(), timedelta(days=1000))
    assert not list((place.vault / "modelward" / "staging").iterdir())
    assert not list(place.store.glob(".modelward/staging/*"))


def points(total: int, part: int, parts: int) -> list[int]:
    """The share ``part`` of the calls 1 to ``total``."""
    return [at for at in range(1, total + 1) if at % parts == part]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.campaign), 0])
@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_killed_at_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb, part: int, every: int
) -> None:
    """Death at the n-th call loses nothing (W1, W2, S1, R1); the next run finishes.

    Every n in the campaign; otherwise as many as the verb says.
    """
    probe = Place(tmp_path / "probe")
    verb.prepare(probe)
    total = count_calls(monkeypatch, lambda: verb.work(probe))
    assert total > 5, "the verb has work to do"
    for at in points(total, part, 3 * (every or verb.stride)):
        place = Place(tmp_path / f"at{at}")
        verb.prepare(place)
        before = acknowledged(place)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at))
            with pytest.raises(Crash):
                verb.work(place)
        check_nothing_lost(place, before, verb.name)
        finish(place, verb)


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.campaign), 9])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_an_error_at_the_nth_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb, error: int, stride: int
) -> None:
    """The n-th call fails once: a typed error or a finished verb, and nothing lost (W1, D1).

    Every n in the campaign; otherwise every ninth, other ones for each error.
    """
    probe = Place(tmp_path / "probe")
    verb.prepare(probe)
    total = count_calls(monkeypatch, lambda: verb.work(probe))
    for at in points(total, ERRORS.index(error) * 2 % stride, stride):
        place = Place(tmp_path / f"at{at}")
        verb.prepare(place)
        before = acknowledged(place)
        script = ScriptedOs(at, error=error)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", script)
            try:
                verb.work(place)
            except ModelwardError as problem:
                assert problem.next_step, f"no next step in {problem!r}"
        assert script.fired
        check_nothing_lost(place, before, verb.name)
        finish(place, verb)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_disk_that_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb) -> None:
    """From the n-th call on every write fails: a typed error, and the work is finished once there is room (D1)."""
    probe = Place(tmp_path / "probe")
    verb.prepare(probe)
    total = count_calls(monkeypatch, lambda: verb.work(probe))
    for at in range(1, total + 1, 11):
        place = Place(tmp_path / f"at{at}")
        verb.prepare(place)
        before = acknowledged(place)
        with monkeypatch.context() as patch:
            patch.setattr(durable, "os", ScriptedOs(at, error=errno.ENOSPC, sticky=True))
            try:
                verb.work(place)
            except ModelwardError as problem:
                assert problem.next_step
        check_nothing_lost(place, before, verb.name)
        finish(place, verb)
