"""The kernel's log and SMART are read as far as they can be, bounded and with deadlines; what is absent is a note."""

import json
import os
from pathlib import Path

import pytest

from modelward.domain.evidence import Sign
from modelward.evidence.kernel import Host, collect_kernel, disks_of, health_of, signs_in
from modelward.testing import FrozenClock
from tests.places import BEGIN

# Lines as Linux prints them, with the sign that each is of and the device that it names.
LINES = (
    (
        "blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
        Sign.IO,
        "sda",
    ),
    ("critical medium error, dev sdb, sector 7814 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", Sign.IO, "sdb"),
    ("Buffer I/O error on dev sda1, logical block 256, async page read", Sign.IO, "sda1"),
    ("Buffer I/O error on dev dm-3, logical block 0, lost async page write", Sign.IO, "dm-3"),
    ("sd 2:0:0:0: [sdc] tag#3 Sense Key : Medium Error [current]", Sign.IO, "sdc"),
    ("sd 2:0:0:0: [sdc] tag#3 Add. Sense: Unrecovered read error - auto reallocate failed", Sign.IO, "sdc"),
    ("ata3.00: error: { UNC }", Sign.IO, ""),
    ("ata3.00: failed command: READ FPDMA QUEUED", Sign.IO, ""),
    ("ata1.00: error: { ICRC ABRT }", Sign.LINK, ""),
    ("ata1: hard resetting link", Sign.LINK, ""),
    ("nvme nvme0: I/O Cmd(0x2) timeout, QID 3", Sign.IO, ""),
    ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10", Sign.IO, ""),
    ("nvme0c0n1: I/O Cmd(0x2) @ LBA 123, 8 blocks, I/O Error (sct 0x2 / sc 0x81) MORE DNR", Sign.IO, "nvme0n1"),
    ("I/O error, dev nvme0n1, sector 123 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", Sign.IO, "nvme0n1"),
    ('XFS (sda1): metadata I/O error in "xfs_imap_to_bp+0x5" at daddr 0x40 len 32 error 5', Sign.IO, "sda1"),
    ("XFS (sda1): Metadata CRC error detected at xfs_agi_read_verify+0xde", Sign.CHECKSUM, "sda1"),
    ("XFS (dm-0): Starting recovery (logdev: internal)", Sign.CRASH, "dm-0"),
    ("EXT4-fs error (device sda1): ext4_validate_block_bitmap:390: bad block bitmap checksum", Sign.CHECKSUM, "sda1"),
    ("EXT4-fs (sda1): recovery complete", Sign.CRASH, "sda1"),
    ("EXT4-fs (sda1): Remounting filesystem read-only", Sign.READ_ONLY, "sda1"),
    (
        "BTRFS warning (device sdb1): csum failed root 5 ino 257 off 4096 csum 0x98f expected csum 0x4e",
        Sign.CHECKSUM,
        "sdb1",
    ),
    ("BTRFS error (device sdb1): bdev /dev/sdb1 errs: wr 0, rd 3, flush 0, corrupt 1, gen 0", Sign.IO, "sdb1"),
    ("BTRFS info (device sdb1): start tree-log replay", Sign.CRASH, "sdb1"),
    ("EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1 slot:0)", Sign.MEMORY, ""),
    ("mce: [Hardware Error]: Machine check events logged", Sign.MEMORY, ""),
    ("INFO: task jbd2/sda1-8:300 blocked for more than 120 seconds.", Sign.CRASH, "sda1"),
    ("Out of memory: Killed process 812 (ollama) total-vm:9000000kB, anon-rss:8000000kB", Sign.KILLED, ""),
    ("usb 1-1: new high-speed USB device number 2 using xhci_hcd", None, ""),
    ("systemd[1]: Started Session 2 of user root.", None, ""),
)


@pytest.mark.parametrize(("text", "sign", "device"), LINES)
def test_each_line_has_its_sign_and_device(text: str, sign: Sign | None, device: str) -> None:
    """What Linux prints of damage is recognised, and what is of something else is not."""
    found = list(signs_in([text], ()))
    assert [line.sign for line in found] == ([sign] if sign is not None else [])
    if found:
        assert found[0].device == device
        assert found[0].ours is None


def test_a_line_of_another_disk_is_not_ours() -> None:
    """A partition and its disk are the same thing, sda and sdaa, nvme0n1 and nvme0n10 are not."""
    texts = [f"I/O error, dev {name}, sector 1" for name in ("sda", "sda1", "sdaa", "sdb", "nvme0n1p2", "nvme0n10")]
    ours = {line.device: line.ours for line in signs_in(texts, ("sda1", "nvme0n1"))}
    assert ours == {
        "sda": True,
        "sda1": True,
        "sdaa": False,
        "sdb": False,
        "nvme0n1p2": True,
        "nvme0n10": False,
    }


def test_what_is_not_printable_never_leaves_the_log() -> None:
    """A log line is somebody else's text: escapes are shown, and its length is bounded (T19)."""
    (line,) = signs_in(["I/O error, dev sda \x1b[2J" + "x" * 5000], ())
    assert "\x1b" not in line.text
    assert len(line.text) <= 240


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still."""
    return FrozenClock(BEGIN)


def host(tmp_path: Path, **files: str) -> Host:
    """A host whose log files hold these texts, without any command, and with an empty sysfs."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir(exist_ok=True)
    return Host(
        path=str(tmp_path / "bin"),
        kmsg=tmp_path / "kmsg",
        logs=(tmp_path / "kern.log",),
        sys=tmp_path / "sys",
        seconds=0.5,
    )


