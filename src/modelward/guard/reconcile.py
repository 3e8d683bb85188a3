"""One look: observe, tell, plan by policy and brake, heal, observe again, show; and ask for what takes longer."""

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

import msgspec

from modelward.domain import finding as f
from modelward.domain.alert import Condition, Kind
from modelward.domain.brake import harms_of, pressed
from modelward.domain.errors import BadManifest, ModelwardError, StorageError
from modelward.domain.history import CheckRow, FindingRow
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.reading import Level
from modelward.domain.status import ModelStatus, StatusReport
from modelward.domain.words import describe
from modelward.guard import troubles
from modelward.guard.heart import Heart
from modelward.guard.jobs import Job
from modelward.guard.place import Place
from modelward.guard.rows import action_rows
from modelward.guard.standings import standing_of
from modelward.services.keep import keep_manifests
from modelward.services.repair import repair
from modelward.services.site import Site
from modelward.services.status import status

PLACES = frozenset({Kind.STORAGE})
_CHECK_SECONDS = 60.0  # a check counts as known time for five minutes (domain.series)


class Reconciler:
    """Looks, and heals what may be healed alone; owned by one thread."""

    def __init__(self, heart: Heart, stop: threading.Event, *, heals: bool = True) -> None:
        self._heart, self._stop, self._heals = heart, stop, heals
        self._failed: dict[ModelName, str] = {}
        self._noted: dict[ModelName, str] = {}
        self._checked_at = float("-inf")

    def look(self, cause: str) -> None:
        """One pass. What keeps us from looking at all is a condition too, and the next pass tries again."""
        try:
            with self._open(cause) as place:
                self._pass(place, cause)
        except ModelwardError as error:
            self._blind(error)
        else:
            self._heart.alarm.observe((), PLACES)

    def _open(self, cause: str) -> AbstractContextManager[Place]:
        create = self._heals and self._heart.may_create_vault()
        return self._heart.opener(self._heart.log, self._stop, cause=f"guard: {cause}", hurry=True, create_vault=create)

    def _blind(self, error: ModelwardError) -> None:
        subject = "vault" if isinstance(error, StorageError) else "store"
        trouble = Condition(kind=Kind.STORAGE, subject=subject, detail=str(error), next=error.next_step)
        self._heart.log.say("look_failed", error=str(error))
        self._heart.alarm.observe((trouble,), PLACES)
        if self._heart.board.standing is not None:
            gone = msgspec.structs.replace(
                self._heart.board.standing, at=self._heart.clock.now(), ready=False, why=f"{subject}: {error}"
            )
            self._heart.board.publish(gone)

    def _pass(self, place: Place, cause: str) -> None:
        self._heart.remember_vault(place.site)
        report = status(place.site, ())
        if self._heart.board.standing is None:
            self._show(place, report)  # the first verdict waits for no writing: the first look keeps every manifest
        self._keep_manifests(place.site)
        self._note(report)
        self._tell(report)
        if chosen := self._to_heal(report):
            self._show(place, report)
            for line in chosen:
                self._heal(place.site, line, cause)
            report = status(place.site, ())
            self._note(report)
            self._tell(report)
        self._show(place, report)
        self._ask(place.site, report)

    # Manifests first (G2).

    def _keep_manifests(self, site: Site) -> None:
        """Copy each manifest that is new to us, within seconds of its change and before its blobs are backed up."""
        if site.vault is None or not self._heals:
            return
        seen, inventory = self._heart.memory.kept, site.store.inventory()
        now = {name: model.manifest.digest.hex for name, model in inventory.models.items() if site.protects(name)}
        new = [name for name, digest in now.items() if seen.get(name) != digest]
        if not new:
            return
        try:
            keep_manifests(site, inventory, new)
        except (StorageError, BadManifest) as error:
            self._heart.log.say("manifest_not_kept", model=str(new[0]), error=str(error))
        else:
            seen.update({name: now[name] for name in new})

    # Tell.

    def _note(self, report: StatusReport) -> None:
        """Keep in the journal what changed, all checks once a minute, and press the brake with what is damaged."""
        heart, now = self._heart, self._heart.clock.now()
        regular = heart.clock.monotonic() - self._checked_at >= _CHECK_SECONDS
        rows: list[CheckRow | FindingRow] = []
        for line in report.models:
            changed = self._noted.get(line.name) != _damage(line)
            self._noted[line.name] = _damage(line)
            rows += [_check(line, now)] if changed or regular else []
            rows += _findings(line, now) if changed else []
        if regular:
            self._checked_at = heart.clock.monotonic()
        heart.record(rows)
        damaged = [line for line in report.models if line.healthy is False and line.protected]
        if damaged:
            heart.memory.set_known(msgspec.structs.replace(heart.memory.known, damaged_at=now))
        total = sum(line.size for line in report.models)
        heart.memory.set_brake(pressed(heart.memory.brake, harms_of(damaged, now), total, heart.limits(), now))

    def _tell(self, report: StatusReport) -> None:
        heart = self._heart
        policies = {line.name: heart.policy_of(line.name) for line in report.models}
        bad = troubles.of_status(report, policies, self._failed, heart.memory.brake)
        heart.alarm.observe(bad, troubles.LOOKED_AT)

    def _show(self, place: Place, report: StatusReport) -> None:
        self._heart.board.publish(standing_of(self._heart, place.site, report))

    # Heal.

    def _to_heal(self, report: StatusReport) -> list[ModelStatus]:
        """Whom to heal now, the cheapest first; nobody while the store is in doubt, the brake holds or memory lies."""
        heart = self._heart
        damaged = [line for line in report.models if line.healthy is False and line.protected]
        doubts = any(isinstance(finding, f.StoreFinding) for finding in report.findings)
        unstable = any(isinstance(finding, f.UnstableRead) for line in damaged for finding in line.findings)
        if heart.memory.brake.engaged or doubts or unstable or not self._heals:
            return []
        now = heart.clock.monotonic()
        return sorted(
            (
                line
                for line in damaged
                if heart.policy_of(line.name) == "restore" and heart.memory.tries.may(line.name, _damage(line), now)
            ),
            key=_weight,
        )

    def _heal(self, site: Site, line: ModelStatus, cause: str) -> None:
        """One model; whatever happens to it, the others get their turn."""

        def run(job: Job) -> RepairReport:
            return repair(_with(site, job), (line.name,), level=Level.QUICK)

        view = self._heart.jobs.now("repair", (line.name,), f"guard: {cause}", run, self._stop)
        why = _why(view.report) if isinstance(view.report, RepairReport) else view.error
        if isinstance(view.report, RepairReport):
            self._heart.record(action_rows(view.report, f"guard: {cause}", self._heart.clock.now()))
        self._settle(line, why)

    def _settle(self, line: ModelStatus, why: str) -> None:
        memory = self._heart.memory
        if not why:
            self._failed.pop(line.name, None)
            memory.tries.healed(line.name)
            return
        self._failed[line.name] = why
        memory.tries.failed(line.name, _damage(line), self._heart.clock.monotonic())

    # Ask for what takes longer.

    def _ask(self, site: Site, report: StatusReport) -> None:
        """New and changed models are proved and backed up by the other lane, after the store has been quiet."""
        unproved = tuple(line.name for line in report.models if line.protected and line.healthy is None)
        bare = tuple(line.name for line in report.models if _without_copy(line) and site.vault is not None)
        if unproved or bare:
            self._heart.tend.ask(self._heart.clock.monotonic())


