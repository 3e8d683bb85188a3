"""Ask the kernel's log and the disks themselves what they know of damage; what cannot be read is a note.

The forms follow what Linux prints: block layer, libata, SCSI, NVMe, ext4, XFS, btrfs, EDAC, the hang and OOM watchers.
"""

import os
import re
import select
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from modelward.domain.codec import learned
from modelward.domain.evidence import DiskHealth, KernelEvidence, KernelLine, Sign
from modelward.domain.words import printable
from modelward.ports import Clock

_MOST_BYTES = 2 << 20
_MOST_LINES = 500
_LINE = 240
_RECORD = 8192
_DEVICE = r"(?:sd|vd|xvd)[a-z]+\d*|nvme\d+(?:c\d+)?n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?|(?:dm-|md|loop)\d+"


def _any(*forms: str) -> re.Pattern[str]:
    return re.compile("|".join(forms), re.IGNORECASE)


# The first that fits a line is its sign.
_SIGNS = (
    (
        Sign.LINK,
        _any("ICRC", "BadCRC", "UnrecovData", "hard resetting link", "SATA link down", "PCIe Bus Error", "AER:"),
    ),
    (Sign.CHECKSUM, _any("csum failed", "checksum error", "checksum verify failed", "checksum invalid", "failed CRC")),
    (Sign.CHECKSUM, _any("CRC error detected", "Metadata corruption detected", "bad tree block", "EXT4-fs error")),
    (Sign.IO, _any(r"I/O error", r"critical (?:medium|target) error", r"Unrecovered read error", r"Medium Error")),
    (Sign.IO, _any(r"\{ UNC", "failed command: READ", "media error", "controller is down", r"I/O Cmd.*timeout")),
    (Sign.IO, _any("lost async page write", "lost page write", "Unrecoverable Read", r"errs: wr \d+, rd [1-9]")),
    (Sign.READ_ONLY, _any("Remounting filesystem read-only", "forced readonly", "Shutting down filesystem")),
    (
        Sign.MEMORY,
        _any(r"EDAC .*\b[CU]E\b", "Machine Check", "Hardware Error", "Memory failure:", "ECC error", r"mce: \["),
    ),
    (Sign.CRASH, _any("recovery complete", "orphan cleanup", "Starting recovery", "Ending recovery", "log replay")),
    (Sign.CRASH, _any("start tree-log replay", "unclean shutdown", "recovery required", "Kernel panic", "soft lockup")),
    (Sign.CRASH, _any(r"blocked for more than \d+ seconds")),
    (Sign.KILLED, _any("Out of memory: Killed process", "oom-kill:")),
)
_NAMED = re.compile(rf"(?<![\w-])(?:/dev/)?((?:{_DEVICE}))(?!\w)")
_PART = re.compile(r"((?:nvme\d+n\d+|mmcblk\d+|md\d+|loop\d+)(?=p\d+\Z)|(?:sd|vd|xvd)[a-z]+(?=\d+\Z))")
_MULTIPATH = re.compile(r"(nvme\d+)c\d+(n\d+)")
_COUNTERS = {
    5: "reallocated sectors",
    187: "uncorrectable errors",
    197: "pending sectors",
    198: "offline uncorrectable sectors",
    199: "CRC errors on the cable",
}
_DMESG = ("dmesg",)
_JOURNAL = ("journalctl", "-k", "--no-pager", "-q", "-b", "all", "-n", "20000")
_NVME = {"media_errors": "media errors", "critical_warning": "critical warnings"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where this host keeps what is asked for; ``path`` is the search path for commands, ``seconds`` for each."""

    path: str
    kmsg: Path = field(default_factory=lambda: Path("/dev/kmsg"))
    logs: tuple[Path, ...] = field(default_factory=lambda: (Path("/var/log/kern.log"), Path("/var/log/messages")))
    sys: Path = field(default_factory=lambda: Path("/sys"))
    seconds: float = 5.0

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Host":
        """This host, with the commands that ``PATH`` leads to."""
        return cls(path=environ.get("PATH", os.defpath))


def collect_kernel(host: Host, clock: Clock, *, device: int, mount_source: str = "") -> KernelEvidence:
    """What the log says of damage, and SMART of the disks below ``device`` (a st_dev; else the mount's source).

    Every part has a deadline and a bound; what is absent or forbidden is a note, never an error.
    """
    devices = disks_of(host.sys, device) or by_name(mount_source)
    notes: list[str] = []
    read: list[str] = []
    lines: dict[str, KernelLine] = {}
    for name, texts in _logs(host, clock, notes):
        read.append(name)
        for line in signs_in(texts, devices):
            lines.setdefault(line.text, line)
    if not read:
        notes.append("the kernel's log cannot be read here: as root, look at journalctl -k for I/O errors")
    disks = _smart(host, clock, drives_of(host.sys, devices), notes)
    return KernelEvidence(
        lines=tuple(lines.values())[-_MOST_LINES:],
        disks=disks,
        devices=devices,
        read=tuple(read),
        notes=tuple(notes),
    )


def signs_in(texts: Iterable[str], devices: Sequence[str]) -> Iterator[KernelLine]:
    """The lines that speak of damage; ``ours`` says whether the disk that a line names is one of ``devices``."""
    ours = {_disk(name) for name in devices} | set(devices)
    for text in texts:
        sign = next((sign for sign, form in _SIGNS if form.search(text)), None)
        if sign is None:
            continue
        found = _NAMED.search(text)
        name = _MULTIPATH.sub(r"\1\2", found[1]) if found is not None else ""
        known = None if not name or not ours else name in ours or _disk(name) in ours
        yield KernelLine(sign=sign, text=printable(text.strip())[:_LINE], device=name, ours=known)


def disks_of(sys: Path, device: int) -> tuple[str, ...]:
    """The names of a block device, of the disk that it is a part of, and of all that it is stacked on (sysfs)."""
    start = sys / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}"
    found: dict[str, None] = {}
    queue = [start]
    while queue and len(found) < 64:
        with suppress(OSError):
            here = queue.pop().resolve(strict=True)
            found.setdefault(here.name)
            if (here / "partition").exists():
                queue.append(here.parent)
            queue += sorted((here / "slaves").iterdir()) if (here / "slaves").is_dir() else []
    return tuple(found)


def by_name(source: str) -> tuple[str, ...]:
    """The block device that a mount's source names, and its disk; nothing where it names none."""
    found = _NAMED.fullmatch(source)
    return tuple(dict.fromkeys((found[1], _disk(found[1])))) if found is not None else ()


def _disk(name: str) -> str:
    """The disk of a partition; the name itself of anything else."""
    found = _PART.match(name)
    return found[1] if found is not None else name


def drives_of(sys: Path, devices: Sequence[str]) -> tuple[str, ...]:
    """Those of the devices that are drives of their own: no partitions, nothing stacked."""
    stacked = ("dm-", "md", "loop", "zram", "ram")
    drives = (name for name in devices if _disk(name) == name and not name.startswith(stacked))
    return tuple(name for name in drives if not (sys / "class" / "block" / name / "partition").exists())


# The log.


def _logs(host: Host, clock: Clock, notes: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The log since the start of the host, then older lines: each from the first place that can be read."""
    if texts := _kmsg(host, clock):
        yield str(host.kmsg), texts
    elif texts := _run(host, clock, _DMESG, notes):
        yield "dmesg", texts
    if texts := _run(host, clock, _JOURNAL, notes):
        yield "journalctl -k", texts
        return
    for log in host.logs:
        if texts := _tail(log):
            yield str(log), texts
            return


def _kmsg(host: Host, clock: Clock) -> list[str]:
    """The records of the kernel's ring buffer (Documentation/ABI/testing/dev-kmsg): prefix, ``;``, text."""
    try:
        fd = os.open(host.kmsg, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    until = clock.monotonic() + host.seconds
    texts: list[str] = []
    size = 0
    try:
        for record in _records(fd):
            size += len(record)
            texts += (_text(line) for line in record.decode("utf-8", "replace").splitlines() if line[:1] != " ")
            if size >= _MOST_BYTES or clock.monotonic() >= until:
                break
    finally:
        os.close(fd)
    return texts


def _records(fd: int) -> Iterator[bytes]:
    """What can be read without waiting; where records were overwritten, the oldest that is left comes next."""
    while True:
        try:
            record = os.read(fd, _RECORD)
        except BrokenPipeError:
            record = b"\n"
        except OSError:
            return
        if not record:
            return
        yield record


def _text(record: str) -> str:
    head, found, text = record.partition(";")
    return text if found and "," in head else record


def _tail(path: Path) -> list[str]:
    """The last lines of a log file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _MOST_BYTES))
            return file.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def program_of(host: Host, name: str) -> str | None:
    """The first program of this name on the search path; folders that are not absolute are not looked into."""
    found = (os.path.join(folder, name) for folder in host.path.split(os.pathsep) if folder.startswith("/"))  # noqa: PTH118 - texts in, text out
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _run(host: Host, clock: Clock, command: Sequence[str], notes: list[str]) -> list[str]:
    output = output_of(host, clock, command, notes)
    return output.decode("utf-8", "replace").splitlines()


def output_of(host: Host, clock: Clock, command: Sequence[str], notes: list[str]) -> bytes:
    """What a command prints, up to a bound and a deadline; nothing where it is absent or cannot be started."""
    program = program_of(host, command[0])
    if program is None:
        return b""
    try:
        process = subprocess.Popen(  # noqa: S603 - a program found on PATH, with arguments of our own
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        notes.append(f"{command[0]} cannot be started ({error.strerror})")
        return b""
    with process:
        try:
            output, ended = _drain(process, clock, host.seconds)
        except BaseException:
            process.kill()
            raise
        if not ended:
            process.kill()
            notes.append(f"{command[0]} was stopped after {host.seconds:g} s, or at its bound of output")
    return output


def _drain(process: "subprocess.Popen[bytes]", clock: Clock, seconds: float) -> tuple[bytes, bool]:
    """Read up to the end (then True), the bound or the deadline."""
    if process.stdout is None:
        return b"", True
    fd, until = process.stdout.fileno(), clock.monotonic() + seconds
    data = bytearray()
    while len(data) < _MOST_BYTES and (left := until - clock.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            break
        block = os.read(fd, 1 << 16)
        if not block:
            return bytes(data), True
        data += block
    return bytes(data), False


# SMART.


class _Raw(msgspec.Struct):
    value: int = 0


class _Attribute(msgspec.Struct):
    id: int
    raw: _Raw = msgspec.field(default_factory=_Raw)


class _Table(msgspec.Struct):
    table: list[_Attribute] = []


class _Status(msgspec.Struct):
    passed: bool | None = None


class _Smart(msgspec.Struct):
    """What we read of smartctl's JSON (smartmontools 7); all else in it is left alone."""

    smart_status: _Status = msgspec.field(default_factory=_Status)
    ata_smart_attributes: _Table = msgspec.field(default_factory=_Table)
    nvme_smart_health_information_log: dict[str, object] = {}
    scsi_grown_defect_list: int = 0


def _smart(host: Host, clock: Clock, drives: Sequence[str], notes: list[str]) -> tuple[DiskHealth, ...]:
    if not drives:
        return ()
    if program_of(host, "smartctl") is None:
        notes.append("smartctl is not installed: what the disk knows of itself was not asked (smartmontools)")
        return ()
    found = (
        health_of(name, output_of(host, clock, ("smartctl", "-j", "-a", f"/dev/{name}"), notes)) for name in drives[:8]
    )
    seen = tuple(disk for disk in found if disk is not None)
    if len(seen) < len(drives[:8]):
        notes.append("smartctl says nothing of some of the store's disks: run it as root, or on the host of this VM")
    return seen


def health_of(device: str, output: bytes) -> DiskHealth | None:
    """What smartctl's JSON says; None where it says nothing of the disk's health."""
    try:
        smart = msgspec.json.decode(output, type=learned(_Smart))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    counters = {_COUNTERS[a.id]: a.raw.value for a in smart.ata_smart_attributes.table if a.id in _COUNTERS}
    for key, name in _NVME.items():
        value = smart.nvme_smart_health_information_log.get(key)
        if isinstance(value, int):
            counters[name] = value
    if smart.scsi_grown_defect_list:
        counters["grown defects"] = smart.scsi_grown_defect_list
    if smart.smart_status.passed is None and not counters:
        return None
    return DiskHealth(device=device, passed=smart.smart_status.passed, counters=counters)
