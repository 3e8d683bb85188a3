"""What every use case works on: a store, perhaps a vault, and the world around them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelward.domain.errors import ModelwardError, StorageError, UnknownModel, VaultMissing
from modelward.domain.name import ModelName
from modelward.ports import Clock, Ledgers, Progress, Registry, Runtime, Source, Store, Vault
from modelward.scan import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One store with all that guards it.

    ``models`` are those that the user wants protected; empty means all. ``cause`` says in the audit log who or what
    wanted the work done: ``user``, or the guard with its reason.
    """

    store: Store
    vault: Vault | None
    ledgers: Ledgers
    store_key: str
    sources: tuple[Source, ...]
    runtime: Runtime | None
    reading: Reading
    clock: Clock
    progress: Progress
    models: tuple[ModelName, ...] = ()
    registry: Registry | None = None
    store_source: Source | None = None
    plain_http: tuple[str, ...] = ()
    cause: str = "user"

    def audit(self, action: str, **keys: object) -> None:
        """Append an entry, with the cause, to the vault's audit log, where there is a vault (A1)."""
        if self.vault is not None:
            self.vault.audit(action, **keys, cause=self.cause)

    @contextmanager
    def audited(self, action: str, **keys: object) -> Iterator[dict[str, object]]:
        """One entry when the block ends, with the error where one ended it; the block may add keys (A1).

        A log that cannot be written undoes nothing that was done: it is said as an event, and the block's own error
        is the one that goes on.
        """
        told = dict(keys)
        try:
            yield told
        except ModelwardError as error:
            self._tell(action, told | {"error": str(error)})
            raise
        self._tell(action, told)

    def _tell(self, action: str, keys: dict[str, object]) -> None:
        try:
            self.audit(action, **keys)
        except StorageError as error:
            self.progress.say("audit_failed", action=action, error=str(error))

    def the_vault(self) -> Vault:
        """The vault; raises VaultMissing when there is none."""
        if self.vault is None:
            raise VaultMissing("there is no vault yet", next_step="make one with: modelward backup")
        return self.vault

    def protects(self, name: ModelName) -> bool:
        """Whether this model is one that the user wants kept: configured, and not released (G3)."""
        released = self.vault.protected().released if self.vault is not None else ()
        return (not self.models or name in self.models) and name not in released

    def choose(self, asked: tuple[ModelName, ...], known: frozenset[ModelName]) -> frozenset[ModelName]:
        """The models to work on: those asked for, else the configured ones, else all known.

        One that was asked for and that nothing knows raises UnknownModel.
        """
        for name in asked:
            if name not in known:
                near = ", ".join(sorted(other.short for other in known if other.model == name.model))
                raise UnknownModel(
                    "neither the store nor the vault knows this model",
                    thing=name.short,
                    next_step=f"did you mean {near}?" if near else "list the known ones with: modelward status",
                )
        if asked:
            return frozenset(asked)
        return frozenset(name for name in known if not self.models or name in self.models)
