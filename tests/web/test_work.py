"""Jobs, plans, reports and forms in words."""

from datetime import UTC, datetime, timedelta

import pytest

from modelward.domain.access import Scope
from modelward.domain.chunks import CHUNK, Span
from modelward.domain.finding import Missing
from modelward.domain.name import ModelName
from modelward.domain.outcome import (
    Action,
    BackupReport,
    BackupResult,
    ForgetReport,
    PinReport,
    PruneReport,
    RepairReport,
)
from modelward.domain.plan import (
    FixOwner,
    Method,
    ModelPlan,
    PatchBlob,
    PlaceBlob,
    PlaceManifest,
    Plan,
    PullModel,
    RemakeRecord,
    Step,
    TrySuspects,
    Unhealed,
)
from modelward.domain.space import SpaceReport
from modelward.domain.standing import JobState, JobView
from modelward.domain.store import Space
from modelward.domain.verdict import Report, Verdict
from modelward.guard.verbs import VERBS
from modelward.web import work
from modelward.web.handlers import PLANNED
from tests.web.test_meaning import BLOB

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LLAMA = ModelName.parse("llama3")
STEPS: tuple[tuple[Step, str, str], ...] = (
    (
        PatchBlob(blob=BLOB, size=9, spans=(Span(0, CHUNK),), source="vault", method=Method.IN_PLACE),
        "heal blob abababababab at 0+1,048,576",
        "1.05 MB from vault, patch in place",
    ),
    (PlaceBlob(blob=BLOB, size=9, source="vault", replaces=True), "replace blob abababababab", "9 B from vault"),
    (PlaceBlob(blob=BLOB, size=9, source="vault", replaces=False), "bring blob abababababab", "9 B from vault"),
    (
        TrySuspects(blob=BLOB, size=9, spans=(), source="upstream"),
        "heal what looks lost in blob abababababab",
        "0 B from upstream, then prove the whole",
    ),
    (PullModel(model=LLAMA, blobs=(BLOB,), aside=(), bytes=7), "download llama3:latest again", "7 B by runtime"),
    (
        PlaceManifest(model=LLAMA, manifest=BLOB, bytes=5, source="vault", replaces=False, snapshot="s"),
        "put the manifest of llama3:latest back",
        "5 B from vault",
    ),
    (FixOwner(blob=BLOB, owner=(1, 2, 0o644)), "give blob abababababab to 1:2", "mode 0644"),
    (
        RemakeRecord(path="modelward/snapshots/x.json"),
        "make modelward/snapshots/x.json anew",
        "from the rest of the vault",
    ),
)
LOST = Unhealed(
    model=LLAMA, finding=Missing(path="blobs/x", blob=BLOB, size=9), reason="no source has good bytes of it"
)


def view(state: JobState = JobState.RUNNING, **fields: object) -> JobView:
    """A job."""
    known = {"id": "j1", "kind": "repair", "models": (LLAMA,), "cause": "api: me", "state": state, "asked_at": NOW}
    return JobView(**(known | fields))  # type: ignore[arg-type]


