"""Jobs and plans: started once, watched to the end, cancelled, planned without a change; alerts, settings, history."""

import json
import threading
import tracemalloc
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest

from modelward.client import ApiProblem, Client
from modelward.config import Origin
from modelward.domain.alert import Silence
from modelward.domain.answer import Page, Problem
from modelward.domain.audit import AuditEntry, AuditVerdict
from modelward.domain.brake import Brake
from modelward.domain.codec import decode
from modelward.domain.forecast import ForecastReport
from modelward.domain.history import ActionRow, ModelHistory
from modelward.domain.standing import JobState, JobView
from modelward.guard.verbs import VERBS
from modelward.services.brake import BRAKE, wished_release
from modelward.testing import fingerprint
from tests.api.stage import MODEL, WEIGHTS, Stage
from tests.api.test_models import weights
from tests.places import BEGIN

JSON = {"content-type": "application/json"}


def test_a_job_is_followed_to_its_end(stage: Stage, anyone: Client) -> None:
    """The events of a job end with its last view, which holds the verb's own document."""
    stage.gate.clear()
    started = anyone.start("backup")
    assert started.state in (JobState.WAITING, JobState.RUNNING)
    views = []
    for view in anyone.follow(started.id):
        views.append(view)
        stage.gate.set()
    assert views[-1].state is JobState.DONE
    assert {result["outcome"] for result in views[-1].report["models"]} == {"stored"}
    assert anyone.job(started.id) == views[-1]


def test_a_job_tells_its_progress(stage: Stage, anyone: Client) -> None:
    """While bytes are read the events carry the stage and how many bytes of it are done."""
    anyone.finish(anyone.start("backup").id)
    views = list(anyone.follow(anyone.start("verify").id))
    assert views[-1].done >= len(WEIGHTS)
    assert views[-1].stage == "read"
    del stage


def test_the_same_key_starts_one_job(stage: Stage, anyone: Client) -> None:
    """A request that is sent again with its Idempotency-Key is answered alike, even when the job has ended."""
    first = anyone.start("verify", {"level": "quick"}, key="k1")
    anyone.finish(first.id)
    assert anyone.start("verify", {"level": "quick"}, key="k1").id == first.id
    assert anyone.start("verify", {"level": "quick"}, key="k2").id != first.id
    with pytest.raises(ApiProblem, match="another request") as caught:
        anyone.start("verify", {"level": "full"}, key="k1")
    assert caught.value.status == 422
    stage.clock.advance(hours=25)
    assert anyone.start("verify", {"level": "quick"}, key="k1").id != first.id


@pytest.mark.parametrize("key", ["k" * 201, "two words", "caf\xe9"])
def test_a_key_of_another_form_is_refused(anyone: Client, key: str) -> None:
    """A key is up to 200 visible ASCII characters, as the document says."""
    with pytest.raises(ApiProblem, match="not a key") as caught:
        anyone.start("verify", {"level": "quick"}, key=key)
    assert caught.value.status == 422


def test_the_same_key_at_the_same_time_starts_one_job(stage: Stage, anyone: Client) -> None:
    """Ten callers that send one key at once get one job."""
    stage.gate.clear()
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(anyone.start("verify", {"level": "sample"}, key="one").id))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 10
    assert len(set(found)) == 1


def test_two_different_wishes_are_two_jobs(stage: Stage, anyone: Client) -> None:
    """Jobs of one verb and one model that differ in an option are not taken for one."""
    stage.gate.clear()
    anyone.start("backup")
    one = anyone.start("restore", {"model": "llama3", "snapshot": "a"})
    two = anyone.start("restore", {"model": "llama3", "snapshot": "b"})
    assert one.id != two.id
    assert one.models == (MODEL,)
    assert one.cause.startswith("api: this machine")


def test_a_job_that_waits_is_cancelled(stage: Stage, anyone: Client) -> None:
    """A cancelled job never begins, and its events end at once."""
    stage.gate.clear()
    anyone.start("verify", {"level": "quick"})
    waiting = anyone.start("backup")
    assert anyone.cancel(waiting.id).state is JobState.CANCELLED
    assert [view.state for view in anyone.follow(waiting.id)] == [JobState.CANCELLED]
    stage.gate.set()
    assert not stage.place.vault.exists()


