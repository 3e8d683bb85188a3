"""Release and protect: whether a model that is deleted comes back (G3)."""

import msgspec

from modelward.domain.errors import UnknownModel
from modelward.domain.name import ModelName
from modelward.services.site import Site


def release(site: Site, name: ModelName) -> bool:
    """End the model's protection: its deletion is no damage any more. Its snapshots stay. False if it was ended."""
    _require_known(site, name)
    return _change(site, "release", name, released=True)


def protect(site: Site, name: ModelName) -> bool:
    """Begin protection again. False if it was protected."""
    _require_known(site, name)
    return _change(site, "protect", name, released=False)


def _change(site: Site, verb: str, name: ModelName, *, released: bool) -> bool:
    vault = site.the_vault()
    with vault.writing(verb) as writer:
        decided = vault.protected()
        before = set(decided.released)
        after = before | {name} if released else before - {name}
        if after == before:
            return False
        writer.protect(msgspec.structs.replace(decided, released=tuple(sorted(after))))
        site.audit(verb, model=name)
    return True


def _require_known(site: Site, name: ModelName) -> None:
    known = {snapshot.model for snapshot in site.the_vault().snapshots()} | set(site.store.inventory().models)
    if name not in known:
        raise UnknownModel(
            "neither the store nor the vault knows this model",
            thing=name.short,
            next_step="list the known ones with: modelward status",
        )
