"""A store and a vault in a temporary folder, opened with the real adapters, for every test that needs a site."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from modelward.domain.errors import VaultMissing
from modelward.domain.name import ModelName
from modelward.domain.reading import ReadMode
from modelward.ports import Runtime
from modelward.scan import Pace, Reading
from modelward.services.site import Site
from modelward.sources.store import StoreSource
from modelward.sources.vault import VaultSource
from modelward.stores.ollama import OllamaStore
from modelward.stores.ollama_writer import StoreLimits
from modelward.testing import FrozenClock
from modelward.vault.ledgers import FolderLedgers
from modelward.vault.local import LocalVault
from modelward.vault.writer import VaultLimits, store_key

BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Notes:
    """A progress port that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.stages: list[tuple[str, int]] = []
        self.done = 0

    def begin(self, label: str, total: int) -> None:
        """Remember the stage."""
        self.stages.append((label, total))

    def advance(self, count: int) -> None:
        """Count the bytes."""
        self.done += count

    def say(self, event: str, **keys: object) -> None:
        """Remember the event."""
        self.events.append((event, keys))


@dataclass
class Place:
    """Folders for a store and a vault, and a clock that stands still; ``site`` opens everything anew."""

    base: Path
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(BEGIN))
    notes: Notes = field(default_factory=Notes)
    reserve: int = 0
    lock_wait: float = 0.0
    mode: ReadMode = ReadMode.DIRECT
    threads: int = 2
    runtime: Runtime | None = None
    models: tuple[ModelName, ...] = ()

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.base / "store"

    @property
    def vault(self) -> Path:
        """The vault's folder."""
        return self.base / "vault"

    def reading(self) -> Reading:
        """How this place reads."""
        return Reading(
            clock=self.clock, progress=self.notes, pace=Pace(self.clock), mode=self.mode, threads=self.threads
        )

    def site(self, *, make_vault: bool = True) -> Site:
        """A site as a new process would open it; without ``make_vault`` a vault that is not there stays away."""
        ledgers = FolderLedgers(LocalVault.receipts_path(self.vault), self.clock)
        limits = VaultLimits(lock_wait=self.lock_wait, reserve=self.reserve)
        reading = self.reading()
        vault: LocalVault | None
        try:
            vault = LocalVault.open(self.vault, ledgers=ledgers, reading=reading, limits=limits)
        except VaultMissing:
            vault = (
                LocalVault.create(self.vault, ledgers=ledgers, reading=reading, limits=limits) if make_vault else None
            )
        store = OllamaStore.open(
            self.store, clock=self.clock, limits=StoreLimits(lock_wait=self.lock_wait, reserve=self.reserve)
        )
        return Site(
            store=store,
            vault=vault,
            ledgers=ledgers,
            store_key=store_key(store.path),
            sources=(VaultSource(vault, ledgers),) if vault is not None else (),
            runtime=self.runtime,
            reading=reading,
            clock=self.clock,
            progress=self.notes,
            models=self.models,
            store_source=StoreSource(store, ledgers, store_key(store.path)),
        )
