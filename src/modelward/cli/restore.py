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
    via: Annotated[
        str, typer.Option("--via", metavar="URL", help="Restore into the server there, over its API alone.")
    ] = "",
    listen: Annotated[
        str,
        typer.Option(metavar="ADDRESS[:PORT]", help="With --via: where it fetches from us; found out when not given."),
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

    `--via URL` is for a server whose files nobody here can reach: it pulls the model from this machine, by an address
    with a one-time token that lives as long as the pull, checks every digest itself, and gives it its name.
    """
    from modelward.cli.render import show
    from modelward.services.restore import restore

    name, _, snapshot = model.partition("@")
    if via:
        flags = {"store": store, "vault": vault, "config": config, "limit_rate": limit_rate}
        return _via(ModelName.parse(name), snapshot, via, listen, flags, json=json, dry_run=dry_run)
    flags = {"store": to or store, "vault": vault, "config": config, "limit_rate": limit_rate}
    with workplace(flags, json=json, need_vault=True, create_store=bool(to) and not dry_run) as place:
        report = restore(
            place.site, ModelName.parse(name), snapshot, accepted=accept_store or bool(to), dry_run=dry_run
        )
    show("restore", report, json=json)
    return report.exit_code


def _via(
    name: ModelName, snapshot: str, url: str, listen: str, flags: dict[str, str], *, json: bool, dry_run: bool
) -> int:
    from modelward.cli.render import show
    from modelward.services.restore_via import restore_via

    with workplace(flags, json=json, need_vault=True, storeless=True) as place:
        server, serving = place.server_at(url), place.serving(url, listen)
        report = restore_via(place.site, server, serving, name, snapshot, dry_run=dry_run)
    show("restore-via", report, json=json)
    return report.exit_code
