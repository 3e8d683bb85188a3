"""The programs that Modelward is measured beside: which are installed, and in which version."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

# How each says its version.
PEERS: Mapping[str, tuple[str, ...]] = {
    "sha256sum": ("--version",),
    "openssl": ("version",),
    "b3sum": ("--version",),
    "dd": ("--version",),
    "cp": ("--version",),
    "rsync": ("--version",),
    "restic": ("version",),
    "borg": ("--version",),
    "rclone": ("version", "--config="),
    "find": ("--version",),
    "zstd": ("--version",),
    "skopeo": ("--version",),
}
_NUMBER = re.compile(r"\d+\.\d+[\w.]*")


@dataclass(frozen=True, slots=True)
class Peers:
    """Versions of the installed peers, by name."""

    versions: Mapping[str, str]

    def why_not(self, program: str) -> str:
        """Why the program cannot run; empty when it can."""
        return "" if not program or program in self.versions else f"{program} is not installed"


def installed() -> Peers:
    """The peers on PATH. Asking each for its version also brings its program into memory."""
    return Peers({name: _version(name, *words) for name, words in PEERS.items() if shutil.which(name)})


def says(*command: str) -> str:
    """What a command prints, both streams; empty when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _version(*command: str) -> str:
    found = _NUMBER.search(says(*command))
    return found.group() if found else "unknown"
