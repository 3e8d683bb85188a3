"""The report of space as tables."""

from modelward.cli.pieces import BAD, DIM, facts, line, table
from modelward.domain.space import SpaceReport, VaultCost
from modelward.domain.units import format_bytes


def show_space(report: SpaceReport) -> None:
    """Disks, models, leftovers, and what was or would be freed."""
    disk = f"{format_bytes(report.disk.free)} free of {format_bytes(report.disk.total)}"
    facts(("store", report.store), ("blobs", format_bytes(report.blobs)), ("disk", disk))
    table(
        ("MODEL", "SIZE", "ITS OWN", "SHARED"),
        [(m.name.short, format_bytes(m.size), format_bytes(m.own), format_bytes(m.shared)) for m in report.models],
    )
    table(
        ("LEFTOVER", "NAME", "BYTES", "CHANGED", "STAYS BECAUSE"),
        [
            (item.kind, item.name[:24], format_bytes(item.bytes), f"{item.changed_at:%Y-%m-%d %H:%M}", item.why)
            for item in report.leftovers
        ],
    )
    for name, size in report.disk.ours.items():
        if size:
            line(f"{name} in the store (.modelward): {format_bytes(size)}", DIM)
    if report.vault is not None:
        _vault(report.vault)
    if report.refused:
        line(f"nothing was reclaimed: {report.refused}", BAD)
    elif not report.dry_run:
        line(f"freed {format_bytes(report.reclaimed)}")
    elif report.reclaimable:
        line(f"{format_bytes(report.reclaimable)} can be freed with: modelward space --reclaim")


def _vault(cost: VaultCost) -> None:
    facts(("vault", cost.path), ("stored", format_bytes(cost.stored)))
    if cost.stored:
        line(f"holds {format_bytes(cost.named)} of snapshots in {format_bytes(cost.stored)}", DIM)
    aside = sum(cost.disk.ours.get(name, 0) for name in ("quarantine", "staging"))
    line(f"trash {format_bytes(cost.trash)}, quarantine {format_bytes(aside)}: modelward prune frees them", DIM)
    if cost.days_to_full is not None:
        line(f"grows {format_bytes(cost.growth)} a day: full in {cost.days_to_full:,} days", DIM)