def repair(*steps: Step, unhealed: tuple[Unhealed, ...] = (), dry_run: bool = True, **fields: object) -> RepairReport:
    """A repair of one model."""
    plan = Plan(models=(ModelPlan(model=LLAMA, steps=steps),) if steps else (), unhealed=unhealed)
    known = {"store": "/s", "plan": plan, "actions": (), "models": (), "unhealed": unhealed, "dry_run": dry_run}
    return RepairReport(**(known | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("step", "what", "detail"), STEPS, ids=[type(step).__name__ for step, *_ in STEPS])
def test_every_step_of_a_plan_has_words(step: Step, what: str, detail: str) -> None:
    """What is done, to what, with how many bytes from where."""
    assert work.step_text(step) == (what, detail)


def test_a_plan_says_how_much_and_that_nothing_was_changed() -> None:
    """The head counts steps and bytes; what no source has is red."""
    found = work.told(repair(STEPS[0][0], unhealed=(LOST,)))
    assert found is not None
    assert found.head == "1 step, 1.05 MB to bring. Nothing was changed yet."
    assert found.lines[-1].tone == "loss"
    assert not found.nothing


def test_an_empty_plan_is_not_a_hopeless_one() -> None:
    """Nothing to do, and nothing that can be done, are two sentences."""
    idle, hopeless = work.told(repair()), work.told(repair(unhealed=(LOST,)))
    assert idle is not None
    assert hopeless is not None
    assert (idle.nothing, hopeless.nothing) == (True, False)
    assert hopeless.head == "No source can heal this."


def test_a_repair_tells_each_step_and_how_the_model_is_now() -> None:
    """Steps with their source, bytes and time; failures in red; the verdict at the end."""
    actions = (
        Action(step="PatchBlob", model=LLAMA, target="ab", source="vault", bytes_moved=CHUNK, seconds=0.01),
        Action(
            step="PlaceBlob", model=LLAMA, target="cd", source="vault", bytes_moved=0, seconds=0.0, error="no space"
        ),
    )
    verdict = Verdict(name=LLAMA, healthy=True, recoverable=True, size=1, verified_at=NOW)
    report = repair(
        dry_run=False, actions=actions, models=(verdict,), notes=("a note",), bytes_moved=CHUNK, seconds=1.0
    )
    found = work.told(report)
    assert found is not None
    assert found.head == "2 steps, 1.05 MB moved in 1 s."
    assert [line.tone for line in found.lines] == ["good", "loss", "good", ""]
    assert found.lines[0] == ("healed blob ab", "from vault: 1.05 MB in 10 ms", "good")
    nothing = work.told(repair(dry_run=False))
    assert nothing is not None
    assert nothing.head == "There was nothing to heal."


def test_a_verify_tells_each_model() -> None:
    """Every model with its health, and damage in words."""
    lost = Verdict(name=LLAMA, healthy=False, recoverable=False, size=9, verified_at=None, findings=(LOST.finding,))
    report = Report(
        path="/s",
        of="store",
        level="full",
        read="direct",
        models=(lost,),
        findings=(),
        bytes_read=9,
        unread=0,
        seconds=1.0,
    )
    found = work.told(report)
    assert found is not None
    assert found.head == "9 B of the store read in 1 s, level full."
    assert found.lines[0].detail == "damaged, no copy: blob abababababab is missing (9 bytes)"


def test_a_backup_tells_what_was_stored_and_what_was_refused() -> None:
    """Refused is red and has its reason."""
    results = (
        BackupResult(name=LLAMA, outcome="stored", size=9, bytes_moved=9),
        BackupResult(name=LLAMA, outcome="refused", size=9, reason="it is damaged"),
    )
    report = BackupReport(
        store="/s", vault="/v", protection="1", models=results, findings=(), bytes_moved=9, seconds=1.0
    )
    found = work.told(report)
    assert found is not None
    assert found.head == "2 models, 9 B copied."
    assert [line.tone for line in found.lines] == ["good", "loss"]


def test_reports_of_the_vault_and_of_space_are_told() -> None:
    """Forget, prune, reclaim and pin have their sentences, in a dry run as well."""
    disk = Space(total=1, free=1)
    space = SpaceReport(store="/s", disk=disk, models=(), blobs=0, leftovers=(), vault=None)
    reports = (
        ForgetReport(kept=(), forgotten=(), dry_run=True),
        PruneReport(records=("a",), objects=(BLOB,), bytes_freed=5, quarantine_freed=2),
        space,
        PinReport(pins={LLAMA: BLOB}, changed=True),
    )
    heads = [found.head for report in reports if (found := work.told(report)) is not None]
    assert heads == [
        "0 snapshots would go to the trash, 0 snapshots kept.",
        "7 B freed: 1 object and 1 record.",
        "0 B would be freed.",
        "The pin was changed.",
    ]
    assert work.told("something else") is None


def test_a_job_is_told_with_its_progress_and_its_cause() -> None:
    """Bytes with units while it runs, how long it took when it is over."""
    running = work.job_row(view(stage="prove", done=CHUNK, total=4 * CHUNK, began_at=NOW))
    assert (running.progress, running.models, running.cause) == ("1.05 MB of 4.19 MB", "llama3:latest", "api: me")
    assert not running.over
    ended = work.job_row(view(JobState.FAILED, began_at=NOW, ended_at=NOW + timedelta(seconds=61), error="no\nspace"))
    assert (ended.took, ended.error, ended.mark.tone) == ("1 min 1 s", "no\\nspace", "loss")
    assert work.job_row(view(JobState.WAITING)).progress == "waits for the work before it"
    assert work.job_row(view()).progress == ""


def test_models_of_a_job_are_named_up_to_three() -> None:
    """None stands for all."""
    many = [ModelName.parse(f"m{number}") for number in range(5)]
    assert work.names(many) == "m0:latest, m1:latest, m2:latest and 2 more"
    assert work.names([]) == "all models"


def test_every_verb_has_a_form_and_every_field_a_label_and_a_kind() -> None:
    """Whatever verb is added is on the page; the dry run is a button, not a field."""
    found = {form.name: form for form in work.forms(Scope.OPERATE, PLANNED)}
    assert set(found) == set(VERBS)
    fields = [field for form in found.values() for field in form.fields]
    assert all(field.label and field.kind in {"model", "models", "choice", "yes", "number", "text"} for field in fields)
    assert all(field.name != "dry_run" for field in fields)
    assert {field.name: field.kind for field in found["forget"].fields}["keep_last"] == "number"
    assert [field.required for field in found["restore"].fields if field.name == "model"] == [True]


def test_grave_verbs_need_an_administrator() -> None:
    """The form says so before the guard refuses; whoever may only read may start nothing."""
    operate = {form.name: form.allowed for form in work.forms(Scope.OPERATE, PLANNED)}
    assert operate["repair"]
    assert not operate["prune"]
    assert all(form.allowed for form in work.forms(Scope.ADMIN, PLANNED))
    assert not any(form.allowed for form in work.forms(Scope.READ, PLANNED))
    assert {form.name for form in work.forms(Scope.READ, PLANNED) if form.planned} == set(PLANNED)