def test_a_job_that_runs_is_stopped_at_its_next_chunk(stage: Stage, anyone: Client) -> None:
    """Cancelling a running job ends it as cancelled."""
    stage.gate.clear()
    running = anyone.start("verify")
    anyone.cancel(running.id)
    stage.gate.set()
    assert anyone.finish(running.id).state is JobState.CANCELLED


def test_jobs_are_listed_and_filtered(anyone: Client) -> None:
    """The newest first, without reports, by state and by kind."""
    first, second = anyone.start("backup"), anyone.start("verify", {"level": "quick"})
    anyone.finish(first.id)
    anyone.finish(second.id)
    listed = list(anyone.pages("/jobs", JobView, limit=1))
    assert [view.id for view in listed] == [second.id, first.id]
    assert {view.report for view in listed} == {None}
    assert [view.id for view in anyone.pages("/jobs", JobView, kind="backup")] == [first.id]
    assert list(anyone.pages("/jobs", JobView, state="running")) == []


@pytest.mark.parametrize("path", ["/jobs/nobody", "/jobs/nobody/events"])
def test_an_unknown_job_is_not_found(anyone: Client, path: str) -> None:
    """A job that the guard does not know is 404, with where to look."""
    answer = anyone.raw("GET", f"/api/v1{path}")
    assert answer.status == 404
    assert "/api/v1/jobs" in decode(answer.body, Problem).next_step


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 50_000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"verb":"format-disk","options":{}}', 422),
        (b'{"verb":"backup","options":{},"more":1}', 422),
        (b'{"verb":"backup","options":{"more":1}}', 422),
        (b'{"verb":"backup","options":{"models":"llama3"}}', 422),
        (b'{"verb":"backup","options":{"models":["a b"]}}', 422),
        (b'{"verb":"restore","options":{}}', 422),
        (b'{"verb":"restore"}', 422),
        (b'{"verb":"verify","options":{"level":"deep"}}', 422),
        (b'{"verb":"forget","options":{"keep_last":-1}}', 422),
        (b'{"verb":"forget","options":{"keep_within":"soon"}}', 422),
    ],
)
def test_unfit_bodies_are_problems(stage: Stage, anyone: Client, body: bytes, status: int) -> None:
    """What is no JSON, or not what the verb takes, is refused with a problem document, and nothing is started."""
    answer = anyone.raw("POST", "/api/v1/jobs", body, JSON)
    assert answer.status == status, answer.body
    assert decode(answer.body, Problem).next_step
    assert stage.jobs.list() == ()


def test_an_error_of_a_verb_is_the_jobs_outcome(anyone: Client) -> None:
    """A job that fails says what happened, to which thing, and what next, with the verb's exit code."""
    anyone.finish(anyone.start("backup").id)
    view = anyone.finish(anyone.start("restore", {"model": "nobody"}).id)
    assert view.state is JobState.FAILED
    assert "Next:" in view.error
    assert view.exit_code == 2


def test_every_verb_is_told_with_its_options(anyone: Client) -> None:
    """The list of verbs has each one with its scope and a schema of its options."""
    listed = {view["name"]: view for view in json.loads(anyone.raw("GET", "/api/v1/verbs").body)}
    assert set(listed) == set(VERBS)
    assert listed["forget"]["scope"] == "admin"
    assert listed["backup"]["scope"] == "operate"
    assert all(view["options"] for view in listed.values())


@pytest.mark.parametrize("verb", ["repair", "restore", "rollback", "forget", "prune", "space-reclaim", "backup"])
def test_a_plan_changes_nothing(stage: Stage, anyone: Client, verb: str) -> None:
    """A plan says what would be done, and store and vault are byte for byte as before."""
    from modelward.testing import FakeStore

    anyone.finish(anyone.start("backup").id)
    stage.clock.advance(seconds=60)
    FakeStore(stage.place.store).add_model("llama3", WEIGHTS, template=b"another")
    anyone.finish(anyone.start("backup").id)
    weights(stage).unlink()
    before = fingerprint(stage.place.store)
    records = sorted(path.name for path in (stage.place.vault / "modelward" / "snapshots").iterdir())
    options = {"model": "llama3"} if verb in ("restore", "rollback") else {}
    document = json.loads(anyone.send("POST", "/plans", {"verb": verb, "options": options}).body)
    assert document["dry_run"] is True
    assert fingerprint(stage.place.store) == before
    assert sorted(path.name for path in (stage.place.vault / "modelward" / "snapshots").iterdir()) == records
    if verb == "repair":
        (model,) = document["plan"]["models"]
        assert [step["step"] for step in model["steps"]] == ["PlaceBlob"]


