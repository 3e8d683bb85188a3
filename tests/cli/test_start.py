"""How the program starts: a verb loads what it needs, and a health check next to nothing."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelward.cli import standing
from modelward.cli.app import VERBS, program
from modelward.cli.readiness import command
from modelward.domain.errors import BadSetting
from modelward.testing import FakeStore
from tests.models import pattern

NOWHERE = "unix:/nowhere/at/all"
HEAVY = {"typer", "rich", "http.client", "modelward.bootstrap", "modelward.stores.ollama", "sqlite3"}


def loaded_by(*words: str) -> frozenset[str]:
    """The modules in memory when the program with these words ends."""
    return frozenset(at_the_end("*sorted(sys.modules)", *words))


def at_the_end(what: str, *words: str) -> list[str]:
    """What Python would print when the program with these words ends."""
    code = (
        f"import atexit, gc, sys; atexit.register(lambda: print({what}, file=sys.stderr));"
        f"sys.argv = ['modelward', *{words!r}]; from modelward.cli.app import main; main()"
    )
    environ = {"MODELWARD_LISTEN": NOWHERE, "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()[-1].split()


def test_a_health_check_loads_neither_the_command_line_library_nor_stores() -> None:
    """It runs every few seconds in each container, so it takes the settings and a socket and no more."""
    assert loaded_by("health").isdisjoint(HEAVY)


def test_a_verb_loads_no_other_verbs() -> None:
    """What one verb needs to start does not grow with the number of the others."""
    loaded = loaded_by("snapshots", "--help")
    assert "modelward.cli.snapshots" in loaded
    assert loaded.isdisjoint({"modelward.cli.audit", "modelward.cli.backup", "modelward.cli.gate"})


def test_a_verb_that_asks_no_registry_loads_nothing_of_a_network(tmp_path: Path) -> None:
    """A verify of a store on this disk starts without http.client, though registries are among its sources."""
    FakeStore(tmp_path / "store").add_model("llama3", pattern(10))
    words = ("verify", "--store", str(tmp_path / "store"), "--vault", str(tmp_path / "none"))
    loaded = loaded_by(*words)
    assert {"modelward.services.verify", "modelward.registry.client"} <= loaded
    assert loaded.isdisjoint({"http.client", "ssl", "modelward.registry.wire"})


def test_a_short_run_is_not_looked_through_for_circles() -> None:
    """Neither while it loads nor when it ends: that was a fifth of the time of a verb with little to do."""
    seldom, frozen = map(int, at_the_end("gc.get_threshold()[0], gc.get_freeze_count()", "snapshots", "--help"))
    assert seldom > gc.get_threshold()[0]
    assert frozen > 10_000, "next to all of what was loaded"


@pytest.mark.parametrize("words", [("--once", "--help"), ("--check-interval=60", "--config", "/nowhere/at/all.toml")])
def test_a_guard_leaves_the_collector_as_it_is(words: tuple[str, ...]) -> None:
    """It runs for months: its circles have to go."""
    usual = [str(number) for number in gc.get_threshold()]
    assert at_the_end("*gc.get_threshold()", "guard", *words) == usual


def test_the_version_loads_no_verb_at_all() -> None:
    """The version is printed before anything else is looked at."""
    assert not {f"modelward.cli.{verb}" for verb in VERBS} & loaded_by("--version")


def test_every_verb_of_the_list_is_a_command_of_its_name() -> None:
    """The table by which verbs are loaded and the verbs' own names agree."""
    assert [info.name for info in program().registered_commands] == list(VERBS)


@pytest.mark.parametrize("words", [("--deadline", "1s"), ("--deadline=1s",), ()])
def test_a_health_check_says_that_no_guard_answers(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and one line, however the option is written."""
    assert command(words, {"MODELWARD_LISTEN": NOWHERE}) == 1
    assert "no guard answers" in capsys.readouterr().out


def test_a_health_check_reads_the_settings_file_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address may stand in a file that only the command line names."""
    (tmp_path / "mine.toml").write_text('listen = ""\n')
    assert command(("--config", str(tmp_path / "mine.toml")), {}) == 1
    assert "listen is empty" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("--help",), ("--deadline",), ("now",), ("--config=x", "--verbose")])
def test_a_health_check_leaves_unknown_words_to_the_command_line(words: tuple[str, ...]) -> None:
    """Help and mistakes are answered as those of every other verb."""
    assert command(words, {}) is None


def test_a_health_check_refuses_a_deadline_that_is_none() -> None:
    """The error names what may be written instead."""
    with pytest.raises(BadSetting, match="not a duration"):
        command(("--deadline", "soon"), {})


def test_a_guard_is_started_without_the_command_line_library() -> None:
    """It runs for months and has to stay small."""
    loaded = loaded_by("guard", "--check-interval=60", "--config", "/nowhere/at/all.toml")
    assert "modelward.cli.standing" in loaded
    assert "modelward.cli.guard" not in loaded


@pytest.mark.parametrize(
    "words", [("--once",), ("--json",), ("--practice", "x"), ("--store",), ("--verbose=1",), ("-q",)]
)
def test_other_ways_to_start_a_guard_are_left_to_the_command_line(words: tuple[str, ...]) -> None:
    """What the plain reader does not know, it does not guess."""
    assert standing.command(words, {}) is None


def test_plain_words_become_settings_and_switches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Options become the settings of their names, with the last of two that contradict."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "manifests").mkdir()
    asked: list[object] = []

    def stand(flags: dict[str, str], **more: bool) -> int:
        asked.append((flags, more))
        return 0

    monkeypatch.setattr(standing, "stand", stand)
    for name in [name for name in os.environ if name.startswith("MODELWARD_")]:
        monkeypatch.delenv(name)
    words = ["--interval", "5", "--listen=", "--no-maintenance", "-v", "--store", str(tmp_path)]
    assert standing.command(words, {}) == 0
    flags = {"maintenance_interval": "5", "store": str(tmp_path)}
    assert asked == [(flags, {"verbose": True, "maintenance": False})]
