"""The audit log on the disk: appended under a short lock of its own, so that no entry waits for a long backup (A1)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO

from modelward.domain.audit import AuditEntry
from modelward.domain.codec import decode
from modelward.domain.errors import BadObject, BlobMissing, DamageError, DiskFull, VaultUnreadable
from modelward.durable import Folder, Staged, append, cut, locked
from modelward.ports import Clock
from modelward.vault.audit import Head, entry, faults, last, read_entry
from modelward.vault.layout import AUDIT, AUDIT_HEAD, AUDIT_LOCK
from modelward.vault.sealed import SMALL, sealed, unsealed

_WAIT = 10.0
_TAIL = 1 << 16
_NEW_HEAD = f"{AUDIT_HEAD}.new"


class AuditLog:
    """The log of one vault, safe for several threads and processes: each entry follows the one on the disk."""

    def __init__(self, own: Folder, clock: Clock) -> None:
        self._own, self._clock = own, clock

    def add(self, action: str, keys: Mapping[str, object]) -> None:
        """Append one entry, durable before this returns; raises StorageError."""
        with locked(self._own, AUDIT_LOCK, holder="audit", clock=self._clock, wait=_WAIT):
            line, head = entry(self._before(), self._clock.now(), action, dict(keys))
            append(self._own, AUDIT, line)
            with suppress(DiskFull):
                # The entry counts by now; the head is a witness against cuts, and the next entry brings it up to date.
                self._keep(head)

    def _keep(self, head: Head) -> None:
        """Replace the head; a file that a killed run left half made is gone on with, as the lock allows one writer."""
        data = sealed(head)
        staged = Staged(self._own, len(data), name=_NEW_HEAD)
        try:
            staged.write_at(memoryview(data), len(data), 0)
            staged.finish(0o600)
            staged.replace(self._own, AUDIT_HEAD)
        finally:
            staged.discard()

    def _before(self) -> Head:
        """What the next entry follows: the last one on the disk, or the recorded head where the log contradicts it.

        A log that was cut or forged stays so for everybody to see: its next entry follows the head as it was recorded.
        """
        recorded, tail = self._recorded(), self._whole_tail()
        try:
            on_disk = last(tail)
        except BadObject as error:
            if recorded.seq:
                return recorded
            raise self._damaged(error) from error
        return recorded if on_disk.seq < recorded.seq or _contradicts(tail, recorded) else on_disk

    def _damaged(self, error: BadObject) -> VaultUnreadable:
        return VaultUnreadable(
            f"the last line of the audit log is damaged: {error.what}",
            thing=f"{self._own.path}/{AUDIT}",
            next_step="keep that file as evidence under another name; the next run begins a new log",
        )

    def _recorded(self) -> Head:
        try:
            return unsealed(self._own.read(AUDIT_HEAD, SMALL), Head)
        except DamageError:
            return Head()

    def _whole_tail(self) -> bytes:
        """The last lines of the log; a torn last one, which a killed writer left, is cut off first."""
        found = self._own.stat(AUDIT)
        if found is None:
            return b""
        tail = self._tail(found.st_size)
        if torn := len(tail) - (tail.rfind(b"\n") + 1):
            cut(self._own, AUDIT, found.st_size - torn)
        return tail[: len(tail) - torn]

    def _tail(self, size: int) -> bytes:
        """The end of the log: the last whole line at least, and what is torn behind it."""
        fd, length = self._own.open_file(AUDIT), _TAIL
        try:
            with self._reading():
                while True:
                    tail = os.pread(fd, length, max(0, size - length))
                    if length >= size or tail.count(b"\n") > 1:
                        return tail
                    length *= 2
        finally:
            os.close(fd)

    # Reading, without the lock.

    def entries(self) -> Iterator[AuditEntry]:
        """Every entry that can be read, the oldest first."""
        for line in self._lines():
            with suppress(BadObject):
                yield read_entry(line)

    def faults(self) -> tuple[str, ...]:
        """Every edit, drop, reorder or cut, in words that name the line."""
        head = self._recorded()  # before the log: what is appended meanwhile only makes the log longer
        found = faults(self._lines(), head)
        if head == Head() and self._own.stat(AUDIT_HEAD) is not None:
            return (*found, f"{AUDIT_HEAD} cannot be read: whether the end is cut off is not known")
        return found

    def _lines(self) -> Iterator[bytes]:
        """The whole lines; one without its end never counted, or is being written now."""
        try:
            fd = self._own.open_file(AUDIT)
        except BlobMissing:
            return
        with os.fdopen(fd, "rb") as file:
            while line := self._line(file):
                if line.endswith(b"\n") or len(line) == SMALL:
                    yield line

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VaultUnreadable(
                f"the audit log cannot be read: {error.strerror}",
                thing=f"{self._own.path}/{AUDIT}",
                next_step="check the vault's disk (dmesg, SMART)",
            ) from error

    def _line(self, file: BinaryIO) -> bytes:
        with self._reading():
            return file.readline(SMALL)


def _contradicts(tail: bytes, recorded: Head) -> bool:
    """Whether the entry that the head names stands in these lines as another one."""
    for line in tail.splitlines():
        with suppress(BadObject):
            known = decode(line, Head)
            if known.seq == recorded.seq:
                return known.hash != recorded.hash
    return False
