"""Pull: a download that really works. What is there and good stays, what is bad comes anew, a moved tag is asked for.

The same plan and the same proofs as repair, towards upstream's manifest instead of the one that stands there (R4).
"""

from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting, ModelwardError, TagMoved
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.plan import PlaceBlob, Plan, TrySuspects
from modelward.ports import Registry
from modelward.services.backup import backup
from modelward.services.expect import Expected
from modelward.services.heal import Content
from modelward.services.identity import require_known, store_findings
from modelward.services.repair import finish, plan_for, puller_of
from modelward.services.restore import look
from modelward.services.site import Site


def pull(
    site: Site, name: ModelName, *, accept_moved: bool = False, accepted: bool = False, dry_run: bool = False
) -> RepairReport:
    """Bring the model as upstream has it, or the version that it is pinned to; every byte is proved.

    Raises TagMoved when the tag names another version than the one that is served or recorded, unless
    ``accept_moved``: then the present version goes into the vault first, where there is one.
    """
    began = site.clock.monotonic()
    inventory = site.store.inventory()
    doubts = store_findings(site, inventory)
    manifest, origin, notes = _choose(site, name, accept_moved=accept_moved)
    present = inventory.models.get(name)
    same = present is not None and present.manifest.digest == manifest.digest
    model = Expected(
        name=name,
        manifest=manifest,
        origin="" if same else origin,
        replaces=present is not None or any(getattr(found, "model", None) == name for found in inventory.findings),
    )
    plan = plan_for(site, [model], look(site, inventory, manifest))
    if plan.models:
        require_known(doubts, accepted=accepted or dry_run, named=True)
        notes = (*notes, *_make_ready(site, name, plan, moved=present is not None and not same, dry_run=dry_run))
    contents = {name: Content(manifest=manifest, owner=None)}
    return finish(
        site,
        plan,
        contents,
        (name,),
        began=began,
        dry_run=dry_run,
        puller=puller_of(site, [model]),
        verb="pull",
        notes=notes,
    )


def _choose(site: Site, name: ModelName, *, accept_moved: bool) -> tuple[Manifest, str, tuple[str, ...]]:
    """The manifest to bring, where it comes from, and what to say of it."""
    if site.registry is None:
        raise BadSetting(
            "downloads are switched off (upstream = false)", thing="upstream", next_step="switch them on, or import it"
        )
    pinned = site.vault.protected().pins.get(name) if site.vault is not None else None
    if pinned is not None:
        return _pinned(site, site.registry, name, pinned)
    found, known = site.registry.manifest(name), _known(site, name)
    if known is None or found.digest == known:
        return found, "upstream", ()
    what = f"upstream moved the tag: it names version {found.digest.short} now, {known.short} is the one here"
    if not accept_moved:
        raise TagMoved(
            what, thing=name.short, next_step="take the new one with --accept-moved, or keep this: modelward pin"
        )
    return found, "upstream", (what,)


def _pinned(site: Site, registry: Registry, name: ModelName, pinned: Digest) -> tuple[Manifest, str, tuple[str, ...]]:
    """The pinned version, whoever has its manifest; its blobs come by their digests (R4)."""
    served = site.store.inventory().models.get(name)
    if served is not None and served.manifest.digest == pinned:
        return served.manifest, "store", (f"pinned to version {pinned.short}",)
    for snapshot in site.the_vault().snapshots():
        if snapshot.model == name and snapshot.manifest == pinned:
            try:
                manifest = site.the_vault().content(snapshot).manifest
            except ModelwardError:
                continue
            return manifest, "vault", (f"pinned to version {pinned.short}",)
    found = registry.manifest(name)
    if found.digest == pinned:
        return found, "upstream", (f"pinned to version {pinned.short}",)
    raise TagMoved(
        f"pinned to version {pinned.short}, of which nobody has the manifest; upstream names {found.digest.short}",
        thing=name.short,
        next_step=f"let it follow the tag: modelward pin --off {name.short}",
    )


def _known(site: Site, name: ModelName) -> Digest | None:
    """The version that is here: the served one, else the newest recorded."""
    served = site.store.inventory().models.get(name)
    if served is not None:
        return served.manifest.digest
    records = site.vault.snapshots() if site.vault is not None else ()
    return next((snapshot.manifest for snapshot in records if snapshot.model == name), None)


def _make_ready(site: Site, name: ModelName, plan: Plan, *, moved: bool, dry_run: bool) -> tuple[str, ...]:
    """Space before the first byte (D1), and the version that is replaced into the vault (S1)."""
    if dry_run:
        return ()
    whole = (PlaceBlob, TrySuspects)
    with site.store.writing() as writer:
        writer.require_space({s.blob: s.size for model in plan.models for s in model.steps if isinstance(s, whole)})
    if not moved:
        return ()
    if site.vault is None:
        return ("the version that was replaced is not in a vault: the server drops its blobs at its next start",)
    (kept,) = backup(site, (name,)).models
    if kept.outcome == "refused":
        return (f"the version that was replaced could not be backed up: {kept.reason}",)
    return (
        f"the version that was replaced is snapshot {kept.snapshot}; go back with: modelward rollback {name.short}",
    )
