"""The program ``modelward``: its verbs, and how every error becomes one clear message and an exit code."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from modelward.cli import (
    alerts,
    audit,
    backup,
    brake,
    config,
    diff,
    doctor,
    drill,
    export,
    fetch,
    forecast,
    forget,
    gate,
    guard,
    health,
    history,
    import_,
    pin,
    protect,
    prune,
    pull,
    push,
    release,
    repair,
    restore,
    rollback,
    run,
    snapshots,
    space,
    status,
    token,
    verify,
)
from modelward.domain.errors import EXIT_OK, EXIT_USAGE, Interrupted, ModelwardError

EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h

_HELP = """Keep locally served models alive: back up with proof, verify past the page cache, repair by the chunk.

Exit codes: 0 all healthy or done; 1 damage found or left that can be repaired; 2 usage or configuration;
3 damage that no source can repair; 4 runtime or network unreachable; 5 vault or store locked, unreadable,
read-only or full; 130 interrupted.
"""

app = typer.Typer(
    name="modelward",
    help=_HELP,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_VERBS = (
    status,
    doctor,
    backup,
    verify,
    repair,
    restore,
    pull,
    rollback,
    pin,
    snapshots,
    diff,
    forget,
    prune,
    space,
    push,
    fetch,
    export,
    import_,
    release,
    protect,
    drill,
    audit,
    gate,
    config,
    alerts,
    guard,
    health,
    forecast,
    history,
    brake,
    token,
    run,
)
for verb in _VERBS:
    app.command(verb.NAME)(verb.command)


def _version(*, value: bool) -> None:
    if value:
        from modelward import __version__

        typer.echo(f"modelward {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read the options that stand before the verb."""


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
    raise SystemExit(code)


def _run(arguments: list[str]) -> int:
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="modelward", standalone_mode=False)
    except ModelwardError as error:
        return _tell(error, as_json="--json" in arguments)
    except BrokenPipeError:
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is reported, not thrown at the user
        return _misuse(error) or _bug(error)
    return result if isinstance(result, int) else EXIT_OK


def _tell(error: ModelwardError, *, as_json: bool) -> int:
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
    typer.echo(f"internal error: {type(error).__name__}: {error}", err=True)
    typer.echo(
        "  next: this is a fault of Modelward; run again with MODELWARD_DEBUG=1 and report what it prints", err=True
    )
    return EXIT_BUG


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    name = signal.Signals(number).name
    raise Interrupted(f"interrupted by {name}", next_step="run the same command again: it goes on where it was")
