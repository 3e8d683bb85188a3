"""``modelward drill``: rehearse a restore, and measure how long it takes."""

from pathlib import Path
from typing import Annotated

import typer

from modelward.cli.options import Buffered, ConfigFile, Json, Rate, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "drill"


def command(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="The model to rehearse; one by chance without it.")
    ] = "",
    *,
    limit_rate: Rate = "",
    buffered: Buffered = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Restore a model from the vault into a scratch folder, prove every byte of it, time it, and take it away again.

    Without a name it is a protected model by chance, the likelier the longer ago its last drill was. The store is not
    touched. The scratch lies in the folder of the setting `state`, or on the vault's disk where that has the room.
    """
    from modelward.cli.text_drill import show_drill
    from modelward.services.drill import drill

    name = ModelName.parse(model) if model else None
    flags: dict[str, str | bool] = {
        "store": store,
        "vault": vault,
        "config": config,
        "limit_rate": limit_rate,
        "buffered": buffered,
    }
    with workplace(flags, json=json, need_vault=True, storeless=True) as place:
        report = drill(place.site, Path(place.settings.state), name, reserve=place.settings.reserve)
    show_drill(report, json=json)
    return report.exit_code
