"""``modelward export``: write a model to one bundle, or hand it out to a folder in another form."""

import sys
from contextlib import nullcontext, redirect_stdout
from typing import Annotated

import typer

from modelward.cli.handout import export_as
from modelward.cli.options import ConfigFile, DryRun, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "export"


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[@SNAPSHOT]", help="A model, and one of its snapshots' ids.")],
    target: Annotated[
        str, typer.Argument(metavar="FILE", help="The bundle's file, - for standard output; a folder with --as.")
    ],
    *,
    form: Annotated[
        str, typer.Option("--as", metavar="FORM", help="bundle, or to a folder: oci, gguf, store.")
    ] = "bundle",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that has the name.")] = False,
    limit_rate: Rate = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Write a model to one portable file, every byte proved on the way; modelward import reads it.

    It is the newest version that the vault can prove, else what the store has. Chunks that zstd makes smaller are
    compressed. An export that was cut off leaves FILE.partial, and the same command goes on with it. With --as the
    model is handed out to a folder: an OCI image layout, GGUF files with a Modelfile, or an Ollama store.
    """
    from modelward.bootstrap import bundle_target
    from modelward.cli.render import show
    from modelward.services.export import export

    flags = {"store": store, "vault": vault, "config": config, "limit_rate": limit_rate}
    if form != "bundle":
        return export_as(model, target, form, flags, json=json, dry_run=dry_run)
    name, _, snapshot = model.partition("@")
    with workplace(flags, json=json, storeless=True) as place:
        file = bundle_target(target, place.settings, force=force)
        report = export(place.site, ModelName.parse(name), snapshot, file, dry_run=dry_run)
    # Standard output has the bundle in it.
    with redirect_stdout(sys.stderr) if target == "-" and not dry_run else nullcontext():
        show(NAME, report, json=json)
    return 0
