"""Why something was lost or damaged, as values: causes with their evidence, and the report of doctor."""

from enum import StrEnum

import msgspec

from modelward.domain import errors
from modelward.domain.name import ModelName


class Kind(StrEnum):
    """The causes that doctor tells apart; UNKNOWN is said rather than a wrong certainty."""

    TWO_DEFINITIONS = "two definitions of one server disagree on where the models are"
    STORE_EMPTY = "the store is empty, while the vault knows models"
    STORE_UNMOUNTED = "the file system that held the store is not mounted"
    STORE_ELSEWHERE = "the server reads another store than we look at"
    TWO_SERVERS = "two servers work on one store"
    NOT_PERSISTED = "the store lies in a place that goes with its container"
    SERVER_DOWN = "the server does not answer"
    MANIFEST_LOST = "a manifest is gone, its blobs are orphans"
    MANIFEST_EMPTY = "a manifest is empty or zeroed: power was cut, or the server killed, while it was written"
    MANIFEST_GARBLED = "a manifest is damaged"
    BLOB_LOST = "a blob is gone"
    CUT_SHORT = "a blob is cut short"
    DISK_FULL = "the disk is full"
    ZEROED = "ranges on block borders are zeros: a crash of the file system or of the virtual machine"
    BIT_FLIP = "single bits are flipped: memory or bus"
    CACHE_DIFFERS = "the page cache and the disk differ"
    BAD_SECTOR = "the disk cannot read some of its sectors"
    LOST_WRITE = "whole sectors hold other bytes: a write was lost or went astray"
    WRONG_CONTENT = "the file is something else than the blob"
    WRONG_OWNER = "the server may not read the file"
    STUCK_PARTIAL = "a download stopped half way"
    TAG_MOVED = "upstream moved the tag to another version"
    CASE_TWIN = "two names differ in case only"
    READ_ONLY = "the file system is read-only"
    UNKNOWN = "the cause cannot be told from what is left"


class Certainty(StrEnum):
    """How sure: proved by what was read, likely from a pattern, or merely possible."""

    PROVED = "proved"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One cause: what it is, to which thing, what was seen, how sure, and the next command to type."""

    kind: Kind
    thing: str
    evidence: tuple[str, ...]
    certainty: Certainty
    next: str
    model: ModelName | None = None


class StoreSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A store of this host: its folder, how it was found, what is in it, and who reads it."""

    path: str
    why: str
    models: tuple[ModelName, ...]
    size: int
    ours: bool
    served: bool | None


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One run of doctor: the store that we look at, the one that the server reads, all stores seen, the causes."""

    store: str
    server: str
    server_store: str
    stores: tuple[StoreSeen, ...]
    causes: tuple[Cause, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """1 when something is wrong, else 0."""
        return errors.EXIT_DAMAGE if self.causes else errors.EXIT_OK
