"""What every part of the guard shares: the doors to the world, the board, the journal, and what is remembered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from modelward.config import Settings
from modelward.domain.alert import Condition, Kind
from modelward.domain.brake import Limits
from modelward.domain.errors import StorageError
from modelward.domain.history import Row
from modelward.domain.name import ModelName
from modelward.guard.alarm import Alarm
from modelward.guard.board import Board
from modelward.guard.jobs import Jobs
from modelward.guard.memory import Memory
from modelward.guard.place import Opener
from modelward.guard.tend import Tend
from modelward.ports import Clock, Journal, Progress
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """One guard's shared parts. ``settings`` gives the present ones: they change with SIGHUP."""

    clock: Clock
    log: Progress
    journal: Journal
    board: Board
    jobs: Jobs
    alarm: Alarm
    memory: Memory
    opener: Opener
    settings: Callable[[], Settings]
    started_at: datetime
    version: str
    tend: Tend = field(default_factory=Tend)

    def policy_of(self, name: ModelName) -> str:
        """What happens when this model is damaged or lost (G3)."""
        settings = self.settings()
        return dict(settings.policies).get(name, settings.on_loss)

    def limits(self) -> Limits:
        """When the brake engages (G4)."""
        chosen = self.settings()
        return Limits(models=chosen.brake_models, percent=chosen.brake_percent, window=chosen.brake_window)

    def may_create_vault(self) -> bool:
        """Whether a vault may be made: only where none was ever seen, since one that is gone is not to be replaced."""
        return self.settings().vault not in self.memory.known.vaults

    def remember_vault(self, site: Site) -> None:
        """Remember that there was a vault."""
        known, vault = self.memory.known, self.settings().vault
        if site.vault is not None and vault not in known.vaults:
            self.memory.set_known(replace(known, vaults={**known.vaults, vault: self.clock.now()}))

    def works(self, part: str, error: str = "") -> None:
        """A part of the guard, or a kind of its work, did what it should; ``error`` says why it did not.

        A failure is a trouble of maintenance until the same part works again.
        """
        advice = "see what it says: modelward guard --once --verbose"
        bad = [Condition(kind=Kind.MAINTENANCE, subject=part, detail=error, next=advice)] if error else []
        self.alarm.observe(bad, {Kind.MAINTENANCE}, {part})

    def turned(self, part: str, error: Exception | None) -> None:
        """A turn of a part ended; an error is a fault of ours that nobody foresaw, and must not cost later turns."""
        text = f"{type(error).__name__}: {error}" if error is not None else ""
        if text:
            self.log.say("internal_error", error=text, kind=part)
        self.works(part, f"internal error: {text}" if text else "")

    def record(self, rows: Sequence[Row]) -> None:
        """Keep rows in the journal; statistics that cannot be written must not keep a model from being healed."""
        if not rows:
            return
        try:
            self.journal.add(rows)
        except StorageError as error:
            self.log.say("journal_failed", error=str(error))
