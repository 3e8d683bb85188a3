"""``modelward backup``: snapshot what changed, of verified bytes only."""

from modelward.cli.options import Accept, ConfigFile, DryRun, Json, Models, StorePath, VaultPath, names, workplace

NAME = "backup"


def command(
    models: Models = None,
    *,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Back up models: prove every byte against its SHA-256, then keep a snapshot of what changed.

    Unchanged models cost nothing, shared blobs are stored once. A damaged model is refused and named; the others
    are backed up all the same. The vault is made at the first run.
    """
    from modelward.cli.render import show
    from modelward.services.backup import backup

    with workplace({"store": store, "vault": vault, "config": config}, json=json, create_vault=not dry_run) as place:
        report = backup(place.site, names(models), accepted=accept_store, dry_run=dry_run)
    show("backup", report, json=json)
    return report.exit_code
