"""Each page's HTML, as a caller without a browser gets it."""

from datetime import timedelta

import msgspec
import pytest

from modelward.api.handlers_alerts import NewSilence
from modelward.client import Client
from modelward.domain.access import Scope
from modelward.domain.alert import Alert, Flip, Kind, State
from modelward.domain.finding import StoreMoved
from modelward.domain.history import ActionRow, CheckRow, DrillRow, ProbeRow
from modelward.domain.standing import BrakeStanding, JobState, JobView, ServerStanding, Standing
from modelward.services.backup import backup
from modelward.testing.corrupt import delete, zero
from modelward.web.pages import PAGES
from tests.api.stage import CHUNK, MODEL, client
from tests.web.ground import Paged, ask, check, html, plan, words

EVIL = '<img src=x onerror="alert(1)"> & "quotes"'
READABLE = ("/", "/models/llama3", "/vault", "/activity", "/alerts", "/settings")


def blob_of(stage: Paged) -> str:
    """The digest of the largest blob."""
    path = max((stage.place.store / "blobs").iterdir(), key=lambda each: each.stat().st_size)
    return path.name


def kept(stage: Paged) -> None:
    """Prove and keep both models."""
    backup(stage.place.site(), ())
    stage.look()


def hurt(stage: Paged) -> str:
    """Zero the second chunk of a kept model, and have it found; returns the blob's file name."""
    kept(stage)
    name = blob_of(stage)
    zero(stage.place.store / "blobs" / name, CHUNK, CHUNK)
    job = stage_job(stage, "verify", {"models": ["llama3"]})
    assert job.state is JobState.DONE
    stage.look(ready=False, why="llama3:latest: damaged")
    return name


def stage_job(stage: Paged, verb: str, options: dict[str, object]) -> JobView:
    """A job done to its end, through the API."""
    with stage.serving() as server:
        caller = client(server)
        return caller.finish(caller.start(verb, options).id)


@pytest.mark.parametrize("path", READABLE)
def test_every_page_is_well_formed_before_anything_was_kept(path: str, anyone: Client) -> None:
    """No vault, no history, nothing running: each page says so, and its parts do not break it."""
    text = html(anyone, path)
    assert "<h1" in text
    assert 'lang="en"' in text
    assert 'href="#main"' in text


@pytest.mark.parametrize("path", READABLE)
def test_every_page_is_well_formed_with_damage_and_history(path: str, stage: Paged) -> None:
    """Damage, snapshots, drills, jobs, alerts and silences on every page at once."""
    full(stage)
    with stage.serving() as server:
        html(client(server), path)


def full(stage: Paged) -> None:
    """A host where everything happened."""
    hurt(stage)
    now, name = stage.clock.now(), str(MODEL)
    stage.journal.add(
        [
            ActionRow(
                at=now, cause="guard: <b>", verb="repair", step="PatchBlob", model=name, target=EVIL, source="vault"
            ),
            ActionRow(at=now, cause="user", verb="restore", model=name, error=EVIL),
            DrillRow(
                at=now, model=name, snapshot="s", bytes=5, restore_seconds=1, verify_seconds=1, ok=False, why=EVIL
            ),
            *(
                ProbeRow(
                    at=now - timedelta(hours=hour),
                    model=name,
                    outcome="timeout" if hour % 5 == 0 else "ok",
                    seconds=0.5,
                )
                for hour in range(48)
            ),
            *(
                CheckRow(at=now - timedelta(minutes=minute), model=name, healthy=True, recoverable=True, ready=True)
                for minute in range(0, 600, 4)
            ),
        ]
    )
    stage.journal.flip((Flip(now, Kind.INTEGRITY, EVIL, True, EVIL),))  # noqa: FBT003 - it went bad
    alert = Alert(kind=Kind.DISK, subject=EVIL, since=now, state=State.FIRING, detail=EVIL, next=EVIL, due=now)
    stage.change(
        alerts=(alert,),
        server=ServerStanding(url=EVIL, up=False, error=EVIL),
        brake=BrakeStanding(engaged=True, since=now, why=EVIL),
        findings=(StoreMoved(path=EVIL, reason=EVIL),),
        why=EVIL,
    )
    with stage.serving() as server:
        silence = NewSilence(lasts="4h", subject=EVIL, why=EVIL)
        client(server).send("POST", "/silences", msgspec.to_builtins(silence))


