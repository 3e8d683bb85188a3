"""``modelward protect``: protect a model that was released."""

from modelward.cli.options import ConfigFile, Json, Model, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "protect"


def command(
    model: Model, *, store: StorePath = "", vault: VaultPath = "", config: ConfigFile = "", json: Json = False
) -> None:
    """Protect a model again that was released: when it is lost or damaged, `modelward repair` brings it back.

    All models are protected unless they were released, or the setting `models` (MODEL) names others.
    """
    from modelward.cli.render import show_protection
    from modelward.services.protect import protect

    name = ModelName.parse(model)
    with workplace({"store": store, "vault": vault, "config": config}, json=json, need_vault=True) as place:
        changed = protect(place.site, name)
    show_protection(name, "protect", changed=changed, json=json)
