"""Damage as values: what is wrong, where, what was expected, and what to do about it."""

from typing import ClassVar

import msgspec

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName


class _Finding(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=True):
    """Base: ``path`` is relative to the store's or vault's root."""

    damage: ClassVar[bool] = True
    path: str


class _BlobFinding(_Finding, frozen=True, kw_only=True):
    blob: Digest
    size: int
    spans: tuple[Span, ...] = ()


class Missing(_BlobFinding, frozen=True, kw_only=True):
    """No file under the blob's name."""


class Truncated(_BlobFinding, frozen=True, kw_only=True):
    """The file is shorter than the blob; ``spans`` holds the missing tail and what else is bad."""

    actual: int


class Oversized(_BlobFinding, frozen=True, kw_only=True):
    """The file is longer than the blob; ``spans`` holds what is bad within the blob's size."""

    actual: int


class Corrupt(_BlobFinding, frozen=True, kw_only=True):
    """Wrong bytes, seen twice; ``exact`` says whether the spans are known or stand for the whole blob."""

    exact: bool = True


class Unreadable(_BlobFinding, frozen=True, kw_only=True):
    """The disk gives an error for these spans; ``error`` is its name, such as EIO."""

    error: str


class UnstableRead(_BlobFinding, frozen=True, kw_only=True):
    """Two reads of the same bytes differ: memory, bus or cable. Blocks repair on this host (V1)."""


class NotRegular(_BlobFinding, frozen=True, kw_only=True):
    """Something else than a plain file stands under the blob's name: ``what`` says what."""

    what: str


class Changed(_BlobFinding, frozen=True, kw_only=True):
    """The file changed while it was read: no verdict, look again."""

    damage: ClassVar[bool] = False


class WrongOwner(_BlobFinding, frozen=True, kw_only=True):
    """The file's owner or mode keeps the runtime from reading it; ``expected`` is uid, gid, mode."""

    actual: tuple[int, int, int]
    expected: tuple[int, int, int]


class ManifestLost(_Finding, frozen=True, kw_only=True):
    """A protected model whose manifest is gone; its blobs are pruned at the runtime's next start."""

    model: ModelName


class ManifestDamaged(_Finding, frozen=True, kw_only=True):
    """A manifest file that does not parse; ``reason`` says why."""

    model: ModelName
    reason: str


class RecordDamaged(_Finding, frozen=True, kw_only=True):
    """A record of the vault, live or in the trash, that is not as it was written; it is known what it has to be."""

    model: ModelName
    reason: str


class BadEntry(_Finding, frozen=True, kw_only=True):
    """A file or folder below ``manifests/`` that no model can have; ``reason`` says why."""

    damage: ClassVar[bool] = False
    reason: str


class CaseTwin(_Finding, frozen=True, kw_only=True):
    """Two names that differ in case only: they collide on case-insensitive file systems."""

    damage: ClassVar[bool] = False
    models: tuple[ModelName, ...]


class Orphan(_BlobFinding, frozen=True, kw_only=True):
    """A blob that no manifest names; the runtime prunes it at its next start."""

    damage: ClassVar[bool] = False


class Partial(_Finding, frozen=True, kw_only=True):
    """What an unfinished download left: ``bytes`` on disk, and when (Unix seconds) it last changed."""

    damage: ClassVar[bool] = False
    bytes: int
    changed_at: int = 0


class StoreEmpty(_Finding, frozen=True, kw_only=True):
    """The store has no model at all, and the vault knows ``known`` of them (I1)."""

    known: int


class StoreMoved(_Finding, frozen=True, kw_only=True):
    """Another folder stands where the recorded store was (I1)."""

    reason: str


class StoreUnmounted(_Finding, frozen=True, kw_only=True):
    """The file system that held the store is not mounted there now (I1)."""

    mount_point: str
    mount_source: str


class WrongStore(_Finding, frozen=True, kw_only=True):
    """The running server reads another store than this one (I1)."""

    server: str
    reason: str


BlobDamage = Missing | Truncated | Oversized | Corrupt | Unreadable | UnstableRead | NotRegular | WrongOwner
ManifestDamage = ManifestLost | ManifestDamaged
BlobFinding = BlobDamage | Changed | Orphan
StoreFinding = StoreEmpty | StoreMoved | StoreUnmounted | WrongStore
Finding = BlobFinding | ManifestDamage | RecordDamaged | BadEntry | CaseTwin | Partial | StoreFinding
