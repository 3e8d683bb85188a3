"""The options that stand before the verb: ``modelward --version``."""

from typing import Annotated

import typer


def _version(*, value: bool) -> None:
    if value:
        from modelward import __version__

        typer.echo(f"modelward {__version__}")
        raise typer.Exit


def command(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read the options that stand before the verb."""
