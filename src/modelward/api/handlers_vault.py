"""The vault: its snapshots, what differs between two of them, and what everything costs on the disks."""

import msgspec

from modelward.api.at_work import place_of
from modelward.api.paging import Paged, Text, page
from modelward.api.route import Ask, Nothing
from modelward.domain.answer import Page
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.outcome import DiffReport, SnapshotLine
from modelward.domain.snapshot import pick
from modelward.domain.space import SpaceReport
from modelward.domain.store import Space
from modelward.mounts import protection


class SnapshotsQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``model`` by name, ``trashed`` for those in the trash, or without them."""

    model: ModelName | None = None
    trashed: bool | None = None


class DiffQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two snapshots, each by its id or enough of it."""

    first: Text
    second: Text


class VaultView(msgspec.Struct, frozen=True, kw_only=True):
    """The vault: where it is, what it survives, what it holds, and what was decided about models."""

    path: str
    protection: str
    snapshots: int
    trashed: int
    models: int
    disk: Space
    released: tuple[ModelName, ...]
    pins: dict[ModelName, Digest]


def snapshots(ask: Ask[SnapshotsQuery, None]) -> Page[SnapshotLine]:
    """The versions in the vault, the newest first, then those in the trash."""
    from modelward.services.history import list_snapshots

    asked = (ask.query.model,) if ask.query.model is not None else ()
    with place_of(ask) as place:
        lines = list_snapshots(place.site, asked)
    found = [line for line in lines if ask.query.trashed is None or line.trashed is ask.query.trashed]
    return page(found, lambda line: line.id, ask.query)


def snapshot(ask: Ask[Nothing, None]) -> SnapshotLine:
    """One version, by its id or enough of it."""
    from modelward.services.history import list_snapshots

    with place_of(ask) as place:
        vault = place.site.the_vault()
        records = (*vault.snapshots(), *(item.snapshot for item in vault.trashed()))
        wanted = pick(records, ask.path["id"])
        lines = list_snapshots(place.site, (wanted.model,))
    return next(line for line in lines if line.id == wanted.id)


def diff(ask: Ask[DiffQuery, None]) -> DiffReport:
    """The blobs in which two versions differ."""
    from modelward.services.history import diff as difference

    with place_of(ask) as place:
        return difference(place.site, ask.query.first, ask.query.second)


def vaults(ask: Ask[Nothing, None]) -> tuple[VaultView, ...]:
    """The vault, or none where none was made yet."""
    with place_of(ask) as place:
        vault = place.site.vault
        if vault is None:
            return ()
        records, decided = vault.snapshots(), vault.protected()
        view = VaultView(
            path=vault.path,
            protection=protection(place.site.store.identity(), vault.identity).value,
            snapshots=len(records),
            trashed=len(vault.trashed()),
            models=len({record.model for record in records}),
            disk=vault.space(),
            released=decided.released,
            pins=decided.pins,
        )
    return (view,)


def space(ask: Ask[Nothing, None]) -> SpaceReport:
    """What each model costs, what nobody needs, and the vault's growth."""
    from modelward.services.space import space as cost

    with place_of(ask) as place:
        return cost(place.site)
