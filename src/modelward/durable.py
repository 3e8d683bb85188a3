"""The one way to put bytes on a disk: the only module that creates, renames or removes files (W1).

staging file on the same file system -> all bytes -> fsync -> link or rename -> fsync of the folder -> then it
counts. Everything below a root is reached from an open folder's descriptor, and links are never followed (T1).
After a failed fsync the file is thrown away: Linux reports the failure once and then pretends (research of 2018
on fsync by the PostgreSQL developers; seen again on ext4 by our own measurements).
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn, Self

from modelward.domain.chunks import CHUNK
from modelward.domain.errors import (
    BlobMissing,
    DamageError,
    DiskFull,
    Locked,
    NotARegularFile,
    ReadFailed,
    WriteFailed,
)
from modelward.domain.receipt import FileId
from modelward.domain.store import Owner
from modelward.ports import Clock

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECTORY
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_O_PATH = getattr(os, "O_PATH", 0)
_FICLONE = 0x40049409  # linux/fs.h
_PAGE = 4096
_MOVE = "see what it is, and move it away"
_serial = count()


class Folder:
    """An open folder. Names are single segments; nothing here follows a symlink.

    The descriptor is given back by ``close`` or with the last reference to the folder.
    """

    def __init__(self, fd: int, path: str) -> None:
        self.fd, self.path = fd, path

    @classmethod
    def open(cls, path: Path, *, create: bool = False, mode: int = 0o700) -> Self:
        """Open a root; links in ``path`` itself are resolved once, here. ``create`` makes what is missing."""
        real = _real(path)
        if create:
            _make_parents(real, mode)
        with reading_errors(real):
            return cls(os.open(real, _FOLDER), str(real))

    def sub(self, name: str, *, create: bool = False, mode: int = 0o700, owner: Owner | None = None) -> "Folder":
        """Open, or make, the folder ``name`` in this one."""
        path = f"{self.path}/{name}"
        if create:
            self._make(name, mode, owner)
        with reading_errors(path):
            return Folder(os.open(name, _FOLDER, dir_fd=self.fd), path)

    def _make(self, name: str, mode: int, owner: Owner | None) -> None:
        with writing_errors(f"{self.path}/{name}"):
            try:
                os.mkdir(name, mode, dir_fd=self.fd)
            except FileExistsError:
                return
            if owner is not None:
                os.chown(name, owner.uid, owner.gid, dir_fd=self.fd, follow_symlinks=False)
                os.chmod(name, mode, dir_fd=self.fd)
            self.sync()

    def names(self) -> list[str]:
        """The names in the folder, sorted."""
        with reading_errors(self.path):
            return sorted(os.listdir(self.fd))

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """The folder's entries, in no order."""
        with reading_errors(self.path), os.scandir(self.fd) as found:
            yield from found

    def stat(self, name: str) -> os.stat_result | None:
        """What the entry says, without following a link; None when there is none."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReadFailed(_text(error), thing=f"{self.path}/{name}", next_step=_advice(error)) from error

    def open_file(self, name: str) -> int:
        """A descriptor to read a plain file; raises BlobMissing or NotARegularFile."""
        return self._open_plain(name, _READ)

    def open_to_patch(self, name: str) -> int:
        """A descriptor to read and write a plain file that exists; WriteFailed where it may be read only."""
        try:
            return self._open_plain(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except ReadFailed as error:
            raise WriteFailed(error.what, thing=error.thing, next_step=error.next_step) from error

    def _open_plain(self, name: str, flags: int) -> int:
        path = f"{self.path}/{name}"
        with reading_errors(path):
            fd = os.open(name, flags, dir_fd=self.fd)
            try:
                mode = os.fstat(fd).st_mode
            except OSError:
                os.close(fd)
                raise
        if not stat.S_ISREG(mode):
            os.close(fd)
            raise NotARegularFile(f"a {kind_of(mode)}, not a plain file", thing=path, next_step=_MOVE)
        return fd

    def read(self, name: str, limit: int) -> bytes:
        """A small file whole; more than ``limit`` bytes raise ReadFailed."""
        fd = self.open_file(name)
        try:
            with reading_errors(f"{self.path}/{name}"):
                data = _read_up_to(fd, limit + 1)
        finally:
            os.close(fd)
        if len(data) > limit:
            raise ReadFailed(f"more than {limit:,} bytes", thing=f"{self.path}/{name}", next_step=_MOVE)
        return data

    def read_if_any(self, name: str, limit: int) -> bytes:
        """As ``read``; nothing where there is nothing, or where it cannot be read."""
        try:
            return self.read(name, limit)
        except DamageError:
            return b""

    def sync(self) -> None:
        """fsync the folder, so that names made or removed in it last."""
        with writing_errors(self.path):
            os.fsync(self.fd)

    def close(self) -> None:
        """Give the descriptor back; safe to repeat."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Staged:
    """A new file in a staging folder: thrown away unless it is published.

    ``direct`` writes past the page cache: then every view must be page-aligned and hold whole pages. ``name`` goes on
    with the file of that name, where an earlier run left one.
    """

    have: AbstractSet[int] = frozenset()

    def __init__(self, folder: Folder, size: int, *, reserve: int = 0, direct: bool = False, name: str = "") -> None:
        self._folder, self._size, self._reserve = folder, size, reserve
        self._roomy = False
        self._name, self.path = name, f"{folder.path}/{name}"
        self.fd = self._open_old() if name else self._open_new()
        self._live = True
        try:
            with writing_errors(self.path):
                os.ftruncate(self.fd, size)
        except BaseException:
            self.discard()
            raise
        self._direct = direct and size > CHUNK and _set_flag(self.fd, _O_DIRECT, on=True)

    def _open_new(self) -> int:
        """A name of our own; in a container a killed run had the same process number: a taken one is skipped."""
        while True:
            self._name = f"{socket.gethostname()[:40]}-{os.getpid()}-{next(_serial)}"
            self.path = f"{self._folder.path}/{self._name}"
            with writing_errors(self.path), suppress(FileExistsError):
                return os.open(self._name, _NEW, 0o600, dir_fd=self._folder.fd)

    def _open_old(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with writing_errors(self.path):
            fd = os.open(self._name, flags, 0o600, dir_fd=self._folder.fd)
        try:
            _plain_size(fd, self.path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write the first ``length`` bytes of ``view`` at ``offset``; raises DiskFull before the first byte (D1)."""
        if not self._roomy:
            require_space(self._folder, max(0, self._size - _allocated(self.fd)), self._reserve)
            self._roomy = True
        with writing_errors(self.path):
            if self._direct:
                try:
                    return _write_all(self.fd, view[: _up(length)], offset)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                # The file system took the flag and refuses the write: go on through the page cache.
                self._direct = False
                _set_flag(self.fd, _O_DIRECT, on=False)
            return _write_all(self.fd, view[:length], offset)

    def clone_from(self, fd: int) -> bool:
        """Share another file's extents; False where that is not possible. The size becomes the staged size."""
        if not clone(self.fd, fd):
            return False
        # A clone needs no room, and what is read from it or patched into it goes through the page cache.
        self._roomy, self._direct = True, False
        with writing_errors(self.path):
            _set_flag(self.fd, _O_DIRECT, on=False)
            os.ftruncate(self.fd, self._size)
        return True

    def finish(self, mode: int, owner: Owner | None = None) -> None:
        """Exact size, owner and mode, fsync. After this the bytes last; the name comes with publish."""
        with writing_errors(self.path):
            os.ftruncate(self.fd, self._size)
            if owner is not None and (owner.uid, owner.gid) != _owner_of(self.fd):
                os.fchown(self.fd, owner.uid, owner.gid)
            os.fchmod(self.fd, mode)
            os.fsync(self.fd)

    def publish(self, folder: Folder, name: str, *, sync: bool = True) -> FileId:
        """Give the finished file its name where none stands yet; raises FileExistsError when one does."""
        with writing_errors(f"{folder.path}/{name}"):
            _link_new(self._folder, self._name, folder, name)
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder.fd)
        return self._published(folder, sync=sync)

    def replace(self, folder: Folder, name: str, *, sync: bool = True) -> FileId:
        """Put the finished file in the place of whatever stands under the name, in one step."""
        with writing_errors(f"{folder.path}/{name}"):
            os.rename(self._name, name, src_dir_fd=self._folder.fd, dst_dir_fd=folder.fd)
        return self._published(folder, sync=sync)

    def _published(self, folder: Folder, *, sync: bool) -> FileId:
        found = os.fstat(self.fd)
        self._close()
        if sync:
            folder.sync()
        return FileId(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def discard(self) -> None:
        """Throw the file away; nothing happens when it was published or discarded before."""
        if not self._live:
            return
        self._close()
        with suppress(OSError):
            os.unlink(self._name, dir_fd=self._folder.fd)

    def drop(self) -> None:
        """As discard: nothing of it is kept."""
        Staged.discard(self)

    def _close(self) -> None:
        self._live = False
        os.close(self.fd)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that goes with the block, for a command that needs a place and has none."""
    with TemporaryDirectory(prefix="modelward-") as name:
        yield Path(name)


def put_small(staging: Folder, folder: Folder, name: str, data: bytes, *, mode: int = 0o600) -> FileId:
    """Replace a small file by a whole new one, or make it."""
    staged = small_file(staging, data, mode)
    try:
        return staged.replace(folder, name)
    finally:
        staged.discard()


def put_many(folder: Folder, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
    """As put_small for each of these names, made in the folder itself, which is synced once."""
    for name, data in files.items():
        staged = small_file(folder, data, mode)
        try:
            staged.replace(folder, name, sync=False)
        finally:
            staged.discard()
    folder.sync()


def small_file(staging: Folder, data: bytes, mode: int, owner: Owner | None = None) -> Staged:
    """A finished staged file with these bytes, ready to be published."""
    staged = Staged(staging, len(data))
    try:
        staged.write_at(memoryview(data), len(data), 0)
        staged.finish(mode, owner)
    except BaseException:
        staged.discard()
        raise
    return staged


def append(folder: Folder, name: str, data: bytes) -> None:
    """Add bytes to the end of a file, making it when it is not there, and fsync."""
    path = f"{folder.path}/{name}"
    with writing_errors(path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, 0o600, dir_fd=folder.fd)
        try:
            made = _plain_size(fd, path) == 0
            _write_all(fd, memoryview(data), None)
            os.fsync(fd)
        finally:
            os.close(fd)
    if made:
        folder.sync()


def cut(folder: Folder, name: str, size: int) -> None:
    """Shorten a log of our own to ``size`` bytes: what a killed writer left half written goes."""
    with writing_errors(f"{folder.path}/{name}"):
        fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder.fd)
        try:
            _plain_size(fd, f"{folder.path}/{name}")
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)


def keep_aside(folder: Folder, name: str, aside: Folder, new_name: str) -> None:
    """Give an entry a second name in ``aside``, so that replacing it loses nothing (R1)."""
    with writing_errors(f"{aside.path}/{new_name}"):
        try:
            os.link(name, new_name, src_dir_fd=folder.fd, dst_dir_fd=aside.fd, follow_symlinks=False)
        except FileExistsError as error:
            raise WriteFailed(
                "something else is kept under this name", thing=f"{aside.path}/{new_name}", next_step=_MOVE
            ) from error
        except OSError:
            # No second names on this file system, or not for this kind of entry: move it there instead.
            os.rename(name, new_name, src_dir_fd=folder.fd, dst_dir_fd=aside.fd)
            folder.sync()
    aside.sync()


def move(folder: Folder, name: str, target: Folder, new_name: str) -> None:
    """Move an entry to another folder of the same file system."""
    with writing_errors(f"{target.path}/{new_name}"):
        os.rename(name, new_name, src_dir_fd=folder.fd, dst_dir_fd=target.fd)
    target.sync()
    folder.sync()


def move_new(folder: Folder, name: str, target: Folder, new_name: str) -> None:
    """Move an entry to a name that nothing has; raises FileExistsError when something does (W3)."""
    with writing_errors(f"{target.path}/{new_name}"):
        _link_new(folder, name, target, new_name)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder.fd)
    target.sync()
    folder.sync()


def remove(folder: Folder, *names: str) -> int:
    """Remove entries, those that are there, folders with what is in them; returns the bytes freed."""
    freed = 0
    for name in names:
        found = folder.stat(name)
        if found is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            freed += _remove_folder(folder, name)
            continue
        with writing_errors(f"{folder.path}/{name}"):
            os.unlink(name, dir_fd=folder.fd)
        freed += found.st_size if found.st_nlink == 1 else 0
    if names:
        folder.sync()
    return freed


def _remove_folder(folder: Folder, name: str) -> int:
    inner = folder.sub(name)
    freed = remove(inner, *inner.names())
    inner.close()
    with writing_errors(f"{folder.path}/{name}"):
        os.rmdir(name, dir_fd=folder.fd)
    return freed


def write_in_place(fd: int, path: str, offset: int, view: memoryview) -> None:
    """Write over a file's bytes through the page cache, so that a process that maps it sees them at once."""
    with writing_errors(path):
        _write_all(fd, view, offset)


def sync_file(fd: int, path: str) -> None:
    """fsync once; a failure means that this file is not to be trusted again."""
    with writing_errors(path):
        os.fsync(fd)


def set_owner(folder: Folder, name: str, owner: Owner) -> None:
    """Give a plain file its owner, group and mode; one that its owner may not even read gets its mode first."""
    fd = _open_closed(folder, name, owner.mode)
    try:
        with writing_errors(f"{folder.path}/{name}"):
            if (owner.uid, owner.gid) != _owner_of(fd):
                os.fchown(fd, owner.uid, owner.gid)
            os.fchmod(fd, owner.mode)
            os.fsync(fd)
    finally:
        os.close(fd)


def _open_closed(folder: Folder, name: str, mode: int) -> int:
    try:
        return folder.open_file(name)
    except ReadFailed:
        with writing_errors(f"{folder.path}/{name}"):
            _set_mode(folder, name, mode)
        return folder.open_file(name)


def _set_mode(folder: Folder, name: str, mode: int) -> None:
    """Set the mode of a file that cannot be opened, without following a link put in its place (T1)."""
    if not _O_PATH:  # pragma: no cover - every Linux has it; macOS goes by the name, and follows no link either
        os.chmod(name, mode, dir_fd=folder.fd, follow_symlinks=False)
        return
    fd = os.open(name, _O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def lock_file(folder: Folder, name: str) -> int:
    """Open, or make, a file to lock; the caller closes it, which gives the lock back."""
    with writing_errors(f"{folder.path}/{name}"):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, 0o600, dir_fd=folder.fd)


@contextmanager
def locked(folder: Folder, name: str, *, holder: str, clock: Clock, wait: float) -> Iterator[None]:
    """Hold the lock ``name`` (flock) of a folder; after ``wait`` seconds raise Locked, naming the holder (L1)."""
    fd = lock_file(folder, name)
    try:
        give_up = clock.monotonic() + wait
        while not _try_lock(fd, holder):
            if clock.monotonic() >= give_up:
                raise Locked(
                    f"another process is writing: {_holder(fd)}",
                    thing=folder.path,
                    next_step="wait until it has finished and run the command again",
                )
            clock.sleep(0.05)
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int, holder: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise WriteFailed(
            f"this file system has no locks: {_text(error)}",
            thing=holder,
            next_step="put the vault on a file system with locks, such as a local disk",
        ) from error
    with suppress(OSError):
        # The name is a courtesy to who has to wait; on a full disk the lock holds without it.
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()}, {holder}".encode(), 0)
    return True


def _holder(fd: int) -> str:
    with suppress(OSError):  # a courtesy, as above
        return os.pread(fd, 300, 0).decode(errors="replace") or "one that did not give its name"
    return "one whose name cannot be read"


def clone(target_fd: int, source_fd: int) -> bool:
    """Make the target share the source's extents; False where the file systems cannot."""
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError:
        return False
    return True


def require_space(folder: Folder, size: int, reserve: int) -> None:
    """Raise DiskFull unless ``size`` bytes fit with the reserve left over (at most a twentieth of the disk; D1)."""
    with writing_errors(folder.path):
        space = os.fstatvfs(folder.fd)
    free = space.f_bavail * space.f_frsize
    kept = min(reserve, space.f_blocks * space.f_frsize // 20)
    if size + kept > free or (space.f_files and not space.f_favail):
        raise DiskFull(
            f"not enough space: {size:,} bytes wanted, {free:,} free, {kept:,} kept in reserve",
            thing=folder.path,
            next_step="free some space there (modelward prune, or remove models) and run the command again",
        )


def measure(folder: Folder) -> dict[str, int]:
    """``total`` and ``free`` bytes of the disk under a folder, as a user without privileges may fill it."""
    with reading_errors(folder.path):
        space = os.fstatvfs(folder.fd)
    return {"total": space.f_blocks * space.f_frsize, "free": space.f_bavail * space.f_frsize}


def tree_bytes(folder: Folder, name: str) -> int:
    """Bytes on disk of an entry and all below it; 0 when it is not there."""
    found = folder.stat(name)
    if found is None:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return found.st_blocks * 512
    inner = folder.sub(name)
    try:
        return sum(tree_bytes(inner, entry) for entry in inner.names())
    finally:
        inner.close()


def kind_of(mode: int) -> str:
    """The word for a kind of file."""
    for test, word in (
        (stat.S_ISLNK, "symlink"),
        (stat.S_ISDIR, "folder"),
        (stat.S_ISFIFO, "FIFO"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISREG, "plain file"),
    ):
        if test(mode):
            return word
    return "device"


class _Errors:
    """Turns an error of the operating system that ends its block into one of ours.

    No generator: its frame, which the error's traceback keeps, would keep the error in turn (Python 3.13), and with it
    whatever the callers hold, open folders too, until the collector comes by. It also takes half the time.
    """

    __slots__ = ("_thing", "_translate")

    def __init__(self, thing: object, translate: Callable[[OSError, object], None]) -> None:
        self._thing, self._translate = thing, translate

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError):
            self._translate(error, self._thing)


def reading_errors(thing: object) -> _Errors:
    """Turn the operating system's errors of a read into ours."""
    return _Errors(thing, _read_error)


def writing_errors(thing: object) -> _Errors:
    """Turn the operating system's errors of a write into ours; FileExistsError stays what it is (W3)."""
    return _Errors(thing, _write_error)


def _read_error(error: OSError, thing: object) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise BlobMissing(
            "not there", thing=thing, next_step="check the path, and whether its disk is mounted"
        ) from error
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EMLINK, errno.EISDIR):
        raise NotARegularFile("a link or special file, not what it should be", thing=thing, next_step=_MOVE) from error
    raise ReadFailed(_text(error), thing=thing, next_step=_advice(error)) from error


