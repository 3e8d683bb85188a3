"""A guard over a store and a vault in a temporary folder, with a clock that stands still and no threads of its own."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from modelward import config
from modelward.domain.alert import Condition, Kind, Notice
from modelward.domain.alerting import Rules, open_of
from modelward.domain.errors import RuntimeUnreachable
from modelward.domain.retention import Policy
from modelward.domain.runtime import ProbeResult, ServedModel
from modelward.domain.standing import Standing
from modelward.guard.alarm import Alarm
from modelward.guard.board import Board
from modelward.guard.heart import Heart
from modelward.guard.jobs import Jobs
from modelward.guard.loop import Guard
from modelward.guard.memory import Memory
from modelward.guard.probing import Prober
from modelward.ports import Progress
from modelward.services.forecast import Known
from modelward.testing import FakeStore, IdleRuntime
from modelward.testing.journal import MemoryJournal
from tests.places import Place


def settings(base: Path, **given: str) -> config.Settings:
    """The settings of a guard over ``base``: defaults, and what the test gives."""
    flags = {"store": str(base / "store"), "vault": str(base / "vault"), "state": str(base / "state"), **given}
    found = config.resolve(flags, {}, platform="linux", home=base / "home", cwd=base)
    return found.settings


class StoreRuntime(IdleRuntime):
    """A server that lists what lies in the store, as Ollama does, and answers every probe."""

    def __init__(self, store: Path) -> None:
        self._manifests = store / "manifests"
        self.outcome = "ok"
        self.down = False

    def tags(self) -> tuple[ServedModel, ...]:
        """The models whose manifests are there and are no empty files."""
        if self.down:
            raise RuntimeUnreachable("nobody listens", thing=self.url)
        found = [path for path in self._manifests.glob("*/*/*/*") if path.stat().st_size]
        return tuple(
            ServedModel(name=f"{path.parent.name}:{path.name}", digest=sha256(path.read_bytes()).hexdigest(), size=1)
            for path in found
        )

    def probe(self, name: str, *, seconds: float) -> ProbeResult:
        """What the test says."""
        del name
        return ProbeResult(outcome=self.outcome, seconds=seconds if self.outcome == "timeout" else 0.1, why="")


@dataclass
class Room:
    """Everything that a guard is made of; ``guard`` is one, ready to look."""

    base: Path
    given: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    journal: MemoryJournal = field(default_factory=MemoryJournal)

    def __post_init__(self) -> None:
        self.place = Place(self.base)
        self.runtime = StoreRuntime(self.base / "store")
        self.place.runtime = self.runtime
        self.settings = settings(self.base, **self.given)
        self.fails: Exception | None = None
        self.store = FakeStore(self.base / "store")
        self.begin()

    def begin(self) -> None:
        """Start the guard anew, on the journal that the one before left."""
        clock, log = self.place.clock, self.place.notes
        self.board = Board()
        self.jobs = Jobs(clock, log, self.journal, self.board.stir)
        rules = Rules(
            pending=self.settings.alert_pending, group=self.settings.alert_group, reminder=timedelta(hours=24)
        )
        self.alarm = Alarm(self.journal, clock, log, rules=lambda: rules, deliver=self._deliver)
        self.heart = Heart(
            clock=clock,
            log=log,
            journal=self.journal,
            board=self.board,
            jobs=self.jobs,
            alarm=self.alarm,
            memory=Memory(self.journal, log),
            opener=self.open,
            settings=lambda: self.settings,
            started_at=clock.now(),
            version="0",
        )
        self.guard = Guard(self.heart, Prober(self.heart, self.runtime))

    def _deliver(self, notices: Sequence[Notice]) -> None:
        self.notices += notices

    @contextmanager
    def open(
        self, progress: Progress, stop: threading.Event, *, cause: str, hurry: bool = False, create_vault: bool = False
    ) -> Iterator[Any]:
        """The workplace, as bootstrap opens it."""
        del hurry
        if self.fails is not None:
            raise self.fails
        site = replace(self.place.site(make_vault=create_vault), progress=progress, cause=cause)
        site.reading.stop, site.reading.progress = stop, progress
        yield SimpleNamespace(
            settings=self.settings, site=site, policy=lambda: Policy(keep_last=5), known_to_forecasts=Known
        )

    # What a test looks at.

    @property
    def standing(self) -> Standing:
        """The picture on the board."""
        found = self.board.standing
        assert found is not None
        return found

    def troubles(self) -> set[tuple[Kind, str]]:
        """What is wrong now, by kind and subject."""
        return set(open_of(self.alarm._book))  # noqa: SLF001 - the engine's own view, which nothing else shows whole

    def health(self) -> dict[str, bool | None]:
        """Each model's first axis, by its short name."""
        return {model.name.short: model.healthy for model in self.standing.models}

    def told(self) -> list[tuple[str, str]]:
        """What was told, and about which kind, in order."""
        return [(notice.what.value, alert.kind.value) for notice in self.notices for alert in notice.alerts[:1]]

    def wait(self, **span: float) -> None:
        """Let time pass, and the alert engine notice."""
        self.place.clock.advance(**span)
        self.alarm.tick()

    def change(self, **given: str) -> None:
        """Other settings, as after SIGHUP."""
        self.given |= given
        self.settings = settings(self.base, **self.given)


def condition(kind: Kind, subject: str) -> Condition:
    """A condition with some words."""
    return Condition(kind=kind, subject=subject, detail="x", next="y")
