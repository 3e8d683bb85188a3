"""Gate: before the server starts, is every model there and whole; else heal it, else download it, within a deadline."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from modelward.domain.errors import (
    EXIT_NOT_REPAIRABLE,
    EXIT_STORAGE,
    EXIT_UNREACHABLE,
    DamageError,
    Interrupted,
    RegistryRefused,
    RegistryUnreachable,
    StorageError,
    Unreachable,
)
from modelward.domain.finding import BlobDamage, Finding, WrongOwner
from modelward.domain.gate import GateLine, GateReport, Passage, worst
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action
from modelward.domain.plan import ModelPlan, Plan
from modelward.domain.reading import Level
from modelward.domain.store import Inventory
from modelward.domain.verdict import Verdict
from modelward.domain.words import describe, way_out
from modelward.ports import Clock, Registry
from modelward.services.expect import Expected, expected_models
from modelward.services.identity import store_findings
from modelward.services.inspect import Inspection
from modelward.services.repair import contents_of, finish, plan_for, puller_of
from modelward.services.site import Site
from modelward.services.verify import inspect_store, verify

_LATE = "the time was up"


def gate(
    site: Site,
    asked: tuple[ModelName, ...] = (),
    *,
    seconds: float = 600.0,
    level: Level = Level.QUICK,
    accepted: bool = False,
) -> GateReport:
    """Look at the models asked for, or at all that are protected, and heal what is damaged; one report in any case.

    ``seconds`` is the time for all of it: what is left unread then is unproved, what is left damaged is said. A store
    that is not the recorded one is not touched, unless ``accepted`` (I1).
    """
    began = site.clock.monotonic()
    inventory = site.store.inventory()
    doubts = store_findings(site, inventory)
    if doubts and not accepted:
        notes = tuple(dict.fromkeys(way_out(doubt) for doubt in doubts))
        report = GateReport(store=site.store.path, outcome=Passage.REFUSED, findings=doubts, notes=notes)
    else:
        report = _Gate(site, inventory, asked, began + seconds).run(level)
    return msgspec.structs.replace(report, seconds=round(site.clock.monotonic() - began, 3))


class _Until(threading.Event):
    """Set when another event is, or at a time of the clock: what it ends goes on where it was with the next run."""

    def __init__(self, before: threading.Event, clock: Clock, at: float) -> None:
        super().__init__()
        self._before, self._clock, self._at = before, clock, at

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._before.is_set() or self._clock.monotonic() >= self._at


class _Once:
    """A registry that is not asked again after it could not be reached, nor when the time is up."""

    def __init__(self, registry: Registry, stop: threading.Event) -> None:
        self._registry, self._stop = registry, stop
        self._errors: dict[str, Unreachable] = {}

    def manifest(self, name: ModelName) -> Manifest:
        """The manifest that upstream's tag names now; raises Unreachable."""
        host = name.parts[0]
        if host not in self._errors and self._stop.is_set():
            self._errors[host] = RegistryUnreachable(_LATE, thing=host, next_step="give more time with --deadline")
        if host in self._errors:
            raise self._errors[host]
        try:
            return self._registry.manifest(name)
        except RegistryRefused:
            raise
        except Unreachable as error:
            self._errors[host] = error
            raise


