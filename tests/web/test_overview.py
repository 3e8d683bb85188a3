"""The presenters of the first page."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from modelward.domain.alert import Flip, Kind
from modelward.domain.chunks import CHUNK
from modelward.domain.finding import Missing
from modelward.domain.history import ActionRow
from modelward.domain.name import ModelName
from modelward.domain.standing import ModelStanding, TaskStanding
from modelward.web import overview
from modelward.web.overview import OverviewQuery
from tests.web.test_meaning import BLOB
from tests.web.test_words import model

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def named(name: str, *, healthy: bool | None = True, recoverable: bool = True, **more: object) -> ModelStanding:
    """A model by name and health."""
    known = msgspec.structs.replace(model(healthy=healthy, recoverable=recoverable), name=ModelName.parse(name))
    return msgspec.structs.replace(known, **more)


MODELS = (
    named("good-b"),
    named("good-a"),
    named("bare", recoverable=False),
    named("new", healthy=None, recoverable=False),
    named("hurt", healthy=False),
    named("gone", healthy=False, recoverable=False),
    named("free", healthy=False, recoverable=False, protected=False),
)


def test_the_worst_stands_first_and_released_models_last() -> None:
    """Damage without a copy, damage, not proved, no copy, healthy by name; released ones behind all."""
    found = overview.table(MODELS, OverviewQuery())
    names = [row.name.partition(":")[0] for row in found.rows]
    assert names == ["gone", "hurt", "new", "bare", "good-a", "good-b", "free"]
    assert found.rows[-1].released


def test_groups_count_protected_models_and_fill_the_bar() -> None:
    """The shares lie side by side from 0 to 100, and what was released counts in none."""
    found = overview.table(MODELS, OverviewQuery())
    assert [(group.mark.text, group.number) for group in found.groups] == [
        ("damaged, no copy", 1),
        ("damaged, recoverable", 1),
        ("not proved yet", 1),
        ("healthy, no copy", 1),
        ("healthy", 2),
    ]
    assert (found.total, found.released) == (6, 1)
    assert found.groups[0].start == 0
    assert found.groups[-1].start + found.groups[-1].share == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (OverviewQuery(q="GOOD"), ["good-a", "good-b"]),
        (OverviewQuery(health="lost"), ["gone"]),
        (OverviewQuery(health="released"), ["free"]),
        (OverviewQuery(health="healthy", q="b"), ["good-a", "good-b"]),
        (OverviewQuery(q="nothing like it"), []),
    ],
)
def test_filters_are_the_servers(query: OverviewQuery, names: list[str]) -> None:
    """By a part of the name, whatever its case, and by the word for a state."""
    assert [row.name.partition(":")[0] for row in overview.table(MODELS, query).rows] == names


def test_a_thousand_models_come_in_pages() -> None:
    """A page has fifty rows, and one behind the last is the last."""
    many = tuple(named(f"m{number:04}") for number in range(1001))
    last = overview.table(many, OverviewQuery(page=999))
    assert (last.page, last.pages, len(last.rows), last.found) == (21, 21, 1, 1001)
    assert last.rows[0].name == "m1000:latest"


def test_a_row_tells_damage_and_never_a_proof_that_is_none() -> None:
    """The first damage stands in words, the others are counted; a damaged model has no proof to show."""
    lost = Missing(path="blobs/x", blob=BLOB, size=CHUNK)
    row = overview.row(named("hurt", healthy=False, findings=(lost, lost), snapshots=2, protection="1 same device"))
    assert row.note == "blob abababababab is missing (1,048,576 bytes) (and 1 more)"
    assert row.unproved == "–"  # noqa: RUF001 - the sign for no value
    assert row.copy == "1 same device"
    assert overview.row(named("new", healthy=None)).unproved == "never"
    assert overview.row(named("new", protection="1 same device")).copy == "none"


@pytest.mark.parametrize(
    ("served", "probe", "seconds", "text"),
    [
        (None, "", None, ""),
        (False, "ok", 1.0, "not listed"),
        (True, "ok", 0.25, "250 ms"),
        (True, "timeout", None, "timeout"),
    ],
)
def test_an_answer_is_a_time_or_a_word(served: bool | None, probe: str, seconds: float | None, text: str) -> None:  # noqa: FBT001
    """What the last probe said, or that the server does not list the model."""
    assert overview.answer(named("a", served=served, probe=probe, probe_seconds=seconds)) == text


def _flip(name: str, kind: Kind, *, bad: bool = True, seconds: int = 0) -> Flip:
    return Flip(NOW + timedelta(seconds=seconds), kind, name, bad, "what it is")


def test_flips_of_one_kind_that_came_together_are_one_event() -> None:
    """A hundred models that are overdue are one line; other kinds and other times stay apart."""
    flips = [_flip(f"m{number}:latest", Kind.SCRUB) for number in range(6)]
    found = overview.happened([*flips, _flip("a:latest", Kind.INTEGRITY)], [])
    assert [event.mark.text for event in found] == ["scrub overdue", "integrity failure"]
    assert found[0].text == "m0:latest, m1:latest, m2:latest, m3:latest and 2 more"
    assert found[1].link == "/models/a:latest"


def test_colours_of_events_follow_how_urgent_they_are() -> None:
    """Critical is red, a warning amber, and what is over green."""
    tones = [
        overview.happened([flip], [])[0].mark.tone
        for flip in (_flip("a", Kind.INTEGRITY), _flip("a", Kind.SCRUB), _flip("a", Kind.SCRUB, bad=False))
    ]
    assert tones == ["loss", "harm", "good"]


def test_an_action_says_what_from_where_how_much_and_why() -> None:
    """The step is told in words, a digest in its short form, and an error makes it a failure."""
    row = ActionRow(
        at=NOW,
        cause="guard: blobs changed",
        verb="repair",
        step="PatchBlob",
        model="registry.ollama.ai/library/llama3:latest",
        target="sha256:" + "ab" * 32,
        source="vault",
        bytes=2_000_000,
        seconds=0.5,
    )
    event = overview.of_action(row)
    assert event.text == "healed blob abababababab from vault, 2 MB in 500 ms"
    assert (event.subject, event.cause, event.mark.tone) == ("llama3:latest", "guard: blobs changed", "good")
    failed = overview.of_action(msgspec.structs.replace(row, error="the disk is full"))
    assert failed.mark.tone == "loss"
    assert failed.text.endswith(": the disk is full")


@pytest.mark.parametrize("subject", ["", "http://127.0.0.1:11434", "/srv/models", "vault", "journal"])
def test_only_models_have_a_page(subject: str) -> None:
    """Servers, folders and other subjects are no links."""
    assert overview.model_link(subject) == ""


def test_what_runs_stands_before_what_is_due() -> None:
    """Then by time; what failed last time says so."""
    tasks = (
        TaskStanding(name="late", next_at=NOW + timedelta(hours=2)),
        TaskStanding(name="never"),
        TaskStanding(name="soon", next_at=NOW, outcome="the disk is full"),
        TaskStanding(name="now", next_at=NOW + timedelta(days=9), running=True),
    )
    found = overview.upcoming(tasks)
    assert [task.name for task in found] == ["now", "soon", "late", "never"]
    assert found[1].failed
    assert not found[2].failed
