"""``modelward fetch``: bring a snapshot from an OCI registry into the vault."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, DryRun, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "fetch"


def command(
    source: Annotated[
        str,
        typer.Argument(metavar="HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]", help="What modelward push was given."),
    ],
    *,
    as_name: Annotated[
        str,
        typer.Option("--as-name", metavar="NAME", help="The model's name; else the repository's last word."),
    ] = "",
    limit_rate: Rate = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Bring a version of a model that modelward push sent from an OCI registry into the vault.

    Every byte is proved, from the manifest's digest down; what the vault has is not fetched. The store is left alone:
    modelward restore brings the model there.
    """
    from modelward.cli.render import show
    from modelward.domain.interchange import Reference
    from modelward.services.fetch_snapshot import fetch

    there, name = Reference.parse(source), ModelName.parse(as_name) if as_name else None
    flags = {"store": store, "vault": vault, "config": config, "limit_rate": limit_rate}
    made = bool(store) and not dry_run
    with workplace(
        flags, json=json, create_vault=not dry_run, need_vault=dry_run, create_store=made, storeless=True
    ) as place:
        report = fetch(place.site, place.oci_registry(), there, name, dry_run=dry_run)
    show(NAME, report, json=json)
    return 0
