"""``modelward health``: is the guard ready, in one line and an exit code, for health checks."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, given

NAME = "health"


def command(
    *,
    deadline: Annotated[str, typer.Option("--deadline", metavar="T", help="How long the guard may take.")] = "2s",
    config: ConfigFile = "",
) -> int:
    """Ask the running guard whether every protected model is healthy: exit code 0 and one line, or 1 and why not.

    It asks at the address of the setting `listen`, and never waits for any work of the guard.
    """
    from modelward.bootstrap import resolve
    from modelward.cli.pieces import BAD, line
    from modelward.cli.readiness import ask
    from modelward.domain.units import parse_duration

    settings = resolve(given({"config": config})).settings
    ready, words = ask(settings.listen, tls=bool(settings.tls_cert), seconds=parse_duration(deadline).total_seconds())
    line(words, None if ready else BAD)
    return 0 if ready else 1
