"""Rollback: go back to the version that was served before this one."""

from modelward.domain.errors import UnknownModel, UnknownSnapshot
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.snapshot import Snapshot
from modelward.services.restore import restore
from modelward.services.site import Site


def rollback(site: Site, name: ModelName, *, accepted: bool = False, dry_run: bool = False) -> RepairReport:
    """Restore the newest version in the vault that is older than, and not, the one that the store serves."""
    snapshot = _before(site, name)
    return restore(site, name, snapshot.id, accepted=accepted, dry_run=dry_run)


def _before(site: Site, name: ModelName) -> Snapshot:
    mine = [snapshot for snapshot in site.the_vault().snapshots() if snapshot.model == name]
    if not mine:
        raise UnknownModel(
            "the vault has no snapshot of this model", thing=name.short, next_step="list them with: modelward snapshots"
        )
    served = site.store.inventory().models.get(name)
    now = served.manifest.digest if served is not None else mine[0].manifest
    since = min((s.created_at for s in mine if s.manifest == now), default=None)
    for snapshot in mine:
        if snapshot.manifest != now and (since is None or snapshot.created_at <= since):
            return snapshot
    raise UnknownSnapshot(
        "the vault has no older version of this model",
        thing=name.short,
        next_step=f"see what there is with: modelward snapshots {name.short}",
    )
