"""Which models ought to be in the store: those that it serves, and protected ones that only the vault remembers."""

from dataclasses import dataclass

from modelward.domain.errors import ModelwardError
from modelward.domain.finding import Finding, ManifestDamaged, ManifestLost
from modelward.domain.manifest import Manifest, garbled_bytes
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import Inventory
from modelward.ports import Vault
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A model that ought to be served.

    ``snapshot`` is set when its manifest has to come from the vault; ``manifest`` is None when nobody has one that
    can be read; ``replaces`` says that a manifest stands where that one goes.
    """

    name: ModelName
    manifest: Manifest | None
    findings: tuple[Finding, ...] = ()
    snapshot: Snapshot | None = None
    replaces: bool = False


def expected_models(site: Site, inventory: Inventory, asked: tuple[ModelName, ...]) -> list[Expected]:
    """The models to look at, by name. Raises UnknownModel for one that was asked for and that nobody knows."""
    damaged = {f.model: f for f in inventory.findings if isinstance(f, ManifestDamaged)}
    remembered = _remembered(site.vault)
    lost = {
        name
        for name in remembered
        if name not in inventory.models and name not in damaged and (name in asked or site.protects(name))
    }
    chosen = site.choose(asked, frozenset({*inventory.models, *damaged, *lost, *(n for n in asked if n in remembered)}))
    return [_expected(site, inventory, damaged, remembered, name) for name in sorted(chosen)]


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
    return Expected(name=name, manifest=manifest, findings=(damaged.get(name, lost),), snapshot=snapshot)


def _garbled(vault: Vault | None, present: Manifest, name: ModelName, snapshots: list[Snapshot]) -> Expected | None:
    """The recorded manifest, when the one in the store is that one with a few bytes damaged."""
    if any(snapshot.manifest == present.digest for snapshot in snapshots):
        return None
    snapshot, known = _from_vault(vault, snapshots)
    if snapshot is None or known is None or not (count := garbled_bytes(present.raw, known.raw)):
        return None
    reason = f"{count} byte(s) of it differ from the version recorded as {snapshot.id}"
    found = ManifestDamaged(path="/".join(("manifests", *name.parts)), model=name, reason=reason)
    return Expected(name=name, manifest=known, findings=(found,), snapshot=snapshot)


def _from_vault(vault: Vault | None, snapshots: list[Snapshot]) -> tuple[Snapshot | None, Manifest | None]:
    """The newest snapshot whose manifest the vault can still prove."""
    for snapshot in snapshots:
        try:
            if vault is not None:
                return snapshot, vault.content(snapshot).manifest
        except ModelwardError:
            continue
    return None, None
