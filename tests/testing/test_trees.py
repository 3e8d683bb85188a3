"""A fingerprint tells two trees apart by all that counts and by nothing else."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from modelward.testing import Entry, fingerprint


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a file, an empty folder, a link and a file further down."""
    root = tmp_path / "tree"
    (root / "deep" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a").write_bytes(b"alpha")
    (root / "deep" / "deeper" / "b").write_bytes(b"beta")
    (root / "link").symlink_to("a")
    return root


def test_names_every_path(tree: Path) -> None:
    """Every path is there, relative, and the root itself as a dot."""
    assert sorted(fingerprint(tree)) == [".", "a", "deep", "deep/deeper", "deep/deeper/b", "empty", "link"]


def test_file_entry_says_all(tree: Path) -> None:
    """A file's entry holds kind, mode, owner, group, size and hash."""
    (tree / "a").chmod(0o640)
    found = (tree / "a").stat()
    expected = Entry("file", 0o640, found.st_uid, found.st_gid, 5, hashlib.sha256(b"alpha").hexdigest())
    assert fingerprint(tree)["a"] == expected


def test_folder_has_no_size(tree: Path) -> None:
    """What a file system stores for a folder itself says nothing about what is in it."""
    entry = fingerprint(tree)["empty"]
    assert (entry.kind, entry.size, entry.sha256) == ("folder", 0, "")


def test_reading_twice_gives_the_same(tree: Path) -> None:
    """An untouched tree equals itself, also after its times changed."""
    before = fingerprint(tree)
    os.utime(tree / "a", (1, 1))
    assert fingerprint(tree) == before


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a").write_bytes(b"alphA"),
    "mode": lambda root: (root / "deep" / "deeper" / "b").chmod(0o400),
    "folder's mode": lambda root: (root / "empty").chmod(0o500),
    "root's mode": lambda root: root.chmod(0o750),
    "new file": lambda root: (root / "empty" / "new").touch(),
    "file gone": lambda root: (root / "a").unlink(),
    "folder gone": lambda root: (root / "empty").rmdir(),
    "link's target": lambda root: _link(root / "link"),
    "link for a file": lambda root: _link(root / "a"),
    "pipe": lambda root: os.mkfifo(root / "pipe"),
}


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("b")


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_shows(tree: Path, change: str) -> None:
    """Any change of content, mode or entries makes another fingerprint."""
    before = fingerprint(tree)
    CHANGES[change](tree)
    assert fingerprint(tree) != before


def test_links_are_not_followed(tree: Path) -> None:
    """A link to a folder, or into nothing, is one entry that holds the link's own text."""
    (tree / "into").symlink_to("deep")
    (tree / "dangling").symlink_to("nowhere")
    found = fingerprint(tree)
    assert found["into"].kind == found["dangling"].kind == "link"
    assert "into/deeper" not in found
    assert found["dangling"].sha256 == hashlib.sha256(b"nowhere").hexdigest()


def test_pipes_are_not_opened(tree: Path) -> None:
    """A pipe is named and not read, which would wait for ever."""
    os.mkfifo(tree / "pipe", 0o600)
    mode = stat.S_IMODE((tree / "pipe").lstat().st_mode)
    assert fingerprint(tree)["pipe"][:2] == ("pipe", mode)


@pytest.mark.parametrize("ignore", ["deep", "deep/", "/deep"])
def test_ignored_folder_is_left_out(tree: Path, ignore: str) -> None:
    """The ignored path and all below it are left out, and nothing else."""
    assert sorted(fingerprint(tree, ignore=ignore)) == [".", "a", "empty", "link"]


@pytest.mark.parametrize("ignore", ["deeper", "deep/deeper"])
def test_ignored_name_may_stand_anywhere(tree: Path, ignore: str) -> None:
    """A name, or the end of a path, is left out on every level; what only ends alike stays in."""
    (tree / "twice" / "deep" / "deeper").mkdir(parents=True)
    (tree / "much_deeper").mkdir()
    found = fingerprint(tree, ignore=ignore)
    assert {"deep", "twice/deep", "much_deeper"} <= set(found)
    assert [name for name in found if name.endswith(("/deeper", "/b"))] == []


def test_a_root_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """So that a test can say that a folder was never made."""
    assert fingerprint(tmp_path / "nothing") == {}
