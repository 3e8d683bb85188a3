"""What of a status is trouble that a person may have to hear of: findings become conditions, pure."""

from collections.abc import Iterable, Mapping

from modelward.domain import finding as f
from modelward.domain.alert import Condition, Kind
from modelward.domain.brake import Brake
from modelward.domain.name import ModelName
from modelward.domain.status import ModelStatus, StatusReport
from modelward.domain.words import describe, way_out

LOOKED_AT = frozenset({Kind.MODEL_MISSING, Kind.INTEGRITY, Kind.RESTORE, Kind.STORE, Kind.UNSTABLE, Kind.BRAKE})
_LOST = f.ManifestLost | f.ManifestDamaged | f.Missing | f.NotRegular


def of_status(
    report: StatusReport, policies: Mapping[ModelName, str], failed: Mapping[ModelName, str], brake: Brake
) -> tuple[Condition, ...]:
    """Everything in the report that is wrong, but what the policy says to ignore."""
    watched = [line for line in report.models if line.protected and policies.get(line.name) != "ignore"]
    found: list[Condition] = [trouble for line in watched for trouble in _of_model(line)]
    found += [
        Condition(kind=Kind.RESTORE, subject=line.name.short, detail=failed[line.name], next=line.next)
        for line in watched
        if line.healthy is False and line.name in failed
    ]
    found += _of_store(report.findings)
    found += _of_brake(brake)
    return tuple(found)


def _of_model(line: ModelStatus) -> Iterable[Condition]:
    """One condition a kind: the first finding of it, and how many more there are."""
    groups: dict[Kind, list[f.Finding]] = {}
    for finding in line.findings:
        if finding.damage:
            groups.setdefault(_kind(finding), []).append(finding)
    for kind, findings in groups.items():
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        yield Condition(kind=kind, subject=line.name.short, detail=describe(findings[0]) + more, next=line.next)


def _kind(finding: f.Finding) -> Kind:
    if isinstance(finding, f.UnstableRead):
        return Kind.UNSTABLE
    return Kind.MODEL_MISSING if isinstance(finding, _LOST) else Kind.INTEGRITY


def _of_store(findings: Iterable[f.Finding]) -> Iterable[Condition]:
    for finding in findings:
        if isinstance(finding, f.StoreFinding):
            yield Condition(kind=Kind.STORE, subject="store", detail=describe(finding), next=way_out(finding))


def _of_brake(brake: Brake) -> Iterable[Condition]:
    if brake.engaged:
        yield Condition(
            kind=Kind.BRAKE,
            subject="guard",
            detail=f"{brake.why}: nothing is repaired or pruned alone until a person has looked",
            next="look at modelward status; then: modelward brake --release",
        )
