"""``modelward import``: take a bundle, or models in another form, into the vault."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from modelward.cli.adopt import import_from
from modelward.cli.options import Accept, ConfigFile, DryRun, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.errors import BadSetting
from modelward.domain.name import ModelName

NAME = "import"
_STDIN = "-"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A bundle, - for standard input; or an image layout, GGUF files, another store."
        ),
    ],
    *,
    as_name: Annotated[
        str, typer.Option("--as", "--as-name", metavar="NAME", help="The name to give to a single model.")
    ] = "",
    restore: Annotated[bool, typer.Option("--restore", help="Bring a bundle's models into the store, too.")] = False,
    limit_rate: Rate = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Take models into the vault, every byte proved before it counts.

    What the vault has already is not written again. Of a bundle that is cut short the whole blobs are kept, so that
    its second half alone is missing the next time. Besides bundles it takes OCI image layouts, GGUF files and other
    Ollama stores; the store is left alone without --restore.
    """
    from modelward.services.adopt import recognise

    flags = {"store": store, "vault": vault, "config": config, "limit_rate": limit_rate}
    form = "bundle" if source == _STDIN else recognise(Path(source))
    if form is None:
        what = "nothing there that models can be taken from"
        raise BadSetting(what, thing=source, next_step="name a bundle, an image layout, GGUF files or a store")
    if form == "bundle":
        return _bundle(
            source,
            as_name,
            flags,
            accepted=accept_store,
            json=json,
            dry_run=dry_run,
            into_store=restore and not dry_run,
        )
    if restore:
        raise BadSetting("--restore is for bundles", thing=source, next_step="import it, then: modelward restore MODEL")
    return import_from(source, form, as_name, flags, json=json, dry_run=dry_run)


def _bundle(
    source: str,
    as_name: str,
    flags: dict[str, str],
    *,
    accepted: bool,
    json: bool,
    dry_run: bool,
    into_store: bool,
) -> int:
    from modelward.bootstrap import opened_bundle
    from modelward.cli.render import show
    from modelward.services.import_ import import_bundle, restore_models

    name, made = ModelName.parse(as_name) if as_name else None, bool(flags["store"]) and into_store
    with (
        opened_bundle(source) as bundle,
        workplace(flags, json=json, create_vault=not dry_run, create_store=made, storeless=True) as place,
    ):
        report = import_bundle(place.site, bundle, name, dry_run=dry_run)
        if into_store:
            restored = restore_models(place.site, report, accepted=accepted)
            report = msgspec.structs.replace(report, restored=restored)
    show(NAME, report, json=json)
    return report.exit_code