def test_a_plan_is_only_of_what_can_be_planned(anyone: Client) -> None:
    """A verb without a dry run has no plan."""
    answer = anyone.raw("POST", "/api/v1/plans", b'{"verb":"doctor","options":{}}', JSON)
    assert answer.status == 422


def test_the_stream_of_everything_tells_looks_and_jobs(stage: Stage, anyone: Client) -> None:
    """The board's stream begins with the present and tells each look and each job as it comes."""
    events = anyone.events("/events")
    first = next(events)
    assert first.kind == "standing"
    revision = json.loads(first.data)["revision"]
    stage.look(ready=False, why="a model is lost")
    second = next(event for event in events if event.kind == "standing" and b"a model is lost" in event.data)
    assert json.loads(second.data)["revision"] > revision
    started = anyone.start("backup")
    for event in events:
        if event.kind == "job":
            view = decode(event.data, JobView)
            assert (view.id, view.report) == (started.id, None)
            if view.over:
                break
    assert anyone.job(started.id).state is JobState.DONE


# Alerts, settings, the brake.


def test_silences_are_made_listed_and_ended(anyone: Client) -> None:
    """A silence has its id, its end and its reason, and is gone once it was ended."""
    body = {"lasts": "4h", "subject": "llama3*", "why": "new disk"}
    answer = anyone.send("POST", "/silences", body)
    made = decode(answer.body, Silence)
    assert answer.status == 201
    assert answer.headers["location"] == f"/api/v1/silences/{made.id}"
    assert made.until - made.made_at == timedelta(hours=4)
    assert anyone.get("/silences", tuple[Silence, ...]) == (made,)
    assert decode(anyone.send("DELETE", f"/silences/{made.id}").body, Silence) == made
    assert anyone.get("/silences", tuple[Silence, ...]) == ()
    assert anyone.raw("DELETE", f"/api/v1/silences/{made.id}").status == 404


@pytest.mark.parametrize(
    "body",
    [b'{"lasts":"0s"}', b'{"lasts":"soon"}', b'{"lasts":"4h","kind":"nothing"}', b'{"lasts":"4h","why":"\\u001b"}'],
)
def test_a_silence_of_nothing_is_refused(anyone: Client, body: bytes) -> None:
    """No time at all, a kind that does not exist, or control characters: each is refused."""
    assert anyone.raw("POST", "/api/v1/silences", body, JSON).status == 422


def test_alerts_and_their_test(admin: Client) -> None:
    """The alerts come as the command line shows them; the test is an administrator's."""
    assert json.loads(admin.raw("GET", "/api/v1/alerts").body)["watched"] is True
    assert json.loads(admin.send("POST", "/alerts/test").body) == {"channels": []}


def test_settings_show_origins_and_no_secret(stage: Stage, anyone: Client) -> None:
    """Every setting comes with its origin; of a secret it is only said that it is set."""
    answer = anyone.raw("GET", "/api/v1/settings")
    found = {origin.name: origin for origin in decode(answer.body, tuple[Origin, ...])}
    assert found["store"].origin == "environment MODELWARD_STORE"
    assert found["store"].value == str(stage.place.store)
    assert found["webhook_secret"].value == "(set)"
    assert b"hush" not in answer.body


def test_the_brake_is_released_by_an_administrator(stage: Stage, admin: Client) -> None:
    """A release is a wish that the guard finds in its journal, with who made it (G4)."""
    engaged = Brake(since=BEGIN, why="four models at once")
    stage.journal.put(BRAKE, engaged)
    assert json.loads(admin.raw("GET", "/api/v1/brake").body)["engaged"] is False, "the board is what was last seen"
    assert json.loads(admin.send("POST", "/brake/release").body)["released"] is True
    wish = wished_release(stage.journal, engaged)
    assert wish is not None
    assert wish.by == "api: test admin"


# History.


