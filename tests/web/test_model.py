"""The presenters of a model's page."""

from datetime import UTC, datetime, timedelta

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.finding import Missing, Orphan
from modelward.domain.history import ActionRow, Availability, ModelHistory
from modelward.domain.name import ModelName
from modelward.domain.outcome import Difference, DiffReport, SnapshotLine
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import Owner
from modelward.web import model
from tests.web.test_meaning import BLOB
from tests.web.test_overview import named

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LLAMA = ModelName.parse("llama3")


def line(number: int, *, trashed: bool = False, sound: bool = True) -> SnapshotLine:
    """A snapshot, the higher the newer."""
    return SnapshotLine(
        id=f"2026010{number}T000000Z-{number:012}",
        model=LLAMA,
        created_at=NOW + timedelta(days=number),
        verified_at=NOW,
        manifest=BLOB,
        wrapper=BLOB,
        size=5,
        protection="1 same device",
        sound=sound,
        trashed=trashed,
    )


def test_facts_say_what_happens_when_it_is_lost() -> None:
    """The policy is a sentence, the server's word another."""
    found = model.facts(
        named("llama3", served=True, probe="ok", probe_seconds=1.5, snapshots=2, protection="2 other device")
    )
    assert found.policy == "restore: the guard heals it by itself"
    assert found.served == "listed, answered in 1.5 s"
    assert (found.copy, found.full) == ("2 other device", "registry.ollama.ai/library/llama3:latest")
    assert model.facts(named("llama3", served=False)).served == "not listed by the server"
    assert model.facts(named("llama3", served=True, probe="timeout")).served == "listed, last probe: timeout"
    assert model.facts(named("llama3", served=True)).served == "listed"
    assert model.facts(named("llama3")).served.startswith("not known")


def test_damage_stands_before_what_is_none() -> None:
    """Findings are told with damage first."""
    orphan = Orphan(path="blobs/o", blob=BLOB, size=1)
    missing = Missing(path="blobs/m", blob=BLOB, size=1)
    found = model.advices(named("llama3", healthy=False, findings=(orphan, missing)))
    assert [each.kind for each in found] == ["missing", "orphan"]


def test_each_version_knows_the_one_before_it() -> None:
    """The newest is marked, the oldest has none before it, and the trash is not compared with."""
    found = model.versions([line(3), line(2), line(1, trashed=True, sound=False)])
    assert [each.newest for each in found] == [True, False, False]
    assert [each.older for each in found] == [line(2).id, "", ""]
    assert [each.trashed for each in found] == [False, False, True]
    assert found[0].tail == "000000000003"


def test_a_difference_names_blobs_by_kind_before_and_after() -> None:
    """What was added has nothing before, what was removed nothing after."""
    other = Digest("cd" * 32)
    snapshot = Snapshot(
        id="one",
        model=LLAMA,
        created_at=NOW,
        verified_at=NOW,
        wrapper=BLOB,
        manifest=BLOB,
        size=1,
        store="s",
        owner=Owner(0, 0, 0),
    )
    report = DiffReport(
        before=snapshot,
        after=msgspec.structs.replace(snapshot, id="two"),
        differences=(
            Difference(
                change="changed", media_type="a.template", before=BLOB, after=other, size_before=17, size_after=20
            ),
            Difference(change="added", media_type="a.license", before=None, after=other, size_before=0, size_after=3),
        ),
    )
    found = model.difference(report)
    assert (found.first, found.second) == ("one", "two")
    assert found.changes[0] == ("template", "changed", "abababababab (17 B)", "cdcdcdcdcdcd (20 B)")
    assert found.changes[1].before == ""


def test_a_window_says_how_much_of_it_is_known() -> None:
    """All, a part, or nothing."""
    history = ModelHistory(
        model=str(LLAMA),
        at=NOW,
        since=NOW - timedelta(days=7),
        availability=(
            Availability(window_seconds=3600, good_seconds=3600, known_seconds=3600, share=1.0),
            Availability(window_seconds=86_400, good_seconds=3600, known_seconds=7200, share=0.5),
            Availability(window_seconds=604_800, good_seconds=0, known_seconds=0, share=None),
        ),
        up=(),
        latency=(),
        p50=None,
        p95=None,
        error_rate=None,
        actions=(ActionRow(at=NOW, cause="user", verb="backup", model=str(LLAMA)),),
    )
    found = model.trend(history)
    assert [tuple(window) for window in found.windows] == [
        ("1 hour", "100 %", ""),
        ("24 hours", "50.00 %", "of 2 h 0 min known"),
        ("7 days", "–", "nothing known"),  # noqa: RUF001 - the sign for no value
    ]
    assert found.p50 == ""
    assert found.actions[0].cause == "user"
    assert found.response.empty
