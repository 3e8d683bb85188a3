"""``modelward prune``: free the bytes that nothing needs any more."""

from datetime import timedelta
from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, DryRun, Json, StorePath, VaultPath, workplace

NAME = "prune"


def command(
    *,
    trash_days: Annotated[
        str, typer.Option(metavar="N", help="Drop what was forgotten N days ago. [default: 14]")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Free the bytes of versions that were forgotten long enough ago, and of damaged files that were replaced.

    Until then `modelward forget --undelete SNAPSHOT` brings a version back. Nothing is pruned while any record
    of the vault cannot be read.
    """
    from modelward.cli.render import show
    from modelward.services.retention import prune

    flags = {"store": store, "vault": vault, "config": config, "trash_days": trash_days}
    with workplace(flags, json=json, need_vault=True) as place:
        report = prune(place.site, timedelta(days=place.settings.trash_days), dry_run=dry_run)
    show("prune", report, json=json)
