"""The report of doctor: where we are, then each cause with what was seen and what to do."""

from modelward.cli.pieces import BAD, GOOD, dim, facts, line, table
from modelward.domain.cause import Certainty, Diagnosis
from modelward.domain.units import format_bytes, format_duration

_READS = {True: "yes", False: "no", None: ""}


def show_doctor(report: Diagnosis) -> None:
    """Facts, stores, causes, notes."""
    facts(("store", report.store), ("server", report.server), ("reads", report.server_store))
    table(
        ("STORE", "MODELS", "SIZE", "WE LOOK", "SERVER READS", "FOUND BY"),
        [
            (s.path, str(len(s.models)), format_bytes(s.size), "here" if s.ours else "", _READS[s.served], s.why)
            for s in report.stores
        ],
    )
    for cause in report.causes:
        of = f"{cause.model.short}: " if cause.model is not None else ""
        line(f"{of}{cause.kind.value} ({cause.certainty.value})", BAD if cause.certainty is Certainty.PROVED else None)
        line(f"  {cause.thing}")
        for seen in cause.evidence:
            line(f"  - {seen}")
        line(f"  next: {cause.next}")
    if not report.causes:
        line("nothing is wrong that could be seen", GOOD)
    for note in report.notes:
        dim(f"note: {note}")
    dim(format_duration(report.seconds))
