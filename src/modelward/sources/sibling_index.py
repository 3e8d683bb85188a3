"""Remember the SHA-256 of files that were hashed in other folders, so that an unchanged one is never read again."""

from hashlib import sha256
from pathlib import Path

import msgspec

from modelward.domain.codec import decode, encode
from modelward.domain.errors import BlobMissing, DamageError, StorageError
from modelward.domain.receipt import FileId, Receipt
from modelward.durable import Folder, locked, put_small
from modelward.ports import Clock

MOST = 32_768
_LIMIT = 16 << 20
_WAIT = 10.0
# A page that a process has mapped and dirtied is written within about 35 s (vm.dirty_expire_centisecs and
# vm.dirty_writeback_centisecs, Documentation/admin-guide/sysctl/vm.rst), and only the first write after that gives
# the file a new mtime. What had been at rest for longer than that when it was hashed cannot change unseen.
_AT_REST_NS = 60_000_000_000


class Hashed(msgspec.Struct, frozen=True, array_like=True):
    """A file by its identity, the SHA-256 of its bytes as hex, and when (Unix seconds) hashing them began."""

    file: FileId
    hex: str
    hashed_at: int

    @property
    def receipt(self) -> Receipt | None:
        """The receipt that vouches for the file; None when it had been written to shortly before it was hashed."""
        written = max(self.file.mtime_ns, self.file.ctime_ns)
        at_rest = self.hashed_at * 1_000_000_000 - written >= _AT_REST_NS
        return Receipt(self.file, self.hashed_at) if at_rest else None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Every file of one folder that was hashed, the latest last."""

    hashed: tuple[Hashed, ...] = ()


class SiblingIndex:
    """What is known of the files in ``sibling``, kept in the folder of receipts; an unreadable file counts as empty.

    The file's identity is the key: a path says nothing about the bytes, and may be no text.
    """

    def __init__(self, receipts: Path, sibling: Path, clock: Clock) -> None:
        self._receipts, self._clock = receipts, clock
        self._name = f"sibling-{sha256(str(sibling).encode(errors='surrogateescape')).hexdigest()[:16]}.json"
        self._known: dict[FileId, Hashed] | None = None
        self._new: dict[FileId, Hashed] = {}

    def find(self, file: FileId) -> Hashed | None:
        """What this very file was found to be."""
        return self._new.get(file) or self._loaded().get(file)

    def sizes_of(self, hex_digits: str) -> frozenset[int]:
        """The size of the blob with this SHA-256, when a file was found to be it."""
        known = (*self._loaded().values(), *self._new.values())
        return frozenset(hashed.file.size for hashed in known if hashed.hex == hex_digits)

    def add(self, hashed: Hashed) -> None:
        """Learn of one more file; it is kept with ``save``."""
        self._new[hashed.file] = hashed

    def save(self) -> None:
        """Merge what is new into what is kept; where nothing can be written it is kept in memory only."""
        if not self._new:
            return
        try:
            folder = Folder.open(self._receipts, create=True)
            # All receipts lie in one folder under one lock: who holds it sweeps what a killed writer left there.
            with locked(folder, "lock", holder="receipts", clock=self._clock, wait=_WAIT):
                merged = tuple({**self._read(folder), **self._new}.values())[-MOST:]
                put_small(folder, folder, self._name, encode(Known(hashed=merged)))
        except (StorageError, DamageError):
            # Receipts save time. A full or read-only disk must not turn an offer into an error.
            merged = (*self._loaded().values(), *self._new.values())
        self._known, self._new = {hashed.file: hashed for hashed in merged}, {}

    def _loaded(self) -> dict[FileId, Hashed]:
        if self._known is None:
            try:
                self._known = self._read(Folder.open(self._receipts))
            except DamageError:
                self._known = {}
        return self._known

    def _read(self, folder: Folder) -> dict[FileId, Hashed]:
        try:
            known = decode(folder.read(self._name, _LIMIT), Known)
        except (BlobMissing, DamageError):
            return {}
        return {hashed.file: hashed for hashed in known.hashed}
