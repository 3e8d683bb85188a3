"""modelward export and import as a user meets them: files, pipes, plans, and what stops them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelward.testing import FakeStore
from tests.models import pattern
from tests.program import Program

MIB = 1 << 20
MODELWARD = (sys.executable, "-m", "modelward")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program on a store with one model."""
    program = Program(tmp_path)
    FakeStore(program.store).add_model("llama3", pattern(2 * MIB + 9), template=b"{{ .Prompt }}" * 50)
    return program


def test_export_and_import(program: Program) -> None:
    """A bundle written by one call is taken into a new vault and a new store by another."""
    out = program.base / "x.bundle"
    planned = program.run("export", "llama3", str(out), "--dry-run", "--json").document
    assert (planned["schema"], planned["outcome"]) == ("modelward/export/1", "planned")
    assert not out.exists()
    done = program.run("export", "llama3", str(out))
    assert done.code == 0, done.err
    assert "written 2.1 MB: 3 blob(s)" in done.out
    vault, store = str(program.base / "vault2"), str(program.base / "store2")
    seen = program.run("import", str(out), "--dry-run", "--vault", vault)
    assert "would take 2.1 MB in 3 blob(s)" in seen.out
    words = ("import", str(out), "--vault", vault, "--store", store, "--restore", "--as", "mine:1b", "--json")
    taken = program.run(*words)
    assert taken.code == 0, taken.err
    assert taken.document["models"][0]["name"].endswith("/mine:1b")
    assert len(taken.document["restored"]) == 1
    assert FakeStore(Path(store)).models() == ("registry.ollama.ai/library/mine:1b",)


def test_through_a_pipe(program: Program) -> None:
    """`modelward export MODEL - | modelward import -` moves a model, and each report goes where it disturbs nobody."""
    with program.start("export", "llama3", "-") as sending:
        receiving = subprocess.run(
            [*MODELWARD, "import", "-", "--vault", str(program.base / "vault2")],
            env=program.environ(),
            stdin=sending.stdout,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert sending.stderr is not None
        said = sending.stderr.read()
    assert receiving.returncode == 0, receiving.stderr
    assert b"took 2.1 MB in 3 blob(s)" in receiving.stdout
    assert "written 2.1 MB" in said


def test_a_file_that_exists(program: Program) -> None:
    """It is kept, and the message names the way."""
    out = program.base / "x.bundle"
    out.write_bytes(b"mine")
    refused = program.run("export", "llama3", str(out))
    assert refused.code == 2
    assert "--force" in refused.err
    assert out.read_bytes() == b"mine"
    assert program.run("export", "llama3", str(out), "--force").code == 0


def test_a_cut_bundle(program: Program) -> None:
    """It is damage (exit code 1); the message says how much is there, and what to do."""
    out = program.base / "x.bundle"
    program.run("export", "llama3", str(out))
    os.truncate(out, out.stat().st_size * 3 // 4)
    cut = program.run("import", str(out), "--vault", str(program.base / "vault2"))
    assert cut.code == 1
    assert "cut short: 1,0" in cut.err
    assert "bytes of llama3:latest are there" in cut.err
    assert "next: copy the rest" in cut.err


@pytest.mark.parametrize(
    "words", [("import", "nothing"), ("export", "none", "x"), ("export", "llama3", "x", "--as", "tar")]
)
def test_what_cannot_be(program: Program, words: tuple[str, ...]) -> None:
    """Wrong requests are usage errors with a next step."""
    done = program.run(*words)
    assert done.code == 2
    assert "next:" in done.err


def test_other_forms_go_their_own_way(program: Program) -> None:
    """--as hands out to a folder, and a folder is imported for what it is; --restore is for bundles."""
    program.run("backup")
    layout = program.base / "layout"
    assert program.run("export", "llama3", str(layout), "--as", "oci").code == 0
    vault = str(program.base / "vault2")
    assert program.run("import", str(layout), "--vault", vault).code == 0
    assert program.run("import", str(layout), "--vault", vault, "--restore").code == 2


def test_a_killed_export_goes_on(program: Program) -> None:
    """After SIGKILL in the middle the same command goes on, and the bundle is whole."""
    FakeStore(program.store).add_model("big", pattern(24 * MIB))
    out, partial = program.base / "x.bundle", program.base / "x.bundle.partial"
    with program.start("export", "big", str(out), "--limit-rate", "16M") as running:
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size > 4 * MIB) and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=30)
    assert not out.exists()
    done = program.run("export", "big", str(out), "--json")
    assert done.document["resumed"] > 3 * MIB
    assert program.run("import", str(out), "--vault", str(program.base / "vault2")).code == 0
    assert not partial.exists()


def test_a_stopped_import_from_a_silent_pipe(program: Program) -> None:
    """Ctrl-C ends an import that waits for a pipe."""
    program.run("export", "llama3", str(program.base / "x.bundle"))
    half = (program.base / "x.bundle").read_bytes()[: MIB + MIB // 2]
    with subprocess.Popen(
        [*MODELWARD, "import", "-", "--vault", str(program.base / "v")],
        env=program.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        running.stdin.write(half)
        running.stdin.flush()
        until = time.monotonic() + 30
        while not list(program.base.glob("v/blobs/sha256/*")) and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=30) == 130
