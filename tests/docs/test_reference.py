"""The documents that describe the program agree with the program."""

import re
from pathlib import Path

from scripts import reference

ROOT = Path(__file__).resolve().parents[2]


def test_the_reference_is_what_the_program_says() -> None:
    """docs/reference.md is, byte for byte, what `make docs` writes now."""
    written = reference.REFERENCE.read_text(encoding="utf-8")
    assert written == reference.text(), "docs/reference.md is old: run make docs"


def test_every_verb_argument_and_option_has_help() -> None:
    """Nothing on the command line is left unexplained."""
    commands = reference.commands()
    assert len(commands) > 10
    silent = [name for name, command in commands.items() if not command.help]
    silent += [f"{name} {each.name}" for name, command in commands.items() for each in command.params if not each.help]
    assert silent == []


def test_the_readme_names_every_verb_and_no_other() -> None:
    """README.md shows each verb as `modelward VERB`, and none that does not exist."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![/\w-])modelward ([a-z]+)\b", readme))
    assert named == set(reference.commands())


def test_the_reference_names_every_exit_code() -> None:
    """Each exit code of an error class has its meaning in the table of exit codes."""
    codes = {error.exit_code for _, error in reference.tree()}
    assert codes <= set(reference.EXIT_CODES)
