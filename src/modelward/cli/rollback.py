"""``modelward rollback``: go back to the version before."""

from modelward.cli.options import Accept, ConfigFile, DryRun, Json, Model, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "rollback"


def command(
    model: Model,
    *,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Go back to the version of a model that was served before this one: after an update that was a loss.

    It comes from the vault; a version further back comes with `modelward restore MODEL@SNAPSHOT`.
    """
    from modelward.cli.render import show
    from modelward.services.rollback import rollback

    flags = {"store": store, "vault": vault, "config": config}
    with workplace(flags, json=json, need_vault=True) as place:
        report = rollback(place.site, ModelName.parse(model), accepted=accept_store, dry_run=dry_run)
    show("restore", report, json=json)
    return report.exit_code
