"""``modelward push``: send a snapshot to an OCI registry."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, DryRun, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "push"


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[@SNAPSHOT]", help="A model, and one of its snapshots' ids.")],
    target: Annotated[
        str, typer.Argument(metavar="HOST[:PORT]/REPOSITORY[:TAG]", help="Where to; the model's own tag without one.")
    ],
    *,
    limit_rate: Rate = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Send a version of a model from the vault to an OCI registry, as an artifact that skopeo and oras read.

    What the registry has is not sent again, so a push that was cut off goes on where it was; the manifest comes last.
    Loopback and the hosts of the setting plain_http are spoken to without TLS. Registries that ask for a user and
    a password are not supported: put a proxy that logs in before them.
    """
    from modelward.cli.render import show
    from modelward.domain.interchange import Reference
    from modelward.services.push import push

    name, _, snapshot = model.partition("@")
    parsed = ModelName.parse(name)
    there = Reference.parse(target, tag=parsed.tag)
    flags = {"store": store, "vault": vault, "config": config, "limit_rate": limit_rate}
    with workplace(flags, json=json, need_vault=True, storeless=True) as place:
        report = push(place.site, place.oci_registry(), parsed, snapshot, there, dry_run=dry_run)
    show(NAME, report, json=json)
    return 0
