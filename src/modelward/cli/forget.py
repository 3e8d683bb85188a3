"""``modelward forget``: drop old versions by policy, into the trash."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, DryRun, Json, Models, StorePath, VaultPath, names, workplace

NAME = "forget"


def command(
    models: Models = None,
    *,
    keep_last: Annotated[str, typer.Option(metavar="N", help="Keep the newest N distinct versions. [default: 5]")] = "",
    keep_daily: Annotated[str, typer.Option(metavar="N", help="Keep the newest version of each of N days.")] = "",
    keep_weekly: Annotated[str, typer.Option(metavar="N", help="Keep the newest version of each of N weeks.")] = "",
    keep_within: Annotated[
        str, typer.Option(metavar="T", help="Keep every version younger than T, for example 14d.")
    ] = "",
    undelete: Annotated[str, typer.Option(metavar="SNAPSHOT", help="Bring a forgotten version back instead.")] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move old versions to the trash by policy; `modelward prune` frees their bytes later.

    Only versions that the vault still vouches for count; a damaged one stays as long as it would if it were sound,
    because it may be healed. The last sound version of a model is never forgotten, whatever the policy or the clock
    says, and a policy that would keep nothing is refused.
    """
    from modelward.cli.render import show
    from modelward.services import retention

    flags = {
        "store": store,
        "vault": vault,
        "config": config,
        "keep_last": keep_last,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_within": keep_within,
    }
    with workplace(flags, json=json, need_vault=True) as place:
        if undelete:
            return show("undelete", retention.undelete(place.site, undelete), json=json)
        report = retention.forget(place.site, names(models), place.policy(), dry_run=dry_run)
    return show("forget", report, json=json)
