"""Drives are asked once each, bounded and late; what cannot be asked is a note."""

import json
import os
from pathlib import Path

import pytest

from modelward.evidence.kernel import Host
from modelward.evidence.smart import drive_readings
from modelward.testing import FrozenClock
from tests.places import BEGIN

ANSWER = {"smart_status": {"passed": True}, "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 3}}]}}


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still."""
    return FrozenClock(BEGIN)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose only block device is sda1 on sda, device 8:1."""
    disk = tmp_path / "sys/devices/sda"
    (disk / "sda1").mkdir(parents=True)
    (disk / "sda1/partition").write_text("1")
    block = tmp_path / "sys/dev/block"
    block.mkdir(parents=True)
    (block / "8:1").symlink_to(disk / "sda1")
    (tmp_path / "bin").mkdir()
    return Host(path=str(tmp_path / "bin"), sys=tmp_path / "sys")


def smartctl(host: Host, script: str) -> Path:
    """Put a smartctl there that does what the script says; returns the file that it notes its arguments in."""
    program = Path(host.path) / "smartctl"
    program.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "$@" >> {host.path}/asked\n{script}\n')
    program.chmod(0o755)
    return Path(host.path) / "asked"


def test_each_drive_is_asked_once(host: Host, clock: FrozenClock) -> None:
    """Store and vault on one drive are one question, that wakes no drive from standby."""
    asked = smartctl(host, f"cat <<'END'\n{json.dumps(ANSWER)}\nEND\nexit 64")
    place = (os.makedev(8, 1), "/dev/sda1")
    readings, notes = drive_readings(host, clock, [place, place])
    assert asked.read_text() == "--json --all -n standby /dev/sda\n"
    assert [(one.device, one.attributes, one.at) for one in readings] == [("sda", {5: 3}, BEGIN.timestamp())]
    assert notes == ()


def test_a_source_names_the_drive_where_sysfs_does_not(host: Host, clock: FrozenClock) -> None:
    """btrfs gives devices numbers of its own; the mount's source leads to the drive."""
    asked = smartctl(host, "echo '{}'")
    drive_readings(host, clock, [(os.makedev(0, 33), "/dev/nvme0n1p2")])
    assert asked.read_text().endswith("/dev/nvme0n1\n")


@pytest.mark.parametrize("script", ["echo '{}'", "echo Permission denied", "exit 2", "printf '['"])
def test_a_drive_that_says_nothing_is_a_note(host: Host, clock: FrozenClock, script: str) -> None:
    """No health, no JSON, nothing at all: no reading, and what to try instead."""
    smartctl(host, script)
    readings, notes = drive_readings(host, clock, [(os.makedev(8, 1), "")])
    assert readings == ()
    assert "run it as root" in notes[0]


def test_no_smartctl_and_no_drive_are_notes(host: Host, clock: FrozenClock) -> None:
    """A host without the tool, and a file system without a drive, are told apart."""
    assert "smartctl is not installed" in drive_readings(host, clock, [(os.makedev(8, 1), "")])[1][0]
    smartctl(host, "exit 1")
    assert "no drive is known" in drive_readings(host, clock, [(os.makedev(0, 44), "overlay")])[1][0]
    assert not (Path(host.path) / "asked").exists()
