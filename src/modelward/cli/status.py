"""``modelward status``: every model at a glance."""

from modelward.cli.options import ConfigFile, Json, Models, StorePath, VaultPath, names, workplace

NAME = "status"


def command(
    models: Models = None, *, store: StorePath = "", vault: VaultPath = "", config: ConfigFile = "", json: Json = False
) -> int:
    """Show each model's health, its versions in the vault, when it was last proved, and what to do next.

    Reads folder entries, manifests and receipts only, so it is quick at any size; `modelward verify` reads the bytes.
    """
    from modelward.cli.render import show
    from modelward.services.status import status

    with workplace({"store": store, "vault": vault, "config": config}, json=json) as place:
        report = status(place.site, names(models))
    show("status", report, json=json)
    return report.exit_code
