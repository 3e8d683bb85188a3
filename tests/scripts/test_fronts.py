"""The scripts with the documented names and flags: what each of them has the program do."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NAMES = ("backup-models", "model-maintenance-scheduler", "monitor-models")
SHELLS = tuple(shell for shell in ("bash", "sh") if shutil.which(shell))
# A stand-in program: it writes down its words, one a line, and ends with a code that no shell gives by itself.
RECORDING = """#!/bin/sh
printf '%s\\n' "$@" >"{record}"
exit 43
"""
# Another one: it says that it is there, and waits for the signal.
WAITING = """#!/bin/sh
trap 'echo stopped; exit 42' TERM
echo ready
while :; do sleep 0.05; done
"""


@dataclass(frozen=True)
class Front:
    """A copy of the scripts, with a stand-in program beside them or on PATH."""

    base: Path
    shell: str

    def place(self, where: str, text: str) -> None:
        """Put a program there, below the base."""
        program = self.base / where / "modelward"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text.format(record=self.base / f"{Path(where).parts[0]}.record"))
        program.chmod(0o755)

    def command(self, name: str, *words: str) -> list[str]:
        """How the script is started."""
        return [self.shell, str(self.base / "scripts" / f"{name}.sh"), *words]

    @property
    def environ(self) -> dict[str, str]:
        """A path that holds our stand-in first."""
        return {"PATH": f"{self.base / 'bin'}{os.pathsep}{os.defpath}"}

    def run(self, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end, in a folder that has nothing to do with it."""
        return subprocess.run(
            self.command(name, *words),
            env=self.environ,
            cwd=os.sep,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def recorded(self, where: str = "bin") -> list[str]:
        """The words that the stand-in got."""
        return (self.base / f"{where}.record").read_text().splitlines()


@pytest.fixture(params=SHELLS)
def front(tmp_path: Path, request: pytest.FixtureRequest) -> Front:
    """The scripts in a folder with a blank in its name, and a recording program on PATH."""
    base = tmp_path / "a folder"
    (base / "scripts").mkdir(parents=True)
    for name in NAMES:
        shutil.copy(SCRIPTS / f"{name}.sh", base / "scripts")
    found = Front(base, str(request.param))
    found.place("bin", RECORDING)
    return found


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("backup-models", "backup"),
        ("backup-models --verify-only", "verify"),
        ("model-maintenance-scheduler", "guard"),
        ("model-maintenance-scheduler --interval 30", "guard --interval 30"),
        ("model-maintenance-scheduler --run-once", "guard --once"),
        ("model-maintenance-scheduler --verbose --run-once --interval 5", "guard --interval 5 --once --verbose"),
        ("monitor-models", "guard --no-maintenance"),
        ("monitor-models -CheckInterval 20", "guard --check-interval 20 --no-maintenance"),
        ("monitor-models --check-interval 20", "guard --check-interval 20 --no-maintenance"),
        ("monitor-models -EnableMaintenance", "guard"),
        ("monitor-models --enable-maintenance", "guard"),
        ("monitor-models -MaintenanceInterval 30", "guard --no-maintenance"),
        (
            "monitor-models -CheckInterval 20 -EnableMaintenance -MaintenanceInterval 30",
            "guard --check-interval 20 --interval 30",
        ),
        ("monitor-models --maintenance-interval 30 --enable-maintenance", "guard --interval 30"),
    ],
)
def test_what_the_program_is_asked(front: Front, line: str, words: str) -> None:
    """Each documented flag becomes the option of the verb; the exit code is the program's."""
    assert front.run(*line.split()).returncode == 43
    assert front.recorded() == words.split()


@pytest.mark.parametrize(
    "line",
    [
        "backup-models --verify",
        "backup-models llama3",
        "model-maintenance-scheduler --once",
        "model-maintenance-scheduler --interval",
        "monitor-models -Interval 3",
        "monitor-models -CheckInterval",
        "monitor-models -MaintenanceInterval",
        "monitor-models --check-interval=20",
    ],
)
def test_what_is_not_understood(front: Front, line: str) -> None:
    """Exit code 2, the usage on standard error, and the program is not started."""
    ran = front.run(*line.split())
    assert ran.returncode == 2
    assert "usage: " in ran.stderr
    assert ran.stdout == ""
    assert not (front.base / "bin.record").exists()


@pytest.mark.parametrize("option", ["--interval", "-CheckInterval", "-MaintenanceInterval"])
def test_an_empty_number_is_none(front: Front, option: str) -> None:
    """An unset variable of the caller's does not become the default unseen."""
    name = "model-maintenance-scheduler" if option == "--interval" else "monitor-models"
    assert front.run(name, option, "").returncode == 2


@pytest.mark.parametrize("name", NAMES)
def test_help_names_every_option(front: Front, name: str) -> None:
    """``--help`` prints the usage to standard output and ends well; each option that is read stands in it."""
    ran = front.run(name, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert options(SCRIPTS / f"{name}.sh") <= set(re.findall(r"--?[A-Za-z][\w-]*", ran.stdout)) | {"-h"}


def test_a_value_with_blanks_stays_one_word(front: Front) -> None:
    """Nothing is split or expanded on the way."""
    front.run("model-maintenance-scheduler", "--interval", "* 1")
    assert front.recorded() == ["guard", "--interval", "* 1"]


def test_the_program_beside_the_scripts_wins(front: Front) -> None:
    """The one that ``make`` installed is taken, and not another one on PATH."""
    front.place(".venv/bin", RECORDING)
    assert front.run("backup-models").returncode == 43
    assert front.recorded(".venv") == ["backup"]
    assert not (front.base / "bin.record").exists()


def test_no_program_at_all(front: Front) -> None:
    """The shell's own code for a program that is not there, and its name."""
    (front.base / "bin" / "modelward").unlink()
    ran = front.run("backup-models")
    assert ran.returncode == 127
    assert "modelward" in ran.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_reaches_the_program(front: Front, name: str) -> None:
    """The script becomes the program, so that SIGTERM ends the program and not only the script."""
    front.place("bin", WAITING)
    with subprocess.Popen(front.command(name), env=front.environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(timeout=60) == 42


def test_shellcheck_is_content() -> None:
    """The linter of shell scripts finds nothing."""
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on PATH")
    ran = subprocess.run(
        ["shellcheck", *sorted(map(str, SCRIPTS.glob("*.sh")))], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def options(script: Path) -> set[str]:
    """The options that a script compares its words with; labels of ``case``, or lists after ``-in``."""
    text = script.read_text(encoding="utf-8")
    labels = re.findall(r"^ *([^ *][^()\n]*)\)", text, re.MULTILINE) if script.suffix == ".sh" else []
    lists = re.findall(r"-in ((?:'[^']+'(?:, )?)+)", text)
    return {word for each in (*labels, *lists) for word in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", each)}


@pytest.mark.parametrize("name", NAMES)
def test_both_kinds_of_a_script_are_one(name: str) -> None:
    """What the shell script takes and passes on, the PowerShell one takes and passes on, and its usage is the same."""
    shell, power = SCRIPTS / f"{name}.sh", SCRIPTS / f"{name}.ps1"
    assert options(shell) <= options(power)
    documented = r"^  (--?[A-Za-z][\w-]*.*)$"
    assert re.findall(documented, shell.read_text(), re.MULTILINE) == re.findall(
        documented, power.read_text(), re.MULTILINE
    )
    passed = re.compile(r"--(?:interval|once|verbose|check-interval|no-maintenance)\b")
    said = {script.suffix: set(passed.findall(script.read_text())) for script in (shell, power)}
    assert said[".sh"] == said[".ps1"]