@pytest.mark.parametrize("path", READABLE)
def test_markup_in_names_is_shown_as_text(path: str, stage: Paged) -> None:
    """Whatever a subject, a reason, a path or a cause holds, it never becomes an element (T19)."""
    full(stage)
    with stage.serving() as server:
        text = html(client(server), path)
    assert "<img" not in text
    assert "onerror=" not in text.replace("onerror=&#34;", "")


def test_the_overview_tells_damage_brake_and_doubt(stage: Paged) -> None:
    """What is wrong, why it is not ready, what the guard does not do meanwhile, and what to type."""
    full(stage)
    with stage.serving() as server:
        text = words(html(client(server), "/"))
    assert "Not ready" in text
    assert "The brake is on" in text
    assert "modelward brake --release" in text
    assert "1 damaged, recoverable" in text
    assert "has wrong bytes at 1,048,576+1,048,576" in text
    assert "is not the store that was recorded" in text
    assert "does not answer" in text


def test_a_ready_host_says_so(stage: Paged) -> None:
    """Two healthy models, nothing to do."""
    kept(stage)
    with stage.serving() as server:
        text = words(html(client(server), "/"))
    assert "Ready No protected model is damaged." in text
    assert "2 healthy" in text
    assert "Nothing in the last 7 days" in text


def test_the_page_waits_for_the_first_look(stage: Paged) -> None:
    """Before the guard has looked there is nothing to show, and that is said."""
    with stage.serving() as server:
        caller = client(server)
        assert "looking for the first time" in words(html(caller, "/"))
        assert ask(caller, "/models/llama3").status == 404


def test_an_empty_store_says_what_to_do(stage: Paged) -> None:
    """No model at all is a state of its own."""
    stage.look()
    stage.change(models=())
    with stage.serving() as server:
        assert "The store has no model yet." in words(html(client(server), "/"))


def test_a_thousand_models_are_filtered_and_paged_by_the_server(stage: Paged) -> None:
    """The first page is small, the filter reaches all of them, and the links keep it."""
    crowd(stage, 1_000)
    with stage.serving() as server:
        caller = client(server)
        text = html(caller, "/")
        assert "1,000 models" in words(text)
        assert "page 1 of 20" in words(text)
        assert text.count('<th scope="row">') == 50
        found = html(caller, "/?q=m0999&health=healthy")
        assert found.count('<th scope="row">') == 1
        assert "q=m0999" in found
        assert "No model fits this filter." in words(html(caller, "/?health=lost"))
        assert ask(caller, "/?page=0").status == 422
        assert ask(caller, "/?nonsense=1").status == 422


def crowd(stage: Paged, number: int) -> Standing:
    """A picture with so many models."""
    kept(stage)
    assert stage.board.standing is not None
    one = stage.board.standing.models[0]
    names = (f"registry.ollama.ai/library/m{index:04}:latest" for index in range(number))
    models = tuple(msgspec.structs.replace(one, name=type(one.name).parse(name)) for name in names)
    stage.change(models=models)
    return stage.board.standing


def test_a_model_shows_its_damage_where_it_is(stage: Paged) -> None:
    """The map has the bad chunk, its span stands in words, and the finding has its button and its command."""
    hurt(stage)
    with stage.serving() as server:
        text = html(client(server), "/models/llama3")
    assert '<rect class="bad"' in text
    assert "bytes 1,048,576 to 2,097,151, chunk 1" in words(text)
    assert "What it means" in text
    assert "What to do" in text
    assert "modelward repair llama3:latest" in words(text)
    assert 'data-verb="repair"' in text


def test_a_model_that_is_gone_is_all_lost(stage: Paged) -> None:
    """A deleted blob is drawn as not there."""
    kept(stage)
    delete(stage.place.store / "blobs" / blob_of(stage))
    stage.look(ready=False, why="gone")
    with stage.serving() as server:
        text = html(client(server), "/models/llama3")
    assert '<rect class="lost"' in text
    assert '<rect class="bad"' not in text


