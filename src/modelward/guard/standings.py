"""Put together the picture that the board shows, from a status, the vault's records and what is remembered."""

from collections.abc import Iterable
from datetime import datetime

from modelward.domain import finding as f
from modelward.domain.name import ModelName
from modelward.domain.schedule import next_run
from modelward.domain.snapshot import Snapshot
from modelward.domain.standing import BrakeStanding, ModelStanding, Standing, TaskStanding
from modelward.domain.status import ModelStatus, StatusReport
from modelward.domain.store import Space
from modelward.domain.words import describe
from modelward.guard.heart import Heart
from modelward.guard.tasks import tasks_of
from modelward.services.site import Site


def standing_of(heart: Heart, site: Site, report: StatusReport) -> Standing:
    """How everything stands now."""
    newest = _newest(site)
    models = tuple(_model(heart, line, newest.get(line.name)) for line in report.models)
    doubts = tuple(finding for finding in report.findings if isinstance(finding, f.StoreFinding))
    why = why_not_ready(models, doubts)
    brake = heart.memory.brake
    return Standing(
        at=heart.clock.now(),
        started_at=heart.started_at,
        version=heart.version,
        store=report.store,
        vault=report.vault,
        ready=not why,
        why=why,
        models=models,
        findings=doubts,
        server=heart.memory.server,
        brake=BrakeStanding(engaged=brake.engaged, since=brake.since, why=brake.why),
        tasks=task_standings(heart),
        alerts=heart.alarm.alerts,
        space=_space(site),
    )


def why_not_ready(models: Iterable[ModelStanding], doubts: Iterable[f.StoreFinding]) -> str:
    """Why the host is not ready, in one line; empty when every protected model is healthy (H1).

    A model whose bytes were not proved yet, and that shows no damage, does not hold readiness back.
    """
    for doubt in doubts:
        return describe(doubt)
    bad = [model for model in models if model.protected and model.policy != "ignore" and model.healthy is False]
    if not bad:
        return ""
    first = bad[0]
    what = next((describe(finding) for finding in first.findings if finding.damage), "damaged")
    return f"{first.name.short}: {what}" + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else "")


def task_standings(heart: Heart) -> tuple[TaskStanding, ...]:
    """The schedule: what ran when, and what is due when."""
    now, runs = heart.clock.now(), heart.memory.runs
    return tuple(
        TaskStanding(
            name=task.name,
            last_at=runs.ended.get(task.name),
            next_at=next_run(task, runs, heart.started_at, now),
            running=_running(runs.began.get(task.name), runs.ended.get(task.name)),
            outcome=runs.outcome.get(task.name, ""),
        )
        for task in tasks_of(heart.settings())
    )


def _running(began: datetime | None, ended: datetime | None) -> bool:
    return began is not None and (ended is None or ended < began)


def _model(heart: Heart, line: ModelStatus, newest: Snapshot | None) -> ModelStanding:
    probe, served = heart.memory.probes.get(line.name), heart.memory.served
    return ModelStanding(
        name=line.name,
        size=line.size,
        healthy=line.healthy,
        recoverable=line.recoverable,
        protected=line.protected,
        policy=heart.policy_of(line.name),
        verified_at=line.verified_at,
        snapshots=line.snapshots,
        snapshot_at=newest.created_at if newest is not None else None,
        protection=line.protection,
        findings=line.findings,
        next=line.next,
        served=None if served is None else line.name in served,
        probed_at=probe.at if probe is not None else None,
        probe=probe.result.outcome if probe is not None else "",
        probe_seconds=probe.result.seconds if probe is not None and probe.result.outcome == "ok" else None,
    )


def _newest(site: Site) -> dict[ModelName, Snapshot]:
    newest: dict[ModelName, Snapshot] = {}
    for snapshot in site.vault.snapshots() if site.vault is not None else ():
        newest.setdefault(snapshot.model, snapshot)
    return newest


def _space(site: Site) -> dict[str, Space]:
    vault = {"vault": site.vault.space()} if site.vault is not None else {}
    return {"store": site.store.space(), **vault}
