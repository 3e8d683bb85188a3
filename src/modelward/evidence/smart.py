"""Ask drives what they know of themselves, by ``smartctl --json``; where it is not there, that is a note."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from modelward.domain.forecast import DriveReading
from modelward.evidence.kernel import Host, by_name, disks_of, drives_of, output_of, program_of
from modelward.forecast.drive import read_smart
from modelward.ports import Clock

_MOST = 8  # drives asked


def drive_readings(
    host: Host, clock: Clock, places: Iterable[tuple[int, str]]
) -> tuple[tuple[DriveReading, ...], tuple[str, ...]]:
    """What the drives below these places say, and notes on what could not be asked.

    A place is the number of its device (st_dev) and the source of its mount. Each drive has the host's deadline, and
    eight are asked at most; nothing is changed, and no drive is woken from standby.
    """
    notes: list[str] = []
    names: dict[str, None] = {}
    for device, source in places:
        names |= dict.fromkeys(drives_of(host.sys, disks_of(host.sys, device) or by_name(source)))
    if not names:
        return (), ("no drive is known below the store or the vault: it may be a network or a container's file system",)
    if program_of(host, "smartctl") is None:
        return (), ("smartctl is not installed: what the drives know of themselves was not asked (smartmontools)",)
    asked = list(names)[:_MOST]
    found = [_reading(name, _document(host, clock, name, notes), clock.now()) for name in asked]
    seen = tuple(reading for reading in found if reading is not None)
    if len(seen) < len(asked):
        notes.append("smartctl says nothing of some drives: run it as root, or on the host of this virtual machine")
    return seen, tuple(notes)


def _document(host: Host, clock: Clock, name: str, notes: list[str]) -> object:
    # --all reads no log that wakes a drive; -n standby leaves one alone that sleeps.
    output = output_of(host, clock, ("smartctl", "--json", "--all", "-n", "standby", f"/dev/{name}"), notes)
    try:
        return msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _reading(name: str, document: object, now: datetime) -> DriveReading | None:
    return read_smart(name, document, now.timestamp()) if isinstance(document, Mapping) else None
