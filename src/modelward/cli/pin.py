"""``modelward pin``: hold a model to a version."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, workplace
from modelward.domain.errors import UnknownModel
from modelward.domain.name import ModelName

NAME = "pin"


def command(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL[@SNAPSHOT]]", help="A model, and the snapshot to hold it to; lists pins.")
    ] = "",
    *,
    off: Annotated[bool, typer.Option("--off", help="Let the model follow its tag again.")] = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> None:
    """Hold a model to the version that is served now, or to a snapshot: `pull` brings that one or none.

    `forget` keeps pinned versions. Without a model the pins are listed.
    """
    from modelward.cli.render import show
    from modelward.services.pin import pin, pins, unpin

    name, _, snapshot = model.partition("@")
    if off and not name:
        raise UnknownModel("no model to let go", thing="pin --off", next_step="list the pins with: modelward pin")
    with workplace({"store": store, "vault": vault, "config": config}, json=json, need_vault=True) as place:
        if not name:
            report = pins(place.site)
        elif off:
            report = unpin(place.site, ModelName.parse(name))
        else:
            report = pin(place.site, ModelName.parse(name), snapshot)
    show("pin", report, json=json)
