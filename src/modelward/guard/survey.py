"""Look at dates and disks: what is overdue, and which disk fills up."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from modelward.domain.alert import Condition, Kind
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.scrubbing import overdue
from modelward.domain.store import Space
from modelward.domain.units import format_bytes
from modelward.domain.verdict import Report
from modelward.guard.heart import Heart
from modelward.guard.place import Place
from modelward.services.site import Site
from modelward.services.verify import verify

KINDS = frozenset({Kind.DISK, Kind.BACKUP, Kind.SCRUB})


def survey(heart: Heart, place: Place) -> None:
    """Tell of everything that is late or full, and of what no longer is."""
    site = place.site
    report = verify(site, (), Level.QUICK)
    bad = (*_disks(site, place.settings.disk_free), *_copies(heart, site), *_proofs(heart, site, report))
    heart.alarm.observe(bad, KINDS)


def _disks(site: Site, least: float) -> Iterable[Condition]:
    places = {"store": site.store.space(), **({"vault": site.vault.space()} if site.vault is not None else {})}
    for of, space in places.items():
        if _full(space, least):
            share = space.free * 100 / space.total
            yield Condition(
                kind=Kind.DISK,
                subject=of,
                detail=f"{format_bytes(space.free)} of {format_bytes(space.total)} are free ({share:.1f} %)",
                next="see what can go: modelward space",
            )


def _full(space: Space, least: float) -> bool:
    return bool(space.total) and space.free * 100 < least * space.total


def _copies(heart: Heart, site: Site) -> Iterable[Condition]:
    """Models whose present version has been without a copy for too long."""
    bare, now = _bare(site), heart.clock.now()
    since = {str(name): heart.memory.known.bare.get(str(name), now) for name in bare}
    heart.memory.set_known(msgspec.structs.replace(heart.memory.known, bare=since))
    for name in bare:
        if now - since[str(name)] > heart.settings().backup_overdue:
            yield Condition(
                kind=Kind.BACKUP,
                subject=name.short,
                detail=f"its present version has had no copy since {since[str(name)]:%Y-%m-%d %H:%M} UTC",
                next=f"modelward backup {name.short}",
            )


def _bare(site: Site) -> list[ModelName]:
    held = {(s.model, s.manifest) for s in site.vault.snapshots()} if site.vault is not None else set()
    models = site.store.inventory().models
    return [name for name, m in models.items() if site.protects(name) and (name, m.manifest.digest) not in held]


def _proofs(heart: Heart, site: Site, report: Report) -> Iterable[Condition]:
    """Models whose oldest proof is older than one and a half passes."""
    now = heart.clock.now()
    for verdict in report.models:
        if verdict.healthy is False or not site.protects(verdict.name):
            continue
        if overdue(verdict.verified_at, _known_since(heart, now), heart.settings().scrub_store, now):
            when = f"{verdict.verified_at:%Y-%m-%d}" if verdict.verified_at is not None else "never"
            yield Condition(
                kind=Kind.SCRUB,
                subject=verdict.name.short,
                detail=f"its bytes were last proved: {when}",
                next=f"modelward verify {verdict.name.short}; or allow more with scrub_rate and scrub_hours",
            )


def _known_since(heart: Heart, now: datetime) -> datetime:
    """When this guard's journal began: what was never proved is late only from then on."""
    known = heart.memory.known
    if known.first_seen is None:
        heart.memory.set_known(msgspec.structs.replace(known, first_seen=now))
        return now
    return known.first_seen
