"""Turn one result into a table for people or one JSON document for programs."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import typer

from modelward import __version__
from modelward.cli.pieces import BAD, GOOD, Row, dim, facts, findings, health, line, proved, table, ways_out
from modelward.domain.cause import Diagnosis
from modelward.domain.chunks import total
from modelward.domain.codec import as_text, pretty
from modelward.domain.errors import ModelwardError
from modelward.domain.name import ModelName
from modelward.domain.outcome import (
    Action,
    BackupReport,
    DiffReport,
    ForgetReport,
    PinReport,
    PruneReport,
    RepairReport,
    SnapshotLine,
    ViaReport,
)
from modelward.domain.plan import (
    FixOwner,
    PatchBlob,
    PlaceBlob,
    PlaceManifest,
    PullModel,
    RemakeRecord,
    Step,
    TrySuspects,
    target_of,
)
from modelward.domain.snapshot import Snapshot
from modelward.domain.space import SpaceReport
from modelward.domain.status import StatusReport
from modelward.domain.units import format_bytes, format_duration
from modelward.domain.verdict import Report, Verdict
from modelward.domain.words import describe, places, printable


def show(verb: str, report: Any, *, json: bool) -> None:  # noqa: ANN401 - any report; the table below knows them
    """Print a verb's report."""
    if json:
        typer.echo(document(verb, report))
    else:
        _TEXT[verb](report)


def document(verb: str, report: Any) -> str:  # noqa: ANN401 - any report
    """The report as the one JSON document of ``--json``; its schema is named in its first key."""
    head = {"schema": f"modelward/{verb}/1", "modelward": __version__}
    body = msgspec.to_builtins(report, enc_hook=as_text)
    if not isinstance(body, dict):
        body = {verb: body}
    if isinstance(code := getattr(report, "exit_code", 0), int):
        body["exit_code"] = code
    return pretty(head | body)


def error_document(error: ModelwardError) -> str:
    """An error as a JSON document."""
    body = {"what": error.what, "thing": error.thing, "next": error.next_step, "kind": type(error).__name__}
    head = {"schema": "modelward/error/1", "modelward": __version__, "error": body, "exit_code": error.exit_code}
    return pretty(head)


def error_text(error: ModelwardError) -> str:
    """An error for a person: what and to which thing, then the next step on a line of its own."""
    head = f"{error.thing}: {error.what}" if error.thing else error.what
    return f"error: {printable(head)}" + (f"\n  next: {printable(error.next_step)}" if error.next_step else "")


# One function a verb.


def _status(report: StatusReport) -> None:
    facts(("store", report.store), ("vault", report.vault or "none yet"), ("server", report.server))
    table(
        ("MODEL", "SIZE", "HEALTH", "PROVED", "VERSIONS", "COPY", "NEXT"),
        [
            (
                model.name.short,
                format_bytes(model.size),
                health(model.healthy, recoverable=model.recoverable),
                proved(model.verified_at, model.healthy),
                str(model.snapshots),
                (model.protection or "none") if model.protected else "released",
                model.next,
            )
            for model in report.models
        ],
    )
    findings((model.name, finding) for model in report.models for finding in model.findings)
    findings((None, finding) for finding in report.findings)
    ways_out(report.findings)
    if report.orphans:
        dim(f"{report.orphans} orphan blob(s), {format_bytes(report.orphan_bytes)}: pruned when the runtime starts")
    if report.partials:
        dim(f"{report.partials} unfinished download(s), {format_bytes(report.partial_bytes)}")


def _backup(report: BackupReport) -> None:
    facts(("store", report.store), ("vault", f"{report.vault} ({report.protection})" if report.vault else "none yet"))
    findings((None, finding) for finding in report.findings)
    ways_out(report.findings)
    rows = [
        (
            result.name.short,
            format_bytes(result.size),
            result.outcome,
            format_bytes(result.bytes_moved),
            result.snapshot,
        )
        for result in report.models
    ]
    table(("MODEL", "SIZE", "OUTCOME", "TO COPY" if report.dry_run else "COPIED", "SNAPSHOT"), rows)
    for result in report.models:
        if result.outcome == "refused":
            line(f"{result.name.short} was refused: {result.reason}", BAD)
            way = (
                f"modelward repair {result.name.short}" if result.recoverable else "pull the model again, then back up"
            )
            line(f"  next: {way}")
    dim(f"{format_bytes(report.bytes_moved)} in {format_duration(report.seconds)}")