def test_actions_come_newest_first_and_in_parts(stage: Stage, anyone: Client) -> None:
    """The journal's actions are paged by time and filtered by model."""
    rows = [
        ActionRow(at=BEGIN - timedelta(hours=number), cause="guard", verb="repair", model=name)
        for number, name in enumerate(["", str(MODEL), "", str(MODEL), ""])
    ]
    stage.journal.add(rows)
    assert list(anyone.pages("/actions", ActionRow, limit=2)) == rows
    assert list(anyone.pages("/actions", ActionRow, model="llama3")) == [row for row in rows if row.model]
    assert list(anyone.pages("/drills", ActionRow)) == []


def test_a_models_history_is_that_of_the_journal(stage: Stage, anyone: Client) -> None:
    """The history of a model comes by its name, so far back as was asked for."""
    found = anyone.get("/history/llama3", ModelHistory, days=7)
    assert (found.model, found.at - found.since) == (MODEL, timedelta(days=7))
    del stage


@pytest.mark.parametrize("series", ["checks", "probes", "scrubs", "space", "server"])
def test_every_series_can_be_asked_for(anyone: Client, series: str) -> None:
    """By hour and by day; a series that does not exist is refused."""
    for by in ("hour", "day"):
        assert json.loads(anyone.raw("GET", f"/api/v1/series?series={series}&by={by}").body) == []
    assert anyone.raw("GET", "/api/v1/series?series=nothing").status == 422


def test_the_audit_log_is_shown_and_proved(stage: Stage, anyone: Client) -> None:
    """The log comes newest first, names who asked, and its check finds an edit (A1)."""
    anyone.finish(anyone.start("backup").id)
    entries = anyone.get("/audit", Page[AuditEntry]).items
    assert [entry.action for entry in entries] == ["backup", "backup"]
    assert entries[0].seq > entries[1].seq
    assert {entry.cause for entry in entries} == {"api: this machine"}
    assert anyone.get("/audit/verify", AuditVerdict).faults == ()
    log = stage.place.vault / "modelward" / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"backup", b"nobody", 1))
    assert anyone.get("/audit/verify", AuditVerdict).faults


def test_the_audit_log_comes_in_parts(stage: Stage, anyone: Client) -> None:
    """Each part goes on where the one before ended, whatever was written since; filters hold over all parts."""
    vault = stage.place.site().the_vault()
    for number in range(7):
        vault.audit("drill" if number % 2 else "scrub", number=number)
    seen: list[list[int]] = []
    cursor = ""
    while cursor or not seen:
        part = anyone.get(f"/audit?limit=3&cursor={cursor}", Page[AuditEntry])
        seen.append([entry.seq for entry in part.items])
        cursor = part.next
        vault.audit("later")
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]
    first = anyone.get("/audit?limit=2&action=drill", Page[AuditEntry])
    rest = anyone.get(f"/audit?limit=2&action=drill&cursor={first.next}", Page[AuditEntry])
    assert [[entry.keys["number"] for entry in part.items] for part in (first, rest)] == [["5", "3"], ["1"]]
    assert rest.next == ""


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "", "9" * 30, "²"])
def test_a_cursor_of_the_audit_log_that_is_none_is_refused(stage: Stage, anyone: Client, text: str) -> None:
    """With what to do instead; an empty one is the beginning."""
    stage.place.site().the_vault().audit("first")
    cursor = urlsafe_b64encode(text.encode()).decode().rstrip("=")
    assert anyone.raw("GET", f"/api/v1/audit?cursor={cursor}").status == (422 if text else 200)


def test_a_part_of_the_audit_log_does_not_hold_all_of_it(stage: Stage, anyone: Client) -> None:
    """A1: what a guard wrote in years is read entry by entry."""
    vault = stage.place.site().the_vault()
    log = stage.place.vault / "modelward" / "audit.jsonl"
    vault.audit("first", text="x" * 500)
    line = log.read_bytes()
    log.write_bytes(line * 20_000)
    tracemalloc.start()
    try:
        part = anyone.get("/audit?limit=5", Page[AuditEntry])
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(part.items) == 5
    assert most < 5_000_000 < log.stat().st_size


def test_forecasts_come_with_their_actions(anyone: Client) -> None:
    """Without any history there is nothing to foretell, and that is an answer."""
    assert anyone.get("/forecast", ForecastReport).at == BEGIN
