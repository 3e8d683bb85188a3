"""``modelward restore``: bring a version back."""

from typing import Annotated

import typer

from modelward.cli.options import Accept, ConfigFile, DryRun, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "restore"


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[@SNAPSHOT]", help="A model, and one of its snapshots' ids.")],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="STORE", help="Restore into this store; made when it is not there.")
    ] = "",
    limit_rate: Rate = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Bring a version of a model back: blobs first, the manifest last and byte for byte, with the store's owner.

    Without a snapshot it is the newest version that the vault can prove; older ones are fallen back on, and it says so.
    What it replaces is kept in quarantine. Blobs that the store still has are not copied again.
    """
    from modelward.cli.render import show
    from modelward.services.restore import restore

    name, _, snapshot = model.partition("@")
    flags = {"store": to or store, "vault": vault, "config": config, "limit_rate": limit_rate}
    with workplace(flags, json=json, need_vault=True, create_store=bool(to) and not dry_run) as place:
        report = restore(
            place.site, ModelName.parse(name), snapshot, accepted=accept_store or bool(to), dry_run=dry_run
        )
    show("restore", report, json=json)
    return report.exit_code
