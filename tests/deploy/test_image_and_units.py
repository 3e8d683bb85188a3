"""The Dockerfile and the units of systemd: what they promise about bytes, users and rights."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts import reference
from tests.deploy.containers import DEPLOY

UNITS = ("modelward.service", "modelward-gate.service")
PROGRAM = "/opt/modelward/bin/modelward"
INSTRUCTIONS = {
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "STOPSIGNAL",
    "USER",
    "WORKDIR",
}


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its words."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = (line.partition(" ") for line in joined.splitlines() if line)
    return [(word, rest) for word, _, rest in pairs]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def test_the_image_is_built_from_named_bytes() -> None:
    """Both stages begin at the base image by its digest, which has no default; packages come by their hashes."""
    assert [word for word, _ in instructions() if word not in INSTRUCTIONS] == []
    assert instructions()[:2] == [("ARG", "BASE=python:3.13-slim-bookworm"), ("ARG", "BASE_DIGEST")]
    assert [stage[0][1].split()[0] for stage in stages()] == ["${BASE}@${BASE_DIGEST}"] * 2
    (install,) = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest and "install " in rest]
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement requirements/run.txt"):
        assert option in install
    assert "://" not in (DEPLOY / "Dockerfile").read_text()


def test_the_image_runs_without_root() -> None:
    """The last user is a number that is not 0, the program is what runs, and the build's tools stay behind."""
    last = stages()[-1]
    (user,) = [rest for word, rest in last if word == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/modelward /opt/modelward"]
    assert not any("pip" in rest for word, rest in last if word == "RUN")
    assert last[-2:] == [("ENTRYPOINT", '["modelward"]'), ("CMD", '["guard"]')]
    assert any(word == "HEALTHCHECK" and rest.endswith('CMD ["modelward", "health"]') for word, rest in last)


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    """Every source of a COPY exists and is let through; a secret in .env is not."""
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    copied = [rest.split()[0] for word, rest in stages()[0] if word == "COPY"]
    assert rules[0] == "*"
    assert sorted(copied) == sorted(rule.removeprefix("!") for rule in rules if rule.startswith("!"))
    assert [path for path in copied if not (DEPLOY.parent / path).exists()] == []


def test_the_launcher_starts_the_program() -> None:
    """What the build writes as the program calls what the package declares as the program."""
    made = next(rest for word, rest in instructions() if word == "RUN" and "printf" in rest)
    declared = (DEPLOY.parent / "pyproject.toml").read_text()
    (module, function) = re.findall(r'^modelward = "([\w.]+):(\w+)"', declared, re.MULTILINE)[0]
    assert f"#!/opt/modelward/bin/python\\nfrom {module} import {function}\\n{function}()\\n" in made


class _Last(configparser.ConfigParser):
    """Keys as they are written; the last of several equal ones is kept, which is enough for single values."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit(name: str) -> configparser.ConfigParser:
    """A unit file, parsed."""
    parser = _Last(strict=False, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.read_string((DEPLOY / name).read_text(encoding="utf-8"))
    return parser


def environment(name: str) -> dict[str, str]:
    """What the unit sets for the program."""
    lines = re.findall(r"^Environment=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in line.split())


@pytest.mark.parametrize(("name", "verb"), [("modelward.service", "guard"), ("modelward-gate.service", "gate")])
def test_a_unit_runs_a_verb(name: str, verb: str) -> None:
    """The program, by its full path, with a verb that it has; as the server's user and not as root."""
    service = unit(name)["Service"]
    assert service["ExecStart"].split() == [PROGRAM, verb]
    assert verb in reference.commands()
    assert (service["User"], service["Group"]) == ("ollama", "ollama")


def test_the_gate_is_ordered_before_the_server() -> None:
    """G2: it ends before each start of the server, which pulls it in; the guard comes after it."""
    gate = unit("modelward-gate.service")
    assert gate["Unit"]["Before"] == "ollama.service"
    assert gate["Install"]["WantedBy"] == "ollama.service"
    assert gate["Service"]["Type"] == "oneshot"
    assert "RemainAfterExit" not in gate["Service"], "it has to run again at the server's next start"
    assert "modelward-gate.service" in unit("modelward.service")["Unit"]["After"].split()


def test_the_guard_is_told_by_signals() -> None:
    """SIGHUP reloads; SIGTERM, the default, has more than the guard's ten seconds; usage errors are not tried again."""
    service = unit("modelward.service")["Service"]
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert "KillSignal" not in service
    assert int(service["TimeoutStopSec"].removesuffix("s")) > 10
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_both_units_have_the_same_folders_and_walls() -> None:
    """Gate and guard see one store, one vault and one state, may write just these, and are closed in the same way."""
    guard, gate = (dict(unit(name)["Service"]) for name in UNITS)
    assert environment(UNITS[0]) == environment(UNITS[1])
    own = {"Type", "ExecStart", "ExecReload", "TimeoutStopSec", "TimeoutStartSec", "Restart", "RestartSec"}
    own |= {"RestartPreventExitStatus", "TasksMax"}
    assert {key: of for key, of in guard.items() if key not in own} == {
        key: of for key, of in gate.items() if key not in own
    }
    assert guard["ReadWritePaths"] == environment(UNITS[0])["MODELWARD_STORE"]
    for key in ("MODELWARD_VAULT", "MODELWARD_STATE"):
        assert environment(UNITS[0])[key].startswith(f"/var/lib/{guard['StateDirectory']}/")


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    """Ask systemd's own checker; skips where it is not installed."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on PATH")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=120)


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say, once the program stands where one is."""
    paths = [tmp_path / name for name in UNITS]
    for path in paths:
        path.write_text((DEPLOY / path.name).read_text().replace(PROGRAM, "/bin/true"))
    ran = analyze("verify", "--man=no", *map(str, paths))
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_calls_the_units_safe(tmp_path: Path, name: str) -> None:
    """Its own measure of exposure, 10 at most, stays below 2."""
    shutil.copy(DEPLOY / name, tmp_path)
    ran = analyze("security", "--offline=true", "--threshold=20", str(tmp_path / name))
    assert ran.returncode == 0, ran.stdout[-300:] + ran.stderr
