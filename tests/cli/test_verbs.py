"""Every verb as a user meets it: exit codes, JSON documents, messages with a next step, never a traceback."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from modelward.testing import FakeStore, corrupt, fingerprint
from tests.program import Program

MIB = 1 << 20
WEIGHTS = bytes(range(256)) * (3 * MIB // 256) + b"tail"
VERBS = (
    "status",
    "backup",
    "verify",
    "snapshots",
    "diff",
    "restore",
    "repair",
    "forget",
    "prune",
    "release",
    "protect",
    "config",
    "run",
)
FINDING_KEYS = {"kind", "blob", "path", "spans"}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a store with two models; no vault yet."""
    program = Program(tmp_path)
    store = FakeStore(program.store)
    store.add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    store.add_model("mini:1b", b"small", template=b"{{ .Prompt }}")
    return program


def weights(program: Program) -> Path:
    """The file of llama3's weights."""
    return max(program.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("verb", VERBS)
def test_help_explains(program: Program, verb: str) -> None:
    """--help names the verb's purpose and its options, and is one of the documented verbs."""
    shown = program.run(verb, "--help")
    assert shown.code == 0
    assert len(shown.out) > 300
    assert verb in program.run("--help").out


def test_the_documented_documents(program: Program) -> None:
    """--json prints one document whose schema is named, with models that carry the two axes and their findings."""
    stored = program.run("backup", "--json").document
    assert stored["schema"] == "modelward/backup/1"
    assert {model["outcome"] for model in stored["models"]} == {"stored"}
    assert stored["bytes_moved"] > len(WEIGHTS)
    corrupt.zero(weights(program), MIB, 10)
    checked = program.run("verify", "--json")
    assert checked.code == checked.document["exit_code"] == 1
    assert checked.document["schema"] == "modelward/verify/1"
    model = next(item for item in checked.document["models"] if item["name"].endswith("llama3:latest"))
    assert (model["healthy"], model["recoverable"]) == (False, True)
    assert set(model["findings"][0]) >= FINDING_KEYS
    assert model["findings"][0]["spans"] == [[MIB, MIB]]
    assert model["findings"][0]["blob"].startswith("sha256:")
    healed = program.run("repair", "--json")
    assert healed.code == 0
    assert healed.document["actions"][0]["bytes_moved"] == MIB
    assert healed.document["actions"][0]["source"] == "vault"
    for verb in ("status", "snapshots", "forget", "prune", "config"):
        assert program.run(verb, "--json").document["schema"] == f"modelward/{verb}/1"


def test_a_day_with_modelward(program: Program) -> None:
    """Back up, change, back up, look, go back, forget, undelete, prune, release: each does what it says."""
    assert program.run("backup").code == 0
    FakeStore(program.store).add_model("llama3", WEIGHTS[:MIB] * 2, template=b"{{ .Prompt }}")
    time.sleep(1.1)
    assert "stored" in program.run("backup").out
    lines = program.run("snapshots", "llama3", "--json").document["snapshots"]
    assert len(lines) == 2
    new, old = (line["id"] for line in lines)
    assert "model" in program.run("diff", old, new).out
    assert program.run("restore", f"llama3@{old}").code == 0
    assert (program.store / "blobs").exists()
    assert "last" in program.run("forget", "--keep-last", "1").out
    assert len(program.run("snapshots", "--json").document["snapshots"]) == 4
    assert program.run("forget", "--undelete", old).code == 0
    assert program.run("prune").code == 0
    assert program.run("release", "llama3").code == 0
    FakeStore(program.store).delete_manifest("llama3")
    assert program.run("verify").code == 0
    assert program.run("protect", "llama3").code == 0
    assert program.run("verify").code == 1
    assert program.run("repair").code == 0
    assert program.run("verify").code == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("verify", "--bogus"), 2, "bogus"),
        (("nonsense",), 2, "nonsense"),
        (("verify", "nope"), 2, "nope"),
        (("verify", "../../etc/passwd"), 2, "segment"),
        (("verify", "a b"), 2, "model"),
        (("verify", "--level", "deep"), 2, "deep"),
        (("verify", "--time-limit", "soon"), 2, "duration"),
        (("verify", "--limit-rate", "fast"), 2, "size"),
        (("verify", "--store", "/does/not/exist"), 2, "no store"),
        (("verify", "--config", "/does/not/exist"), 2, "settings file"),
        (("snapshots",), 5, "modelward backup"),
        (("repair", "--vault-copy"), 5, "modelward backup"),
        (("pull", "llama3"), 2, "upstream"),
        (("pin",), 5, "modelward backup"),
        (("rollback", "llama3"), 5, "modelward backup"),
        (("restore", "llama3"), 5, "modelward backup"),
        (("verify", "--vault-copy"), 5, "modelward backup"),
        (("backup", "--vault", "/proc/nowhere"), 5, "next"),
        (("forget", "--keep-last", "-1"), 2, "keep_last"),
    ],
)
def test_bad_input_is_answered_with_what_to_do(program: Program, words: tuple[str, ...], code: int, says: str) -> None:
    """A typed error: what happened, to which thing, what next; the documented exit code; nothing changed."""
    before = fingerprint(program.store)
    ran = program.run(*words)
    assert ran.code == code, ran
    assert says in ran.err
    assert fingerprint(program.store) == before


