"""Models, findings and chunks over HTTP: pages, filters, entity tags, and names with markup as plain text."""

import json
from pathlib import Path

import msgspec
import pytest

from modelward.api.handlers_models import findings_of
from modelward.api.paging import Paged, page, page_of_rows
from modelward.api.problem import Unfit
from modelward.client import ApiProblem, Client
from modelward.domain.answer import Page, Problem
from modelward.domain.codec import decode
from modelward.domain.finding import BadEntry, Missing, StoreEmpty
from modelward.domain.history import ActionRow
from modelward.domain.outcome import SnapshotLine
from modelward.domain.standing import ModelStanding, TaskStanding
from modelward.testing import corrupt
from tests.api.stage import MODEL, SMALL, WEIGHTS, Stage, client
from tests.places import BEGIN

CHUNK = 1 << 20


def weights(stage: Stage) -> Path:
    """The file of llama3's weights."""
    return max(stage.place.store.glob("blobs/*"), key=lambda path: path.stat().st_size)


def test_models_are_listed_with_their_health(anyone: Client) -> None:
    """Every model of the store stands there, by name, on both axes."""
    found = list(anyone.models())
    assert [model.name for model in found] == [MODEL, SMALL]
    assert {model.healthy for model in found} == {None}
    assert found[0].size > len(WEIGHTS)


def test_a_list_comes_in_parts(anyone: Client) -> None:
    """With a limit of one the list has a cursor, and following it gives the same models once each."""
    first = anyone.get("/models", Page[ModelStanding], limit=1)
    assert len(first.items) == 1
    assert first.next
    assert [model.name for model in anyone.models(limit=1)] == [MODEL, SMALL]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": "MINI"}, [SMALL]),
        ({"q": "<script>"}, []),
        ({"healthy": "no"}, [MODEL]),
        ({"healthy": "unknown"}, [SMALL]),
        ({"healthy": "yes"}, []),
        ({"protected": "true"}, [MODEL, SMALL]),
        ({"protected": "false"}, []),
    ],
)
def test_models_are_filtered(stage: Stage, anyone: Client, query: dict[str, str], expected: list[str]) -> None:
    """By a part of the name, by health and by protection."""
    weights(stage).unlink()
    stage.look()
    assert [model.name for model in anyone.models(**query)] == expected


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("healthy=maybe", "healthy"),
        ("nobody=1", "nobody"),
        ("limit=1&limit=2", "twice"),
        ("cursor=!!!", "cursor"),
        ("cursor=bm9ib2R5", "cursor"),
        ("q=%ff", ""),
    ],
)
def test_unfit_parameters_are_problems(anyone: Client, query: str, word: str) -> None:
    """Unknown, doubled and unfit parameters are refused with a problem document that names them."""
    answer = anyone.raw("GET", f"/api/v1/models?{query}")
    assert answer.status in (400, 422)
    problem = decode(answer.body, Problem)
    assert word in problem.detail + problem.thing
    assert problem.next_step


@pytest.mark.parametrize("name", ["llama3", "llama3:latest", str(MODEL)])
def test_a_model_is_found_by_each_form_of_its_name(anyone: Client, name: str) -> None:
    """Short or full, with the slashes of the full name in the path."""
    assert anyone.model(name).name == MODEL
    assert anyone.raw("GET", f"/api/v1/models/{name}").status == 200


@pytest.mark.parametrize(("name", "status"), [("nobody", 404), ("a%20b", 422), ("%3Cscript%3E", 422), ("a/b/c/d", 422)])
def test_an_unknown_model_and_what_is_no_name(anyone: Client, name: str, status: int) -> None:
    """A model that nobody knows is 404, a text that is no name 422; both say what to do."""
    answer = anyone.raw("GET", f"/api/v1/models/{name}")
    assert answer.status == status
    problem = decode(answer.body, Problem)
    assert problem.next_step
    assert b"<script>" not in answer.body or answer.headers["x-content-type-options"] == "nosniff"


