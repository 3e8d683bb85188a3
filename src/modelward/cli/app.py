"""The program ``modelward``: its verbs, and how every error becomes one clear message and an exit code."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from types import FrameType
from typing import TYPE_CHECKING, Any

from modelward.domain.errors import EXIT_OK, EXIT_USAGE, Interrupted, ModelwardError

if TYPE_CHECKING:
    import typer

EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
_SELDOM = 50_000  # new things between two looks of Python's collector

_HELP = """Keep locally served models alive: back up with proof, verify past the page cache, repair by the chunk.

Exit codes: 0 all healthy or done; 1 damage found or left that can be repaired; 2 usage or configuration;
3 damage that no source can repair; 4 runtime or network unreachable; 5 vault or store locked, unreadable,
read-only or full; 130 interrupted.
"""

# Each has a module of its name, with an underscore where the name is a word of Python.
VERBS = (
    "status",
    "doctor",
    "backup",
    "verify",
    "repair",
    "restore",
    "pull",
    "rollback",
    "pin",
    "snapshots",
    "diff",
    "forget",
    "prune",
    "space",
    "push",
    "fetch",
    "export",
    "import",
    "release",
    "protect",
    "drill",
    "audit",
    "gate",
    "config",
    "alerts",
    "guard",
    "health",
    "forecast",
    "history",
    "brake",
    "token",
    "run",
)


_PLAINLY = {"health": "modelward.cli.readiness", "guard": "modelward.cli.standing"}


def program(verbs: Sequence[str] = VERBS) -> "typer.Typer":
    """The command line with these verbs; only they are loaded."""
    import typer

    from modelward.cli import version

    app = typer.Typer(
        name="modelward",
        help=_HELP,
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for verb in verbs:
        module = import_module(f"modelward.cli.{verb}_" if iskeyword(verb) else f"modelward.cli.{verb}")
        app.command(module.NAME)(module.command)
    app.callback()(version.command)
    return app


def main() -> None:
    """Run the program; never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    code = _run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # At its end Python looks through everything for circles, which is a tenth of a short run; nothing waits for them.
    gc.freeze()
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    try:
        if (code := _quickly(arguments)) is not None:
            return code
        result = _command(arguments).main(arguments, prog_name="modelward", standalone_mode=False)
    except ModelwardError as error:
        return _tell(error, as_json="--json" in arguments)
    except BrokenPipeError:
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is reported, not thrown at the user
        return _misuse(error) or _bug(error)
    return result if isinstance(result, int) else EXIT_OK


def _quickly(arguments: list[str]) -> int | None:
    """A health check runs every few seconds, a guard for months: both do without the command line's library."""
    where = _PLAINLY.get(arguments[0] if arguments else "")
    if where is None:
        return None
    code: int | None = import_module(where).command(arguments[1:], os.environ)
    return code


def _command(arguments: list[str]) -> Any:  # noqa: ANN401 - typer's own copy of click has no public types
    """The command line, with the one verb that is asked for where that is plain, else with all of them."""
    asked = arguments[0] if arguments else ""
    if asked not in _PLAINLY:  # a guard runs for months
        # What loading makes stays: the collector would look through it a hundred times on the way, and find nothing.
        gc.set_threshold(_SELDOM)
    import typer

    needed = {"--version": ()}.get(asked, [asked] if asked in VERBS else VERBS)
    return typer.main.get_command(program(needed))


def _tell(error: ModelwardError, *, as_json: bool) -> int:
    import typer

    from modelward.cli.render import error_document, error_text

    if as_json:
        typer.echo(error_document(error))
    typer.echo(error_text(error), err=True)
    return error.exit_code


def _misuse(error: Exception) -> int:
    """Show an error of the command line itself; typer's come from click, or from its own copy of click."""
    show = getattr(error, "show", None)
    if not callable(show):
        return 0
    show()
    return EXIT_USAGE


def _bug(error: Exception) -> int:
    if os.environ.get("MODELWARD_DEBUG"):
        raise error
    import typer

    typer.echo(f"internal error: {type(error).__name__}: {error}", err=True)
    typer.echo(
        "  next: this is a fault of Modelward; run again with MODELWARD_DEBUG=1 and report what it prints", err=True
    )
    return EXIT_BUG


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    name = signal.Signals(number).name
    raise Interrupted(f"interrupted by {name}", next_step="run the same command again: it goes on where it was")
