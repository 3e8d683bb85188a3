"""Power cuts on real file systems: nothing acknowledged is lost, no name has wrong bytes, nothing is done by hand."""

import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.domain.errors import ModelwardError
from modelward.domain.history import JobRow
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.journal.sqlite import SqliteJournal, open_journal
from modelward.services.audit import verify_audit
from modelward.services.backup import backup
from modelward.services.repair import repair
from modelward.services.restore import restore
from modelward.services.retention import forget, prune
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, corrupt
from tests.campaign.block_log import Entry, content, entries, logged, renew, replay
from tests.campaign.disks import DROP, FLUSH, Disk, flush, make, shut_down
from tests.campaign.hooked import HookedOs, replaced
from tests.campaign.plan import Run, limited
from tests.campaign.world import sha256
from tests.faults.scripted import ScriptedOs
from tests.faults.test_crash import acknowledged, check_nothing_lost, finish
from tests.faults.verbs import VERBS, Verb, far
from tests.places import Place

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems"),
]
MIB = 1 << 20
LLAMA = ModelName.parse("llama3")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@limited(little=3, share=0.32)
def test_a_file_system_that_is_shut_down(tmp_path: Path, run: Run) -> None:
    """ext4 and XFS end before the n-th call of a verb, or right behind its end: after a mount all is there (W1, W2)."""
    totals: dict[str, int] = {}
    for number in run.numbers():
        rng = run.rng(number)
        kind, verb, how = rng.choice(("ext4", "xfs")), rng.choice(VERBS), rng.choice((FLUSH, DROP, DROP))
        if verb.name not in totals:
            totals[verb.name] = calls_of(verb, tmp_path / f"probe {verb.name}")
        at = rng.randint(1, totals[verb.name] + 1)
        base = Path(tempfile.mkdtemp(dir=tmp_path))
        with run.case(number, (kind, verb.name, at, how)):
            behind = at > totals[verb.name]
            cut_off(make(kind, base), verb, None if behind else at, how)
            run.figures[f"{kind}: shut down{' behind the end' if behind else ''}"] += 1
        shutil.rmtree(base)


def calls_of(verb: Verb, base: Path) -> int:
    """How many mutating calls the verb makes."""
    place, script = Place(base), ScriptedOs()
    verb.prepare(place)
    with replaced(script):
        verb.work(place)
    return len(script.calls)


def cut_off(disk: Disk, verb: Verb, at: int | None, how: int) -> None:
    """Do the verb, shut the file system down before its n-th call or behind its end, mount it again and look."""
    place = Place(disk.point / "place")
    with disk.mounted() as point:
        verb.prepare(place)
        far(place)  # what upstream has is no part of what the cut is about
        flush(point)
        before = acknowledged(place)
        if at is None:
            verb.work(place)
            shut_down(point, how)
        else:
            with replaced(HookedOs(at, lambda: shut_down(point, how))):
                try:
                    verb.work(place)
                except ModelwardError as problem:
                    assert problem.next_step, repr(problem)
    with disk.mounted():
        if at is None:
            assert verb.done(place), "what was said to be done is done"
        check_nothing_lost(place, before, verb.name)
        finish(place, verb)


@dataclass
class History:
    """What was acknowledged when (places in the log): records added, records whose dropping was begun, the restore.

    ``audit`` is how long the audit log was, ``jobs`` are those that the journal was given.
    """

    added: list[tuple[int, str]] = field(default_factory=list)
    audit: list[tuple[int, int]] = field(default_factory=list)
    jobs: list[tuple[int, str]] = field(default_factory=list)
    dropping: list[tuple[int, str]] = field(default_factory=list)
    stocked_at: int = 1 << 60
    vault_at: int = 1 << 60
    restored_at: int = 1 << 60
    losing_at: int = 1 << 60
    end: int = 0

    def required(self, at: int) -> set[str]:
        """The records that have to be there at this place in the log."""
        gone = {name for begun, name in self.dropping if begun <= at}
        return {name for done, name in self.added if done <= at} - gone

    def noted(self, place: Place, journal: SqliteJournal, now: Callable[[], int]) -> None:
        """Keep a job in the journal, and how long the audit log is by now."""
        name, at = f"job {len(self.jobs)}", place.clock.now()
        journal.job_begin(JobRow(id=name, kind="maintenance", models=(), cause="campaign", began_at=at))
        self.jobs.append((now(), name))
        journal.job_end(name, "done", "", at)
        self.audit.append((now(), (place.vault / "modelward" / "audit.jsonl").stat().st_size))


