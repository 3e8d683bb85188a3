"""Stores and servers of this host: found, and never more looked at than is needed."""

import os
from pathlib import Path

import pytest

from modelward.evidence.host import identity, is_store, read_only, servers, stores, unit
from modelward.testing import FakeStore


def process(root: Path, pid: int, words: list[str], environ: dict[str, str], inside: Path | None = None) -> None:
    """A process as /proc shows it."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in words) + b"\0")
    (folder / "environ").write_bytes(b"\0".join(f"{key}={value}".encode() for key, value in environ.items()) + b"\0")
    (folder / "root").symlink_to(inside or "/")


def test_server_processes(tmp_path: Path) -> None:
    """By their command; their store by OLLAMA_MODELS, else by HOME, seen from inside their own root."""
    inside = tmp_path / "container"
    FakeStore(inside / "root/.ollama/models").add_model("llama3", b"x")
    process(tmp_path, 12, ["/usr/bin/ollama", "serve"], {"HOME": "/root", "SECRET": "canary"}, inside)
    process(tmp_path, 7, ["ollama", "serve"], {"OLLAMA_MODELS": f'"{tmp_path}/other"', "OLLAMA_HOST": ":9"})
    process(tmp_path, 30, ["ollama", "runner"], {})
    process(tmp_path, 31, ["vim", "serve"], {})
    found, notes = servers(tmp_path)
    assert [(server.pid, server.store, server.container) for server in found] == [
        (7, f"{tmp_path}/other", False),
        (12, "/root/.ollama/models", True),
    ]
    assert found[1].folder == identity(inside / "root/.ollama/models")
    assert found[0].folder == (0, 0)
    assert "canary" not in repr(found)
    assert notes == []


def test_a_server_of_somebody_else(tmp_path: Path) -> None:
    """What could not be read is said."""
    process(tmp_path, 5, ["ollama", "serve"], {})
    (tmp_path / "proc/5/environ").unlink()
    found, notes = servers(tmp_path)
    assert found == []
    assert "process 5" in notes[0]


def test_no_proc_at_all(tmp_path: Path) -> None:
    """As on another system."""
    assert servers(tmp_path) == ([], [])


def test_stores_around_ours(tmp_path: Path) -> None:
    """In one volume, at its top and below; each once, links followed; empty folders are none."""
    FakeStore(tmp_path / "vol/models").add_model("llama3", b"x" * 100)
    FakeStore(tmp_path / "vol").add_model("mistral", b"y")
    (tmp_path / "link").symlink_to(tmp_path / "vol")
    found = stores(tmp_path / "vol/models", [(tmp_path / "link", "named"), (tmp_path / "nothing", "x")], None)
    assert [(Path(store.path).name, store.ours, [name.short for name in store.models]) for store in found] == [
        ("models", True, ["llama3:latest"]),
        ("link", False, ["mistral:latest"]),
    ]
    assert found[0].size >= 100
    assert found[0].served is None


def test_which_one_the_server_reads(tmp_path: Path) -> None:
    """By device and inode."""
    FakeStore(tmp_path / "a").add_model("llama3", b"x")
    FakeStore(tmp_path / "b").add_model("llama3", b"x")
    found = stores(tmp_path / "a", [(tmp_path / "b", "named")], identity(tmp_path / "b"))
    assert [store.served for store in found] == [False, True]


def test_the_unit() -> None:
    """Its variables; none without one."""
    assert unit({}) is None
    found = unit({"HOME": "/usr/share/ollama", "OLLAMA_MODELS": "/big"})
    assert found is not None
    assert (found.store, found.container) == ("/big", False)


def test_small_things(tmp_path: Path) -> None:
    """Folders that are no stores, and places that are not there."""
    assert not is_store(tmp_path)
    assert identity(tmp_path / "nope") is None
    assert not read_only(tmp_path)
    assert not read_only(tmp_path / "nope")


def test_stores_beside_and_below(tmp_path: Path) -> None:
    """Whatever their names, two levels down; what lies in a store's own folders is none."""
    for place in ("vol/mine", "vol/beside", "vol/mine/a/deep", "vol/mine/blobs/x", "vol/mine/a/b/too-deep"):
        FakeStore(tmp_path / place).add_model("llama3", b"x")
    found = stores(tmp_path / "vol/mine", [], None)
    assert [Path(store.path).name for store in found] == ["mine", "beside", "deep"]


def test_docker_volumes(tmp_path: Path) -> None:
    """Both places in a volume, as far as they can be read."""
    top = tmp_path / "var/lib/docker/volumes/rag_models/_data"
    FakeStore(tmp_path / "ours/store").add_model("llama3", b"x")
    FakeStore(top).add_model("llama3", b"x")
    FakeStore(top / "models").add_model("mistral", b"x")
    found = stores(tmp_path / "ours/store", [], None, root=tmp_path)
    assert {store.path for store in found if "rag_models" in store.why} == {str(top), str(top / "models")}


def test_a_container_does_not_read_our_folder_of_the_same_name(tmp_path: Path) -> None:
    """Its store is not there yet: the host's folder at that path proves nothing about it."""
    FakeStore(tmp_path / "models").add_model("llama3", b"x")
    (tmp_path / "container").mkdir()
    process(tmp_path, 9, ["ollama", "serve"], {"OLLAMA_MODELS": str(tmp_path / "models")}, tmp_path / "container")
    ((server,), _) = servers(tmp_path)
    assert (server.folder, server.container) == ((0, 0), True)


def test_a_store_from_where_the_server_runs(tmp_path: Path) -> None:
    """A path that does not begin with a slash counts from its working folder."""
    FakeStore(tmp_path / "there/models").add_model("llama3", b"x")
    process(tmp_path, 9, ["ollama", "serve"], {"OLLAMA_MODELS": "models"})
    (tmp_path / "proc/9/cwd").symlink_to(tmp_path / "there")
    assert servers(tmp_path)[0][0].folder == identity(tmp_path / "there/models")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    """It is no store to us."""
    (tmp_path / "closed").mkdir(mode=0)
    assert not is_store(tmp_path / "closed/x")