def _without_copy(line: ModelStatus) -> bool:
    return line.protected and line.healthy is not False and not line.recoverable


def _with(site: Site, job: Job) -> Site:
    """The site with the job as its progress."""
    return replace(site, progress=job, reading=replace(site.reading, progress=job))


def _damage(line: ModelStatus) -> str:
    return f"{line.healthy} {line.recoverable} " + "; ".join(describe(x) for x in line.findings if x.damage)


def _weight(line: ModelStatus) -> int:
    """Bytes that have to come: manifests cost nothing, so they come first (G2)."""
    return sum(int(getattr(finding, "size", 0)) for finding in line.findings if finding.damage)


def _why(report: RepairReport) -> str:
    """Why a repair did not help; empty when it did."""
    errors = [action.error for action in report.actions if action.code]
    unhealed = [f"{item.model.short}: {item.reason}" for item in report.unhealed]
    left = [describe(x) for verdict in report.models if verdict.healthy is False for x in verdict.findings if x.damage]
    return next(iter((*unhealed, *errors, *left)), "")


def _check(line: ModelStatus, now: datetime) -> CheckRow:
    ready = line.healthy is not False
    return CheckRow(at=now, model=str(line.name), healthy=line.healthy, recoverable=line.recoverable, ready=ready)


def _findings(line: ModelStatus, now: datetime) -> Iterable[FindingRow]:
    for finding in line.findings:
        if finding.damage:
            blob = getattr(finding, "blob", None)
            yield FindingRow(
                at=now,
                model=str(line.name),
                kind=type(finding).__name__,
                text=describe(finding),
                blob=blob.hex if blob is not None else "",
                bytes=sum(span.length for span in getattr(finding, "spans", ())) or int(getattr(finding, "size", 0)),
                device="store",
            )