@dataclass
class Recording:
    """A file system as it was made, the log of what was written to it, and what was acknowledged meanwhile."""

    disk: Disk
    blank: list[Entry]
    log: list[Entry]
    history: History


Workload = Callable[[Path, Callable[[], int]], History]


def record(kind: str, base: Path, work: Workload) -> Recording:
    """Do the work on a file system of which every write and flush is logged."""
    disk = make(kind, base)
    blank = content(disk.image)
    with logged(base, disk.image) as (served, log):
        with disk.mounted(served) as point:
            history = work(point, lambda: log.stat().st_size)
            history.end = log.stat().st_size
        return Recording(disk, blank, entries(log), history)


def circle(point: Path, now: Callable[[], int]) -> History:
    """Versions backed up, some forgotten and pruned, damage repaired, the model lost and restored."""
    place, history = Place(point / "place"), History()
    store = FakeStore(place.store)
    rng = random.Random(9)
    shared = rng.randbytes(MIB)
    journal = open_journal(state_of(place), place.clock).journal
    for _ in range(4):
        store.add_model("llama3", shared + rng.randbytes(300_000), template=b"{{ .Prompt }}")
        flush(point)
        history.stocked_at = min(history.stocked_at, now())
        known = {snapshot.id for snapshot in acknowledged(place)}
        assert backup(place.site(), ()).exit_code == 0
        history.vault_at = min(history.vault_at, now())
        history.added += [(now(), s.id) for s in acknowledged(place) if s.id not in known]
        history.noted(place, journal, now)
        place.clock.advance(minutes=1)
    begun = now()
    forget(place.site(), (), Policy(keep_last=2))
    before = {item.snapshot.id for item in place.site().the_vault().trashed()}
    history.dropping += [(begun, name) for name in before]
    place.clock.advance(days=1)
    prune(place.site(), timedelta())
    weights = max(place.store.glob("blobs/*"), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))
    history.losing_at = now()
    corrupt.zero(weights, 5, 500)
    flush(point)
    assert repair(place.site(), ()).exit_code == 0
    place.clock.advance(minutes=1)
    store.delete_manifest("llama3")
    weights.unlink()
    flush(point)
    assert restore(place.site(), LLAMA).exit_code == 0
    history.restored_at = now()
    history.noted(place, journal, now)
    journal.compact(place.clock.now())
    history.noted(place, journal, now)
    journal.close()
    return history


def state_of(place: Place) -> Path:
    """Where the journal lies."""
    return place.base / "state"


def look(place: Place, history: History, at: int) -> None:
    """Everything acknowledged is there and right, no name lies, and what comes next works with nothing by hand."""
    look_at_books(place, history, at)
    if at >= history.vault_at:
        vault = place.site(make_vault=False).the_vault()
        there = {s.id for s in vault.snapshots()} | {item.snapshot.id for item in vault.trashed()}
        assert history.required(at) <= there
        assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    blobs = place.vault / "blobs" / "sha256"
    assert [path for path in (blobs.iterdir() if blobs.exists() else ()) if sha256(path) != path.name] == []
    if at >= history.restored_at:
        named = list(place.store.glob("blobs/sha256-*"))
        manifest = FakeStore(place.store).manifest_path("llama3")
        assert [path for path in named if sha256(path) != path.name.removeprefix("sha256-")] == []
        assert manifest.stat().st_size
    if at < history.stocked_at:
        return  # what the server itself wrote may be wrong yet, and the next model shares blobs with it
    store = FakeStore(place.store)
    store.add_model("later", b"comes later", template=b"{{ .Prompt }}")
    place.clock.advance(days=2)
    report = backup(place.site(), (ModelName.parse("later"),), accepted=True)
    assert report.exit_code == 0
    assert verify_vault(place.site(), (), Level.FULL).exit_code == 0
    prune(place.site(), timedelta(days=1000))


