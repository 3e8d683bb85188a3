"""What everything costs on the disks: models with shared blobs counted once, leftovers, the vault, and its growth."""

from datetime import datetime, timedelta

import msgspec

from modelward.domain import errors
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.store import Space

GRACE = timedelta(hours=24)


class ModelCost(msgspec.Struct, frozen=True, kw_only=True):
    """One model: bytes that its manifest names, and bytes that would be free if it alone were removed."""

    name: ModelName
    size: int
    own: int

    @property
    def shared(self) -> int:
        """Bytes that other models need as well."""
        return self.size - self.own


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """Something that no model needs: ``kind`` is orphan or partial, ``why`` says why it stays, where it does."""

    kind: str
    name: str
    bytes: int
    changed_at: datetime
    why: str = ""


class VaultCost(msgspec.Struct, frozen=True, kw_only=True):
    """The vault: bytes on disk, bytes of all snapshots if nothing were shared, and new bytes a day (of 30 days)."""

    path: str
    stored: int
    named: int
    trash: int
    growth: int
    disk: Space

    @property
    def days_to_full(self) -> int | None:
        """Days until the disk is full at this growth; None when it does not grow."""
        return self.disk.free // self.growth if self.growth > 0 else None


class SpaceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of space."""

    store: str
    disk: Space
    models: tuple[ModelCost, ...]
    blobs: int
    leftovers: tuple[Leftover, ...]
    vault: VaultCost | None
    reclaimed: int = 0
    dry_run: bool = True
    refused: str = ""

    @property
    def reclaimable(self) -> int:
        """Bytes of the leftovers that may go."""
        return sum(item.bytes for item in self.leftovers if not item.why)

    @property
    def exit_code(self) -> int:
        """1 when a reclaim was asked for and refused, else 0."""
        return errors.EXIT_DAMAGE if self.refused else errors.EXIT_OK


def costs(sizes: dict[ModelName, dict[Digest, int]]) -> tuple[ModelCost, ...]:
    """What each model costs, given its blobs and their sizes; the dearest first."""
    users: dict[Digest, int] = {}
    for blobs in sizes.values():
        for blob in blobs:
            users[blob] = users.get(blob, 0) + 1
    found = (
        ModelCost(
            name=name,
            size=sum(blobs.values()),
            own=sum(size for blob, size in blobs.items() if users[blob] == 1),
        )
        for name, blobs in sizes.items()
    )
    return tuple(sorted(found, key=lambda cost: (-cost.size, cost.name)))
