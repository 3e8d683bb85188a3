"""``modelward run``: the main job in one word: find the store, back it up, verify it, show how it stands."""

from pathlib import Path
from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, given, workplace
from modelward.domain.errors import StoreNotFound
from modelward.domain.reading import Level

NAME = "run"


def command(
    *,
    practice: Annotated[
        str, typer.Option(metavar="PATH", help="Where to make a practice store when this machine has no store.")
    ] = "",
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Back up this machine's models, verify every byte, and show the status; what to do next stands in its last column.

    On a machine without an Ollama store a small practice store is made and named, to try the commands on.
    """
    from modelward.cli.render import show
    from modelward.services.backup import backup
    from modelward.services.status import status
    from modelward.services.verify import verify

    flags = {"store": store, "vault": vault, "config": config}
    flags = _on_practice_ground(flags, practice)
    with workplace(flags, json=json, create_vault=True) as place:
        stored = backup(place.site, ())
        checked = verify(place.site, (), Level.FULL)
        standing = status(place.site, ())
    for verb, report in (("backup", stored), ("verify", checked), ("status", standing)):
        if not json:
            typer.secho(f"\nmodelward {verb}", bold=True)
        show(verb, report, json=json)
    return max(stored.exit_code, checked.exit_code, standing.exit_code)


def _on_practice_ground(flags: dict[str, str], practice: str) -> dict[str, str]:
    """The flags as they are when there is a store; else, or when it is named, those of the practice store."""
    from modelward.bootstrap import find, practice_store, resolve

    named = bool(practice and flags["store"]) and Path(flags["store"]).absolute() == Path(practice, "models").absolute()
    try:
        if not named:
            find(resolve(given(flags)).settings)
            return flags
    except StoreNotFound:
        if not practice:
            raise
    made = practice_store(Path(practice))
    vault = flags["vault"] or str(made.parent / "model_backups")
    why = "" if named else "This machine has no Ollama store. "
    typer.echo(f"{why}Using a practice store, made to try the commands on: {made}", err=True)
    typer.echo(f"  name it to every command: --store {made} --vault {vault}", err=True)
    return {**flags, "store": str(made), "vault": vault}