def test_errors_as_a_document(program: Program) -> None:
    """With --json an error is a document too."""
    ran = program.run("restore", "llama3", "--json")
    assert ran.document["schema"] == "modelward/error/1"
    assert ran.document["exit_code"] == ran.code == 5
    assert set(ran.document["error"]) == {"kind", "what", "thing", "next"}


def test_an_unknown_setting_is_named_with_its_neighbour(program: Program) -> None:
    """A misspelt environment name is an error, not silence."""
    ran = program.run("status", MODELWARD_KEEP_LATS="3")
    assert ran.code == 2
    assert "MODELWARD_KEEP_LAST" in ran.err


def test_the_environment_of_the_first_user(program: Program) -> None:
    """MODEL, OLLAMA_MODELS and BACKUP_RETENTION_COUNT are understood, and config says where values come from."""
    origins = {
        item["name"]: item["origin"]
        for item in program.run("config", "--json", MODEL="llama3", BACKUP_RETENTION_COUNT="3").document["origins"]
    }
    assert origins["models"] == "environment MODEL"
    assert origins["keep_last"] == "environment BACKUP_RETENTION_COUNT"
    assert origins["store"] == "environment MODELWARD_STORE"
    stored = program.run("backup", "--json", MODEL="llama3").document
    assert [model["name"] for model in stored["models"]] == ["registry.ollama.ai/library/llama3:latest"]


def test_a_held_vault_names_its_holder(program: Program) -> None:
    """A second writer waits, then fails with exit code 5 and the name of the first (L1)."""
    program.run("backup", "mini:1b")
    first = program.start("backup", MODELWARD_LIMIT_RATE="300k")
    wait_for(lambda: any((program.vault / "modelward" / "staging").iterdir()))
    second = program.run("backup", MODELWARD_LOCK_WAIT="0s")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert second.code == 5
    assert f"pid {first.pid}" in second.err
    assert "backup since" in second.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_in_the_middle_of_a_copy(program: Program, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM or SIGKILL: exit 130 where there is one to give, and a second run finishes the work (W1)."""
    process = program.start("backup", MODELWARD_LIMIT_RATE="500k")
    wait_for(lambda: any((program.vault / "modelward" / "staging").glob("*")))
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "run the same command again" in err
    again = program.run("backup", "--json")
    assert again.code == 0
    assert program.run("verify", "--vault-copy").code == 0
    assert not list((program.vault / "modelward" / "staging").iterdir())


def wait_for(ready: "object") -> None:
    """Wait until something happened in another process; fail after 20 s."""
    assert callable(ready)
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            if ready():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    pytest.fail("it did not happen within 20 s")


def test_names_with_control_characters_reach_no_terminal(program: Program) -> None:
    """What a hostile manifest says is shown escaped (T19)."""
    FakeStore(program.store).manifest_path("llama3").write_bytes(
        json.dumps({"schemaVersion": 2, "layers": [{"digest": "\x1b[2Jevil", "size": 1}]}).encode()
    )
    ran = program.run("verify")
    assert "evil" in ran.out
    assert "\x1b" not in ran.out


def test_output_into_a_closed_pipe(program: Program) -> None:
    """`modelward status | head -0` ends quietly."""
    process = program.start("config")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(20)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_store_that_cannot_be_read(program: Program) -> None:
    """Missing rights are named with the folder."""
    (program.store / "blobs").chmod(0)
    try:
        ran = program.run("verify")
        assert ran.code != 0
        assert "blobs" in ran.out + ran.err
    finally:
        (program.store / "blobs").chmod(0o755)


def test_run_on_a_machine_without_a_store_makes_and_names_one(program: Program) -> None:
    """The practice store holds one tiny model, protected at once; a second run finds it again."""
    quiet = {"MODELWARD_STORE": "", "MODELWARD_VAULT": ""}
    for _ in range(2):
        ran = program.run("run", "--practice", "practice", **quiet)
        assert ran.code == 0
        assert str(program.base / "practice" / "models") in ran.err
        assert "practice:latest" in ran.out
    assert program.run("verify", "--store", "practice/models", "--vault", "practice/model_backups", **quiet).code == 0


def test_run_ends_with_the_worst_of_its_parts(program: Program) -> None:
    """Damage that nothing can heal is not hidden by a good status."""
    corrupt.flip_bit(weights(program), 5, 5)
    assert program.run("run").code == 3


@pytest.mark.parametrize("vault", ["store/vault", "store/blobs/vault", "store", "."])
def test_a_vault_and_a_store_stay_apart(program: Program, vault: str) -> None:
    """A vault in the store is eaten by the runtime's prune: refused before anything is made (G1)."""
    before = fingerprint(program.store)
    ran = program.run("backup", "--vault", vault)
    assert ran.code == 2
    assert "beside them" in ran.err
    assert fingerprint(program.store) == before