def command(tmp_path: Path, name: str, script: str) -> None:
    """Put a command on the host's search path."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_records_of_kmsg_lose_their_prefix(tmp_path: Path, clock: FrozenClock) -> None:
    """A record is ``prio,seq,time,flags;text``, and its key lines are left out."""
    kmsg = "3,1,5,-;I/O error, dev sda, sector 1\n SUBSYSTEM=block\n6,2,9,-;hello\n"
    found = collect_kernel(host(tmp_path, kmsg=kmsg), clock, device=0, mount_source="/dev/sda1")
    assert [line.text for line in found.lines] == ["I/O error, dev sda, sector 1"]
    assert found.devices == ("sda1", "sda")
    assert found.read == (str(tmp_path / "kmsg"),)
    assert found.lines[0].ours is True


def test_older_lines_come_from_the_log_file_and_are_told_once(tmp_path: Path, clock: FrozenClock) -> None:
    """What both places hold is one line."""
    line = "EXT4-fs (sda1): recovery complete"
    found = collect_kernel(host(tmp_path, **{"kmsg": f"4,1,1,-;{line}\n", "kern.log": line}), clock, device=0)
    assert [seen.text for seen in found.lines] == [line]
    assert len(found.read) == 2


def test_without_kmsg_dmesg_and_journalctl_are_asked(tmp_path: Path, clock: FrozenClock) -> None:
    """Commands stand in for files that may not be read."""
    command(tmp_path, "dmesg", "echo 'I/O error, dev sda, sector 5'")
    command(tmp_path, "journalctl", "echo 'EXT4-fs (sda1): recovery complete'")
    found = collect_kernel(host(tmp_path), clock, device=0)
    assert found.read == ("dmesg", "journalctl -k")
    assert {line.sign for line in found.lines} == {Sign.IO, Sign.CRASH}


def test_a_log_that_nobody_may_read_is_a_note(tmp_path: Path, clock: FrozenClock) -> None:
    """No log at all is no error."""
    found = collect_kernel(host(tmp_path), clock, device=0)
    assert (found.lines, found.read) == ((), ())
    assert any("journalctl" in note for note in found.notes)


@pytest.mark.parametrize("script", ["exec sleep 60", "while :; do echo 'I/O error, dev sda, sector 1'; done", "exit 3"])
def test_commands_that_hang_flood_or_fail_end(tmp_path: Path, clock: FrozenClock, script: str) -> None:
    """A deadline and a bound for each command; it is stopped, and that is noted."""
    command(tmp_path, "dmesg", script)
    found = collect_kernel(host(tmp_path), clock, device=0)
    assert any("stopped" in note for note in found.notes) == (script != "exit 3")
    assert len(found.lines) <= 1


def test_a_command_that_cannot_be_started_is_a_note(tmp_path: Path, clock: FrozenClock) -> None:
    """A broken program on the search path ends nothing."""
    path = tmp_path / "bin" / "dmesg"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF not really")
    path.chmod(0o755)
    found = collect_kernel(host(tmp_path), clock, device=0)
    assert any("cannot be started" in note for note in found.notes)


def sysfs(tmp_path: Path) -> Path:
    """A dm device on a partition of sda."""
    sys = tmp_path / "sys"
    disk = sys / "devices" / "sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "sda1" / "partition").write_text("1")
    dm = sys / "devices" / "dm-0"
    (dm / "slaves").mkdir(parents=True)
    (dm / "slaves" / "sda1").symlink_to(disk / "sda1")
    (sys / "dev" / "block").mkdir(parents=True)
    (sys / "dev" / "block" / "253:0").symlink_to(dm)
    return sys


def test_a_stacked_device_leads_to_its_disk(tmp_path: Path) -> None:
    """LVM and encryption are followed down to the drive; a device that sysfs does not know has none."""
    assert disks_of(sysfs(tmp_path), os.makedev(253, 0)) == ("dm-0", "sda1", "sda")
    assert disks_of(tmp_path / "sys", os.makedev(9, 9)) == ()


def test_smart_is_asked_of_the_drives_only(tmp_path: Path, clock: FrozenClock) -> None:
    """Not of partitions or mappings; what it says is kept where it matters."""
    answer = {
        "smart_status": {"passed": False},
        "ata_smart_attributes": {"table": [{"id": 197, "raw": {"value": 8}}, {"id": 9, "raw": {"value": 12345}}]},
    }
    command(tmp_path, "smartctl", f"echo \"$@\" >> {tmp_path}/asked; cat <<'END'\n{json.dumps(answer)}\nEND\nexit 64")
    sysfs(tmp_path)
    found = collect_kernel(host(tmp_path), clock, device=os.makedev(253, 0))
    assert (tmp_path / "asked").read_text() == "-j -a /dev/sda\n"
    assert found.disks[0].passed is False
    assert found.disks[0].counters == {"pending sectors": 8}


def test_no_smartctl_is_a_note(tmp_path: Path, clock: FrozenClock) -> None:
    """What was not asked is said."""
    sysfs(tmp_path)
    found = collect_kernel(host(tmp_path), clock, device=os.makedev(253, 0))
    assert found.disks == ()
    assert any("smartctl" in note for note in found.notes)


def test_smart_of_nvme_and_of_nothing() -> None:
    """An NVMe log counts media errors; an answer without health, or one that is no JSON, says nothing."""
    found = health_of(
        "nvme0n1", b'{"smart_status":{"passed":true},"nvme_smart_health_information_log":{"media_errors":3}}'
    )
    assert found is not None
    assert found.counters == {"media errors": 3}
    assert health_of("vda", b'{"smartctl":{"exit_status":2}}') is None
    assert health_of("vda", b"Permission denied") is None
    assert health_of("vda", b"") is None
