"""What the HTTP API stands on: the guard's board, jobs and journal, and the few things that it may tell the guard."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelward.config import Resolved
from modelward.guard.board import Board
from modelward.guard.jobs import Jobs
from modelward.guard.place import Opener
from modelward.ports import Clock, Journal, Progress

if TYPE_CHECKING:
    from datetime import datetime

    from modelward.api.tokens import Tokens
    from modelward.domain.alert_report import AlertTest
    from modelward.guard.gauge import Gauge


def _lives() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Everything that an answer is made of.

    ``alive`` says why the guard's loops do not live, and nothing while they do; it must answer at once. ``settings``
    gives the settings as they are now. ``test_alerts`` sends a test through every channel. ``gauge`` is what the
    metrics come from, where somebody else than the API asks it too.
    """

    board: Board
    jobs: Jobs
    journal: Journal
    opener: Opener
    settings: Callable[[], Resolved]
    clock: Clock
    log: Progress
    tokens: "Tokens"
    test_alerts: "Callable[[], AlertTest]"
    alive: Callable[[], str] = field(default=_lives)
    gauge: "Gauge | None" = None

    def now(self) -> "datetime":
        """The time of day in UTC."""
        return self.clock.now()
