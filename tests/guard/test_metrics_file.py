"""When the guard writes its metrics file: often where that costs little, seldom where it costs much."""

from pathlib import Path

import pytest

from modelward.domain.metrics_document import MetricsDocument
from modelward.domain.standing import Standing
from modelward.durable import Folder
from modelward.guard import metrics
from modelward.guard.metrics import MetricsFile
from modelward.ports import Journal
from modelward.services.metrics_file import metrics_document
from tests.guard_room import Room


@pytest.mark.parametrize(("seconds", "writes"), [(0.0, 10), (6.0, 2)])
def test_a_file_that_takes_long_to_make_is_made_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, writes: int
) -> None:
    """Once a minute, but never more than a fiftieth of the time goes into it."""
    room, made = Room(tmp_path), list[float]()
    clock, real = room.place.clock, metrics_document
    room.guard.once()

    def slow(standing: Standing, journal: Journal) -> MetricsDocument:
        made.append(clock.monotonic())
        clock.advance(seconds=seconds)
        return real(standing, journal)

    monkeypatch.setattr(metrics, "metrics_document", slow)
    file = MetricsFile(room.heart, Folder.open(tmp_path / "state", create=True))
    for _ in range(10):
        file.turn()
        clock.advance(seconds=61)
    assert len(made) == writes
