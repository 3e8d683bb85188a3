"""The one way to put bytes on a disk: whole or not at all, in this order, never through a link, never twice."""

import errno
import fcntl
import mmap
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from modelward import durable
from modelward.domain.chunks import CHUNK
from modelward.domain.errors import (
    BlobMissing,
    DiskFull,
    Locked,
    ModelwardError,
    NotARegularFile,
    ReadFailed,
    StorageError,
    WriteFailed,
)
from modelward.domain.store import Owner
from modelward.durable import (
    Folder,
    Staged,
    append,
    clone,
    cut,
    keep_aside,
    kind_of,
    locked,
    move,
    put_small,
    remove,
    require_space,
    scratch,
    set_owner,
    small_file,
    sync_file,
    write_in_place,
    writing_errors,
)
from modelward.testing import FrozenClock, fingerprint
from tests.descriptors import open_now
from tests.faults.scripted import ScriptedOs, count_calls
from tests.kinds import KINDS, at_most, put
from tests.places import BEGIN
from tests.privileges import public_folder, unprivileged
from tests.recorder import RecordingOs

OLD, NEW = b"what stood there", b"good bytes"
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EPERM)
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class Two:
    """A staging folder, and the folder that files are published in."""

    base: Path
    staging: Folder
    target: Folder

    @classmethod
    def open(cls, base: Path) -> "Two":
        """Make and open the folders below ``base``."""
        staging = Folder.open(base / "staging", create=True)
        return cls(base=base, staging=staging, target=Folder.open(base / "target", create=True))

    def path(self, name: str) -> Path:
        """Where a name of the target folder leads."""
        return self.base / "target" / name

    def finished(self, data: bytes = NEW, mode: int = 0o640) -> Staged:
        """A finished staged file."""
        return small_file(self.staging, data, mode)


@pytest.fixture
def two(tmp_path: Path) -> Two:
    """The folders, empty."""
    return Two.open(tmp_path)


@pytest.fixture(autouse=True)
def _never_for_ever() -> Iterator[None]:
    """No call of these tests may hang."""
    with at_most(30):
        yield


def under(monkeypatch: pytest.MonkeyPatch, system: object, work: Callable[[], object]) -> BaseException | None:
    """Work with another ``os`` below durable; the error that it ended in."""
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        try:
            work()
        except (ModelwardError, OSError) as error:
            return error
    return None


def publish(staged: Staged, folder: Folder, name: str) -> None:
    """Publish, or throw away: as every caller does it."""
    try:
        staged.publish(folder, name)
    finally:
        staged.discard()


