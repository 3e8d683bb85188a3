"""Which mount a folder lies on, and what a vault on another mount survives (I1)."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelward import mounts
from modelward.domain.store import Protection, StoreIdentity

# Lines as proc(5) describes them: id, parent, device, root, mount point, options, optional fields, "-",
# file system, source, options of the super block.
TABLE = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
30 22 8:1 / /srv rw - xfs /dev/sda1 rw
31 30 8:2 / /srv/models rw - btrfs /dev/sdb1 rw,subvol=/models
32 31 0:44 / /srv/models/nas rw shared:9 master:2 - nfs4 nas:/export rw,vers=4.2
33 22 8:3 / /mnt/two\040words rw - ext4 /dev/disk/by-label/my\040disk rw
34 22 8:4 / /mnt/tab\011line\012back\134slash rw - ext4 /dev/sdd1 rw
35 22 8:1 /inner /mnt/bound rw - xfs /dev/sda1 rw
36 22 8:5 / /mnt/twice rw - ext4 /dev/sde1 rw
37 36 8:6 / /mnt/twice rw - vfat /dev/sdf1 rw
38 22 0:50 / /mnt/ümläut rw - tmpfs tmpfs rw
39 22 0:51 / /mnt/sshfs rw - fuse.sshfs user@host:/ rw
40 22 0:52 / /run/overlay rw - overlay overlay rw,lowerdir=/a - b
this line is torn
41 22 0:53 /
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """These mounts instead of the machine's own."""
    monkeypatch.setattr(mounts, "_mount_table", lambda: TABLE)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("/", "/dev/vda", "ext4")),
        ("/home/user/.ollama/models", ("/", "/dev/vda", "ext4")),
        ("/srv", ("/srv", "/dev/sda1", "xfs")),
        ("/srv/other", ("/srv", "/dev/sda1", "xfs")),
        ("/srvother", ("/", "/dev/vda", "ext4")),
        ("/srv/models/blobs", ("/srv/models", "/dev/sdb1", "btrfs")),
        ("/srv/models/nas/vault", ("/srv/models/nas", "nas:/export", "nfs4")),
        ("/srv/models/nasty", ("/srv/models", "/dev/sdb1", "btrfs")),
        ("/mnt/two words/vault", ("/mnt/two words", "/dev/disk/by-label/my disk", "ext4")),
        ("/mnt/tab\tline\nback\\slash/x", ("/mnt/tab\tline\nback\\slash", "/dev/sdd1", "ext4")),
        ("/mnt/bound/x", ("/mnt/bound", "/dev/sda1", "xfs")),
        ("/mnt/twice/x", ("/mnt/twice", "/dev/sdf1", "vfat")),
        ("/mnt/ümläut", ("/mnt/ümläut", "tmpfs", "tmpfs")),
        ("/mnt/sshfs/deep/er", ("/mnt/sshfs", "user@host:/", "fuse.sshfs")),
        ("/run/overlay/x", ("/run/overlay", "overlay", "overlay")),
    ],
)
def test_the_mount_that_holds_a_folder(tmp_path: Path, path: str, expected: tuple[str, str, str]) -> None:
    """The deepest mount point above it, the last one where two are mounted over each other; escapes are undone."""
    found = _identity(path, tmp_path)
    assert (found.mount_point, found.mount_source, found.file_system) == expected
    assert found.path == path


def test_where_the_system_has_no_table_of_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount is unknown then, and the folder is known by its inode all the same."""
    monkeypatch.setattr(mounts, "_mount_table", lambda: "")
    found = _identity(str(tmp_path), tmp_path)
    assert (found.mount_point, found.mount_source, found.file_system) == ("", "", "")
    assert (found.inode, found.device) == (tmp_path.stat().st_ino, tmp_path.stat().st_dev)


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="no /proc/self/mountinfo on this system")
def test_this_machines_own_table(tmp_path: Path) -> None:
    """The mount point is one, and it is on the folder's own device."""
    found = _identity(str(tmp_path), tmp_path)
    assert Path(found.mount_point).is_mount()
    assert Path(found.mount_point).stat().st_dev == found.device
    assert found.file_system


def _identity(path: str, folder: Path) -> StoreIdentity:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return mounts.identity_of(path, fd)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Where:
    """What matters of a place: device number, mount source, file system."""

    device: int
    source: str
    kind: str

    def identity(self, path: str) -> StoreIdentity:
        """A folder there."""
        return StoreIdentity(
            path=path, inode=1, device=self.device, mount_point="/m", mount_source=self.source, file_system=self.kind
        )


LOCAL = Where(8, "/dev/sda1", "ext4")
SECOND = Where(9, "/dev/sdb1", "ext4")
SUBVOLUME_A, SUBVOLUME_B = Where(40, "/dev/sdc1", "btrfs"), Where(41, "/dev/sdc1", "btrfs")
NAS, SAME_NAS, OTHER_NAS = Where(50, "nas:/a", "nfs4"), Where(51, "nas:/a", "nfs4"), Where(52, "other:/a", "nfs")
TMPFS, OTHER_TMPFS = Where(60, "tmpfs", "tmpfs"), Where(61, "tmpfs", "tmpfs")
UNKNOWN, ALSO_UNKNOWN = Where(70, "", ""), Where(71, "", "")


@pytest.mark.parametrize(
    ("store", "vault", "expected"),
    [
        (LOCAL, LOCAL, Protection.SAME_DEVICE),
        (LOCAL, SECOND, Protection.OTHER_DEVICE),
        (SUBVOLUME_A, SUBVOLUME_B, Protection.SAME_DEVICE),
        (LOCAL, NAS, Protection.OTHER_HOST),
        (LOCAL, Where(9, "user@host:/", "fuse.sshfs"), Protection.OTHER_HOST),
        (LOCAL, Where(9, "//host/share", "cifs"), Protection.OTHER_HOST),
        (NAS, LOCAL, Protection.OTHER_DEVICE),
        (NAS, NAS, Protection.SAME_DEVICE),
        (NAS, OTHER_NAS, Protection.OTHER_HOST),
        (TMPFS, OTHER_TMPFS, Protection.OTHER_DEVICE),
        (UNKNOWN, ALSO_UNKNOWN, Protection.OTHER_DEVICE),
        (UNKNOWN, UNKNOWN, Protection.SAME_DEVICE),
        pytest.param(
            NAS,
            SAME_NAS,
            Protection.SAME_DEVICE,
        ),
        pytest.param(
            NAS,
            Where(53, "nas:/b", "nfs4"),
            Protection.OTHER_DEVICE,
        ),
    ],
)
def test_what_a_copy_survives(store: Where, vault: Where, expected: Protection) -> None:
    """A vault on the store's own device survives deletion, on another one the disk, on another host the host."""
    assert mounts.protection(store.identity("/store"), vault.identity("/vault")) is expected
