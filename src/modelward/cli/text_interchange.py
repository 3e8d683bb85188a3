"""The reports of push, fetch, export and import to other forms, as text for people."""

from modelward.cli.pieces import BAD, GOOD, dim, facts, line, table
from modelward.domain.interchange import AdoptReport, FetchReport, HandOutReport, PushReport
from modelward.domain.units import format_bytes, format_duration

Interchange = PushReport | FetchReport | HandOutReport | AdoptReport


def show_interchange(report: Interchange) -> None:
    """The text of any of these reports."""
    match report:
        case PushReport():
            _push(report)
        case FetchReport():
            _fetch(report)
        case HandOutReport():
            _hand_out(report)
        case AdoptReport():
            _adopt(report)


def _push(report: PushReport) -> None:
    facts(("model", f"{report.model.short}  version {report.snapshot}"), ("to", report.target))
    word = "would send" if report.dry_run else "sent"
    moved = f"{format_bytes(report.bytes_moved)} in {report.sent} object(s)"
    line(f"{word} {moved}; {report.present} were there already", None if report.dry_run else GOOD)
    if report.replaced:
        line(f"the tag named another version before: {report.replaced}")
    dim(f"digest {report.wrapper}, {format_duration(report.seconds)}")
    if not report.dry_run:
        dim(f"bring it back: modelward fetch {report.target} --as-name {report.model.short}")


def _fetch(report: FetchReport) -> None:
    facts(("from", report.source), ("vault", report.vault))
    table(
        ("MODEL", "SIZE", "OUTCOME", "TO FETCH" if report.dry_run else "FETCHED", "SNAPSHOT"),
        [
            (
                report.model.short,
                format_bytes(report.size),
                report.outcome,
                format_bytes(report.bytes_moved),
                report.snapshot,
            )
        ],
    )
    dim(f"digest {report.wrapper}, {format_duration(report.seconds)}")
    if report.snapshot:
        dim(f"into the store: modelward restore {report.model.short}")


def _hand_out(report: HandOutReport) -> None:
    facts(("model", f"{report.model.short}  version {report.snapshot}"), ("to", report.target))
    word = "would write" if report.dry_run else "written"
    if report.form == "gguf":
        for name in report.files:
            line(f"{word}  {name}")
    else:
        line(f"{word}  {len(report.files)} object(s)")
    for note in report.notes:
        line(note)
    kept = f"; {len(report.kept)} file(s) were there already" if report.kept else ""
    dim(f"{format_bytes(report.bytes_moved)} in {format_duration(report.seconds)}{kept}")
    if not report.dry_run and report.exit_code == 0:
        dim(_use(report))


def _use(report: HandOutReport) -> str:
    match report.form:
        case "oci":
            return f"use it: skopeo copy oci:{report.target}:{report.reference} ..."
        case "gguf":
            return f"use it: ollama create {report.model.short} -f {report.target}/{report.reference}"
        case _:
            return f"serve it: OLLAMA_MODELS={report.target} ollama serve"


def _adopt(report: AdoptReport) -> None:
    facts(("from", f"{report.path} ({report.form})"), ("vault", report.vault or "none yet"))
    table(
        ("MODEL", "SIZE", "OUTCOME", "TO COPY" if report.dry_run else "COPIED", "SNAPSHOT"),
        [
            (one.name.short, format_bytes(one.size), one.outcome, format_bytes(one.bytes_moved), one.snapshot)
            for one in report.models
        ],
    )
    for one in report.models:
        if one.outcome == "refused":
            line(f"{one.name.short} was refused: {one.reason}", BAD)
    for note in report.notes:
        line(note)
    dim(f"{format_bytes(report.bytes_moved)} in {format_duration(report.seconds)}")
    if any(one.outcome == "stored" for one in report.models):
        dim("into the store: modelward restore MODEL")