def test_snapshots_are_a_timeline_with_a_difference(stage: Paged) -> None:
    """Two versions can be compared, and each can be restored."""
    from modelward.testing import FakeStore
    from tests.api.stage import WEIGHTS

    kept(stage)
    stage.clock.advance(days=1)
    FakeStore(stage.place.store).add_model("llama3", WEIGHTS, template=b"another {{ .Prompt }}")
    kept(stage)
    with stage.serving() as server:
        caller = client(server)
        text = html(caller, "/models/llama3")
        assert text.count('data-verb="restore"') == 2
        link = text.partition('class="button" href="')[2].partition('"')[0].replace("&amp;", "&").partition("#")[0]
        assert "template changed" in words(html(caller, link))
        nowhere = words(html(caller, "/models/llama3?first=nope&second=nope"))
    assert "The two cannot be compared" in nowhere


def test_a_model_nobody_knows_is_a_page_that_says_so(anyone: Client) -> None:
    """404 with the next step, and what was asked for is text."""
    answer = ask(anyone, "/models/nope")
    assert answer.status == 404
    check(answer.body.decode())
    assert "the guard knows no such model" in words(answer.body.decode())
    assert ask(anyone, "/models/%3Cscript%3E").status == 422
    assert b"<script>" not in ask(anyone, "/models/%3Cscript%3E").body


def test_an_address_that_is_no_page_tells_people_and_programs_apart(anyone: Client) -> None:
    """A browser gets a page, a program a problem document."""
    answer = ask(anyone, "/no/such/page")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    plain = anyone.raw("GET", "/no/such/page")
    assert (plain.status, plain.headers["content-type"]) == (404, "application/problem+json")
    below = ask(anyone, "/api/v1/nothing")
    assert below.headers["content-type"] == "application/problem+json"


def test_the_vault_page_tells_space_class_and_gain(stage: Paged) -> None:
    """Where it is, what it survives, what no model needs."""
    kept(stage)
    with stage.serving() as server:
        text = words(html(client(server), "/vault"))
    assert str(stage.place.vault) in text
    assert "1 same device" in text
    assert "2 snapshots of 2 models" in text
    assert "No drill yet" in text
    assert "No orphan, and no unfinished download." in text


def test_a_plan_is_shown_before_anything_is_changed(stage: Paged) -> None:
    """The dry run is a part of a page; nothing in the store changes by it."""
    name = hurt(stage)
    before = (stage.place.store / "blobs" / name).read_bytes()
    with stage.serving() as server:
        answer = plan(client(server), "repair", {"models": ["llama3"]})
    assert answer.status == 200
    check(answer.body.decode())
    assert "heal blob" in words(answer.body.decode())
    assert "Nothing was changed yet." in words(answer.body.decode())
    assert (stage.place.store / "blobs" / name).read_bytes() == before


def test_a_refused_part_is_a_part_and_not_a_page(anyone: Client) -> None:
    """What a script puts into its dialog has no head and no body."""
    answer = plan(anyone, "restore", {"model": "nope"}, {"x-fragment": "1"})
    assert answer.status >= 400
    text = answer.body.decode()
    assert "<html" not in text
    assert "What to do" in words(text)
    assert "<html" in plan(anyone, "restore", {"model": "nope"}).body.decode()


def test_a_job_has_a_page_and_a_part(stage: Paged) -> None:
    """Its report step by step; the part is what the dialog shows."""
    hurt(stage)
    with stage.serving() as server:
        caller = client(server)
        job = caller.finish(caller.start("repair", {"models": ["llama3"]}).id)
        page, piece = html(caller, f"/activity/{job.id}"), ask(caller, f"/activity/{job.id}", {"x-fragment": "1"})
        log = words(html(caller, "/activity"))
        assert ask(caller, "/activity/nope").status == 404
    assert "healed blob" in words(page)
    assert "llama3:latest healthy" in words(page)
    assert "<html" not in piece.body.decode()
    assert "api: this machine" in log


