"""``modelward repair``: find what is damaged and heal it."""

from typing import Annotated

import typer

from modelward.cli.options import (
    Accept,
    Buffered,
    ConfigFile,
    DryRun,
    Json,
    Models,
    Rate,
    StorePath,
    VaultPath,
    names,
    workplace,
)
from modelward.domain.reading import Level

NAME = "repair"


def command(
    models: Models = None,
    *,
    level: Annotated[
        Level, typer.Option(help="How deep to look first: quick finds what is lost or cut short, full every bad byte.")
    ] = Level.FULL,
    vault_copy: Annotated[
        bool, typer.Option("--vault-copy", help="Heal the vault's own copies, from the store and every other source.")
    ] = False,
    limit_rate: Rate = "",
    buffered: Buffered = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Verify, plan, heal, prove: bring back lost models and replace damaged chunks from the cheapest good source.

    The vault is asked first, then other folders of this host that hold the same bytes, then the model's registry, by
    ranges; last of all the server may download a blob again. Only damaged chunks travel. What is replaced is kept in
    quarantine until a later verify is clean. The server need not be restarted. `--dry-run` prints the plan with the
    bytes and the source of each step.
    """
    from modelward.cli.render import show
    from modelward.services.repair import repair
    from modelward.services.repair_vault import repair_vault

    flags: dict[str, str | bool] = {
        "store": store,
        "vault": vault,
        "config": config,
        "limit_rate": limit_rate,
        "buffered": buffered,
    }
    with workplace(flags, json=json, need_vault=vault_copy) as place:
        if vault_copy:
            report = repair_vault(place.site, names(models), level=level, dry_run=dry_run)
        else:
            report = repair(place.site, names(models), level=level, accepted=accept_store, dry_run=dry_run)
    show("repair", report, json=json)
    return report.exit_code
