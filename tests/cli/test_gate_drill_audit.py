"""The verbs gate, drill and audit as a user meets them: exit codes, documents, words, and nothing left behind."""

from pathlib import Path

import pytest

from modelward.testing import FakeStore, corrupt
from tests.models import pattern
from tests.program import Program

MIB = 1 << 20


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a store with one model, backed up."""
    program = Program(tmp_path)
    FakeStore(program.store).add_model("llama3", pattern(2 * MIB + 5), template=b"{{ .Prompt }}")
    assert program.run("backup").code == 0
    return program


def weights(program: Program) -> Path:
    """The file of the weights."""
    return max(program.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("verb", ["gate", "drill", "audit"])
def test_help_explains(program: Program, verb: str) -> None:
    """--help names purpose and options, and the verb is among all verbs."""
    shown = program.run(verb, "--help")
    assert (shown.code, len(shown.out) > 300) == (0, True)
    assert verb in program.run("--help").out


def test_the_gate_heals_before_the_start(program: Program) -> None:
    """One word a model, and exit code 0 for one that may be served."""
    weights(program).unlink()
    healed = program.run("gate", "llama3", "--deadline", "60s")
    assert healed.code == 0, healed
    assert "llama3:latest" in healed.out
    assert "recovered" in healed.out
    again = program.run("gate", "--json")
    assert (again.code, again.document["schema"]) == (0, "modelward/gate/1")
    assert (again.document["outcome"], again.document["exit_code"]) == ("healthy", 0)
    assert [model["outcome"] for model in again.document["models"]] == ["healthy"]


def test_the_gate_says_why_it_does_not_let_pass(program: Program) -> None:
    """Damage without a source is exit code 3, another store is 2 and says what to do."""
    FakeStore(program.store).add_model("new", b"n" * 5000, template=b"{{ .Other }}")
    newest = max(program.store.glob("blobs/*"), key=lambda path: path.stat().st_mtime_ns)
    corrupt.delete(newest)
    lost = program.run("gate")
    assert lost.code == 3
    assert "no source" in lost.out
    program.store.rename(program.base / "old")
    other = program.run("gate")
    assert other.code == 2
    assert "--accept-store" in other.out
    assert program.run("gate", "--accept-store").code == 0


def test_the_gate_before_anything_is_there(tmp_path: Path) -> None:
    """A new installation passes; a model that it needs does not come from nowhere."""
    program = Program(tmp_path)
    fresh = program.run("gate")
    assert (fresh.code, "fresh" in fresh.out) == (0, True)
    assert program.run("gate", "llama3").code == 3
    bare = program.run("gate", MODELWARD_STORE="")
    assert (bare.code, "fresh" in bare.out) == (0, True)
    assert program.run("gate", "--deadline", "soon").code == 2


def test_a_drill_is_timed_and_leaves_nothing(program: Program) -> None:
    """By name or by chance; exit code 1 and a next step when the vault cannot give it back."""
    state = program.base / "state"
    done = program.run("drill", "llama3", MODELWARD_STATE=str(state))
    assert (done.code, "came back" in done.out) == (0, True)
    assert [path.name for path in (state / "drill").iterdir()] == ["lock"]
    document = program.run("drill", "--json", MODELWARD_STATE=str(state)).document
    assert (document["schema"], document["ok"], document["bytes"] > 2 * MIB) == ("modelward/drill/1", True, True)
    assert document["restore_seconds"] >= 0
    corrupt.delete(max((program.vault / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size))
    failed = program.run("drill", MODELWARD_STATE=str(state))
    assert failed.code == 1
    assert "repair --vault-copy" in failed.out
    assert program.run("drill", "never", MODELWARD_STATE=str(state)).code == 2


def test_the_audit_is_shown_and_proved(program: Program) -> None:
    """With cause and outcome; an edit is exit code 1 and names the line."""
    program.run("release", "llama3")
    shown = program.run("audit")
    assert shown.code == 0
    assert all(word in shown.out for word in ("backup", "release", "llama3:latest", "user", "done"))
    document = program.run("audit", "show", "--action", "release", "--since", "1h", "--json").document
    assert (document["schema"], [entry["action"] for entry in document["entries"]]) == (
        "modelward/audit/1",
        ["release"],
    )
    assert "backup" not in program.run("audit", "--model", "other").out
    assert program.run("audit", "verify").code == 0
    log = program.vault / "modelward" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"release"', b'"releasf"'))
    found = program.run("audit", "verify")
    assert (found.code, "line 2" in found.out) == (1, True)
    assert program.run("audit", "verify", "--json").document["faults"]
    assert program.run("audit", "--since", "yesterday").code == 2


def test_the_audit_needs_a_vault(tmp_path: Path) -> None:
    """Exit code 5 and a next step, on a machine that has no store either."""
    found = Program(tmp_path).run("audit", "verify", MODELWARD_STORE="")
    assert found.code == 5
    assert "modelward backup" in found.err
