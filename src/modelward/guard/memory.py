"""What the guard remembers between two looks, and over a restart where that matters."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import msgspec

from modelward.domain.brake import Brake
from modelward.domain.errors import StorageError
from modelward.domain.name import ModelName
from modelward.domain.runtime import ProbeResult
from modelward.domain.schedule import Runs
from modelward.domain.snapshot import Moment
from modelward.domain.standing import ServerStanding
from modelward.ports import Journal, Progress
from modelward.services.brake import BRAKE

T = TypeVar("T")
_BACK_OFF = (5.0, 30.0, 120.0, 600.0)  # seconds between tries to heal what could not be healed


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Small facts kept in the journal: vaults that were seen, models without a copy (since when), the last damage."""

    vaults: dict[str, Moment] = msgspec.field(default_factory=dict)
    bare: dict[str, Moment] = msgspec.field(default_factory=dict)
    damaged_at: Moment | None = None
    first_seen: Moment | None = None


class LastProbe(msgspec.Struct, frozen=True, kw_only=True):
    """A model's last probe, how many in a row failed, and how many in a row were kept off by others' requests."""

    at: datetime
    result: ProbeResult
    failed: int = 0
    busy: int = 0


class Tries:
    """When healing of a model may be tried again: at once where the damage is another one, else later and later."""

    def __init__(self) -> None:
        self._tries: dict[ModelName, tuple[str, int, float]] = {}

    def may(self, name: ModelName, damage: str, now: float) -> bool:
        """Whether to try now (monotonic seconds)."""
        known = self._tries.get(name)
        return known is None or known[0] != damage or now >= known[2]

    def failed(self, name: ModelName, damage: str, now: float) -> None:
        """It did not help: wait longer than the last time."""
        known = self._tries.get(name)
        count = known[1] + 1 if known is not None and known[0] == damage else 0
        self._tries[name] = (damage, count, now + _BACK_OFF[min(count, len(_BACK_OFF) - 1)])

    def healed(self, name: ModelName) -> None:
        """It did."""
        self._tries.pop(name, None)

    def wait(self, now: float) -> float | None:
        """Seconds until the next try is due; None when none is."""
        return max(0.0, min(when for _, _, when in self._tries.values()) - now) if self._tries else None


class Memory:
    """Facts by the thread that owns them; what has to outlive the process goes through the journal."""

    def __init__(self, journal: Journal, log: Progress) -> None:
        self._journal, self._log = journal, log
        self.brake = self._read(BRAKE, Brake, Brake)
        self.runs = self._read("guard.runs", Runs, Runs)
        self.known = self._read("guard.known", Known, Known)
        self.server = ServerStanding()
        self.served: frozenset[str] | None = None
        self.probes: dict[ModelName, LastProbe] = {}
        self.kept: dict[ModelName, str] = {}
        self.tries = Tries()

    def _read(self, key: str, kind: type[T], default: Callable[[], T]) -> T:
        found = self._journal.get(key, kind)
        return default() if found is None else found

    def set_brake(self, brake: Brake) -> None:
        """Keep the brake's state; a person's decision must outlive us."""
        if brake != self.brake:
            self.brake = brake
            self._keep(BRAKE, brake)

    def set_runs(self, runs: Runs) -> None:
        """Keep when each task last ran."""
        self.runs = runs
        self._keep("guard.runs", runs)

    def set_known(self, known: Known) -> None:
        """Keep the small facts."""
        if known != self.known:
            self.known = known
            self._keep("guard.known", known)

    def _keep(self, key: str, value: object) -> None:
        """What cannot be kept holds until the next start, and is no reason to stop."""
        try:
            self._journal.put(key, value)
        except StorageError as error:
            self._log.say("journal_failed", error=str(error))
