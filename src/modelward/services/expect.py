"""Which models ought to be in the store: those that it serves, and protected ones that only the vault remembers."""

from dataclasses import dataclass, replace

from modelward.domain.errors import DamageError, ModelwardError, Unreachable
from modelward.domain.finding import Finding, ManifestDamaged, ManifestLost
from modelward.domain.manifest import Manifest, garbled_bytes
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import Inventory
from modelward.ports import Registry, Vault
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A model that ought to be served.

    ``origin`` says where its manifest has to come from, vault or upstream, and is empty where a good one stands;
    ``snapshot`` is the vault's record of it; ``manifest`` is None when nobody has one that can be read; ``replaces``
    says that a manifest stands where that one goes.
    """

    name: ModelName
    manifest: Manifest | None
    findings: tuple[Finding, ...] = ()
    snapshot: Snapshot | None = None
    origin: str = ""
    replaces: bool = False


def expected_models(
    site: Site, inventory: Inventory, asked: tuple[ModelName, ...], registry: Registry | None = None
) -> list[Expected]:
    """The models to look at, by name. Raises UnknownModel for one that was asked for and that nobody knows.

    ``registry`` is asked for manifests that neither store nor vault has; with it, models that the settings name
    are expected even when nothing is left of them.
    """
    damaged = {f.model: f for f in inventory.findings if isinstance(f, ManifestDamaged)}
    remembered = _remembered(site.vault)
    lost = {
        name
        for name in remembered
        if name not in inventory.models and name not in damaged and (name in asked or site.protects(name))
    }
    if registry is not None:
        lost |= {name for name in site.models if name not in inventory.models and site.protects(name)}
    chosen = site.choose(asked, frozenset({*inventory.models, *damaged, *lost, *(n for n in asked if n in remembered)}))
    found = [_expected(site, inventory, damaged, remembered, name) for name in sorted(chosen)]
    return [_ask(model, registry, remembered.get(model.name, [])) for model in found]


def _ask(model: Expected, registry: Registry | None, snapshots: list[Snapshot]) -> Expected:
    """The model with upstream's manifest where nobody here has one; only the recorded version, if there is a record."""
    if model.manifest is not None or registry is None:
        return model
    try:
        manifest = registry.manifest(model.name)
    except (Unreachable, DamageError):
        return model
    if snapshots and manifest.digest != snapshots[0].manifest:
        return model
    record = snapshots[0] if snapshots else None
    return replace(model, manifest=manifest, snapshot=record, origin="upstream")


def _remembered(vault: Vault | None) -> dict[ModelName, list[Snapshot]]:
    remembered: dict[ModelName, list[Snapshot]] = {}
    for snapshot in vault.snapshots() if vault is not None else ():
        remembered.setdefault(snapshot.model, []).append(snapshot)
    return remembered


def _expected(
    site: Site,
    inventory: Inventory,
    damaged: dict[ModelName, ManifestDamaged],
    remembered: dict[ModelName, list[Snapshot]],
    name: ModelName,
) -> Expected:
    if name in inventory.models:
        present = inventory.models[name].manifest
        return _garbled(site.vault, present, name, remembered.get(name, [])) or Expected(name=name, manifest=present)
    lost = ManifestLost(path="/".join(("manifests", *name.parts)), model=name)
    snapshot, manifest = _from_vault(site.vault, remembered.get(name, []))
    origin = "vault" if manifest is not None else ""
    return Expected(name=name, manifest=manifest, findings=(damaged.get(name, lost),), snapshot=snapshot, origin=origin)


def _garbled(vault: Vault | None, present: Manifest, name: ModelName, snapshots: list[Snapshot]) -> Expected | None:
    """The recorded manifest, when the one in the store is that one with a few bytes damaged."""
    if any(snapshot.manifest == present.digest for snapshot in snapshots):
        return None
    snapshot, known = _from_vault(vault, snapshots)
    if snapshot is None or known is None or not (count := garbled_bytes(present.raw, known.raw)):
        return None
    reason = f"{count} byte(s) of it differ from the version recorded as {snapshot.id}"
    found = ManifestDamaged(path="/".join(("manifests", *name.parts)), model=name, reason=reason)
    return Expected(name=name, manifest=known, findings=(found,), snapshot=snapshot, origin="vault")


def _from_vault(vault: Vault | None, snapshots: list[Snapshot]) -> tuple[Snapshot | None, Manifest | None]:
    """The newest snapshot whose manifest the vault can still prove."""
    for snapshot in snapshots:
        try:
            if vault is not None:
                return snapshot, vault.content(snapshot).manifest
        except ModelwardError:
            continue
    return None, None
