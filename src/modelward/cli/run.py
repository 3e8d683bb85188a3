"""``modelward run``: the main job in one word: find the store, back it up, verify it, show how it stands."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, workplace
from modelward.cli.practice import on_practice_ground
from modelward.domain.reading import Level

NAME = "run"


def command(
    *,
    practice: Annotated[
        str, typer.Option(metavar="PATH", help="Where to make a practice store when this machine has no store.")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Back up this machine's models, verify every byte, and show the status; what to do next stands in its last column.

    On a machine without an Ollama store a small practice store is made and named, to try the commands on.
    """
    from modelward.cli.render import show
    from modelward.services.backup import backup
    from modelward.services.status import status
    from modelward.services.verify import verify

    flags = {"store": store, "vault": vault, "config": config}
    flags = on_practice_ground(flags, practice)
    with workplace(flags, json=json, create_vault=True) as place:
        stored = backup(place.site, ())
        checked = verify(place.site, (), Level.FULL)
        standing = status(place.site, ())
    for verb, report in (("backup", stored), ("verify", checked), ("status", standing)):
        if not json:
            typer.secho(f"\nmodelward {verb}", bold=True)
        show(verb, report, json=json)
    return max(stored.exit_code, checked.exit_code, standing.exit_code)