def _write_error(error: OSError, thing: object) -> None:
    if isinstance(error, FileExistsError):
        return
    kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else WriteFailed
    raise kind(_text(error), thing=thing, next_step=_advice(error)) from error


def _text(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "OSError")
    return f"{(error.strerror or 'input/output error').lower()} ({name})"


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "free some space there and run the command again"
        case errno.EROFS:
            return "the file system is read-only: look for disk errors (dmesg), then remount it read-write"
        case errno.EACCES | errno.EPERM:
            return "run the command as the user that owns it, or as root"
        case errno.EIO:
            return "the disk reports errors: check the kernel log (dmesg) and the drive's health"
        case _:
            return "see whether the disk is still there, then run the command again"


def _real(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise NotARegularFile(
            f"a path that leads nowhere ({error})", thing=path, next_step="check the path, and the links in it"
        ) from error


def _plain_size(fd: int, path: str) -> int:
    """The size of a log of ours; something else than a plain file under its name is refused (T1)."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise NotARegularFile(f"a {kind_of(found.st_mode)}, not a plain file", thing=path, next_step=_MOVE)
    return found.st_size


def _make_parents(path: Path, mode: int) -> None:
    with writing_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with writing_errors(folder), suppress(FileExistsError):
            os.mkdir(folder, mode)
        parent = Folder.open(folder.parent)
        parent.sync()
        parent.close()


def _link_new(source: Folder, name: str, folder: Folder, new_name: str) -> None:
    try:
        os.link(name, new_name, src_dir_fd=source.fd, dst_dir_fd=folder.fd, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # No hard links here (exFAT, some network mounts): we hold the lock, so looking first is enough.
        if folder.stat(new_name) is not None:
            raise FileExistsError(errno.EEXIST, "exists", new_name) from error
        os.rename(name, new_name, src_dir_fd=source.fd, dst_dir_fd=folder.fd)


def _write_all(fd: int, view: memoryview, offset: int | None) -> None:
    done = 0
    while done < len(view):
        rest = view[done:]
        done += os.write(fd, rest) if offset is None else os.pwrite(fd, rest, offset + done)


def _allocated(fd: int) -> int:
    """Bytes that the file has on the disk already (stat(2): blocks of 512 bytes)."""
    return os.fstat(fd).st_blocks * 512


def _read_up_to(fd: int, limit: int) -> bytes:
    parts, left = [], limit
    while left and (part := os.read(fd, min(left, CHUNK))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _set_flag(fd: int, flag: int, *, on: bool) -> bool:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | flag if on else flags & ~flag)
    except OSError:
        return False
    return bool(flag)


def _owner_of(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_uid, found.st_gid


def _up(length: int) -> int:
    return -(-length // _PAGE) * _PAGE
