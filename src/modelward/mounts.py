"""Which mount a folder lies on: the part of a store's identity that tells a missing disk from a new folder (I1)."""

import os
import re
from pathlib import Path

from modelward.domain.store import Protection, StoreIdentity

_ESCAPED = re.compile(r"\\([0-7]{3})")
# File systems whose bytes lie on another host.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "fuse.sshfs", "fuse.rclone", "afs"})


def identity_of(path: str, fd: int) -> StoreIdentity:
    """The identity of an open folder whose real path is ``path``; mount fields stay empty where unknown."""
    found = os.fstat(fd)
    point, source, kind = _mount(path, _mount_table())
    return StoreIdentity(
        path=path,
        inode=found.st_ino,
        device=found.st_dev,
        mount_point=point,
        mount_source=source,
        file_system=kind,
    )


def protection(store: StoreIdentity, vault: StoreIdentity) -> Protection:
    """What the vault's copies survive, seen from this store; a vault never shares inodes with a store."""
    if vault.file_system in _REMOTE and _host(vault) != _host(store):
        return Protection.OTHER_HOST
    return Protection.SAME_DEVICE if _same_disk(store, vault) else Protection.OTHER_DEVICE


def _same_disk(store: StoreIdentity, vault: StoreIdentity) -> bool:
    """Subvolumes of one btrfs have device numbers of their own and the source in common."""
    real = store.mount_source.startswith("/") or store.file_system in _REMOTE
    return store.device == vault.device or (real and store.mount_source == vault.mount_source)


def _host(place: StoreIdentity) -> str:
    """The host that a network mount's bytes lie on (``host:/export``, ``//host/share``); empty for this one."""
    if place.file_system not in _REMOTE:
        return ""
    source = place.mount_source
    return source.strip("/").partition("/")[0] if source.startswith("//") else source.rpartition(":")[0] or source


def _mount_table() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _mount(path: str, table: str) -> tuple[str, str, str]:
    """Mount point, source and file system type of the mount that holds ``path`` (proc(5), mountinfo)."""
    best = ("", "", "")
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if len(fields) < 5 or len(tail) < 2:
            continue
        point = _plain(fields[4])
        if _below(path, point) and len(point) >= len(best[0]):
            best = (point, _plain(tail[1]), tail[0])
    return best


def _below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda hit: chr(int(hit[1], 8)), text)
