"""``modelward space``: what everything costs, and how to get some of it back."""

from typing import Annotated

import typer

from modelward.cli.options import Accept, ConfigFile, DryRun, Json, StorePath, VaultPath, workplace
from modelward.domain.space import GRACE
from modelward.domain.units import parse_duration

NAME = "space"


def command(
    *,
    reclaim: Annotated[
        bool, typer.Option("--reclaim", help="Remove orphans, and leftovers of downloads, that are old enough.")
    ] = False,
    grace: Annotated[
        str, typer.Option("--grace", metavar="DURATION", help="What is younger stays, for example 7d.")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Show what each model really costs (shared blobs once), what nobody needs, the vault, and when its disk is full.

    With `--reclaim` what nobody needs is removed, when it is older than a day (`--grace`). What a lost model needs
    stays, and nothing goes while a manifest cannot be read. Trash and quarantine of the vault: `modelward prune`.
    """
    from modelward.cli.render import show
    from modelward.services.space import space

    period = parse_duration(grace) if grace else GRACE
    with workplace({"store": store, "vault": vault, "config": config}, json=json) as place:
        report = space(place.site, reclaim=reclaim, grace=period, accepted=accept_store, dry_run=dry_run or not reclaim)
    show("space", report, json=json)
    return report.exit_code
