"""What a store is and holds, as values: its identity, its models, its files."""

from enum import StrEnum

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.finding import Finding
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.receipt import FileId


class StoreIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which store this is (I1): real path, inode of its folder, and the mount that it lies on.

    ``blobs_inode`` is that of the folder ``blobs/`` in it, 0 where there is none or nobody looked.
    """

    path: str
    inode: int
    device: int
    mount_point: str = ""
    mount_source: str = ""
    file_system: str = ""
    blobs_inode: int = 0


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Owner, group and permission bits of a file (R5)."""

    uid: int
    gid: int
    mode: int


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """The disk under a store or vault, in bytes, and the bytes that lie in our own folders of it, by folder."""

    total: int
    free: int
    ours: dict[str, int] = msgspec.field(default_factory=dict)


class BlobStat(msgspec.Struct, frozen=True, kw_only=True):
    """What the folder entry of a blob says, without reading the blob."""

    file: FileId
    owner: Owner


class StoreModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the store serves: its name, its manifest, and its manifest file's owner."""

    name: ModelName
    manifest: Manifest
    owner: Owner


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """One frozen picture of a store: models by name, blobs by digest, and what did not look right.

    ``odd`` holds what stands under a blob's name without being a plain file, and the word for it.
    """

    models: dict[ModelName, StoreModel]
    blobs: dict[Digest, BlobStat]
    odd: dict[Digest, str] = msgspec.field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def users_of(self, blob: Digest) -> tuple[ModelName, ...]:
        """The models that name this blob."""
        return tuple(
            name for name, model in self.models.items() if any(layer.digest == blob for layer in model.manifest.blobs)
        )


class Protection(StrEnum):
    """How far a copy is from the original: what it survives. Shown everywhere."""

    SAME_INODE = "0 same inode"
    SAME_DEVICE = "1 same device"
    OTHER_DEVICE = "2 other device"
    OTHER_HOST = "3 other host"
    LOCKED = "4 locked"