def _verify(report: Report) -> None:
    facts((report.of, report.path))
    rows = [
        (
            verdict.name.short,
            format_bytes(verdict.size),
            health(verdict.healthy, recoverable=verdict.recoverable),
            proved(verdict.verified_at, verdict.healthy),
        )
        for verdict in report.models
    ]
    table(("MODEL", "SIZE", "HEALTH", "PROVED"), rows)
    findings((verdict.name, finding) for verdict in report.models for finding in verdict.findings)
    findings((None, finding) for finding in report.findings)
    how = f", read {report.read}" if report.read else ""
    rate = f", {format_bytes(report.bytes_read / report.seconds)}/s" if report.bytes_read and report.seconds else ""
    dim(f"level {report.level}: {format_bytes(report.bytes_read)} in {format_duration(report.seconds)}{rate}{how}")
    if report.unread:
        dim(f"not read this time: {format_bytes(report.unread)}")
    _next_after(report.damaged, of_vault=report.of == "vault")


def _next_after(damaged: Sequence[Verdict], *, of_vault: bool) -> None:
    for verdict in damaged:
        verb, other = ("repair --vault-copy", "store") if of_vault else ("repair", "vault")
        far = "" if verdict.recoverable else f" (the {other} has no good copy: other folders and registries are asked)"
        line(f"  next: modelward {verb} {verdict.name.short}{far}")


def _repair(report: RepairReport) -> None:
    facts((report.of, report.store))
    for note in report.notes:
        line(note)
    if not report.plan.models and not report.unhealed:
        line("nothing to do: all that was asked for is there and good", GOOD)
    if report.dry_run:
        table(
            ("MODEL", "STEP", "BYTES", "FROM"),
            [_step_row(plan.model, step) for plan in report.plan.models for step in plan.steps],
        )
        dim(f"would move {format_bytes(report.plan.bytes)}; nothing was changed")
    else:
        table(("MODEL", "DONE", "BYTES", "FROM", "TIME"), [_action_row(report, action) for action in report.actions])
    for action in report.actions:
        if action.error:
            line(f"{action.model.short}: {action.error}", BAD)
    for left in report.unhealed:
        line(f"{left.model.short}: {describe(left.finding)}: {left.reason}", BAD)
        line(f"  next: modelward pull {left.model.short}, or bring a good copy: modelward import")
    for verdict in report.models if report.actions else ():
        line(f"{verdict.name.short}: {health(verdict.healthy, recoverable=verdict.recoverable)}")


def _step_row(model: ModelName, step: Step) -> Row:
    return (model.short, _step_text(step), format_bytes(step.bytes), _origin(step))


def _origin(step: Step) -> str:
    """Where the bytes come from; the share of each, when there are several."""
    if isinstance(step, PlaceBlob | PatchBlob) and step.parts:
        return " + ".join(f"{part.source} {format_bytes(total(part.spans))}" for part in step.parts)
    return step.source


def _action_row(report: RepairReport, action: Action) -> Row:
    steps = [step for plan in report.plan.models if plan.model == action.model for step in plan.steps]
    same = (step for step in steps if type(step).__name__ == action.step and target_of(step) == action.target)
    step = next(same, None)
    done = "FAILED: " if action.error else ""
    return (
        action.model.short,
        done + (_step_text(step) if step is not None else "download again by the server"),
        format_bytes(action.bytes_moved),
        action.source,
        format_duration(action.seconds),
    )


def _step_text(step: Step) -> str:  # noqa: PLR0911 - one a step
    match step:
        case PlaceBlob():
            return f"{'replace' if step.replaces else 'bring back'} blob {step.blob.short}"
        case PatchBlob():
            return f"{step.method.value}: blob {step.blob.short} {places(step.spans)}"
        case TrySuspects():
            return f"new file: blob {step.blob.short}, what looks lost {places(step.spans)}"
        case PullModel():
            return f"download {len(step.blobs)} blob(s) again by the server"
        case PlaceManifest():
            version = f"snapshot {step.snapshot}" if step.snapshot else f"version {step.manifest.short}"
            return f"{'replace' if step.replaces else 'bring back'} the manifest ({version})"
        case FixOwner():
            return f"owner and mode of blob {step.blob.short}"
        case RemakeRecord():
            return f"make the record {step.path} anew"


def _snapshots(lines: tuple[SnapshotLine, ...]) -> None:
    rows = [
        (
            line.model.short,
            line.id,
            f"{line.created_at:%Y-%m-%d %H:%M}",
            format_bytes(line.size),
            line.manifest.short,
            line.protection,
            ("sound" if line.sound else "NOT SOUND") + (", in the trash" if line.trashed else ""),
        )
        for line in lines
    ]
    table(("MODEL", "SNAPSHOT", "TAKEN (UTC)", "SIZE", "MODEL ID", "COPY", "STATE"), rows)
    if not lines:
        line("no snapshots yet")
        line("  next: modelward backup")


