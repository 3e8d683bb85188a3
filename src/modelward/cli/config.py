"""``modelward config``: every setting, its value, and where the value comes from."""

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, given

NAME = "config"


def command(*, store: StorePath = "", vault: VaultPath = "", config: ConfigFile = "", json: Json = False) -> None:
    """Print every setting with its value and where the value comes from.

    A flag wins over the environment, the environment over the settings file, and the file over the default.
    """
    from modelward.bootstrap import resolve
    from modelward.cli.render import show
    from modelward.config import without_secrets

    resolved = resolve(given({"store": store, "vault": vault, "config": config}))
    show("config", without_secrets(resolved), json=json)
