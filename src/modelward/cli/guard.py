"""``modelward guard``: the process that keeps models alive by itself."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, given

NAME = "guard"


def command(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="One look, one maintenance run and what is due; then end.")
    ] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="MINUTES", help="How often to back up, scrub and tidy up.")
    ] = "",
    check_interval: Annotated[
        str, typer.Option("--check-interval", metavar="SECONDS", help="How often to look at the server.")
    ] = "",
    maintenance: Annotated[
        bool,
        typer.Option(
            "--maintenance/--no-maintenance", help="Back up, scrub, heal and drill; else only check, probe and alert."
        ),
    ] = True,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to serve API and dashboard.")
    ] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every event on the console too.")] = False,
    practice: Annotated[
        str, typer.Option(metavar="PATH", help="Where to make a practice store when this machine has no store.")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Watch, back up, scrub, heal, probe and alert until told to stop; serves the API and the dashboard.

    A lost manifest is back within two seconds; new models are proved and backed up; damage is found by scrubs and
    healed from the cheapest good source. SIGHUP reads the settings anew, SIGTERM ends it within ten seconds.
    """
    from modelward.cli.practice import on_practice_ground
    from modelward.cli.standing import stand

    flags = on_practice_ground({"store": store, "vault": vault, "config": config}, practice)
    more = {"maintenance_interval": interval, "check_interval": check_interval, "listen": listen}
    chosen = given({**flags, **more})
    if not once:
        return stand(chosen, verbose=verbose, maintenance=maintenance)
    from modelward.cli.text_guard import show_round
    from modelward.serve import assembled, stop_by_signal

    stop_by_signal()
    with assembled(chosen, verbose=verbose, maintenance=maintenance, serve=False) as process:
        return show_round(process.once(), json=json)
