"""``modelward diff``: what differs between two versions."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, workplace

NAME = "diff"


def command(
    first: Annotated[str, typer.Argument(metavar="A", help="A snapshot id, or enough of it to be the only one.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another snapshot id.")],
    *,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> None:
    """Show which blobs two snapshots do not share: weights, template, parameters and so on, with their sizes."""
    from modelward.cli.render import show
    from modelward.services.history import diff

    with workplace({"store": store, "vault": vault, "config": config}, json=json, need_vault=True) as place:
        report = diff(place.site, first, second)
    show("diff", report, json=json)
