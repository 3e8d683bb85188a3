"""Every error that leaves Modelward: what happened, to which thing, and what to do next.

The tree (a test compares it with the classes)::

    ModelwardError
      UsageError                  exit 2
        BadName
        BadDigest
        BadSetting
        MissingExtra
        UnknownModel
        UnknownSnapshot
        UnknownJob
        UnknownSilence
        UnknownToken
        EmptyPolicy
        StoreNotFound
        StoreNotAccepted
        TagMoved
      DamageError                 exit 1
        BadManifest
        BadObject
        BadBundle
        ChangedWhileRead
        BlobMissing
        NotARegularFile
        ReadFailed
        HashMismatch
        SourceFailed
      NotRepairable               exit 3
      Unreachable                 exit 4
        RuntimeUnreachable
          RuntimeRefused
        RegistryUnreachable
          RegistryRefused
        DeliveryFailed
      StorageError                exit 5
        VaultMissing
        Locked
        VaultUnreadable
        VaultNewer
        JournalBroken
        JournalNewer
        DiskFull
        WriteFailed
      ChildFailed                 exit 1
      Interrupted                 exit 130
"""

from typing import ClassVar

EXIT_OK = 0
EXIT_DAMAGE = 1
EXIT_USAGE = 2
EXIT_NOT_REPAIRABLE = 3
EXIT_UNREACHABLE = 4
EXIT_STORAGE = 5
EXIT_INTERRUPTED = 130


class ModelwardError(Exception):
    """Root of all our errors: ``what`` happened, to which ``thing``, and the ``next_step`` to take."""

    exit_code: ClassVar[int] = EXIT_DAMAGE

    def __init__(self, what: str, *, thing: object = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.thing = str(thing)
        self.next_step = next_step

    def __str__(self) -> str:
        """One line for a person: thing, then what happened, then the next step."""
        head = f"{self.thing}: {self.what}" if self.thing else self.what
        return f"{head}. Next: {self.next_step}" if self.next_step else head


class UsageError(ModelwardError):
    """The request itself is wrong; nothing was read or changed."""

    exit_code = EXIT_USAGE


class BadName(UsageError):
    """A model name that no store may hold."""


class BadDigest(UsageError):
    """A text that is not ``sha256:`` and 64 lower-case hex digits."""


class BadSetting(UsageError):
    """A setting with a value out of its range, or a name that does not exist."""


class MissingExtra(UsageError):
    """A setting needs a package that is not installed."""


class UnknownModel(UsageError):
    """A model that neither the store nor the vault knows."""


class UnknownSnapshot(UsageError):
    """A snapshot id that the vault does not hold, or that is not unique."""


class UnknownJob(UsageError):
    """A job that the guard does not know, or has forgotten."""


class UnknownToken(UsageError):
    """A token's id or name that is not among the tokens, or is not the only one."""


class UnknownSilence(UsageError):
    """A silence that does not exist, or has run out."""


class EmptyPolicy(UsageError):
    """A retention policy that would keep nothing."""


class StoreNotFound(UsageError):
    """No store at the path that was given, or none on this machine."""


class StoreNotAccepted(UsageError):
    """The store is not the recorded one; nothing is written into it unless the user says so (I1)."""


class TagMoved(UsageError):
    """Upstream's tag names another version than the one that is pinned or served; nothing is swapped unasked (R4)."""


class DamageError(ModelwardError):
    """Bytes are not what they should be."""


class BadManifest(DamageError):
    """A manifest that does not parse within the limits (T2)."""


class BadObject(DamageError):
    """One of the vault's own small objects does not parse."""


class BadBundle(DamageError):
    """A bundle that is cut short, damaged or not one of ours."""


class ChangedWhileRead(DamageError):
    """The file changed between the first and the last byte read."""


class BlobMissing(DamageError):
    """No file under the blob's name."""


class NotARegularFile(DamageError):
    """A symlink, folder, FIFO, socket or device where a plain file has to be (T1)."""


class ReadFailed(DamageError):
    """The disk could not give the bytes."""


class HashMismatch(DamageError):
    """Bytes that do not have the hash they were asked for by."""


class SourceFailed(DamageError):
    """A source could not give good bytes; the next one is asked (R2)."""


class NotRepairable(ModelwardError):
    """Damage that no source can repair."""

    exit_code = EXIT_NOT_REPAIRABLE


class Unreachable(ModelwardError):
    """Somebody on a network did not give what was asked for."""

    exit_code = EXIT_UNREACHABLE


class RuntimeUnreachable(Unreachable):
    """The runtime's API did not answer, or not in its own words."""


class RuntimeRefused(RuntimeUnreachable):
    """The runtime answered that it cannot, or that it failed."""


class RegistryUnreachable(Unreachable):
    """A registry did not answer in time, or not as one."""


class RegistryRefused(RegistryUnreachable):
    """A registry answered that it has no such thing, or that we may not have it."""


class DeliveryFailed(Unreachable):
    """A channel did not take a notice."""


class StorageError(ModelwardError):
    """A vault or a disk does not do what writing needs."""

    exit_code = EXIT_STORAGE


class VaultMissing(StorageError):
    """No vault at this path."""


class Locked(StorageError):
    """Another process writes to this vault or store; it is named in the message (L1)."""


class VaultUnreadable(StorageError):
    """The vault's own records cannot be read."""


class VaultNewer(StorageError):
    """The vault was written by a newer format than this program knows."""


class JournalBroken(StorageError):
    """The journal is no database, or a damaged one."""


class JournalNewer(StorageError):
    """The journal was written by a newer version than this program."""


class DiskFull(StorageError):
    """Not enough space, or the reserve would be used up (D1)."""


class WriteFailed(StorageError):
    """A write, fsync or rename failed; the file was thrown away (W1)."""


class ChildFailed(ModelwardError):
    """A process of our own that works for another one did not do it; who asked goes on without."""


class Interrupted(ModelwardError):
    """Ctrl-C or SIGTERM; a second run finishes the work."""

    exit_code = EXIT_INTERRUPTED
