"""A snapshot goes to a real registry by the command line, skopeo reads it there, and it comes back the same."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelward.testing import FakeStore, corrupt, fingerprint
from tests.docker_registry import running_registry
from tests.models import pattern
from tests.program import Program, Ran
from tests.vault.test_skopeo import sha256, skopeo

MIB = 1 << 20
pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo on PATH"),
]


def program(base: Path) -> Program:
    """The program over a store and a vault that are empty."""
    FakeStore(base / "store")
    return Program(base)


def run(machine: Program, *words: str, code: int = 0) -> Ran:
    """Run it, show what a user sees, and expect this exit code."""
    ran = machine.run(*words)
    print(f"$ modelward {' '.join(words)}\n{ran.out}{ran.err}[exit {ran.code}]")
    assert ran.code == code
    return ran


@pytest.fixture
def here(tmp_path: Path) -> Program:
    """A machine whose vault has a model of more than two chunks."""
    machine = program(tmp_path / "here")
    FakeStore(machine.store).add_model("llama3:8b", pattern(2 * MIB + 5), template=b"{{ .Prompt }}", system=b"")
    run(machine, "backup")
    return machine


@pytest.fixture
def there(tmp_path: Path) -> Program:
    """A machine that has nothing."""
    return program(tmp_path / "there")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[str]:
    """A repository of a real registry."""
    with running_registry(tmp_path) as host:
        yield f"{host}/backups/llama3"


def test_there_and_back(here: Program, there: Program, place: str, tmp_path: Path) -> None:
    """Push, skopeo inspect and copy, fetch into an empty vault, restore: one wrapper digest, the same store."""
    pushed = run(here, "push", "llama3:8b", place, "--json").document
    assert (pushed["schema"], pushed["target"]) == ("modelward/push/1", f"{place}:8b")
    source = f"docker://{place}:8b"
    assert sha256(skopeo("inspect", "--raw", "--tls-verify=false", source)) == pushed["wrapper"]
    skopeo("copy", source, f"dir:{tmp_path / 'dir'}", "--src-tls-verify=false")
    assert "sent 0 B" in run(here, "push", "llama3:8b", place).out
    fetched = run(there, "fetch", f"{place}:8b", "--json").document
    assert fetched["wrapper"] == pushed["wrapper"]
    assert "unchanged" in run(there, "fetch", f"{place}:8b").out
    run(there, "restore", "llama3:8b")
    assert fingerprint(there.store, ignore=".modelward") == fingerprint(here.store, ignore=".modelward")
    run(there, "verify", "--vault-copy")


def test_what_the_registry_lost_or_never_had(here: Program, there: Program, place: str, tmp_path: Path) -> None:
    """Rot on the registry's disk is refused, an unknown tag and a registry that is gone say so; nothing comes in."""
    run(there, "fetch", f"{place}:8b", code=4)
    run(here, "push", "llama3:8b", place)
    data = max((tmp_path / "registry").rglob("data"), key=lambda path: path.stat().st_size)
    corrupt.flip_bit(data, MIB + 9, 3)
    printed = run(there, "fetch", f"{place}:8b", code=1)
    assert "next:" in printed.err
    assert not list((there.vault / "modelward/snapshots").iterdir())
    assert not list((there.vault / "modelward/staging").iterdir())
    corrupt.flip_bit(data, MIB + 9, 3)
    run(there, "fetch", f"{place}:8b")
    gone = "127.0.0.1:9/backups/llama3"
    assert "next:" in run(here, "push", "llama3:8b", gone, code=4).err
