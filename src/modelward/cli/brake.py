"""``modelward brake``: whether the guard has stopped to heal alone, and how a person lets it go on."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, given

NAME = "brake"


def command(
    *,
    release: Annotated[bool, typer.Option("--release", help="Let the guard heal and prune alone again.")] = False,
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Show the brake, and let it go with --release.

    When more than a few models are damaged within an hour, something is at work that healing alone would only feed:
    the guard stops to repair and prune, alerts, and waits for a person. Exit code 1 while it is engaged.
    """
    import getpass

    from modelward.bootstrap import SystemClock, journal_beside, resolve
    from modelward.cli.text_guard import show_brake
    from modelward.services import brake

    settings = resolve(given({"config": config})).settings
    with journal_beside(settings, write=release) as journal:
        if release and journal is not None:
            report = brake.release_brake(journal, SystemClock(), getpass.getuser())
        else:
            report = brake.show_brake(journal)
    show_brake(report, json=json)
    return report.exit_code