# Publishing.


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4096, CHUNK, CHUNK + 1, 3 * CHUNK + 4097])
def test_a_published_file_has_its_exact_bytes_and_mode(two: Two, size: int, *, direct: bool) -> None:
    """Past the page cache or through it: whole pages are written, and the size is exact all the same."""
    data, page = os.urandom(size), memoryview(mmap.mmap(-1, CHUNK))
    staged = Staged(two.staging, size, direct=direct)
    for offset in range(0, size, CHUNK):
        part = data[offset : offset + CHUNK]
        page[: len(part)] = part
        staged.write_at(page, len(part), offset)
    staged.finish(0o444)
    file = staged.publish(two.target, "weights")
    found = two.path("weights").stat()
    assert two.path("weights").read_bytes() == data
    assert stat.S_IMODE(found.st_mode) == 0o444
    assert (file.inode, file.size, file.mtime_ns, file.ctime_ns) == (
        found.st_ino,
        size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
    assert not two.staging.names()


def test_nothing_is_seen_before_it_is_published(two: Two) -> None:
    """Until then the bytes lie in staging, under a name of their own that only the owner can read (W1)."""
    before = os.umask(0)
    try:
        staged = Staged(two.staging, len(NEW))
    finally:
        os.umask(before)
    (name,) = two.staging.names()
    assert stat.S_IMODE((two.base / "staging" / name).stat().st_mode) == 0o600
    staged.write_at(memoryview(NEW), len(NEW), 0)
    staged.finish(0o640)
    assert two.target.names() == []
    publish(staged, two.target, "weights")
    assert two.target.names() == ["weights"]


def test_a_staged_file_is_always_a_new_one(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made with O_EXCL and O_NOFOLLOW: what stands under its name, a link above all, is never written to."""
    flags: list[int] = []

    def record(path: str, how: int, *args: int, **kwargs: int) -> int:
        flags.append(how)
        return os.open(path, how, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", SimpleNamespace(**vars(os) | {"open": record}))
        Staged(two.staging, 1).discard()
    assert flags[0] & (os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW) == os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def test_the_order_of_calls(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bytes, their fsync, the name, the folder's fsync: then it counts (W1)."""
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        again = Two.open(two.base)
        publish(again.finished(), again.target, "weights")
        put_small(again.staging, again.target, "record", NEW)
    assert system.of("pwrite", "fsync", "link", "rename") == [
        "pwrite staged",
        "fsync staged",
        "link weights",
        "fsync target",
        "pwrite staged",
        "fsync staged",
        "rename record",
        "fsync target",
    ]
    first = system.calls.index("fsync staged")
    assert "fchmod staged" in system.calls[:first], "mode and owner last as well"


def test_publishing_never_replaces(two: Two) -> None:
    """What stands under the name stays, and the caller hears of it (W3); the staged file is thrown away."""
    two.path("weights").write_bytes(OLD)
    with pytest.raises(FileExistsError):
        publish(two.finished(), two.target, "weights")
    assert two.path("weights").read_bytes() == OLD
    assert two.staging.names() == []


def test_replacing_puts_a_new_file_in_the_place(two: Two) -> None:
    """A reader that holds the old file goes on reading it: a rename, not a write."""
    two.path("weights").write_bytes(OLD)
    with two.path("weights").open("rb") as reader:
        staged = two.finished()
        staged.replace(two.target, "weights")
        staged.discard()
        assert reader.read() == OLD
    assert two.path("weights").read_bytes() == NEW
    assert two.staging.names() == []


def test_discarding_is_safe_to_repeat(two: Two) -> None:
    """A file is thrown away once; after publishing there is nothing to throw away."""
    staged = two.finished()
    staged.discard()
    staged.discard()
    assert two.staging.names() == []
    published = two.finished()
    published.publish(two.target, "weights")
    published.discard()
    assert two.path("weights").read_bytes() == NEW


@pytest.mark.parametrize("refusal", NO_LINKS, ids=errno.errorcode.get)
def test_where_there_are_no_second_names(two: Two, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
    """exFAT and some network mounts: a rename publishes, and still replaces nothing."""
    system = RecordingOs({"link": refusal})
    assert under(monkeypatch, system, lambda: publish(two.finished(), two.target, "weights")) is None
    assert two.path("weights").read_bytes() == NEW
    two.path("weights").write_bytes(OLD)
    error = under(monkeypatch, system, lambda: publish(two.finished(), two.target, "weights"))
    assert isinstance(error, FileExistsError)
    assert two.path("weights").read_bytes() == OLD
    assert two.staging.names() == []


def test_a_file_system_without_direct_writes(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the flag itself: the bytes go through the page cache from the first one on."""
    real, data = fcntl.fcntl, os.urandom(CHUNK + 5)

    def flags(fd: int, what: int, value: int = 0) -> int:
        if what == fcntl.F_SETFL and value & getattr(os, "O_DIRECT", 0):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, what, value)

    monkeypatch.setattr("modelward.durable.fcntl.fcntl", flags)
    staged = Staged(two.staging, len(data), direct=True)
    staged.write_at(memoryview(data)[1:], CHUNK + 4, 1)  # direct writes would have to begin on a page
    staged.write_at(memoryview(data), 1, 0)
    publish_finished(staged, two.target)
    assert two.path("weights").read_bytes() == data


def test_a_file_system_that_refuses_direct_writes(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take the flag and refuse the write: the bytes go through the page cache then."""
    refused: list[int] = []

    def pwrite(fd: int, view: memoryview, offset: int) -> int:
        if not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return os.pwrite(fd, view, offset)

    data = os.urandom(CHUNK + 5)
    staged = Staged(two.staging, len(data), direct=True)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", SimpleNamespace(**vars(os) | {"pwrite": pwrite}))
        staged.write_at(memoryview(data), CHUNK, 0)
        staged.write_at(memoryview(data)[CHUNK:], 5, CHUNK)
    staged.finish(0o600)
    staged.publish(two.target, "weights")
    assert refused == [0]
    assert two.path("weights").read_bytes() == data


def test_a_write_that_takes_a_part_is_gone_on_with(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write less than it was given: the rest follows."""
    parts = SimpleNamespace(**vars(os) | {"pwrite": lambda fd, view, at: os.pwrite(fd, view[:3], at)})
    assert under(monkeypatch, parts, lambda: publish(two.finished(), two.target, "weights")) is None
    assert two.path("weights").read_bytes() == NEW


# Errors of the system.


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_a_failure_at_any_point_of_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """A typed error with a next step, nothing left in staging, and no name before the bytes are safe (W1, D1)."""

    def work(two: Two) -> Callable[[], None]:
        return lambda: publish(two.finished(), two.target, "weights")

    total = count_calls(monkeypatch, work(Two.open(tmp_path / "probe")))
    assert total >= 7
    for at in range(1, total + 1):
        two, system = Two.open(tmp_path / f"at{at}"), ScriptedOs(at, error=error)
        problem = under(monkeypatch, system, work(two))
        where = f"{errno.errorcode[error]} at {system.calls[at - 1]}"
        if (error, system.calls[at - 1]) == (errno.EPERM, "link"):
            assert problem is None, "EPERM there says that a file can have one name only"
            continue
        assert type(problem) is (DiskFull if error == errno.ENOSPC else WriteFailed), where
        assert problem.next_step, where
        assert problem.thing, where
        assert two.staging.names() == [], where
        assert two.target.names() == (["weights"] if "link" in system.calls[: at - 1] else []), where


SMALL_WORKS: dict[str, Callable[[Two], object]] = {
    "replace": lambda two: put_small(two.staging, two.target, "weights", NEW),
    "append": lambda two: append(two.target, "log", NEW),
    "cut": lambda two: cut(two.target, "weights", 4),
    "keep aside": lambda two: keep_aside(two.target, "weights", two.staging, "kept"),
    "move": lambda two: move(two.target, "weights", two.staging, "kept"),
    "remove": lambda two: remove(two.target, "weights"),
    "make a folder": lambda two: two.target.sub("new", create=True, owner=Owner(os.getuid(), os.getgid(), 0)),
    "set the owner": lambda two: set_owner(two.target, "weights", Owner(os.getuid(), os.getgid(), 0o640)),
    "lock": lambda two: take_and_give_back(two.target),
}


def take_and_give_back(folder: Folder) -> None:
    """Hold the lock for a moment."""
    with locked(folder, "lock", holder="test", clock=FrozenClock(BEGIN), wait=0):
        pass


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("work", SMALL_WORKS.values(), ids=SMALL_WORKS)
def test_a_failure_at_any_point_of_small_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Two], object], error: int
) -> None:
    """A typed error with a next step, or the work done another way; each file is as before or as wanted."""
    probe = filled(tmp_path / "probe")
    before = contents(probe)
    total = count_calls(monkeypatch, lambda: work(probe))
    after = contents(probe)
    failed = 0
    for at in range(1, total + 1):
        two = filled(tmp_path / f"at{at}")
        problem = under(monkeypatch, ScriptedOs(at, error=error), partial(work, two))
        if problem is not None:
            assert isinstance(problem, DiskFull if error == errno.ENOSPC else WriteFailed), repr(problem)
            assert problem.next_step
            failed += 1
        here = contents(two)
        assert set(here) <= set(before) | set(after)
        assert all(data in (before.get(name), after.get(name), b"") for name, data in here.items())
        assert OLD[:4] in {data[:4] for data in here.values()} or "weights" not in after, "the old bytes are somewhere"
    assert failed or total <= 2


def filled(base: Path) -> Two:
    """Both folders, with a file to work on."""
    two = Two.open(base)
    two.path("weights").write_bytes(OLD)
    return two


def contents(two: Two) -> dict[str, bytes]:
    """Every file below both folders by its path; the lock's text is of no interest."""
    files = (path for path in two.base.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(two.base)): path.read_bytes() for path in files}


def test_after_a_failed_fsync_the_file_is_never_synced_again(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux reports the failure once and then pretends: throw the file away, write a new one (W1)."""
    system = RecordingOs({"fsync": errno.EIO})
    for _ in range(2):
        problem = under(monkeypatch, system, lambda: put_small(two.staging, two.target, "weights", NEW))
        assert isinstance(problem, WriteFailed)
        assert "dmesg" in problem.next_step
    assert len(system.of("fsync")) == 2
    assert system.calls.count("create staged") == 2
    assert (two.staging.names(), two.target.names()) == ([], [])


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (errno.ENOSPC, DiskFull, "free some space"),
        (errno.EDQUOT, DiskFull, "free some space"),
        (errno.EFBIG, DiskFull, "free some space"),
        (errno.EROFS, WriteFailed, "remount"),
        (errno.EACCES, WriteFailed, "as the user that owns it"),
        (errno.EPERM, WriteFailed, "as the user that owns it"),
        (errno.EIO, WriteFailed, "dmesg"),
        (errno.ESTALE, WriteFailed, "still there"),
        (0, WriteFailed, "still there"),
    ],
    ids=lambda value: errno.errorcode.get(value, "none") if isinstance(value, int) else None,
)
def test_what_the_system_says_becomes_advice(error: int, kind: type[StorageError], advice: str) -> None:
    """Each of the system's errors has a kind, its name in the text, and something that a person can do."""
    with pytest.raises(kind) as caught, writing_errors("thing"):
        raise OSError(error, os.strerror(error)) if error else OSError("out of the blue")
    assert caught.value.thing == "thing"
    assert errno.errorcode.get(error, "OSError") in caught.value.what
    assert advice in caught.value.next_step


def test_errors_that_have_a_meaning_pass(two: Two) -> None:
    """Our own errors and "there is one already" are not wrapped."""
    with pytest.raises(Locked), writing_errors(two.base):
        raise Locked("held")
    with pytest.raises(FileExistsError), writing_errors(two.base):
        raise FileExistsError


# Space.


def disk(*, free: int, blocks: int = 1000, inodes: int = 9, inodes_left: int = 9) -> SimpleNamespace:
    """An ``os`` below which there is a disk of this size, in units of 4096 bytes."""
    found = SimpleNamespace(f_bavail=free, f_frsize=4096, f_blocks=blocks, f_files=inodes, f_favail=inodes_left)
    return SimpleNamespace(**vars(os) | {"fstatvfs": lambda _: found})


@pytest.mark.parametrize(
    ("system", "size", "reserve", "fits"),
    [
        (disk(free=10), 10 * 4096, 0, True),
        (disk(free=10), 10 * 4096 + 1, 0, False),
        (disk(free=10), 8 * 4096, 2 * 4096, True),
        (disk(free=10), 8 * 4096, 2 * 4096 + 1, False),
        (disk(free=60), 10 * 4096, 1 << 40, True),
        (disk(free=60), 10 * 4096 + 1, 1 << 40, False),
        (disk(free=10, inodes_left=0), 1, 0, False),
        (disk(free=10, inodes=0, inodes_left=0), 1, 0, True),
    ],
    ids=["all", "one too many", "and reserve", "into reserve", "a twentieth", "into it", "no inode", "no inodes known"],
)
def test_space_is_asked_for_with_a_reserve(  # noqa: PLR0913 - a table's columns
    two: Two, monkeypatch: pytest.MonkeyPatch, system: SimpleNamespace, size: int, reserve: int, *, fits: bool
) -> None:
    """The reserve, but a twentieth of the disk at most, is left free; a disk without inodes is full (D1)."""
    problem = under(monkeypatch, system, lambda: require_space(two.target, size, reserve))
    assert (problem is None) == fits
    if problem is not None:
        assert isinstance(problem, DiskFull)
        assert f"{size:,} bytes wanted" in problem.what
        assert "prune" in problem.next_step


def test_space_is_checked_before_the_first_byte(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that will not fit does not begin (D1)."""
    staged = Staged(two.staging, 5 * CHUNK, reserve=CHUNK)
    view = memoryview(bytes(CHUNK))
    assert isinstance(under(monkeypatch, disk(free=1), lambda: staged.write_at(view, CHUNK, 0)), DiskFull)
    assert os.fstat(staged.fd).st_blocks == 0
    staged.discard()


def test_a_disk_that_cannot_say_how_full_it_is(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is gone answers this question too with an error of ours."""

    def gone(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    system = SimpleNamespace(**vars(os) | {"fstatvfs": gone})
    problem = under(monkeypatch, system, lambda: put_small(two.staging, two.target, "record", NEW))
    assert isinstance(problem, WriteFailed)
    assert problem.next_step


# What is no plain file (T1).


READS: dict[str, Callable[[Folder, str], object]] = {
    "open": lambda folder, name: folder.open_file(name),
    "read": lambda folder, name: folder.read(name, 100),
    "patch": lambda folder, name: folder.open_to_patch(name),
    "own": lambda folder, name: set_owner(folder, name, Owner(1, 1, 0o777)),
}


@pytest.mark.parametrize("how", READS.values(), ids=READS)
@pytest.mark.parametrize("kind", KINDS)
def test_only_plain_files_are_opened(two: Two, kind: str, how: Callable[[Folder, str], object]) -> None:
    """Links are not followed, nothing waits for a FIFO's other end, and the error names the thing (T1)."""
    put(kind, two.path("weights"), two.base / "secret")
    before = fingerprint(two.base)
    with pytest.raises(NotARegularFile) as caught:
        how(two.target, "weights")
    assert caught.value.thing == str(two.path("weights"))
    assert fingerprint(two.base) == before


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "folder"])
def test_only_folders_are_entered(two: Two, kind: str) -> None:
    """A link to a folder is no folder, nor is what was to be made there (T1)."""
    put(kind, two.path("inner"), two.base / "secret")
    for create in (False, True):
        with pytest.raises(NotARegularFile):
            two.target.sub("inner", create=create)


@pytest.mark.parametrize("kind", KINDS)
def test_logs_are_plain_files(two: Two, kind: str) -> None:
    """Nothing is appended to, or cut off, what is no plain file: a typed error, and at once."""
    put(kind, two.path("log"), two.base / "secret")
    # A FIFO that nobody reads would keep the writer waiting.
    reader = os.open(two.path("log"), os.O_RDONLY | os.O_NONBLOCK) if kind == "FIFO" else -1
    before = fingerprint(two.base)
    for change in (partial(append, two.target, "log", NEW), partial(cut, two.target, "log", 0)):
        with pytest.raises(ModelwardError) as caught:
            change()
        assert caught.value.thing == str(two.path("log"))
        assert "invalid argument" not in caught.value.what, "not what the system made of it"
    assert fingerprint(two.base) == before
    if reader >= 0:
        os.close(reader)


@pytest.mark.parametrize("kind", KINDS)
def test_what_replaces_or_removes_works_on_the_name(two: Two, kind: str) -> None:
    """A link is set aside, replaced or removed itself; what it leads to is not touched."""
    put(kind, two.path("weights"), two.base / "secret")
    keep_aside(two.target, "weights", two.staging, "kept")
    kept = two.staging.stat("kept")
    assert kept is not None
    assert kind_of(kept.st_mode) in kind
    put_small(two.staging, two.target, "weights", NEW)
    assert two.path("weights").read_bytes() == NEW
    assert not two.path("weights").is_symlink()
    if kind == "symlink":
        assert (two.base / "secret").read_bytes() == b"secret"
        remove(two.staging, "kept")
        assert (two.base / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "folder"])
def test_a_lock_is_a_file_of_our_own(two: Two, kind: str) -> None:
    """The holder's name is written into no other file."""
    put(kind, two.path("lock"), two.base / "secret")
    before = fingerprint(two.base)
    with pytest.raises(StorageError):
        take_and_give_back(two.target)
    assert fingerprint(two.base) == before


def test_a_link_in_the_path_of_a_root_is_followed_once(two: Two) -> None:
    """A user may keep the store behind a link: it is resolved when the root is opened."""
    (two.base / "link").symlink_to("target")
    assert Folder.open(two.base / "link").path == str(two.base / "target")


def test_a_root_that_is_missing_or_no_folder(two: Two) -> None:
    """Each has its own error."""
    with pytest.raises(BlobMissing):
        Folder.open(two.base / "nothing")
    two.path("file").write_bytes(b"")
    for create in (False, True):
        with pytest.raises(NotARegularFile):
            Folder.open(two.path("file"), create=create)


@pytest.mark.parametrize("path", ["one", "~nobody-of-this-name/models"])
def test_a_root_that_leads_nowhere(two: Two, path: str) -> None:
    """A link that leads to itself and the home of an unknown user are errors of ours."""
    (two.base / "one").symlink_to(two.base / "other")
    (two.base / "other").symlink_to(two.base / "one")
    with pytest.raises(ModelwardError):
        Folder.open(Path(path) if path.startswith("~") else two.base / path)


def test_a_root_below_a_folder_that_may_not_be_entered(two: Two) -> None:
    """It cannot be made: a typed error with advice, not the system's own."""
    two.path("closed").mkdir(mode=0)
    with unprivileged(), pytest.raises(ModelwardError) as caught:
        Folder.open(two.path("closed") / "vault", create=True)
    assert "as the user that owns it" in caught.value.next_step


def test_a_root_is_made_with_its_parents(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder is the owner's alone, and its name lasts."""
    system = RecordingOs()
    assert under(monkeypatch, system, lambda: Folder.open(two.base / "a" / "b" / "c", create=True)) is None
    assert {stat.S_IMODE(path.stat().st_mode) for path in (two.base / "a").rglob("")} == {0o700}
    assert system.calls == ["mkdir a", f"fsync {two.base.name}", "mkdir b", "fsync a", "mkdir c", "fsync b"]


def test_a_folder_of_the_store_gets_owner_and_mode(two: Two) -> None:
    """Whatever the umask says (R5); one that is there already stays as it is."""
    before = os.umask(0o077)
    try:
        two.target.sub("new", create=True, mode=0o755, owner=Owner(os.getuid(), os.getgid(), 0))
        two.target.sub("new", create=True, mode=0o700)
    finally:
        os.umask(before)
    assert stat.S_IMODE(two.path("new").stat().st_mode) == 0o755


# Reading and small works.


def test_a_small_file_is_read_up_to_its_limit(two: Two) -> None:
    """One byte more is an error, not a cut text (T2)."""
    two.path("record").write_bytes(NEW)
    assert two.target.read("record", len(NEW)) == NEW
    with pytest.raises(ReadFailed, match="more than 9 bytes"):
        two.target.read("record", len(NEW) - 1)


@pytest.mark.parametrize("what", ["nothing", "too large", "a link", "a folder"])
def test_what_cannot_be_read_is_nothing_where_that_will_do(two: Two, what: str) -> None:
    """For what is made anew anyway; a file that can be read is given whole."""
    path = two.path("record")
    match what:
        case "too large":
            path.write_bytes(NEW + b"x")
        case "a link":
            path.symlink_to("/etc/hostname")
        case "a folder":
            path.mkdir()
    assert two.target.read_if_any("record", len(NEW)) == b""
    two.path("sound").write_bytes(NEW)
    assert two.target.read_if_any("sound", len(NEW)) == NEW


def test_what_is_missing_has_no_stat_and_cannot_be_opened(two: Two) -> None:
    """None from the one, BlobMissing from the others."""
    assert two.target.stat("weights") is None
    for how in READS.values():
        with pytest.raises(BlobMissing):
            how(two.target, "weights")


def test_what_may_not_be_read(two: Two) -> None:
    """Permission denied is a typed error with advice."""
    two.path("weights").write_bytes(NEW)
    two.path("weights").chmod(0)
    with unprivileged(two.path("weights")), pytest.raises(ReadFailed, match="EACCES") as caught:
        two.target.open_file("weights")
    assert "as the user that owns it" in caught.value.next_step


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_opened_to_patch(two: Two, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """A disk that takes no writes is no damaged file: exit code 5, and the healer writes a new file instead."""
    two.path("weights").write_bytes(OLD)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(error, os.strerror(error))

    system = SimpleNamespace(**vars(os) | {"open": refuse})
    problem = under(monkeypatch, system, lambda: two.target.open_to_patch("weights"))
    assert isinstance(problem, WriteFailed)


@pytest.mark.parametrize("how", ["read", "go on"])
def test_a_file_that_cannot_be_looked_at_leaves_no_descriptor(
    two: Two, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The disk dies between the opening and the look: a typed error, and nothing stays open."""

    def dead(_: int) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    two.path("weights").write_bytes(OLD)
    system, before = SimpleNamespace(**vars(os) | {"fstat": dead}), open_now()
    open_it = partial(two.target.open_file, "weights") if how == "read" else partial(go_on, two.target, "weights")
    assert isinstance(under(monkeypatch, system, open_it), ReadFailed if how == "read" else OSError)
    assert not open_now() - before


def go_on(folder: Folder, name: str) -> None:
    """Go on with a staged file of an earlier run."""
    Staged(folder, 1, name=name).discard()


def test_every_refusal_to_read_says_what_to_do(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that died, something else than a file, a file that is too large, nothing at all: each has a next step."""

    def dead(*_: object, **__: object) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    two.path("large").write_bytes(b"xx")
    two.path("folder").mkdir()
    two.path("link").symlink_to("large")
    tries: list[Callable[[], object]] = [partial(two.target.open_file, name) for name in ("none", "folder", "link")]
    tries += [partial(two.target.read, "large", 1), partial(append, two.target, "folder", b"x")]
    for work in tries:
        with pytest.raises(ModelwardError) as caught:
            work()
        assert caught.value.next_step, caught.value
    system = SimpleNamespace(**vars(os) | {"stat": dead})
    died = under(monkeypatch, system, lambda: two.target.stat("large"))
    assert isinstance(died, ReadFailed)
    assert "drive" in died.next_step


def test_entries_and_names(two: Two) -> None:
    """Names are sorted; entries say what they are without being opened."""
    for name in ("b", "a"):
        two.path(name).write_bytes(b"")
    assert two.target.names() == ["a", "b"]
    assert {entry.name: entry.is_file() for entry in two.target.entries()} == {"a": True, "b": True}


def test_appending_makes_the_file_and_adds_to_it(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line is followed by the folder's fsync, every line by the file's."""
    system = RecordingOs()
    for line in (b"one\n", b"two\n"):
        assert under(monkeypatch, system, partial(append, two.target, "log", line)) is None
    assert two.path("log").read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(two.path("log").stat().st_mode) == 0o600
    assert [call.split()[0] for call in system.of("write", "fsync")] == ["write", "fsync", "fsync", "write", "fsync"]


def test_cutting_shortens_a_log(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is what stood there before, and it is synced."""
    two.path("log").write_bytes(b"one\ntw")
    system = RecordingOs()
    assert under(monkeypatch, system, lambda: cut(two.target, "log", 4)) is None
    assert two.path("log").read_bytes() == b"one\n"
    assert system.calls == ["ftruncate log", "fsync log"]


def test_what_is_kept_aside_outlives_a_replacement(two: Two) -> None:
    """A second name for the same file, so that nothing is copied and nothing is lost (R1)."""
    two.path("weights").write_bytes(OLD)
    inode = two.path("weights").stat().st_ino
    keep_aside(two.target, "weights", two.staging, "kept")
    put_small(two.staging, two.target, "weights", NEW)
    assert (two.base / "staging" / "kept").read_bytes() == OLD
    assert (two.base / "staging" / "kept").stat().st_ino == inode
    assert two.path("weights").read_bytes() == NEW


def test_keeping_aside_without_second_names(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file has one name only it moves, and both folders are synced."""
    two.path("weights").write_bytes(OLD)
    system = RecordingOs({"link": errno.EPERM})
    assert under(monkeypatch, system, partial(keep_aside, two.target, "weights", two.staging, "kept")) is None
    assert (two.base / "staging" / "kept").read_bytes() == OLD
    assert two.target.names() == []
    assert len(system.of("fsync")) == 2


def test_keeping_aside_never_writes_over_what_is_kept(two: Two) -> None:
    """The name is taken: an error, and both files stay, so that nothing is replaced that is not kept (R1)."""
    two.path("weights").write_bytes(OLD)
    (two.base / "staging" / "kept").write_bytes(b"kept before")
    with pytest.raises(WriteFailed, match="something else is kept under this name"):
        keep_aside(two.target, "weights", two.staging, "kept")
    assert (two.base / "staging" / "kept").read_bytes() == b"kept before"
    assert two.path("weights").read_bytes() == OLD


def test_moving(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new name is synced before the old one's going is."""
    two.path("weights").write_bytes(OLD)
    system = RecordingOs()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", system)
        again = Two.open(two.base)
        move(again.target, "weights", again.staging, "kept")
    assert (two.base / "staging" / "kept").read_bytes() == OLD
    assert system.of("rename", "fsync") == ["rename kept", "fsync staging", "fsync target"]


def test_removing_counts_the_bytes_that_are_freed(two: Two) -> None:
    """A file with a second name frees nothing, a missing one is no error, and all go with one fsync."""
    for name in ("one", "two", "three"):
        two.path(name).write_bytes(OLD)
    two.path("second").hardlink_to(two.path("three"))
    assert remove(two.target, "one", "missing", "two", "three") == 2 * len(OLD)
    assert two.target.names() == ["second"]
    assert remove(two.target, "second") == len(OLD)


def test_scratch_goes_with_the_block() -> None:
    """A place for a command that needs one; it is gone afterwards, whatever was put into it."""
    with scratch() as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(NEW)
    assert not folder.exists()


def test_a_folder_goes_with_what_is_in_it(two: Two) -> None:
    """It stood under a file's name and was set aside; a link in it is removed and not followed."""
    (two.base / "outside").mkdir()
    (two.base / "outside" / "precious").write_bytes(b"precious")
    (two.path("weights") / "inner").mkdir(parents=True)
    (two.path("weights") / "inner" / "file").write_bytes(OLD)
    (two.path("weights") / "link").symlink_to(two.base / "outside")
    assert remove(two.target, "weights") >= len(OLD)
    assert two.target.names() == []
    assert (two.base / "outside" / "precious").read_bytes() == b"precious"


def test_patching_in_place_keeps_the_file(two: Two) -> None:
    """Only the given bytes change, at once visible to whoever maps the file."""
    two.path("weights").write_bytes(bytes(10000))
    fd = two.target.open_to_patch("weights")
    with mmap.mmap(fd, 10000, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        write_in_place(fd, "weights", 5000, memoryview(NEW))
        sync_file(fd, "weights")
        assert mapped[5000 : 5000 + len(NEW)] == NEW
    os.close(fd)
    assert two.path("weights").read_bytes() == bytes(5000) + NEW + bytes(5000 - len(NEW))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_patching_in_place_fails_as_writing_does(two: Two, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """The write and the fsync each raise the typed error."""
    system = RecordingOs({"pwrite": error, "fsync": error})
    kind = DiskFull if error == errno.ENOSPC else WriteFailed
    assert isinstance(under(monkeypatch, system, lambda: write_in_place(0, "w", 0, memoryview(NEW))), kind)
    fd = os.open(two.base, os.O_RDONLY)
    assert isinstance(under(monkeypatch, system, lambda: sync_file(fd, "w")), kind)
    os.close(fd)


def test_what_cannot_be_cloned_is_said_to_be_so(two: Two) -> None:
    """False, not an error: no file system clones from a device."""
    with Path("/dev/null").open("rb") as device:
        staged = Staged(two.staging, 10)
        assert not clone(staged.fd, device.fileno())
        assert not staged.clone_from(device.fileno())
        staged.discard()


def test_a_clone_shares_by_the_call_of_linux(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """FICLONE of the source on the target, and True when the file system took it."""
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr("modelward.durable.fcntl.ioctl", lambda *words: asked.append(words))
    two.path("source").write_bytes(OLD)
    with two.path("source").open("rb") as source:
        staged = Staged(two.staging, len(OLD))
        assert clone(staged.fd, source.fileno())
        assert asked == [(staged.fd, 0x40049409, source.fileno())]
        staged.discard()


def test_a_clone_has_the_staged_size(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer file is cut; what is patched into the clone then need not be whole pages, and needs no room."""

    def share(target: int, source: int) -> bool:
        return Path(f"/dev/fd/{target}").write_bytes(os.pread(source, 4 * CHUNK, 0)) > 0

    monkeypatch.setattr(durable, "clone", share)
    data = os.urandom(3 * CHUNK)
    two.path("longer").write_bytes(data)
    with two.path("longer").open("rb") as source:
        staged = Staged(two.staging, 2 * CHUNK + 5, reserve=1 << 60, direct=True)
        assert staged.clone_from(source.fileno())
    staged.write_at(memoryview(NEW), len(NEW), CHUNK)
    publish_finished(staged, two.target)
    assert two.path("weights").read_bytes() == data[:CHUNK] + NEW + data[CHUNK + len(NEW) : 2 * CHUNK + 5]


def publish_finished(staged: Staged, folder: Folder) -> None:
    """Finish a staged file and give it its name."""
    staged.finish(0o600)
    publish(staged, folder, "weights")


def test_owner_and_mode_of_a_blob(two: Two) -> None:
    """They are set on the open file, not on a name that may change (R5)."""
    two.path("weights").write_bytes(NEW)
    set_owner(two.target, "weights", Owner(os.getuid(), os.getgid(), 0o604))
    assert stat.S_IMODE(two.path("weights").stat().st_mode) == 0o604


def test_a_blob_that_may_not_be_read_gets_its_mode_back(two: Two) -> None:
    """Its own mode keeps its owner out: the mode is set without opening it (R5)."""
    two.path("weights").write_bytes(NEW)
    two.path("weights").chmod(0)
    with public_folder() as base:
        shutil.move(two.path("weights"), base / "weights")
        folder = Folder.open(base)
        with unprivileged(base):
            owner = Owner(os.geteuid(), os.getegid(), 0o604)
            set_owner(folder, "weights", owner)
            found = (base / "weights").stat()
            assert (stat.S_IMODE(found.st_mode), (base / "weights").read_bytes()) == (0o604, NEW)


def test_what_took_the_place_of_a_closed_blob_keeps_its_mode(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else than a plain file stands there by the time that its mode would be set: it is left alone (T1)."""
    two.path("weights").mkdir(mode=0o700)

    def closed(_: Folder, name: str) -> int:
        raise ReadFailed("permission denied (EACCES)", thing=name)

    monkeypatch.setattr(Folder, "open_file", closed)
    with pytest.raises(ReadFailed):
        set_owner(two.target, "weights", Owner(os.getuid(), os.getgid(), 0o644))
    assert stat.S_IMODE(two.path("weights").stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", [*KINDS, "plain file"])
def test_the_word_for_a_kind_of_file(two: Two, kind: str) -> None:
    """Each kind has its word."""
    if kind == "plain file":
        two.path("x").write_bytes(b"")
    else:
        put(kind, two.path("x"), two.base / "secret")
    assert kind_of(two.path("x").lstat().st_mode) == ("symlink" if "symlink" in kind else kind)


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Opening, failing and publishing leave no descriptor open."""
    before = open_now()
    two = Two.open(tmp_path)
    put("FIFO", two.path("fifo"), two.base / "secret")
    for _ in range(5):
        two.target.sub("inner", create=True)
        with suppress(NotARegularFile):
            two.target.open_file("fifo")
        with suppress(FileExistsError):
            publish(two.finished(), two.target, "weights")
        put_small(two.staging, two.target, "record", NEW)
    two.staging.close()
    two.target.close()
    two.target.close()
    assert not open_now() - before


# Locks (L1).

HOLDER = """
import sys
from pathlib import Path
from modelward.bootstrap import SystemClock
from modelward.durable import Folder, locked
with locked(Folder.open(Path(sys.argv[1])), "lock", holder="backup since noon", clock=SystemClock(), wait=0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(two: Two) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(two.base / "target")]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:
        assert stream(process.stdout).readline() == b"held\n"
        yield process
        process.kill()


def stream(found: IO[bytes] | None) -> IO[bytes]:
    """The pipe, which is there."""
    assert found is not None
    return found


def test_a_second_writer_is_told_who_holds_the_lock(two: Two, holder: "subprocess.Popen[bytes]") -> None:
    """It waits as long as it was told to, then names the process and what it does (L1)."""
    clock = FrozenClock(BEGIN)
    with pytest.raises(Locked) as caught, locked(two.target, "lock", holder="verify", clock=clock, wait=2):
        pass
    assert f"pid {holder.pid} " in caught.value.what
    assert "backup since noon" in caught.value.what
    assert caught.value.next_step
    assert 2 <= clock.monotonic() < 2.2


def test_a_holder_whose_name_cannot_be_read_holds_the_lock(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails at the courtesy of the name: that is no error of its own."""

    def fails(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    clock = FrozenClock(BEGIN)
    with locked(two.target, "lock", holder="two", clock=clock, wait=0), monkeypatch.context() as patch:
        patch.setattr(os, "pread", fails)
        with pytest.raises(Locked, match="cannot be read"), locked(two.target, "lock", holder="x", clock=clock, wait=0):
            pass


def test_the_lock_is_free_when_its_holder_is_killed(two: Two, holder: "subprocess.Popen[bytes]") -> None:
    """No stale lock ever has to be removed by hand."""
    holder.kill()
    holder.wait()
    take_and_give_back(two.target)


def test_a_writer_that_waits_gets_the_lock(two: Two, holder: "subprocess.Popen[bytes]") -> None:
    """As soon as the holder has finished."""

    class Ending(FrozenClock):
        """The holder finishes while somebody waits."""

        def sleep(self, seconds: float) -> None:
            """Let the holder end."""
            stream(holder.stdin).close()
            holder.wait()
            super().sleep(seconds)

    with locked(two.target, "lock", holder="verify", clock=Ending(BEGIN), wait=1):
        assert b"verify" in two.path("lock").read_bytes()


def test_the_lock_is_given_back_by_every_way_out(two: Two) -> None:
    """An error in the work does not keep it; held in one process it is held against the same process too."""
    clock = FrozenClock(BEGIN)
    with pytest.raises(ZeroDivisionError), locked(two.target, "lock", holder="one", clock=clock, wait=0):
        raise ZeroDivisionError
    with locked(two.target, "lock", holder="two", clock=clock, wait=0), pytest.raises(Locked, match="two"):
        take_and_give_back(two.target)
    take_and_give_back(two.target)


def test_a_full_disk_does_not_keep_anyone_from_locking(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's name is a courtesy; prune has to work on a full disk (D1)."""
    system = RecordingOs({"ftruncate": errno.ENOSPC, "pwrite": errno.ENOSPC})
    assert under(monkeypatch, system, lambda: take_and_give_back(two.target)) is None


def test_a_file_system_without_locks(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network mounts have none: a typed error that says so."""

    def flock(_fd: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:
        patch.setattr("modelward.durable.fcntl.flock", flock)
        with pytest.raises(WriteFailed, match="ENOLCK"):
            take_and_give_back(two.target)
