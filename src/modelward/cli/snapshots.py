"""``modelward snapshots``: the versions in the vault."""

from modelward.cli.options import ConfigFile, Json, Models, StorePath, VaultPath, names, workplace

NAME = "snapshots"


def command(
    models: Models = None, *, store: StorePath = "", vault: VaultPath = "", config: ConfigFile = "", json: Json = False
) -> None:
    """List the versions that the vault holds of each model, the newest first, and those in the trash.

    `sound` says whether the vault still vouches for all bytes of a version.
    """
    from modelward.cli.render import show
    from modelward.services.history import list_snapshots

    with workplace({"store": store, "vault": vault, "config": config}, json=json, need_vault=True) as place:
        report = list_snapshots(place.site, names(models))
    show("snapshots", report, json=json)
