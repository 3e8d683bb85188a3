"""``modelward health``: is the guard ready, in one line and an exit code, for health checks."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, given
from modelward.cli.readiness import DEADLINE, tell

NAME = "health"


def command(
    *,
    deadline: Annotated[str, typer.Option("--deadline", metavar="T", help="How long the guard may take.")] = DEADLINE,
    config: ConfigFile = "",
) -> int:
    """Ask the running guard whether every protected model is healthy: exit code 0 and one line, or 1 and why not.

    It asks at the address of the setting `listen`, and never waits for any work of the guard.
    """
    from modelward.bootstrap import resolve

    return tell(resolve(given({"config": config})).settings, deadline)
