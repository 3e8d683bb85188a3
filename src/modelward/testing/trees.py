"""Describe whole folders, so that a test can say that nothing in one has changed."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class Entry(NamedTuple):
    """What one path is; ``size`` in bytes and ``sha256`` in hex are a file's, or a link's text's, else 0 and ""."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    sha256: str


def fingerprint(root: Path, *, ignore: str = "") -> dict[str, Entry]:
    """Every path at and below ``root``, relative and with "/", to its entry; "." is ``root`` itself.

    ``ignore`` is a name, or the end of a path ("modelward/receipts"): what is called so, wherever it stands, is
    left out with all that is below it. Links are not followed. Times and inode numbers do not count. A root that is
    not there gives an empty dict. Raises OSError for what cannot be read.
    """
    if not os.path.lexists(root):
        return {}
    found = {".": _entry(root)}
    if found["."].kind == "folder":
        found.update(_below(root, "", ignore.strip("/")))
    return found


def _below(folder: Path, prefix: str, ignore: str) -> Iterator[tuple[str, Entry]]:
    for path in sorted(folder.iterdir()):
        name = f"{prefix}{path.name}"
        if f"/{name}".endswith(f"/{ignore}"):
            continue
        entry = _entry(path)
        yield name, entry
        if entry.kind == "folder":
            yield from _below(path, f"{name}/", ignore)


def _entry(path: Path) -> Entry:
    found = path.lstat()
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    size, sha256 = _content(path, kind)
    return Entry(kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, size, sha256)


def _content(path: Path, kind: str) -> tuple[int, str]:
    if kind == "file":
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    if kind == "link":
        target = os.fsencode(path.readlink())
        return len(target), hashlib.sha256(target).hexdigest()
    return 0, ""
