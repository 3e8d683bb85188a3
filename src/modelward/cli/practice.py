"""Practice ground: a small store to try the commands on, for a machine that has none."""

from pathlib import Path

import typer

from modelward.cli.options import given
from modelward.domain.errors import StoreNotFound


def on_practice_ground(flags: dict[str, str], practice: str) -> dict[str, str]:
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