@dataclass(slots=True)
class _Healed:
    """What came of the plan: the actions, and of each model that was not healed, why and the exit code of that."""

    actions: list[Action] = field(default_factory=list)
    failed: dict[ModelName, tuple[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Gate:
    """One run on a store that is the recorded one."""

    def __init__(self, site: Site, inventory: Inventory, asked: tuple[ModelName, ...], until: float) -> None:
        stop = _Until(site.reading.stop, site.clock, until)
        registry = _Once(site.registry, stop) if site.registry is not None else None
        named = replace(site, models=tuple(dict.fromkeys((*asked, *site.models))), registry=registry)
        self._asked, self._inventory, self._stopped = asked, inventory, site.reading.stop
        self._looking = replace(named, reading=replace(site.reading, deadline=until))
        # Healing has no deadline of that kind, which would leave what was written unread; it is interrupted.
        self._healing = replace(named, reading=replace(site.reading, deadline=None, stop=stop))
        self._expected: list[Expected] = []
        self._healed = _Healed()

    def run(self, level: Level) -> GateReport:
        """Exists, integrity, recover, re-download."""
        site = self._looking
        self._expected = expected_models(site, self._inventory, self._asked, site.registry, all_named=True)
        inspection = inspect_store(site, self._inventory, self._expected, level, unproved=True, damaged=True)
        site.ledgers.update(site.store_key, inspection.change(int(site.clock.now().timestamp())))
        try:
            self._heal(inspection)
        except Interrupted:
            if self._stopped.is_set():
                raise
        lines = tuple(self._lines(inspection))
        bare = site.vault is None and bool(lines)
        notes = ["there is no vault: nothing can be recovered from it; make one with: modelward backup"] if bare else []
        return GateReport(
            store=site.store.path,
            outcome=worst(line.outcome for line in lines),
            models=lines,
            notes=(*notes, *self._healed.notes),
            bytes_read=inspection.bytes_read,
            bytes_moved=sum(action.bytes_moved for action in self._healed.actions),
            unread=inspection.unread,
        )

    # Heal.

    def _heal(self, inspection: Inspection) -> None:
        """Model by model, the smallest first, so that what is done when the time is up is done."""
        site, failed = self._healing, self._healed.failed
        failed |= {model.name: (_LATE, 0) for model in self._expected}
        plan = plan_for(site, self._expected, inspection)
        failed.clear()
        failed |= {model.model: (_LATE, 0) for model in plan.models}
        failed |= {i.model: (f"{describe(i.finding)}: {i.reason}", EXIT_NOT_REPAIRABLE) for i in plan.unhealed}
        hopeless = {item.model for item in plan.unhealed}
        for number, model in enumerate(plan.models):
            site.reading.late()
            try:
                error = self._one(site, model)
            except StorageError as problem:
                # The store itself takes no writer: it will take none for the other models either.
                failed |= {rest.model: (str(problem), problem.exit_code) for rest in plan.models[number:]}
                return
            if error or model.model not in hopeless:
                failed[model.model] = error or ("", 0)

    def _one(self, site: Site, model: ModelPlan) -> tuple[str, int] | None:
        """Carry out one model's steps; the first error and its exit code, if there was one."""
        report = finish(
            site,
            Plan(models=(model,)),
            contents_of(self._expected),
            (model.model,),
            began=site.clock.monotonic(),
            dry_run=False,
            verb="gate",
            puller=puller_of(site, self._expected),
        )
        self._healed.actions += report.actions
        self._healed.notes += report.notes
        return next(((action.error, action.code) for action in report.actions if action.code), None)

    # Tell.

    def _lines(self, inspection: Inspection) -> Iterable[GateLine]:
        now = self._verdicts()
        for model in self._expected:
            findings = (*model.findings, *_of_blobs(model, inspection))
            verdict, (why, code) = now.get(model.name), self._healed.failed.get(model.name, ("", 0))
            if verdict is not None and _is_sound(verdict, findings, why):
                outcome, why = self._sound(model, verdict, bad=any(found.damage for found in findings)), ""
            else:
                outcome = self._unsound(model, code)
                why = why or (describe(findings[0]) if findings else "")
            yield GateLine(name=model.name, outcome=outcome, findings=findings, why=why)

    def _verdicts(self) -> dict[ModelName, Verdict]:
        """How the models stand now, of those that are known at all."""
        if not self._expected:
            return {}
        site = replace(self._looking, models=tuple(model.name for model in self._expected))
        return {verdict.name: verdict for verdict in verify(site, (), Level.QUICK).models}

    def _sound(self, model: Expected, verdict: Verdict, *, bad: bool) -> Passage:
        if not bad:
            return Passage.HEALTHY if verdict.healthy else Passage.UNPROVED
        blobs = model.manifest.blobs if model.manifest is not None else ()
        mine = {str(model.name), *(str(blob.digest) for blob in blobs)}
        far = {source.name for source in self._healing.sources if not source.local} | {"upstream", "runtime"}
        came = {part for action in self._healed.actions if action.target in mine for part in action.source.split("+")}
        return Passage.DOWNLOADED if came & far else Passage.RECOVERED

    def _unsound(self, model: Expected, code: int) -> Passage:
        if code == EXIT_STORAGE:
            return Passage.BLOCKED
        if code in (EXIT_NOT_REPAIRABLE, EXIT_UNREACHABLE):
            return Passage.LOST if self._registry_answers(model.name) else Passage.UNREACHABLE
        return Passage.DAMAGED

    def _registry_answers(self, name: ModelName) -> bool:
        """Whether asking again later is vain: the registry can be asked, or is not to be asked at all."""
        if self._looking.registry is None:
            return True
        try:
            self._looking.registry.manifest(name)
        except (RegistryRefused, DamageError):
            return True
        except Unreachable:
            return False
        return True


def _is_sound(verdict: Verdict, findings: Sequence[Finding], why: str) -> bool:
    """Whether all that was found is healed: a blob with wrong bytes has to be proved now, not only changed."""
    if verdict.healthy is None:
        wrong = [found for found in findings if isinstance(found, BlobDamage) and not isinstance(found, WrongOwner)]
        return not why and not wrong
    return verdict.healthy


def _of_blobs(model: Expected, inspection: Inspection) -> Sequence[Finding]:
    blobs = model.manifest.blobs if model.manifest is not None else ()
    return [found for blob in blobs for found in inspection.findings.get(blob.digest, ())]