def _diff(report: DiffReport) -> None:
    facts(
        ("from", f"{report.before.id} of {report.before.model.short}"),
        ("to", f"{report.after.id} of {report.after.model.short}"),
    )
    rows = [
        (
            item.change,
            "config" if item.media_type.endswith("v1+json") else item.media_type.rpartition(".")[2],
            item.before.short if item.before else "",
            item.after.short if item.after else "",
            format_bytes(item.size_before),
            format_bytes(item.size_after),
        )
        for item in report.differences
    ]
    table(("CHANGE", "WHAT", "FROM", "TO", "SIZE FROM", "SIZE TO"), rows)
    if not rows:
        line("the same blobs")


def _via(report: ViaReport) -> None:
    facts(("server", report.server), ("model", f"{report.model.short}  snapshot {report.snapshot}"))
    if report.replaced:
        line(f"the server had another version under this name: {report.replaced[:12]}")
    for note in report.notes:
        line(note)
    if report.dry_run:
        line(f"would let the server pull up to {format_bytes(report.size)}; nothing was changed")
        return
    line(f"{report.model.short}: the server lists version {report.manifest.short}, and checked every digest", GOOD)
    dim(f"{format_bytes(report.sent)} sent in {format_duration(report.seconds)}")


def _pin(report: PinReport) -> None:
    if not report.pins:
        line("no model is pinned")
    table(("MODEL", "PINNED TO"), [(name.short, digest.short) for name, digest in report.pins.items()])


def _forget(report: ForgetReport) -> None:
    word = "would forget" if report.dry_run else "forgotten"
    rows = [(snapshot.model.short, snapshot.id, "kept", ", ".join(why)) for snapshot, why in report.kept]
    rows += [(snapshot.model.short, snapshot.id, word, "") for snapshot in report.forgotten]
    table(("MODEL", "SNAPSHOT", "OUTCOME", "WHY"), rows)
    if report.forgotten and not report.dry_run:
        dim("in the trash until modelward prune; bring one back: modelward forget --undelete SNAPSHOT")


def _undelete(snapshot: Snapshot) -> None:
    line(f"{snapshot.id} of {snapshot.model.short} is back", GOOD)


def _prune(report: PruneReport) -> None:
    word = "would free" if report.dry_run else "freed"
    line(
        f"{word} {format_bytes(report.bytes_freed)}: {len(report.records)} version(s), {len(report.objects)} object(s)"
    )
    if report.quarantine_freed:
        line(f"{format_bytes(report.quarantine_freed)} of replaced damaged files")


def _config(report: Any) -> None:  # noqa: ANN401 - modelward.config.Resolved, which only bootstrap loads
    table(
        ("SETTING", "VALUE", "FROM", "MEANING"),
        [(origin.name, origin.value, origin.origin, origin.help) for origin in report.origins],
    )


def show_protection(name: ModelName, verb: str, *, changed: bool, json: bool) -> None:
    """Print what release or protect did."""
    if json:
        typer.echo(document(verb, {"name": name, "changed": changed}))
        return
    state = "released: its deletion is no damage any more" if verb == "release" else "protected"
    line(f"{name.short} is {state}" if changed else f"{name.short} was {verb}ed already", GOOD)
    if verb == "release":
        dim(f"its versions stay: bring it back with modelward restore {name.short}")


def _doctor(report: Diagnosis) -> None:
    from modelward.cli.text_doctor import show_doctor

    show_doctor(report)


def _space(report: SpaceReport) -> None:
    from modelward.cli.text_space import show_space

    show_space(report)


def _interchange(report: Any) -> None:  # noqa: ANN401 - one of the four that the module below knows
    from modelward.cli.text_interchange import show_interchange

    show_interchange(report)


def _bundle(report: Any) -> None:  # noqa: ANN401 - one of the two that the module below knows
    from modelward.cli.text_bundle import show_bundle

    show_bundle(report)


_TEXT: dict[str, Callable[[Any], None]] = {
    "status": _status,
    "backup": _backup,
    "verify": _verify,
    "repair": _repair,
    "restore": _repair,
    "restore-via": _via,
    "pull": _repair,
    "pin": _pin,
    "snapshots": _snapshots,
    "diff": _diff,
    "forget": _forget,
    "undelete": _undelete,
    "prune": _prune,
    "config": _config,
    "doctor": _doctor,
    "space": _space,
    "push": _interchange,
    "fetch": _interchange,
    "export-to": _interchange,
    "import-from": _interchange,
    "export": _bundle,
    "import": _bundle,
}
