"""Where things lie in a vault of format version 1, and how a folder becomes one."""

import os
from pathlib import Path
from typing import Self

from modelward.domain.chunks import CHUNK
from modelward.domain.codec import encode
from modelward.domain.errors import BadObject, BlobMissing, DamageError, VaultMissing, VaultNewer, VaultUnreadable
from modelward.domain.snapshot import FORMAT_VERSION, VaultInfo
from modelward.durable import Folder, put_small
from modelward.vault.sealed import SMALL, keep_twice, read_twice

OCI_LAYOUT, OCI_LAYOUT_TEXT = "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'
INFO = "vault.json"
PROTECTION = "protection.json"
LOCK = "lock"
AUDIT = "audit.jsonl"
AUDIT_HEAD = "audit-head.json"
AUDIT_LOCK = "audit.lock"
MANIFESTS = "manifests"
RECEIPTS = "receipts"
_OURS = {OCI_LAYOUT, "index.json", "model_checksums.sha256", "blobs", "modelward"}
_BLANK = VaultInfo(id="0" * 32, format=FORMAT_VERSION, chunk_size=CHUNK)
_MAKE = "make one with: modelward backup"


class Layout:
    """The open folders of a vault."""

    def __init__(self, root: Folder, *, create: bool = False) -> None:
        self.root = root
        self._blobs_top = root.sub("blobs", create=create)
        self.blobs = self._blobs_top.sub("sha256", create=create)
        self.own = root.sub("modelward", create=create)
        self.snapshots = self.own.sub("snapshots", create=create)
        # A vault that was copied by what knows no empty folders (git, object stores) lacks some of these.
        self.staging, self.trash, self.quarantine = map(self._made, ("staging", "trash", "quarantine"))

    def mark(self) -> None:
        """Say that the folder is an OCI layout, unless it says so already."""
        if self.root.read_if_any(OCI_LAYOUT, SMALL) != OCI_LAYOUT_TEXT:
            put_small(self.staging, self.root, OCI_LAYOUT, OCI_LAYOUT_TEXT, mode=0o600)

    def _made(self, name: str) -> Folder:
        try:
            return self.own.sub(name)
        except BlobMissing:
            return self.own.sub(name, create=True)

    @classmethod
    def open(cls, path: Path) -> tuple[Self, VaultInfo]:
        """Open a vault; raises VaultMissing, VaultNewer or VaultUnreadable."""
        try:
            root = Folder.open(path)
        except BlobMissing as error:
            raise VaultMissing("no vault here", thing=path, next_step=_MAKE) from error
        except DamageError as error:
            raise VaultUnreadable(error.what, thing=path, next_step=error.next_step) from error
        info = _info(root)
        try:
            return cls(root), info
        except DamageError as error:
            raise VaultUnreadable(
                error.what, thing=error.thing, next_step="bring the folder back, or begin a new vault with --vault"
            ) from error

    @classmethod
    def create(cls, path: Path) -> tuple[Self, VaultInfo]:
        """Make the folder a vault; one that a killed run left half made is finished. The info file comes last."""
        root = Folder.open(path, create=True)
        names = root.names()
        foreign = [name for name in names if name not in _OURS]
        if OCI_LAYOUT in names and "modelward" not in names:
            foreign.append("the OCI layout of another program")
        if foreign:
            raise VaultUnreadable(
                f"the folder holds other things ({foreign[0]}) and is no vault",
                thing=path,
                next_step="give an empty or new folder with --vault",
            )
        layout = cls(root, create=True)
        layout.mark()
        info = VaultInfo(id=os.urandom(16).hex(), format=FORMAT_VERSION, chunk_size=CHUNK)
        keep_twice(layout.staging, layout.own, INFO, info)
        return layout, info


def _info(root: Folder) -> VaultInfo:
    try:
        own = root.sub("modelward")
        info = read_twice(own, INFO, VaultInfo)
    except BlobMissing as error:
        raise VaultMissing("this folder is no vault", thing=root.path, next_step=_MAKE) from error
    except BadObject as error:
        raise VaultUnreadable(
            f"the vault's description is damaged: {error.what}",
            thing=f"{own.path}/{INFO}",
            next_step=f"write {encode(_BLANK).decode()} into it",
        ) from error
    except DamageError as error:
        raise VaultUnreadable(error.what, thing=error.thing, next_step=error.next_step) from error
    if info.format > FORMAT_VERSION or info.chunk_size != CHUNK:
        raise VaultNewer(
            f"the vault has format {info.format} with chunks of {info.chunk_size:,} bytes, "
            f"this program reads up to {FORMAT_VERSION} with {CHUNK:,}",
            thing=f"{own.path}/{INFO}",
            next_step="install a newer Modelward; nothing was changed",
        )
    own.close()
    return info
