"""``modelward release``: end a model's protection, so that its deletion stays."""

from modelward.cli.options import ConfigFile, Json, Model, StorePath, VaultPath, workplace
from modelward.domain.name import ModelName

NAME = "release"


def command(
    model: Model, *, store: StorePath = "", vault: VaultPath = "", config: ConfigFile = "", json: Json = False
) -> None:
    """End the protection of a model: when it is deleted, that is no damage and it stays deleted.

    Its versions stay in the vault; `modelward restore` brings it back, `modelward protect` begins protection again.
    """
    from modelward.cli.render import show_protection
    from modelward.services.protect import release

    name = ModelName.parse(model)
    with workplace({"store": store, "vault": vault, "config": config}, json=json, need_vault=True) as place:
        changed = release(place.site, name)
    show_protection(name, "release", changed=changed, json=json)
