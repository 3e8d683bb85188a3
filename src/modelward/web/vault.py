"""The page of the vault: space, what storing once saves, what the copies survive, when the disk is full, drills."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from modelward.api.handlers_vault import VaultView
from modelward.domain.forecast import Forecast
from modelward.domain.history import DrillRow
from modelward.domain.series import Point
from modelward.domain.space import Leftover, ModelCost, SpaceReport, VaultCost
from modelward.domain.standing import ModelStanding
from modelward.domain.store import Protection, Space
from modelward.forecast.disk import AHEAD
from modelward.web import charts
from modelward.web.words import Mark, count, duration, link, short, size

_MODELS: Final = 50
_SURVIVES: Final = {
    Protection.SAME_INODE: "nothing: it is the same file",
    Protection.SAME_DEVICE: "deletion, not the loss of the disk",
    Protection.OTHER_DEVICE: "the loss of the store's disk",
    Protection.OTHER_HOST: "the loss of this machine",
    Protection.LOCKED: "the loss of this machine, and a malicious deletion",
}


class Disk(NamedTuple):
    """A disk as a bar: ``used`` is the share in percent."""

    name: str
    free: str
    total: str
    used: float
    low: bool


class Class(NamedTuple):
    """A protection class: what it survives, and how many models have it."""

    name: str
    survives: str
    models: str
    some: bool
    weak: bool


class Cost(NamedTuple):
    """What a model costs in the store."""

    name: str
    link: str
    size: str
    own: str


class Left(NamedTuple):
    """What no model needs."""

    kind: str
    name: str
    size: str
    at: datetime
    why: str


class Drill(NamedTuple):
    """A rehearsed restore."""

    at: datetime
    name: str
    link: str
    mark: Mark
    size: str
    restore: str
    verify: str
    why: str


class VaultPage(NamedTuple):
    """Everything in words."""

    path: str
    protection: str
    survives: str
    snapshots: str
    trashed: str
    stored: str
    named: str
    gain: str
    gain_note: str
    trash: str
    growth: str
    full: str
    full_note: str
    disks: tuple[Disk, ...]


def view(vaults: Sequence[VaultView], report: SpaceReport | None, ahead: Forecast | None = None) -> VaultPage | None:
    """The vault; None where there is none yet. ``ahead`` foretells when its disk is full by all that grows on it."""
    if not vaults or report is None or report.vault is None:
        return None
    vault, cost = vaults[0], report.vault
    gain, gain_note = _gain(cost)
    full, full_note = _full(cost) if ahead is None else _foretold(ahead)
    return VaultPage(
        path=vault.path,
        protection=vault.protection,
        survives=_survives(vault.protection),
        snapshots=f"{count(vault.snapshots, 'snapshot')} of {count(vault.models, 'model')}",
        trashed=f"{count(vault.trashed, 'snapshot')} in the trash",
        stored=size(cost.stored),
        named=size(cost.named),
        gain=gain,
        gain_note=gain_note,
        trash=size(cost.trash),
        growth=f"{size(cost.growth)} a day" if cost.growth else "none",
        full=full,
        full_note=full_note,
        disks=(disk("vault", cost.disk), disk("store", report.disk)),
    )


def _gain(cost: VaultCost) -> tuple[str, str]:
    if not cost.stored or cost.named <= cost.stored:
        return "1.0 times", "no blob is shared yet"
    saved = cost.named - cost.stored
    return f"{cost.named / cost.stored:.1f} times", f"{size(saved)} saved by storing shared blobs once"


def _full(cost: VaultCost) -> tuple[str, str]:
    days = cost.days_to_full
    if days is None:
        return "not in sight", "the vault does not grow, or is too young to tell"
    when = count(days, "day") if days < 730 else f"{days // 365:,} years" if days < 36_500 else "not in sight"
    return when, f"at {size(cost.growth)} a day, with {size(cost.disk.free)} free"


def _foretold(ahead: Forecast) -> tuple[str, str]:
    """The date and its reasons, by everything on the disk and not the vault alone."""
    reasons = "; ".join(ahead.what.split("; ")[:2])
    return (f"{ahead.when:%Y-%m-%d}" if ahead.when is not None else f"not within {AHEAD} days"), reasons


def _survives(protection: str) -> str:
    return next((text for kind, text in _SURVIVES.items() if kind.value == protection), "")


def disk(name: str, space: Space) -> Disk:
    """The bar of a disk."""
    used = (space.total - space.free) * 100 / space.total if space.total else 0.0
    return Disk(name, size(space.free), size(space.total), round(used, 1), used > 95)


def classes(models: Iterable[ModelStanding]) -> tuple[Class, ...]:
    """How many protected models have copies of which class; those without any stand first."""
    kept = [model for model in models if model.protected]
    numbers = Counter(model.protection for model in kept if model.snapshots)
    bare = sum(1 for model in kept if not model.snapshots)
    none = (Class("no copy", "nothing", count(bare, "model"), some=True, weak=True),) if bare else ()
    weak = (Protection.SAME_INODE, Protection.SAME_DEVICE)
    return none + tuple(
        Class(kind.value, text, count(numbers[kind.value], "model"), numbers[kind.value] > 0, kind in weak)
        for kind, text in _SURVIVES.items()
    )


def costs(models: Sequence[ModelCost]) -> tuple[Cost, ...]:
    """The dearest models of the store."""
    return tuple(Cost(each.name.short, link(each.name), size(each.size), size(each.own)) for each in models[:_MODELS])


def leftovers(found: Iterable[Leftover]) -> tuple[Left, ...]:
    """Orphans and unfinished downloads."""
    return tuple(Left(each.kind, each.name[:24], size(each.bytes), each.changed_at, each.why) for each in found)


def drills(rows: Iterable[DrillRow]) -> tuple[Drill, ...]:
    """Rehearsed restores, the newest first."""
    return tuple(
        Drill(
            at=row.at,
            name=short(row.model),
            link=link(row.model),
            mark=Mark("good", "proved") if row.ok else Mark("loss", "failed"),
            size=size(row.bytes),
            restore=duration(row.restore_seconds),
            verify=duration(row.verify_seconds),
            why=row.why,
        )
        for row in rows
    )


def free(points: Sequence[Point], since: datetime, until: datetime) -> charts.Chart:
    """The vault's free space over time."""
    return charts.free_space(points, charts.Range(since, until))
