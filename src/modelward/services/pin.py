"""Pin a model to a version: a pull brings that one or none, and forget keeps it (R4)."""

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import UnknownModel
from modelward.domain.name import ModelName
from modelward.domain.outcome import PinReport
from modelward.domain.snapshot import pick
from modelward.services.site import Site


def pin(site: Site, name: ModelName, wanted: str = "") -> PinReport:
    """Pin the model to the snapshot ``wanted`` (id or part of it), else to the version that the store serves now."""
    return _change(site, name, _version(site, name, wanted))


def unpin(site: Site, name: ModelName) -> PinReport:
    """Let the model follow its tag again."""
    return _change(site, name, None)


def pins(site: Site) -> PinReport:
    """All pins."""
    return PinReport(pins=site.the_vault().protected().pins)


def _version(site: Site, name: ModelName, wanted: str) -> Digest:
    mine = tuple(snapshot for snapshot in site.the_vault().snapshots() if snapshot.model == name)
    if wanted:
        return pick(mine, wanted).manifest
    served = site.store.inventory().models.get(name)
    if served is not None:
        return served.manifest.digest
    if mine:
        return mine[0].manifest
    raise UnknownModel(
        "neither the store nor the vault knows this model",
        thing=name.short,
        next_step="list the known ones with: modelward status",
    )


def _change(site: Site, name: ModelName, version: Digest | None) -> PinReport:
    vault = site.the_vault()
    with vault.writing("pin") as writer:
        decided = vault.protected()
        after = {model: digest for model, digest in decided.pins.items() if model != name}
        if version is not None:
            after[name] = version
        if changed := after != decided.pins:
            writer.protect(msgspec.structs.replace(decided, pins=dict(sorted(after.items()))))
            site.audit("pin" if version else "unpin", model=name, version=str(version or ""))
    return PinReport(pins=after, changed=changed)
