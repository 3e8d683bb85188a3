"""What runs beside the guard's own work: delivery goes on whatever one message does to it."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from modelward.domain.alert import Kind
from modelward.durable import Folder
from modelward.guard.metrics import MetricsFile
from modelward.serve import Beside
from tests.guard_room import Room


def _comes(true: Callable[[], bool], patience: float = 20.0) -> bool:
    give_up = time.monotonic() + patience
    while not true() and time.monotonic() < give_up:
        time.sleep(0.01)
    return true()


def test_a_message_that_cannot_be_made_does_not_cost_later_ones(tmp_path: Path) -> None:
    """A fault in delivery is a trouble until a later turn succeeds; the thread that delivers goes on."""
    room, trouble = Room(tmp_path), (Kind.MAINTENANCE, "deliver")
    faults: list[Exception] = [ZeroDivisionError("unforeseen")]
    seen: list[bool] = []

    def send_due() -> None:
        if faults:
            raise faults[0]
        seen.append(True)

    state = Folder.open(tmp_path / "state", create=True)
    post = cast("Any", SimpleNamespace(send_due=send_due))
    beside = Beside(room.heart, post, None, MetricsFile(room.heart, state))
    try:
        beside.tick()
        assert _comes(lambda: trouble in room.troubles())
        faults.clear()
        assert _comes(lambda: bool(seen) and trouble not in room.troubles())
    finally:
        beside.finish()
        state.close()
