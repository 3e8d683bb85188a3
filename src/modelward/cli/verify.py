"""``modelward verify``: read-only verdicts on models or on the vault's copies."""

from typing import Annotated

import typer

from modelward.cli.options import Buffered, ConfigFile, Json, Models, Rate, StorePath, VaultPath, names, workplace
from modelward.domain.reading import Level

NAME = "verify"


def command(
    models: Models = None,
    *,
    level: Annotated[
        Level,
        typer.Option(help="quick: entries and receipts; sample: the next share of a full pass; full: every byte."),
    ] = Level.FULL,
    vault_copy: Annotated[
        bool, typer.Option("--vault-copy", help="Look at the vault's copies, not at the store.")
    ] = False,
    time_limit: Annotated[
        str,
        typer.Option("--time-limit", metavar="T", help="Begin nothing new after this time, for example 90s or 10m."),
    ] = "",
    limit_rate: Rate = "",
    buffered: Buffered = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Say of each model whether its bytes are right; nothing is changed.

    Needs no vault, no server and no network: an Ollama store names every blob by its SHA-256. With a vault the
    chunk lists make it several times faster and say which MiB is damaged. Reads past the page cache, and calls
    nothing damaged that two reads do not agree on.
    """
    from modelward.cli.render import show
    from modelward.services.verify import verify
    from modelward.services.verify_vault import verify_vault

    flags: dict[str, str | bool] = {
        "store": store,
        "vault": vault,
        "config": config,
        "limit_rate": limit_rate,
        "buffered": buffered,
    }
    with workplace(flags, json=json, need_vault=vault_copy) as place:
        place.limit_time(time_limit)
        check = verify_vault if vault_copy else verify
        report = check(place.site, names(models), level, sample_percent=place.settings.sample_percent)
    show("verify", report, json=json)
    return report.exit_code
