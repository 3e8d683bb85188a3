"""``modelward pull``: download a model in a way that really works."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from modelward.cli.options import Accept, ConfigFile, DryRun, Json, Model, StorePath, VaultPath, workplace
from modelward.domain.errors import TagMoved
from modelward.domain.name import ModelName

if TYPE_CHECKING:
    from modelward.bootstrap import Workplace
    from modelward.domain.outcome import RepairReport

NAME = "pull"


def command(
    model: Model,
    *,
    accept_moved: Annotated[
        bool, typer.Option("--accept-moved", help="Take the version that the tag names now, though it is another one.")
    ] = False,
    limit_rate: Annotated[
        str, typer.Option("--limit-rate", metavar="BYTES/S", help="Download no faster, for example 5M.")
    ] = "",
    hours: Annotated[
        str, typer.Option("--hours", metavar="HH:MM-HH:MM", help="Wait for these hours; `any` for now.")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> int:
    """Download a model, or what is damaged or missing of it, and prove every byte.

    A file that is there is not believed for its name: it is verified, and damaged chunks are replaced. What the vault
    or another folder of this host holds is not downloaded. A download that was cut off is gone on with. When
    upstream's tag names another version than the one here, you are asked first, and the present version is backed up.
    A pinned model comes in its pinned version. Space is checked before the first byte.
    """
    from modelward.cli.render import show

    flags: dict[str, str | bool] = {"store": store, "vault": vault, "config": config, "download_rate": limit_rate}
    flags |= {"download_hours": "" if hours == "any" else hours}
    with workplace(flags, json=json, create_store=not dry_run) as place:
        if hours != "any" and not dry_run:
            place.wait_for_hours()
        report = _pull(place, ModelName.parse(model), accept_moved=accept_moved, accepted=accept_store, dry_run=dry_run)
    show("pull", report, json=json)
    return report.exit_code


def _pull(place: "Workplace", name: ModelName, *, accept_moved: bool, accepted: bool, dry_run: bool) -> "RepairReport":
    """Pull; a moved tag is asked about where somebody sits at a terminal."""
    from modelward.services.pull import pull

    try:
        return pull(place.site, name, accept_moved=accept_moved, accepted=accepted, dry_run=dry_run)
    except TagMoved as moved:
        if accept_moved or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        typer.echo(f"{name.short}: {moved.what}", err=True)
        if not typer.confirm("take the new version?", default=False, err=True):
            raise
        return pull(place.site, name, accept_moved=True, accepted=accepted, dry_run=dry_run)
