"""Which models ought to be in the store: those that it serves, and protected ones that only the vault remembers."""

from dataclasses import dataclass, replace

from modelward.domain.errors import DamageError, ModelwardError, Unreachable
from modelward.domain.finding import Finding, ManifestDamaged, ManifestLost
from modelward.domain.manifest import Manifest, garbled_bytes
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KeptManifest, Snapshot
from modelward.domain.store import Inventory, Owner
from modelward.ports import Registry, Vault
from modelward.services.derive import manifest_of
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A model that ought to be served.

    ``origin`` says where its manifest has to come from, vault or upstream, and is empty where a good one stands;
    ``snapshot`` is the vault's record of it, and ``owner`` that of the manifest's file, where the vault knows it;
    ``manifest`` is None when nobody has one that can be read; ``replaces`` says that a manifest stands where that one
    goes.
    """

    name: ModelName
    manifest: Manifest | None
    findings: tuple[Finding, ...] = ()
    snapshot: Snapshot | None = None
    owner: Owner | None = None
    origin: str = ""
    replaces: bool = False


def expected_models(
    site: Site,
    inventory: Inventory,
    asked: tuple[ModelName, ...],
    registry: Registry | None = None,
    *,
    all_named: bool = False,
) -> list[Expected]:
    """The models to look at, by name. Raises UnknownModel for one that was asked for and that nobody knows.

    ``registry`` is asked for manifests that neither store nor vault has; with it, or with ``all_named``, models that
    the settings name are expected even when nothing is left of them.
    """
    damaged = {f.model: f for f in inventory.findings if isinstance(f, ManifestDamaged)}
    memory = Memory(site.vault, inventory)
    lost = {
        name
        for name in memory.names
        if name not in inventory.models and name not in damaged and (name in asked or site.protects(name))
    }
    if registry is not None or all_named:
        lost |= {name for name in site.models if name not in inventory.models and site.protects(name)}
    known = {*inventory.models, *damaged, *lost, *(name for name in asked if name in memory.names)}
    found = [_expected(memory, inventory, damaged, name) for name in sorted(site.choose(asked, frozenset(known)))]
    return [_ask(model, registry, memory.snapshots(model.name)) for model in found]


def recalled_manifests(site: Site, inventory: Inventory, asked: tuple[ModelName, ...]) -> dict[ModelName, Manifest]:
    """The manifests that a repair would put in place, of models whose own is lost or damaged and somebody knows."""
    models = expected_models(site, inventory, asked)
    return {model.name: model.manifest for model in models if model.origin and model.manifest is not None}


class Memory:
    """What the vault remembers of the models of one store: their snapshots, and the manifests kept since (G2).

    A kept manifest counts while every blob that it names lies in the store in its right size: it may name what no
    backup has. A model that was deleted whole before its first snapshot is therefore not remembered. ``names`` holds
    every model that can be expected from memory alone.
    """

    def __init__(self, vault: Vault | None, inventory: Inventory) -> None:
        self._vault, self._inventory = vault, inventory
        self._snapshots: dict[ModelName, list[Snapshot]] = {}
        for snapshot in vault.snapshots() if vault is not None else ():
            self._snapshots.setdefault(snapshot.model, []).append(snapshot)
        self._kept = vault.kept_manifests() if vault is not None else {}
        loose = (name for name in self._kept.keys() - inventory.models.keys() if self.kept(name) is not None)
        self.names = frozenset((*self._snapshots, *loose))

    def snapshots(self, name: ModelName) -> list[Snapshot]:
        """The model's records, the newest first."""
        return self._snapshots.get(name, [])

    def proved(self, name: ModelName) -> tuple[Snapshot | None, Manifest | None]:
        """The newest snapshot whose manifest the vault can still prove, or make anew."""
        for snapshot in self.snapshots(name):
            try:
                if self._vault is not None:
                    return snapshot, manifest_of(self._vault, snapshot)
            except ModelwardError:
                continue
        return None, None

    def newer(self, name: ModelName, snapshot: Snapshot | None, manifest: Manifest | None) -> KeptManifest | None:
        """The kept manifest, where it is another version than the newest snapshot, and younger than that."""
        kept = self.kept(name)
        if kept is None or manifest is None or snapshot is None:
            return kept
        same = kept.manifest == manifest.raw or garbled_bytes(kept.manifest, manifest.raw) > 0
        return None if same or kept.seen_at <= snapshot.created_at else kept

    def kept(self, name: ModelName) -> KeptManifest | None:
        """The kept manifest, where all its blobs are in the store."""
        kept, found = self._kept.get(name), self._inventory.blobs
        blobs = Manifest.parse(kept.manifest).blobs if kept is not None else ()
        whole = all(blob.digest in found and found[blob.digest].file.size == blob.size for blob in blobs)
        return kept if whole else None


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
    owner = record.owner if record is not None else None
    return replace(model, manifest=manifest, snapshot=record, owner=owner, origin="upstream")


def _expected(
    memory: Memory, inventory: Inventory, damaged: dict[ModelName, ManifestDamaged], name: ModelName
) -> Expected:
    if name in inventory.models:
        present = inventory.models[name].manifest
        return _garbled(memory, present, name) or Expected(name=name, manifest=present)
    findings = (damaged.get(name, ManifestLost(path="/".join(("manifests", *name.parts)), model=name)),)
    snapshot, manifest = memory.proved(name)
    if (kept := memory.newer(name, snapshot, manifest)) is not None:
        newest = Manifest.parse(kept.manifest)
        return Expected(name=name, manifest=newest, findings=findings, owner=kept.owner, origin="vault")
    return Expected(
        name=name,
        manifest=manifest,
        findings=findings,
        snapshot=snapshot,
        owner=snapshot.owner if snapshot is not None else None,
        origin="vault" if manifest is not None else "",
    )


def _garbled(memory: Memory, present: Manifest, name: ModelName) -> Expected | None:
    """The recorded manifest, when the one in the store is that one with a few bytes damaged."""
    if any(snapshot.manifest == present.digest for snapshot in memory.snapshots(name)):
        return None
    snapshot, known = memory.proved(name)
    if snapshot is not None and known is not None and (count := garbled_bytes(present.raw, known.raw)):
        found = _garbage(name, count, f"the version recorded as {snapshot.id}")
        return Expected(
            name=name, manifest=known, findings=(found,), snapshot=snapshot, owner=snapshot.owner, origin="vault"
        )
    kept = memory.kept(name)
    if kept is not None and (count := garbled_bytes(present.raw, kept.manifest)):
        found = _garbage(name, count, f"the one that stood there at {kept.seen_at:%Y-%m-%d %H:%M:%S} UTC")
        newest = Manifest.parse(kept.manifest)
        return Expected(name=name, manifest=newest, findings=(found,), owner=kept.owner, origin="vault")
    return None


def _garbage(name: ModelName, count: int, known: str) -> ManifestDamaged:
    reason = f"{count} byte(s) of it differ from {known}"
    return ManifestDamaged(path="/".join(("manifests", *name.parts)), model=name, reason=reason)
