"""``modelward doctor``: name the cause."""

from typing import Annotated, Optional

import typer

from modelward.cli.options import ConfigFile, Json, Models, StorePath, VaultPath, names, workplace
from modelward.domain.reading import Level

NAME = "doctor"


def command(
    models: Models = None,
    *,
    compose: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads this at run time
        typer.Option("--compose", metavar="FILE", help="A Compose file that starts a server; give every one you use."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read every byte: only what is lost or cut short.")
    ] = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Say why models are lost or damaged: from evidence, how sure, and what to type next.

    First it finds which stores there are on this machine, which one the server reads, and which one we look at: most
    lost models are only elsewhere. Then it reads the damage: zeros, single bits, whole sectors, files cut short.
    Nothing is changed.
    """
    from modelward.cli.render import show
    from modelward.services.doctor import doctor

    flags = {"store": store, "vault": vault, "config": config}
    level = Level.QUICK if quick else Level.FULL
    with workplace(flags, json=json) as place:
        report = doctor(place.site, place.surroundings(), names(models), compose=tuple(compose or ()), level=level)
    show("doctor", report, json=json)
    return report.exit_code
