"""model-metrics.json: what stands in it, where it comes from, and that a reader never sees half of it."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelward.domain.alert import Alert, Kind, State
from modelward.domain.codec import decode
from modelward.domain.finding import ManifestLost
from modelward.domain.history import ActionRow, CheckRow, ProbeRow, ServerRow, SpaceRow
from modelward.domain.metrics_document import SCHEMA, MetricsDocument
from modelward.domain.name import ModelName
from modelward.domain.standing import ModelStanding, ServerStanding, Standing, TaskStanding
from modelward.domain.store import Space
from modelward.domain.trend import Trend
from modelward.durable import Folder
from modelward.services.metrics_file import FILE, metrics_document, write_metrics_file
from modelward.testing import MemoryJournal

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
LLAMA = ModelName.parse("llama3")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def standing(name: ModelName = LLAMA) -> Standing:
    """One damaged model, an open alert, a schedule."""
    alert = Alert(
        kind=Kind.INTEGRITY, subject=name.short, since=NOW, state=State.FIRING, detail="x", next="repair", due=NOW
    )
    model = ModelStanding(
        name=name,
        size=7,
        healthy=False,
        recoverable=True,
        protected=True,
        policy="restore",
        verified_at=NOW - DAY,
        snapshots=2,
        findings=(ManifestLost(path="manifests/x", model=name),),
        next="modelward repair llama3",
        served=True,
    )
    return Standing(
        at=NOW,
        started_at=NOW - 3 * DAY,
        version="0.1.0",
        store="/models",
        vault="/vault",
        ready=False,
        why="llama3 is damaged",
        models=(model,),
        server=ServerStanding(url="http://127.0.0.1:11434", up=True, version="0.24.0", checked_at=NOW),
        tasks=(TaskStanding(name="maintenance", last_at=NOW - MINUTE, next_at=NOW + MINUTE, outcome="done"),),
        alerts=(alert,),
        space={"vault": Space(total=1_000, free=400)},
    )


def journal() -> MemoryJournal:
    """Ten days in which answers get slower and the vault fuller, and an hour of checks with an outage."""
    found = MemoryJournal()
    for number in range(10):
        at = NOW - (9 - number) * DAY - 45 * MINUTE
        found.add([ProbeRow(at=at, model=LLAMA, outcome="ok", seconds=0.5 + 0.2 * number)])
        found.add([ProbeRow(at=at - MINUTE, model=LLAMA, outcome="timeout", seconds=60)])
        found.add([SpaceRow(at=at, of="vault", device="8:1", total=1_000, free=850 - 50 * number)])
    for number in range(60):
        at = NOW - (60 - number) * MINUTE
        found.add([CheckRow(at=at, model=LLAMA, healthy=True, recoverable=True, ready=number % 4 != 0)])
        found.add([ServerRow(at=at, up=number >= 30)])
    found.add([ActionRow(at=NOW - MINUTE, cause="flip", verb="repair", step="PlaceBlob", model=LLAMA)])
    return found


def test_the_status_is_the_standing() -> None:
    """Models, server, alerts, schedule and space as the guard last saw them."""
    document = metrics_document(standing(), journal())
    shown = standing()
    assert (document.schema, document.modelward, document.at) == (SCHEMA, "0.1.0", NOW)
    assert (document.ready, document.why) == (False, "llama3 is damaged")
    assert (document.server, document.alerts, document.schedule) == (shown.server, shown.alerts, shown.tasks)
    (model,) = document.models
    assert (model.name, model.healthy, model.recoverable, model.served) == (LLAMA, False, True, True)
    assert model.findings == ("the manifest is gone: the runtime prunes the blobs at its next start",)
    assert [(each.of, each.total, each.free) for each in document.space] == [("vault", 1_000, 400)]


def test_the_numbers_are_those_of_the_journal() -> None:
    """Availability, response times, error rate, actions, and where all of it goes."""
    document = metrics_document(standing(), journal())
    (model,) = document.models
    assert model.availability[0].share == pytest.approx(0.75)
    assert (model.answers, model.error_rate) == (1, 0.5)
    assert model.p50_seconds == pytest.approx(2.3, rel=0.05)
    assert model.response_time_trend is Trend.UP
    assert model.error_rate_trend is Trend.FLAT
    assert [point.count for point in model.response_times] == [2]
    assert sum(point.share is not None for point in model.history) == 2
    assert document.space[0].free_trend is Trend.DOWN
    assert document.server_availability == pytest.approx(29 / 59, abs=0.02)
    assert [action.step for action in document.actions] == ["PlaceBlob"]


def test_an_empty_journal_knows_nothing() -> None:
    """And says so: null and unknown, never zero."""
    (model,) = metrics_document(standing(), MemoryJournal()).models
    assert (model.p50_seconds, model.error_rate, model.answers) == (None, None, 0)
    assert {each.share for each in model.availability} == {None}
    assert {model.response_time_trend, model.error_rate_trend} == {Trend.UNKNOWN}
    assert metrics_document(standing(), MemoryJournal()).server_availability is None


def test_the_file_reads_back(tmp_path: Path) -> None:
    """It is the document, for its owner only, and nothing lies beside it."""
    document = metrics_document(standing(), journal())
    write_metrics_file(Folder.open(tmp_path), document)
    assert decode((tmp_path / FILE).read_bytes(), MetricsDocument) == document
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """W1: while it is written again and again, every read is a whole document."""
    folder = Folder.open(tmp_path)
    documents = [metrics_document(standing(ModelName.parse(f"m{number}")), journal()) for number in range(2)]
    write_metrics_file(folder, documents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            write_metrics_file(folder, documents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or not reads:
        assert decode((tmp_path / FILE).read_bytes(), MetricsDocument) in documents
        reads += 1
    writer.join(60)