def test_findings_say_what_and_what_to_do(stage: Stage, anyone: Client) -> None:
    """Each finding comes with its words and the next step; damage of the store itself comes first."""
    weights(stage).unlink()
    stage.look()
    stage.change(findings=(StoreEmpty(path="/models", known=3),))
    first, second = list(anyone.findings(limit=1))
    assert (first.model, first.damage) == (None, True)
    assert "--accept-store" in first.next
    assert second.model == MODEL
    assert isinstance(second.finding, Missing)
    assert second.text.endswith(f"is missing ({len(WEIGHTS):,} bytes)")
    assert second.next
    assert list(anyone.findings(kind="Missing")) == [second]
    assert list(anyone.findings(kind="Missing", model="mini:1b")) == []
    assert len(list(anyone.findings(damage=True))) == 2


def test_markup_in_names_is_data_and_never_a_page(stage: Stage, anyone: Client) -> None:
    """A file's name with markup comes as JSON text, with headers that keep a browser from seeing a page in it (T18)."""
    evil = BadEntry(path="manifests/<script>alert(1)</script>", reason="<img src=x onerror=alert(1)>")
    seen = stage.board.standing
    assert seen is not None
    stage.change(models=(msgspec.structs.replace(seen.models[0], findings=(evil,)), *seen.models[1:]))
    answer = anyone.raw("GET", "/api/v1/findings")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert json.loads(answer.body)["items"][0]["finding"]["path"] == evil.path


def test_an_answer_that_did_not_change_is_told_in_a_few_bytes(stage: Stage, anyone: Client) -> None:
    """If-None-Match with the tag of what the caller has is answered 304 without a body, until something changed."""
    first = anyone.raw("GET", "/api/v1/models")
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = anyone.raw("GET", "/api/v1/models", None, {"if-none-match": given})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert anyone.raw("GET", "/api/v1/models", None, {"if-none-match": '"other"'}).status == 200
    weights(stage).unlink()
    stage.look()
    changed = anyone.raw("GET", "/api/v1/models", None, {"if-none-match": tag})
    assert changed.status == 200
    assert changed.headers["etag"] != tag


def test_answers_are_not_shared_between_callers(anyone: Client) -> None:
    """Nothing between the guard and a caller may keep an answer for another one."""
    headers = anyone.raw("GET", "/api/v1/models").headers
    assert "private" in headers["cache-control"]
    assert "authorization" in headers["vary"]


def test_before_the_first_look_there_is_nothing_yet(stage: Stage) -> None:
    """A guard that has just begun says so with 404 and a next step, instead of an empty list."""
    with stage.serving() as running, pytest.raises(ApiProblem, match="not looked yet") as caught:
        list(client(running).models())
    assert caught.value.status == 404


def test_the_chunk_map_shows_damage_where_it_is(stage: Stage, anyone: Client) -> None:
    """Chunks are unread first, good once they were proved, and bad where a byte is wrong."""
    before = max(anyone.chunks("llama3").blobs, key=lambda blob: blob.size)
    assert [(run.count, run.state) for run in before.runs] == [(3, "unread")]
    anyone.finish(anyone.start("backup").id)
    corrupt.flip_bit(weights(stage), CHUNK + 5, 3)
    assert anyone.finish(anyone.start("verify").id).exit_code == 1
    after = max(anyone.chunks("llama3").blobs, key=lambda blob: blob.size)
    assert [(run.count, run.state) for run in after.runs] == [(1, "unread"), (1, "bad"), (1, "unread")]
    assert after.bad == ((CHUNK, CHUNK),)


def test_the_schedule_is_that_of_the_guard(stage: Stage, anyone: Client) -> None:
    """The tasks come as the guard shows them on its board."""
    task = TaskStanding(name="scrub store", last_at=BEGIN, next_at=BEGIN, outcome="done")
    stage.change(tasks=(task,))
    assert anyone.get("/schedules", tuple[TaskStanding, ...]) == (task,)


