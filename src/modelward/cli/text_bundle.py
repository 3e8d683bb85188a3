"""The reports of export to and import from a bundle, as text for people."""

from modelward.cli.pieces import GOOD, dim, facts, line, table
from modelward.cli.render import show
from modelward.domain.bundle import ExportReport, ImportReport
from modelward.domain.units import format_bytes, format_duration


def show_bundle(report: ExportReport | ImportReport) -> None:
    """The text of either report."""
    if isinstance(report, ExportReport):
        _export(report)
    else:
        _import(report)


def _export(report: ExportReport) -> None:
    version = f"  version {report.snapshot}" if report.snapshot else ""
    facts(("model", f"{report.model.short}{version}, from the {report.source}"), ("to", report.path))
    for note in report.notes:
        line(note)
    about = "would write about" if report.dry_run else "written"
    line(
        f"{about} {format_bytes(report.stored)}: {report.blobs} blob(s) of {format_bytes(report.size)}, "
        f"{report.compressed} of them compressed",
        None if report.dry_run else GOOD,
    )
    if report.resumed:
        line(f"{format_bytes(report.resumed)} of it had been written before, and were proved again")
    dim(format_duration(report.seconds))
    if not report.dry_run:
        dim(f"bring it back: modelward import {report.path if report.path != '-' else 'FILE'}")


def _import(report: ImportReport) -> None:
    facts(("from", report.path), ("vault", report.vault or "none yet"))
    table(
        ("MODEL", "SIZE", "OUTCOME", "SNAPSHOT"),
        [(one.name.short, format_bytes(one.size), one.outcome, one.snapshot) for one in report.models],
    )
    word = "would take" if report.dry_run else "took"
    line(f"{word} {format_bytes(report.bytes_moved)} in {report.blobs} blob(s); {report.present} were there already")
    dim(format_duration(report.seconds))
    for done in report.restored:
        show("restore", done, json=False)
    if not report.restored and not report.dry_run:
        dim("into the store: modelward restore MODEL")
