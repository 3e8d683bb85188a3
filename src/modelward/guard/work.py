"""The recurring work, each as one job: maintenance, slices of a scrub, a drill; and what each leaves in the journal."""

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from modelward.domain.alert import Kind
from modelward.domain.errors import ModelwardError
from modelward.domain.history import ScrubRow, SpaceRow
from modelward.domain.outcome import DrillReport
from modelward.domain.reading import Level
from modelward.domain.scrubbing import period_of, plan_slice
from modelward.domain.verdict import Report
from modelward.guard.calm import idle_io
from modelward.guard.heart import Heart
from modelward.guard.jobs import Job
from modelward.guard.place import Place
from modelward.guard.rows import drill_row
from modelward.guard.survey import survey
from modelward.guard.tasks import SCRUB_STORE
from modelward.guard.tend import Tended, tend
from modelward.scan import Pace
from modelward.services.forecast import remember_drives, scrub_pace
from modelward.services.repair_vault import repair_vault
from modelward.services.retention import forget, prune
from modelward.services.site import Site
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault


class Maintained(msgspec.Struct, frozen=True, kw_only=True):
    """One maintenance run: versions stored and refused, versions forgotten, bytes freed; ``exit_code`` is backup's."""

    stored: int
    refused: int
    forgotten: int
    freed: int
    exit_code: int


def opened(heart: Heart, job: Job, *, create_vault: bool = False) -> AbstractContextManager[Place]:
    """The workplace of a job; the vault is made only where none was ever seen: one that is gone is not replaced."""
    return heart.opener(job, job.stop, cause=job.view.cause, create_vault=create_vault)


def maintain(heart: Heart, job: Job) -> Maintained:
    """Tend the store, apply retention, look at disks and dates, tidy the journal."""
    with opened(heart, job, create_vault=heart.may_create_vault()) as place:
        heart.remember_vault(place.site)
        try:
            tended = tend(place.site)
            told(heart, tended)
            forgotten, freed = _retain(heart, place)
        finally:
            _take_stock(heart, place)
    heart.journal.compact(heart.clock.now())
    report = tended.report
    outcomes = [result.outcome for result in report.models] if report is not None else []
    return Maintained(
        stored=outcomes.count("stored"),
        refused=outcomes.count("refused"),
        forgotten=forgotten,
        freed=freed,
        exit_code=tended.exit_code,
    )


def tend_store(heart: Heart, job: Job) -> Tended:
    """Prove and back up what is new, between two maintenance runs."""
    with opened(heart, job) as place:
        try:
            tended = tend(place.site)
            told(heart, tended)
        finally:
            survey(heart, place)
    return tended


def _take_stock(heart: Heart, place: Place) -> None:
    """Also where the work failed: a disk that is full is what it fails of, and has to be told."""
    heart.record(_space(place.site, heart.clock.now()))
    remember_drives(heart.journal, place.known_to_forecasts().drives)
    survey(heart, place)


def told(heart: Heart, tended: Tended) -> None:
    """A name that means another version is an event of its own (R4)."""
    if tended.moved:
        heart.alarm.observe(tended.moved, {Kind.TAG})


def _retain(heart: Heart, place: Place) -> tuple[int, int]:
    """Forget by policy and prune; nothing of it while the brake holds (G4)."""
    if place.site.vault is None or heart.memory.brake.engaged:
        return 0, 0
    forgotten = forget(place.site, (), place.policy())
    pruned = prune(place.site, timedelta(days=place.settings.trash_days))
    return len(forgotten.forgotten), pruned.bytes_freed + pruned.quarantine_freed


def _space(site: Site, now: datetime) -> list[SpaceRow]:
    store = site.store.space()
    rows = [SpaceRow(at=now, of="store", device=_device(site, "store"), total=store.total, free=store.free)]
    if site.vault is not None:
        vault = site.vault.space()
        rows.append(SpaceRow(at=now, of="vault", device=_device(site, "vault"), total=vault.total, free=vault.free))
    return rows


def _device(site: Site, of: str) -> str:
    identity = site.store.identity() if of == "store" or site.vault is None else site.vault.identity
    return identity.mount_source or str(identity.device)


# Scrub.


def scrub(heart: Heart, job: Job, of: str, since: timedelta) -> Report:
    """The next slice of a pass, calmly; where it finds damage, all that lies near it is read at once."""
    idle_io()
    with opened(heart, job) as place:
        site, settings = place.site, place.settings
        total = _total(site, of)
        period = _period(heart, site, of, total)
        part = plan_slice(total, since, period, settings.scrub_rate)
        site.reading.pace = Pace(heart.clock, part.rate)
        # One buffer is enough for a reader that waits most of the time, and two keep a disk busy.
        site.reading.threads = 1 if part.rate else 2
        percent = max(0.001, min(100.0, part.bytes * 100 / total)) if total else 100.0
        began = heart.clock.monotonic()
        report = _check(site, of, percent)
        seconds = heart.clock.monotonic() - began
        heart.record([_row(site, of, report, seconds, heart.clock.now())])
        _near(heart, site, of, report)
    return report


def _period(heart: Heart, site: Site, of: str, total: int) -> timedelta:
    """The chosen period; shorter after damage, and as short as the rot rate of the device asks for."""
    settings, now = heart.settings(), heart.clock.now()
    wished = settings.scrub_store if of == "store" else settings.scrub_vault
    steered = timedelta(seconds=scrub_pace(heart.journal, now, _device(site, of), total).period)
    return min(period_of(wished, heart.memory.known.damaged_at, now), max(steered, timedelta(seconds=1)))


def _check(site: Site, of: str, percent: float) -> Report:
    check = verify if of == "store" else verify_vault
    return check(site, (), Level.SAMPLE, sample_percent=percent)


def _total(site: Site, of: str) -> int:
    if of == "store":
        return sum(stat.file.size for stat in site.store.inventory().blobs.values())
    return sum(stat.file.size for stat in site.vault.objects().values()) if site.vault is not None else 0


def _near(heart: Heart, site: Site, of: str, report: Report) -> None:
    """Errors come in clusters (research/features.md names the field studies): read the rest of what is near at once."""
    names = tuple(verdict.name for verdict in report.damaged)
    if not names:
        return
    heart.memory.set_known(msgspec.structs.replace(heart.memory.known, damaged_at=heart.clock.now()))
    site.reading.pace = Pace(heart.clock, 0)
    if of == "store":
        verify(site, names, Level.FULL)
    elif not heart.memory.brake.engaged:
        repair_vault(site, names)


def _row(site: Site, of: str, report: Report, seconds: float, now: datetime) -> ScrubRow:
    found = sum(1 for verdict in report.models for finding in verdict.findings if finding.damage)
    device = _device(site, of)
    return ScrubRow(at=now, of=of, device=device, bytes=report.bytes_read, seconds=round(seconds, 3), damaged=found)


def of_task(name: str) -> str:
    """Which folder a scrub task is about."""
    return "store" if name == SCRUB_STORE else "vault"


def rehearse(heart: Heart, job: Job) -> DrillReport:
    """A drill; one that fails is a failure of maintenance, and its row is in the journal all the same."""
    from modelward.services.drill import drill  # once a week

    with opened(heart, job) as place:
        report = drill(place.site, Path(place.settings.state), reserve=place.settings.reserve)
    if not report.ok:
        heart.record([drill_row(report, heart.clock.now())])
        raise ModelwardError(f"the rehearsed restore failed: {report.why}", thing=report.model)
    return report
