"""Keep the manifests of the store's models in the vault, within seconds of a change and before any backup (G2)."""

from collections.abc import Iterable

from modelward.domain.manifest import garbled_bytes
from modelward.domain.name import ModelName
from modelward.domain.store import Inventory
from modelward.services.site import Site


def keep_manifests(site: Site, inventory: Inventory, names: Iterable[ModelName] = ()) -> tuple[ModelName, ...]:
    """Keep the manifest of each of these models, or of all, that changed; returns the models whose was new.

    One that is the kept one with a few bytes damaged is not kept. Does nothing without a vault. Raises StorageError.
    """
    vault = site.vault
    if vault is None:
        return ()
    kept, new = vault.kept_manifests(), []
    for name in sorted(names or inventory.models):
        model, known = inventory.models.get(name), kept.get(name)
        if model is not None and (known is None or _is_new(model.manifest.raw, known.manifest)):
            new.append((name, model.manifest.raw, model.owner))
    if new:
        vault.keep_manifests(new)
    return tuple(name for name, _, _ in new)


def _is_new(raw: bytes, known: bytes) -> bool:
    return raw != known and not garbled_bytes(raw, known)
