"""Work in words: jobs with their progress and reports, plans step by step, and forms for verbs."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, get_args

import msgspec

from modelward.domain.access import Scope
from modelward.domain.name import ModelName
from modelward.domain.outcome import BackupReport, ForgetReport, PinReport, PruneReport, RepairReport
from modelward.domain.plan import (
    FixOwner,
    PatchBlob,
    PlaceBlob,
    PlaceManifest,
    PullModel,
    RemakeRecord,
    Step,
    TrySuspects,
)
from modelward.domain.reading import Level
from modelward.domain.space import SpaceReport
from modelward.domain.standing import JobState, JobView
from modelward.domain.verdict import Report, Verdict
from modelward.domain.words import describe, places, printable
from modelward.guard.verbs import VERBS, Verb
from modelward.web.overview import STEPS
from modelward.web.words import HEALTH, Mark, count, duration, job_mark, link, size

_NAMES: Final = 3


class Line(NamedTuple):
    """A line of a plan or a report: what, with what, and whether it is bad."""

    what: str
    detail: str = ""
    tone: str = ""


class Told(NamedTuple):
    """A plan or a report in words: a sentence, its lines, and what cannot be done."""

    head: str
    lines: tuple[Line, ...] = ()
    nothing: bool = False


class JobRow(NamedTuple):
    """A job of the list."""

    id: str
    kind: str
    models: str
    link: str
    cause: str
    mark: Mark
    at: datetime
    took: str
    stage: str
    done: int
    total: int
    progress: str
    error: str
    over: bool


def job_row(view: JobView) -> JobRow:
    """A job in one line."""
    began, ended = view.began_at, view.ended_at
    return JobRow(
        id=view.id,
        kind=view.kind,
        models=names(view.models),
        link=link(view.models[0]) if len(view.models) == 1 else "",
        cause=printable(view.cause),
        mark=job_mark(view.state, view.exit_code),
        at=began or view.asked_at,
        took=duration(ended - began) if began is not None and ended is not None else "",
        stage=printable(view.stage),
        done=view.done,
        total=view.total,
        progress=progress(view),
        error=printable(view.error),
        over=view.over,
    )


def names(models: Iterable[ModelName]) -> str:
    """Some models by name; none stands for all."""
    found = [name.short for name in models]
    rest = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return ", ".join(found[:_NAMES]) + rest if found else "all models"


def progress(view: JobView) -> str:
    """How far the present stage is."""
    if view.state is JobState.WAITING:
        return "waits for the work before it"
    if not view.total:
        return ""
    return f"{size(view.done)} of {size(view.total)}"


def told(report: object) -> Told | None:
    """A verb's report, or its plan, in words; None for one that is not shown line by line."""
    return next((tell(report) for kind, tell in _TELL.items() if isinstance(report, kind)), None)


def _repair(report: RepairReport) -> Told:
    if report.dry_run:
        return plan(report)
    lines = [
        Line(
            f"{STEPS.get(action.step, action.step)} {action.target}".strip(),
            action.error or f"from {action.source}: {size(action.bytes_moved)} in {duration(action.seconds)}",
            "loss" if action.error else "good",
        )
        for action in report.actions
    ]
    lines += [Line(f"{item.model.short}: {describe(item.finding)}", item.reason, "loss") for item in report.unhealed]
    lines += [_verdict(verdict) for verdict in report.models]
    lines += [Line(printable(note)) for note in report.notes]
    head = f"{count(len(report.actions), 'step')}, {size(report.bytes_moved)} moved in {duration(report.seconds)}."
    return Told(head if report.actions else "There was nothing to heal.", tuple(lines))


def plan(report: RepairReport) -> Told:
    """The steps that would be made."""
    steps = [step for model in report.plan.models for step in model.steps]
    lines = [Line(*step_text(step)) for step in steps]
    lines += [Line(f"{item.model.short}: {describe(item.finding)}", item.reason, "loss") for item in report.unhealed]
    lines += [Line(printable(note)) for note in report.notes]
    if not steps:
        head = "No source can heal this." if report.unhealed else "Nothing to do: nothing is known to be damaged."
        return Told(head, tuple(lines), nothing=not report.unhealed)
    return Told(
        f"{count(len(steps), 'step')}, {size(report.plan.bytes)} to bring. Nothing was changed yet.", tuple(lines)
    )


def step_text(step: Step) -> tuple[str, str]:  # noqa: PLR0911 - one a step
    """A step, and where its bytes come from."""
    match step:
        case PatchBlob():
            what = f"heal blob {step.blob.short} {places(step.spans)}"
            return what, f"{size(step.bytes)} from {step.source}, {step.method.value}"
        case PlaceBlob():
            return (
                f"{'replace' if step.replaces else 'bring'} blob {step.blob.short}",
                f"{size(step.bytes)} from {step.source}",
            )
        case TrySuspects():
            return (
                f"heal what looks lost in blob {step.blob.short}",
                f"{size(step.bytes)} from {step.source}, then prove the whole",
            )
        case PullModel():
            return f"download {step.model.short} again", f"{size(step.bytes)} by {step.source}"
        case PlaceManifest():
            return f"put the manifest of {step.model.short} back", f"{size(step.bytes)} from {step.source}"
        case FixOwner():
            uid, gid, mode = step.owner
            return f"give blob {step.blob.short} to {uid}:{gid}", f"mode {mode:04o}"
        case RemakeRecord():
            return f"make {step.path} anew", f"from {step.source}"


