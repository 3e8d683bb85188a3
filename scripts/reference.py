"""Write docs/reference.md from the program itself: verbs, errors with their exit codes, events."""

import enum
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from modelward.cli.app import program
from modelward.domain import errors
from modelward.events import EVENTS

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
COMMON = ("store", "vault", "config", "json", "help")
EXIT_CODES = {
    errors.EXIT_OK: "All healthy, or done.",
    errors.EXIT_DAMAGE: "Damage was found, or is left, that can be repaired.",
    errors.EXIT_USAGE: "The command line, a setting or a name is wrong, or the store is not the recorded one.",
    errors.EXIT_NOT_REPAIRABLE: "Damage that no source can repair.",
    errors.EXIT_UNREACHABLE: "The runtime or the network cannot be reached.",
    errors.EXIT_STORAGE: "The vault or the store is locked, unreadable, read-only or full.",
    errors.EXIT_INTERRUPTED: "Interrupted; the same command again goes on where it was.",
}
HEAD = """# Reference

Made from the program by `make docs`; a test fails when the two differ. `modelward VERB --help` says the same.
"""


def main() -> None:
    """Write the file."""
    REFERENCE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The whole document."""
    parts = (HEAD, _verbs(), _settings(), _exit_codes(), _errors(), _events())
    return "\n".join(parts)


def commands() -> dict[str, Any]:
    """The command of each verb, in the order of ``modelward --help``."""
    group: Any = typer.main.get_command(program())
    return dict(group.commands)


def flags() -> frozenset[str]:
    """Every option of every verb."""
    return frozenset(option for command in commands().values() for each in command.params for option in each.opts)


def _verbs() -> str:
    common = commands()["status"].params
    rows = [_parameter(each) for each in common if each.name in COMMON]
    parts = ["## Verbs\n", table(("option", "meaning"), rows, "### Options of every verb")]
    return "\n".join([*parts, *(_verb(name, command) for name, command in commands().items())])


def _verb(name: str, command: Any) -> str:  # noqa: ANN401 - a class of typer, or of click before it
    own = [each for each in command.params if each.name not in COMMON or not _is_option(each)]
    words = " ".join(["modelward", name, *(_metavar(each) for each in own if not _is_option(each)), "[OPTIONS]"])
    about = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    head = f"### {name}\n\n    {words}\n\n{about}\n"
    return head + ("\n" + table(("argument or option", "meaning"), [_parameter(each) for each in own]) if own else "")


def _is_option(parameter: Any) -> bool:  # noqa: ANN401 - as above
    return str(parameter.opts[0]).startswith("-")


def _parameter(parameter: Any) -> tuple[str, str]:  # noqa: ANN401 - as above
    words = [", ".join(parameter.opts), _metavar(parameter)] if _is_option(parameter) else [_metavar(parameter)]
    meaning = re.sub(r" \[default: (.*?)\]$", r" Default: `\1`.", parameter.help)
    default = _default(parameter)
    return _code(" ".join(word for word in words if word)), meaning + (f" Default: {default}." if default else "")


def _metavar(parameter: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(parameter.default, enum.Enum):
        return "|".join(member.value for member in type(parameter.default))
    flag = getattr(parameter, "is_flag", False)
    return "" if flag else str(parameter.metavar or parameter.name.upper())


def _default(parameter: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(parameter.show_default, str):
        return _code(parameter.show_default)
    value = parameter.default
    return _code(str(value.value if isinstance(value, enum.Enum) else value)) if value else ""


def _settings() -> str:
    return "## Settings\n\nEvery setting, its environment name, default and meaning: [settings.md](settings.md).\n"


def _exit_codes() -> str:
    return table(("code", "meaning"), [(str(code), words) for code, words in EXIT_CODES.items()], "## Exit codes")


def _errors() -> str:
    about = "With `--json` an error is a document too; its `kind` is one of these names. Indented: a kind of the above."
    rows = [(f"{'· ' * depth}`{error.__name__}`", str(error.exit_code), _first_line(error)) for depth, error in tree()]
    return f"## Errors\n\n{about}\n\n" + table(("error", "exit code", "meaning"), rows)


def tree(
    error: type[errors.ModelwardError] = errors.ModelwardError, depth: int = 0
) -> Iterator[tuple[int, type[errors.ModelwardError]]]:
    """The error and all below it, each with its depth, in the order of their definition."""
    yield depth, error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


def _first_line(error: type[errors.ModelwardError]) -> str:
    return (error.__doc__ or "").partition("\n")[0].replace("``", "`")


def _events() -> str:
    about = "Logged to standard error, from `log_level` up: coloured on a terminal, one JSON object a line elsewhere."
    return f"## Events\n\n{about}\n\n" + table(("event", "meaning"), [(_code(name), EVENTS[name]) for name in EVENTS])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str = "") -> str:
    """A table of Markdown, under its title."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return (f"{title}\n\n" if title else "") + "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    main()
