"""Look through another folder of this host for files that may be a wanted blob, by names and sizes alone.

Layout facts: Ollama names a blob ``blobs/sha256-<hex>`` (up to v0.1.29 ``sha256:<hex>``), an OCI image layout
``blobs/sha256/<hex>``; a Hugging Face cache names ``models--*/blobs/<etag>``, which for a large file is its SHA-256
and for a small one the 40 digits of a git object (huggingface_hub, file_download.py).
"""

import os
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from modelward.domain.errors import DamageError
from modelward.domain.receipt import FileId
from modelward.durable import Folder
from modelward.scan import id_of

MOST_ENTRIES = 100_000
DEEPEST = 8
_HEX = 64
_PREFIXES = ("sha256-", "sha256:")
_BARE_IN = ("blobs", "sha256")
_HUB_REPO = ("models--", "datasets--", "spaces--")
_WEIGHTS = (".gguf", ".ggml", ".safetensors", ".bin", ".mmproj", ".pt", ".pth", ".onnx")


class Place(NamedTuple):
    """A file below a root: its folders, its name, and for a file of weights its identity when it was listed."""

    folders: tuple[str, ...]
    name: str
    file: FileId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to look for: hex digests that names may claim, sizes in bytes that files of weights may have."""

    hexes: frozenset[str] = frozenset()
    sizes: frozenset[int] = frozenset()

    def covers(self, other: "Asked") -> bool:
        """Whether a listing for this also answers the other question."""
        return other.hexes <= self.hexes and other.sizes <= self.sizes

    def joined(self, other: "Asked") -> "Asked":
        """Both questions in one."""
        return Asked(hexes=self.hexes | other.hexes, sizes=self.sizes | other.sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What was found: files whose name claims a wanted digest by hex, files of weights of a wanted size by size."""

    claims: dict[str, list[Place]] = field(default_factory=dict)
    weights: dict[int, list[Place]] = field(default_factory=dict)


def look_through(root: Path, asked: Asked, own: Collection[tuple[int, int]]) -> Listing:
    """Walk ``root``, shallow folders first, at most 100,000 entries and 8 folders deep; no file is opened.

    Folders with a (device, inode) in ``own`` are left out, links are not followed, and what cannot be read has
    nothing to give.
    """
    listing, waiting, left = Listing(), deque[tuple[str, ...]]([()]), MOST_ENTRIES
    while waiting and left > 0:
        parts = waiting.popleft()
        try:
            folder = open_folder(root, parts)
            if _identity(folder) in own:
                continue
            for entry in folder.entries():
                left -= 1
                if left < 0:
                    break
                with suppress(OSError):  # it went away meanwhile
                    if _take(entry, parts, parts[-1] if parts else root.name, asked, listing):
                        waiting.append((*parts, entry.name))
        except (DamageError, OSError):
            continue
    return listing


def open_folder(root: Path, parts: tuple[str, ...]) -> Folder:
    """A folder below a root, no link followed on the way; raises a DamageError."""
    folder = Folder.open(root)
    for part in parts:
        folder = folder.sub(part)
    return folder


def open_place(root: Path, place: Place) -> int:
    """A descriptor to read the file, a plain one; raises a DamageError. The caller closes it."""
    return open_folder(root, place.folders).open_file(place.name)


def identities(folders: Collection[Path]) -> frozenset[tuple[int, int]]:
    """Device and inode of these folders and of the blobs in them, so that no other mount shows them as siblings."""
    found = set()
    for folder in folders:
        for path in (folder, folder / "blobs", folder / "blobs" / "sha256"):
            try:
                stat = path.stat()
            except OSError:
                continue
            found.add((stat.st_dev, stat.st_ino))
    return frozenset(found)


def _identity(folder: Folder) -> tuple[int, int]:
    stat = os.fstat(folder.fd)
    return stat.st_dev, stat.st_ino


def _take(entry: os.DirEntry[str], parts: tuple[str, ...], parent: str, asked: Asked, listing: Listing) -> bool:
    """Put a file that may be wanted into the listing; says whether the entry is a folder to go into."""
    name = entry.name
    if name[-_HEX:] in asked.hexes and _claims(name, parent):
        if entry.is_file(follow_symlinks=False):
            listing.claims.setdefault(name[-_HEX:], []).append(Place(parts, name))
        return False
    if name.lower().endswith(_WEIGHTS) and entry.is_file(follow_symlinks=False):
        file = id_of(entry.stat(follow_symlinks=False))
        if file.size in asked.sizes:
            listing.weights.setdefault(file.size, []).append(Place(parts, name, file))
        return False
    # A repository of a Hugging Face cache keeps its bytes in blobs; the rest are links to them and small texts.
    wanted = name == "blobs" or not parent.startswith(_HUB_REPO)
    return wanted and len(parts) < DEEPEST and entry.is_dir(follow_symlinks=False)


def _claims(name: str, parent: str) -> bool:
    """Whether a name that ends in 64 hex digits is a layout's name for the blob with that SHA-256."""
    return name[:-_HEX] in _PREFIXES or (len(name) == _HEX and parent in _BARE_IN)
