"""What the guard's own verbs print."""

from modelward.cli.pieces import BAD, dim, facts, health, line, proved, table
from modelward.domain.brake import BrakeReport
from modelward.domain.codec import pretty
from modelward.domain.standing import Round
from modelward.domain.units import format_bytes
from modelward.domain.words import describe


def show_round(report: Round, *, json: bool) -> int:
    """One round of ``guard --once``: what was done, then how every model stands."""
    if json:
        print(pretty(report))
        return report.exit_code
    for job in report.jobs:
        names = ", ".join(name.short for name in job.models)
        line(
            f"{job.kind} {names}: {job.state.value} {job.error}".replace(" :", ":").rstrip(), BAD if job.error else None
        )
    if report.standing is None:
        line("the store could not be looked at; what is wrong stands in the log (--verbose)", BAD)
        return report.exit_code
    standing = report.standing
    head = ("MODEL", "SIZE", "HEALTH", "PROVED", "COPIES", "NEXT")
    rows = [
        (
            model.name.short,
            format_bytes(model.size),
            health(model.healthy, recoverable=model.recoverable),
            proved(model.verified_at, model.healthy),
            str(model.snapshots),
            model.next,
        )
        for model in standing.models
    ]
    table(head, rows)
    for finding in standing.findings:
        line(describe(finding), BAD)
    facts(("store", standing.store), ("vault", standing.vault))
    dim("ready" if standing.ready else f"not ready: {standing.why}")
    return report.exit_code


def show_brake(report: BrakeReport, *, json: bool) -> None:
    """How the brake stands."""
    if json:
        print(pretty(report))
    elif not report.brake.engaged:
        line("the brake is not engaged: damage is healed alone")
    else:
        line(f"the brake is engaged since {report.brake.since:%Y-%m-%d %H:%M} UTC: {report.brake.why}", BAD)
        for harm in report.brake.harms:
            line(f"  {harm.at:%H:%M:%S}  {harm.model.short}  {format_bytes(harm.bytes)}  {harm.thing[:60]}")
        if report.released:
            line("it is let go with the guard's next look")
        else:
            line("  next: look at modelward status; then let it go with: modelward brake --release")
