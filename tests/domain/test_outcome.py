"""What the changing verbs report: the exit codes of backup and repair."""

import itertools

import pytest

from modelward.domain import finding as f
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action, BackupReport, BackupResult, RepairReport
from modelward.domain.plan import FixOwner, ModelPlan, Plan, Unhealed
from modelward.domain.verdict import Verdict
from tests.domain.strategies_domain import digest

LLAMA = ModelName.parse("llama3")
LEFT = Unhealed(model=LLAMA, finding=f.Missing(blob=digest(1), size=1, path="x"), reason="no source")
PLAN = Plan(models=(ModelPlan(model=LLAMA, steps=(FixOwner(blob=digest(1), owner=(0, 0, 0o644)),)),))


def backup(*results: tuple[str, bool]) -> BackupReport:
    """A backup with these outcomes; the flag says whether the vault could heal the model."""
    return BackupReport(
        store="/models",
        vault="/vault",
        protection="2 other device",
        models=tuple(
            BackupResult(name=LLAMA, outcome=outcome, size=1, recoverable=recoverable)
            for outcome, recoverable in results
        ),
        findings=(),
        bytes_moved=0,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((), 0),
        ((("stored", True),), 0),
        ((("stored", False), ("unchanged", False), ("planned", False)), 0),
        ((("refused", True),), 1),
        ((("stored", True), ("refused", True)), 1),
        ((("refused", False),), 3),
        ((("refused", True), ("refused", False), ("stored", True)), 3),
    ],
)
def test_the_exit_code_of_a_backup(results: tuple[tuple[str, bool], ...], code: int) -> None:
    """Only a refused model counts: 1 when the vault can heal it, 3 when it cannot."""
    assert backup(*results).exit_code == code


def action(*, error: str = "", code: int = 0) -> Action:
    """A step that was carried out, or failed with this error."""
    return Action(
        step="PlaceBlob", model=LLAMA, target="x", source="vault", bytes_moved=1, seconds=0.1, error=error, code=code
    )


def verdict(*, healthy: bool | None, recoverable: bool = True) -> Verdict:
    """How a model is afterwards."""
    return Verdict(name=LLAMA, healthy=healthy, recoverable=recoverable, size=1, verified_at=None)


def repaired(
    *,
    plan: Plan | None = None,
    actions: tuple[Action, ...] = (),
    models: tuple[Verdict, ...] = (),
    unhealed: tuple[Unhealed, ...] = (),
    dry_run: bool = False,
) -> RepairReport:
    """A repair with these parts."""
    return RepairReport(
        store="/models", plan=plan or Plan(), actions=actions, models=models, unhealed=unhealed, dry_run=dry_run
    )


WELL, ILL, LOST = verdict(healthy=True), verdict(healthy=False), verdict(healthy=False, recoverable=False)
DONE, FAILED, FULL = action(), action(error="no source", code=1), action(error="disk full", code=5)

REPAIRS = {
    "nothing to do": (repaired(models=(WELL,)), 0),
    "all healed": (repaired(plan=PLAN, actions=(DONE,), models=(WELL,)), 0),
    "healed, never proved": (repaired(plan=PLAN, actions=(DONE,), models=(verdict(healthy=None),)), 0),
    "still damaged, recoverable": (repaired(plan=PLAN, actions=(DONE,), models=(ILL,)), 1),
    "still damaged, lost": (repaired(plan=PLAN, actions=(DONE,), models=(LOST,)), 3),
    "a step failed, model damaged": (repaired(plan=PLAN, actions=(DONE, FAILED), models=(ILL,)), 1),
    "a step failed, model well": (repaired(plan=PLAN, actions=(FAILED,), models=(WELL,)), 1),
    "no source for a part": (repaired(plan=PLAN, actions=(DONE,), models=(WELL,), unhealed=(LEFT,)), 3),
    "disk full": (repaired(plan=PLAN, actions=(FULL,), models=(ILL,)), 5),
    "disk full and no source for a part": (repaired(plan=PLAN, actions=(FULL,), models=(LOST,), unhealed=(LEFT,)), 5),
    "dry run, nothing to do": (repaired(models=(WELL,), dry_run=True), 0),
    "dry run, something to do": (repaired(plan=PLAN, models=(ILL,), dry_run=True), 1),
    "dry run, no source for a part": (repaired(plan=PLAN, models=(ILL,), unhealed=(LEFT,), dry_run=True), 3),
    "dry run, no source at all": (repaired(models=(LOST,), unhealed=(LEFT,), dry_run=True), 3),
}


@pytest.mark.parametrize(("report", "code"), REPAIRS.values(), ids=REPAIRS)
def test_the_exit_code_of_a_repair(report: RepairReport, code: int) -> None:
    """0 all healthy, 1 left that can be repaired, 3 left that no source can, 5 the disk failed; a dry run alike."""
    assert report.exit_code == code


PARTS = tuple(itertools.product(((), (DONE,), (FAILED,), (FULL,)), ((), (WELL,), (ILL,), (LOST,)), ((), (LEFT,))))


@pytest.mark.parametrize(("actions", "models", "unhealed"), PARTS)
def test_a_repair_that_left_anything_never_ends_with_0(
    actions: tuple[Action, ...], models: tuple[Verdict, ...], unhealed: tuple[Unhealed, ...]
) -> None:
    """Whatever combination of failed steps, damaged models and missing sources: 0 means that all is well."""
    report = repaired(plan=PLAN, actions=actions, models=models, unhealed=unhealed)
    well = all(item.healthy is not False for item in models) and not unhealed and not any(a.error for a in actions)
    assert (report.exit_code == 0) == well