def test_the_whole_picture_survives_the_way(stage: Stage, anyone: Client) -> None:
    """What the client reads is what the board shows."""
    assert anyone.standing() == stage.board.standing
    assert stage.board.standing is not None
    assert list(anyone.findings()) == list(findings_of(stage.board.standing))


# The vault.


def test_snapshots_are_listed_found_and_compared(stage: Stage, anyone: Client) -> None:
    """After two backups of different versions both are listed, each is found by a part of its id, and they differ."""
    from modelward.testing import FakeStore

    anyone.finish(anyone.start("backup").id)
    stage.clock.advance(seconds=60)
    FakeStore(stage.place.store).add_model("llama3", WEIGHTS, template=b"another")
    anyone.finish(anyone.start("backup", {"models": ["llama3"]}).id)
    new, old = list(anyone.pages("/snapshots", SnapshotLine, model="llama3", limit=1))
    assert new.created_at > old.created_at
    assert anyone.get(f"/snapshots/{new.id.partition('-')[2][:6]}", SnapshotLine) == new
    document = json.loads(anyone.raw("GET", f"/api/v1/diff?first={old.id}&second={new.id}").body)
    assert [change["change"] for change in document["differences"]] == ["changed", "changed"]
    assert list(anyone.pages("/snapshots", SnapshotLine, trashed=True)) == []
    (vault,) = json.loads(anyone.raw("GET", "/api/v1/vaults").body)
    assert (vault["snapshots"], vault["models"], vault["protection"]) == (3, 2, "1 same device")
    assert json.loads(anyone.raw("GET", "/api/v1/space").body)["vault"]["stored"] > len(WEIGHTS)


def test_without_a_vault_the_answer_says_how_to_get_one(anyone: Client) -> None:
    """A list of snapshots without a vault is a conflict whose next step makes one; the list of vaults is empty."""
    with pytest.raises(ApiProblem, match="no vault") as caught:
        anyone.get("/snapshots", Page[SnapshotLine])
    assert (caught.value.status, caught.value.next_step) == (409, "make one with: modelward backup")
    assert json.loads(anyone.raw("GET", "/api/v1/vaults").body) == []


def test_an_unknown_snapshot_is_not_found(anyone: Client) -> None:
    """An id that the vault does not hold is 404."""
    anyone.finish(anyone.start("backup").id)
    assert anyone.raw("GET", "/api/v1/snapshots/nobody").status == 404


# Paging by itself.


def test_pages_of_rows_of_one_moment_lose_none() -> None:
    """Ten rows, of which seven have one time, come whole and once each, whatever the limit."""
    rows = [
        ActionRow(at=BEGIN.replace(second=0 if number < 7 else number), cause="x", verb=str(number))
        for number in range(10)
    ]
    rows = sorted(rows, key=lambda row: row.at, reverse=True)
    for limit in range(1, 12):
        found: list[ActionRow] = []
        cursor, parts = "", 0
        while True:
            part = page_of_rows(
                lambda until, most: [row for row in rows if until is None or row.at < until][:most],
                Paged(limit=limit, cursor=cursor),
            )
            found += part.items
            cursor, parts = part.next, parts + 1
            if not cursor:
                break
        assert found == rows
        assert parts == -(-10 // limit)


@pytest.mark.parametrize("cursor", ["x", "MjAyNg", "OTk5OS0xMi0zMVQyMzo1OTo1OSswMDowMCAw", "MjAyNi0wMS0wMSAw", "é"])
def test_a_cursor_that_leads_nowhere_is_unfit(cursor: str) -> None:
    """A cursor that was made up, or of a moment that cannot be, is refused and never an error of ours."""
    with pytest.raises(Unfit):
        page_of_rows(lambda until, most: [], Paged(cursor=cursor))  # noqa: ARG005 - nothing to give
    with pytest.raises(Unfit):
        page(["a"], str, Paged(cursor=cursor))
