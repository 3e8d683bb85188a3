"""The options that every verb shares, and the site that they lead to."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from modelward.domain.name import ModelName

if TYPE_CHECKING:
    from modelward.bootstrap import Workplace

Models = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this at run time
    typer.Argument(metavar="[MODEL]...", help="Models as `ollama list` shows them; all protected ones without any."),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model as `ollama list` shows it.")]
StorePath = Annotated[
    str, typer.Option("--store", metavar="PATH", help="The store: the folder with blobs/ and manifests/.")
]
VaultPath = Annotated[
    str, typer.Option("--vault", metavar="PATH", help="The vault: the folder that holds the backups.")
]
ConfigFile = Annotated[str, typer.Option("--config", metavar="FILE", help="The settings file (TOML).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
Accept = Annotated[
    bool, typer.Option("--accept-store", help="This store is meant, although it is not the one on record.")
]
Rate = Annotated[str, typer.Option("--limit-rate", metavar="BYTES/S", help="Read no faster, for example 50M.")]
Buffered = Annotated[
    bool, typer.Option("--buffered", help="Read through the page cache: faster, but blind to what the disk forgot.")
]


def names(models: list[str] | None) -> tuple[ModelName, ...]:
    """The models of a command line, parsed."""
    return tuple(ModelName.parse(text) for text in models or ())


@contextmanager
def workplace(
    flags: Mapping[str, str | bool],
    *,
    json: bool,
    create_vault: bool = False,
    need_vault: bool = False,
    create_store: bool = False,
    storeless: bool = False,
) -> Iterator["Workplace"]:
    """Settings from flags, environment, file and defaults; then the store and vault that they name, opened."""
    from modelward.bootstrap import Wish, open_workplace
    from modelward.cli.progress import watching

    wish = Wish(create_vault=create_vault, need_vault=need_vault, create_store=create_store, storeless=storeless)
    with open_workplace(given(flags), wish, lambda log_level: watching(log_level, quiet=json)) as found:
        yield found


def given(flags: Mapping[str, str | bool]) -> dict[str, str]:
    """The flags that were given, as the text that the settings table parses."""
    return {name: "true" if value is True else str(value) for name, value in flags.items() if value}