def look_at_books(place: Place, history: History, at: int) -> None:
    """The audit log has what it was given, without a break; so has the journal, which is not begun anew."""
    log = place.vault / "modelward" / "audit.jsonl"
    length = max((size for done, size in history.audit if done <= at), default=0)
    if length:
        assert log.stat().st_size >= length
        assert not verify_audit(place.site()).faults
    jobs = {name for done, name in history.jobs if done <= at}
    if not jobs:
        return
    opened = open_journal(state_of(place), place.clock)
    try:
        assert not opened.set_aside, opened.why
        assert jobs <= {row.id for row in opened.journal.rows(JobRow, LONG_AGO)}
    finally:
        opened.journal.close()


KINDS = ("ext4", "xfs", "btrfs")


@limited(little=6, share=0.6)
def test_replayed_logs(quick: Path, run: Run) -> None:
    """The power is cut anywhere, and writes since the last flush are lost, torn or reordered (W1, W2)."""
    made: dict[str, Recording] = {}
    for number in run.numbers():
        rng = run.rng(number)
        kind = KINDS[number % len(KINDS)]
        if kind not in made:
            made[kind] = record(kind, quick / kind, circle)
        found = made[kind]
        cut = rng.randrange(1, len(found.log) + 1)
        at = found.log[cut - 1].at
        with run.case(number, (kind, cut)):
            lost = replayed(found, cut, rng)
            run.figures[f"{kind}: writes lost"] += lost
            with found.disk.mounted() as point:
                look(Place(point / "place"), found.history, at)
            run.figures[f"{kind}: replays"] += 1
            run.figures[f"{kind}: versions that had to be there"] += len(found.history.required(at))
            run.figures[f"{kind}: jobs that had to be there"] += sum(done <= at for done, _ in found.history.jobs)


def replayed(found: Recording, cut: int, rng: random.Random) -> int:
    """Make the image what is left at the cut; how many writes were lost."""
    renew(found.disk.image, found.blank)
    return replay(found.log, found.disk.image, cut, rng)


def unsafe(point: Path, now: Callable[[], int]) -> History:
    """A writer that does what one is tempted to: a whole temporary file, a rename, and no fsync."""
    history, rng = History(), random.Random(3)
    for _ in range(60):
        data = rng.randbytes(20_000)
        (point / "temporary").write_bytes(data)
        name = hashlib.sha256(data).hexdigest()
        (point / "temporary").rename(point / name)
        history.added.append((now(), name))
        if rng.random() < 0.15:
            flush(point)
    return history


@limited(little=12, share=0.08)
def test_an_unsafe_writer_fails_the_same_test(quick: Path, run: Run) -> None:
    """The test of the test: without fsync, acknowledged files are lost or wrong at some cut."""
    made: dict[str, Recording] = {}
    bad = 0
    for number in run.numbers():
        rng = run.rng(number)
        kind = KINDS[number % len(KINDS)]
        if kind not in made:
            made[kind] = record(kind, quick / kind, unsafe)
        found = made[kind]
        cut = rng.randrange(1, len(found.log) + 1)
        with run.case(number, (kind, cut)):
            replayed(found, cut, rng)
            with found.disk.mounted() as point:
                names = {path.name for path in point.iterdir() if path.is_file() and sha256(path) == path.name}
            missing = found.history.required(found.log[cut - 1].at) - names
            run.figures[f"{kind}: lost or wrong"] += len(missing)
            bad += len(missing)
    assert bad, "an unsafe writer passed: the test finds nothing"
