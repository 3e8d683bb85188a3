"""What the verbs that only tell, or change little, print for a person: tables, causes, and what to type next."""

from pathlib import Path

import pytest

from modelward.testing import FakeStore, corrupt
from tests.models import pattern
from tests.program import Program

MIB = 1 << 20


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a store with two models that share their weights, backed up."""
    program = Program(tmp_path)
    for name, template in (("llama3", b"{{ .Prompt }}"), ("mistral", b"{{ .System }}")):
        FakeStore(program.store).add_model(name, pattern(3 * MIB), template=template)
    assert program.run("backup").code == 0
    return program


def test_space_says_what_a_model_costs_and_what_nobody_needs(program: Program) -> None:
    """Shared weights count once, an orphan is named before it is removed, and then what was freed is told."""
    FakeStore(program.store).add_model("phi", pattern(2 * MIB, 3))
    FakeStore(program.store).delete_manifest("phi")
    told = program.run("space")
    assert told.code == 0
    for words in ("llama3:latest", "ITS OWN", "orphan", "younger than the grace period", "of snapshots in"):
        assert words in told.out, told.out
    assert "2.1 MB can be freed with: modelward space --reclaim" in program.run("space", "--grace", "0s").out
    freed = program.run("space", "--reclaim", "--grace", "0s")
    assert freed.code == 0
    assert "freed 2.1 MB" in freed.out
    assert program.run("verify").code == 0


def test_doctor_names_the_cause_and_the_next_command(program: Program) -> None:
    """A MiB of zeros on the borders of blocks: what it looks like, how sure that is, and what to type."""
    weights = max((program.store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    corrupt.zero(weights, MIB, MIB)
    told = program.run("doctor")
    assert told.code in (0, 1)
    for words in ("STORE", str(program.store), "zeros", "next: "):
        assert words in told.out, told.out


def test_a_model_is_pinned_listed_and_let_go(program: Program) -> None:
    """And what has no name to let go is a usage error that says how the pins are listed."""
    assert program.run("pin", "llama3").code == 0
    assert "llama3:latest" in program.run("pin").out
    assert program.run("pin", "--off", "llama3").code == 0
    assert "llama3:latest" not in program.run("pin").out
    nameless = program.run("pin", "--off")
    assert (nameless.code, "modelward pin" in nameless.err) == (2, True)


def test_rollback_goes_to_the_version_before(program: Program) -> None:
    """The newer version stays in the vault, and verify is content with the older one."""
    FakeStore(program.store).add_model("llama3", pattern(MIB + 5, 9), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    told = program.run("rollback", "llama3")
    assert told.code == 0, told.err
    assert "llama3:latest" in told.out
    assert program.run("verify").code == 0
    assert program.run("status").code == 0