def test_a_job_that_runs_is_shown_with_its_progress(stage: Paged) -> None:
    """While it runs the page has a bar and a button that cancels it."""
    kept(stage)
    stage.gate.clear()
    with stage.serving() as server:
        caller = client(server)
        job = caller.start("verify", {"models": ["llama3"]})
        text, own = html(caller, "/activity"), html(caller, f"/activity/{job.id}")
        stage.gate.set()
        caller.finish(job.id)
    assert f'data-job="{job.id}"' in text
    assert f"DELETE /api/v1/jobs/{job.id}" in text
    assert "<progress" in own


def test_the_log_goes_on_where_a_page_ends(stage: Paged) -> None:
    """More than one page of actions: the link leads to the older ones."""
    stage.look()
    now = stage.clock.now()
    rows = [
        ActionRow(at=now - timedelta(minutes=number), cause=f"cause-{number}", verb="repair") for number in range(60)
    ]
    stage.journal.add(rows)
    with stage.serving() as server:
        caller = client(server)
        first = html(caller, "/activity")
        link = first.partition('<p class="more"><a href="')[2].partition("#")[0]
        second = words(html(caller, link))
    assert "cause-0" in words(first)
    assert "cause-59" not in words(first)
    assert "cause-59" in second


def test_secrets_are_never_shown(anyone: Client) -> None:
    """The settings say that one is set, and where it comes from."""
    text = html(anyone, "/settings")
    assert "hush" not in text.replace('class="hush"', "")
    assert "(set)" in text
    assert "environment MODELWARD_WEBHOOK_SECRET" in text


def test_only_the_door_and_its_files_are_for_everybody() -> None:
    """T16: what needs no token is written down, and is no more than this."""
    assert {route.path for route in PAGES if route.scope is None} == {"/login", "/static/{name}"}


@pytest.mark.parametrize("path", READABLE)
def test_without_a_token_pages_lead_to_the_door(path: str, stage: Paged) -> None:
    """Once a token was made, whoever has none is sent to the door, and sees nothing before it."""
    stage.look()
    stage.token()
    with stage.serving() as server:
        answer = ask(client(server), path)
        door = html(client(server), "/login")
    assert (answer.status, answer.headers["location"], answer.body) == (303, "/login", b"")
    assert "modelward token create NAME" in words(door)


def test_a_reader_sees_everything_and_can_press_nothing(stage: Paged) -> None:
    """Every button that starts something is disabled, and says which scope it needs."""
    hurt(stage)
    with stage.serving() as server:
        caller = client(server, stage.token(Scope.READ))
        for path in READABLE:
            for tag in html(caller, path).split("<button")[1:]:
                head = tag.partition(">")[0]
                if "data-verb" in head or "data-silence" in head or "data-send" in head:
                    assert "disabled" in head or "/api/v1/session" in head, head
        refused = plan(caller, "repair", {})
    assert refused.status == 403


def test_an_administrator_can_release_the_brake_from_the_page(stage: Paged) -> None:
    """G4: the button is there and not disabled, and the page knows the words that it asks with."""
    full(stage)
    with stage.serving() as server:
        text = html(client(server, stage.token(Scope.ADMIN)), "/")
    head = text.partition('data-send="POST /api/v1/brake/release"')[2].partition(">")[0]
    assert "disabled" not in head
    assert "data-ask=" in head


def test_a_page_that_did_not_change_costs_nothing(anyone: Client) -> None:
    """The tag of a page is good until the picture changes."""
    answer = ask(anyone, "/")
    assert answer.headers["cache-control"] == "no-cache, private"
    assert ask(anyone, "/", {"if-none-match": answer.headers["etag"]}).status == 304


def test_every_page_carries_the_policy(anyone: Client) -> None:
    """No script and no style but those of the guard, on pages, parts and files alike."""
    for path in (*READABLE, "/login", "/static/style.css", "/nothing"):
        policy = ask(anyone, path).headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy


def test_a_map_that_cannot_be_drawn_leaves_the_page_whole(stage: Paged) -> None:
    """A model whose manifest nobody has any more still has its page."""
    stage.look()
    for path in (stage.place.store / "manifests").rglob("llama3/latest"):
        path.unlink()
    with stage.serving() as server:
        text = words(html(client(server), "/models/llama3"))
    assert "The map cannot be drawn" in text
    assert "Over time" in text