def _verdict(verdict: Verdict) -> Line:
    word = {None: "unproved", True: "healthy" if verdict.recoverable else "bare"}.get(
        verdict.healthy, "damaged" if verdict.recoverable else "lost"
    )
    damage = "; ".join(describe(finding) for finding in verdict.findings if finding.damage)
    return Line(verdict.name.short, HEALTH[word].text + (f": {damage}" if damage else ""), HEALTH[word].tone)


def _verify(report: Report) -> Told:
    head = f"{size(report.bytes_read)} of the {report.of} read in {duration(report.seconds)}, level {report.level}."
    return Told(head, tuple(_verdict(verdict) for verdict in report.models))


def _backup(report: BackupReport) -> Told:
    word = "to copy" if report.dry_run else "copied"
    tones = {"refused": "loss", "stored": "good"}
    lines = tuple(
        Line(
            result.name.short,
            f"{result.outcome}, {size(result.bytes_moved)} {word}" + (f": {result.reason}" if result.reason else ""),
            tones.get(result.outcome, ""),
        )
        for result in report.models
    )
    return Told(f"{count(len(report.models), 'model')}, {size(report.bytes_moved)} {word}.", lines)


def _forget(report: ForgetReport) -> Told:
    verb = "would go" if report.dry_run else "went"
    lines = [Line(each.model.short, f"{each.id} {verb} to the trash", "harm") for each in report.forgotten]
    lines += [Line(each.model.short, f"{each.id} stays: {', '.join(why)}") for each, why in report.kept]
    head = (
        f"{count(len(report.forgotten), 'snapshot')} {verb} to the trash, {count(len(report.kept), 'snapshot')} kept."
    )
    return Told(head, tuple(lines), nothing=not report.forgotten)


def _prune(report: PruneReport) -> Told:
    verb = "would be freed" if report.dry_run else "freed"
    head = f"{size(report.bytes_freed + report.quarantine_freed)} {verb}: {count(len(report.objects), 'object')} and "
    return Told(head + f"{count(len(report.records), 'record')}.", nothing=not report.objects and not report.records)


def _space(report: SpaceReport) -> Told:
    lines = [Line(f"{item.kind} {item.name[:24]}", item.why or size(item.bytes)) for item in report.leftovers]
    if report.refused:
        return Told(f"Refused: {report.refused}.", tuple(lines), nothing=True)
    head = f"{size(report.reclaimable)} would be freed." if report.dry_run else f"{size(report.reclaimed)} freed."
    return Told(head, tuple(lines), nothing=not report.reclaimable)


def _pin(report: PinReport) -> Told:
    lines = tuple(Line(name.short, f"held to {digest.short}") for name, digest in report.pins.items())
    return Told("The pin was changed." if report.changed else "Nothing had to be changed.", lines)


_TELL: Final[dict[type, Callable[[Any], Told]]] = {
    RepairReport: _repair,
    Report: _verify,
    BackupReport: _backup,
    ForgetReport: _forget,
    PruneReport: _prune,
    SpaceReport: _space,
    PinReport: _pin,
}


class Field(NamedTuple):
    """An option as a form shows it; ``kind`` is model, models, choice, yes, number or text."""

    name: str
    label: str
    kind: str
    required: bool
    choices: tuple[str, ...] = ()


class Form(NamedTuple):
    """A verb as a form shows it."""

    name: str
    about: str
    grave: bool
    allowed: bool
    planned: bool
    fields: tuple[Field, ...]


_LABELS: Final = {
    "models": "models, by comma; empty: all protected ones",
    "model": "model",
    "level": "how deep to look first",
    "accept_store": "this store is meant, although it is not the recorded one",
    "accept_moved": "take the version that the tag names now",
    "snapshot": "snapshot, by its id; empty: the newest",
    "keep_last": "versions to keep",
    "keep_daily": "days of which to keep one",
    "keep_weekly": "weeks of which to keep one",
    "keep_within": "keep all younger than, such as 14d",
    "trash_days": "forgotten so many days ago",
    "grace": "older than, such as 7d; empty: a day",
    "target": "to: host[:port]/repository[:tag]",
    "source": "from: host[:port]/repository[:tag]",
    "as_name": "under the name; empty: its own",
    "quick": "do not read every byte",
}


def forms(scope: Scope, planned: Iterable[str]) -> tuple[Form, ...]:
    """Every verb that can be asked for, with its options; ``planned`` are those that have a plan."""
    plans = frozenset(planned)
    return tuple(form(verb, scope, planned=verb.name in plans) for verb in VERBS.values())


def form(verb: Verb, scope: Scope, *, planned: bool) -> Form:
    """One verb."""
    known = [each for each in msgspec.structs.fields(verb.options) if each.name != "dry_run"]
    return Form(
        name=verb.name,
        about=verb.about,
        grave=verb.grave,
        allowed=scope.allows(Scope.ADMIN if verb.grave else Scope.OPERATE),
        planned=planned,
        fields=tuple(_field(each) for each in known),
    )


def _field(each: msgspec.structs.FieldInfo) -> Field:
    kind = each.type
    label = _LABELS.get(each.name, each.name.replace("_", " "))
    if kind is bool:
        return Field(each.name, label, "yes", required=False)
    if kind is Level:
        return Field(
            each.name,
            label,
            "choice",
            required=False,
            choices=tuple(level.value for level in (Level.FULL, Level.SAMPLE, Level.QUICK)),
        )
    if each.name == "models":
        return Field(each.name, label, "models", required=False)
    if each.name == "model":
        return Field(each.name, label, "model", required=True)
    number = int in (kind, *get_args(kind)) or any(int in get_args(part) for part in get_args(kind))
    return Field(
        each.name, label, "number" if number else "text", required=each.required or each.name in {"target", "source"}
    )
