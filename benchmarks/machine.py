"""What the figures depend on: processor, memory, file system and versions; never a host name or a path."""

import os
import platform
import re
import ssl
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_FLAGS = re.compile(r"sha_ni|avx512\w*|sha2|sha512")


def facts(scratch: Path) -> dict[str, str]:
    """The machine in words, in the order of the report."""
    cpu = _cpu()
    return {
        "cores": str(os.cpu_count() or "unknown"),
        "processor": cpu.get("model name", platform.machine()),
        "processor's hash and vector instructions": _instructions(cpu.get("flags") or cpu.get("Features", "")),
        "memory": _memory(),
        "processes that wanted to run before the start": f"{os.getloadavg()[0]:.1f} (load average)",
        "file system": file_system(scratch),
        "kernel": f"{platform.system()} {_number(platform.release())}",
        "system": _system(),
        "Python": f"{platform.python_version()}, {_number(ssl.OPENSSL_VERSION, 'OpenSSL ')}",
        "blake3 (Python)": _package("blake3"),
    }


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path`` (proc_pid_mountinfo(5)); "unknown" where it cannot be told."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    resolved = path.resolve()
    best, kind = -1, "unknown"
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _cpu() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _instructions(flags: str) -> str:
    """SHA instructions by name, the many parts of AVX-512 as one word."""
    found = {flag for flag in flags.split() if _FLAGS.fullmatch(flag)}
    words = sorted({"avx512" if flag.startswith("avx512") else flag for flag in found})
    return ", ".join(words) or "none"


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB"


def _number(text: str, prefix: str = "") -> str:
    """The version number at the start of a text: what a machine's owner added behind it is left out."""
    found = re.search(r"\d+(\.\d+)+", text)
    return prefix + (found.group() if found else "unknown")


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
