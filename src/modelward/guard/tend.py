"""New and changed models, once the store is quiet: prove them, back them up, and tell of names that moved."""

import threading
from dataclasses import dataclass

from modelward.domain.alert import Condition, Kind
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.outcome import BackupReport
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.restore import look
from modelward.services.site import Site
from modelward.services.verify import verify

_LONGEST = 10  # times the quiet time: how long a store that is never quiet can put us off
_AGAIN = 600.0  # seconds until the same wish is heard again when its job did not help


class Tend:
    """The wish to tend the store, and whether it is time: the store was quiet, or never is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._stirred_at = self._tended_at = float("-inf")

    def stir(self, now: float) -> None:
        """Something changed in the store (monotonic seconds)."""
        with self._lock:
            self._stirred_at = now

    def ask(self, now: float) -> None:
        """A model wants to be proved or backed up; one that was just tended waits, unless something changed since."""
        with self._lock:
            if self._stirred_at <= self._tended_at and now - self._tended_at < _AGAIN:
                return
            if self._asked_at is None:
                self._asked_at = now

    def due(self, now: float, quiet: float) -> bool:
        """Whether to do it now; the wish ends with a yes."""
        with self._lock:
            if self._asked_at is None:
                return False
            if now - self._stirred_at < quiet and now - self._asked_at < quiet * _LONGEST:
                return False
            self._asked_at, self._tended_at = None, now
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tended:
    """What came of it: the backup's report, and which models' names mean another version now (R4)."""

    report: BackupReport | None
    moved: tuple[Condition, ...]

    @property
    def exit_code(self) -> int:
        """The backup's."""
        return self.report.exit_code if self.report is not None else 0


def tend(site: Site) -> Tended:
    """Read what nobody vouches for, then keep what changed; damage found on the way is the next look's business."""
    prove(site)
    if site.vault is None:
        return Tended(report=None, moved=())
    before = _versions(site)
    report = backup(site, ())
    after = _versions(site)
    moved = tuple(
        _moved(site, result.name, before[result.name], after[result.name])
        for result in report.models
        if result.outcome == "stored" and result.name in before and before[result.name] != after.get(result.name)
    )
    return Tended(report=report, moved=moved)


def prove(site: Site) -> None:
    """Read every blob that no receipt vouches for, of the models that may be whole."""
    inventory = site.store.inventory()
    for verdict in verify(site, (), Level.QUICK, inventory=inventory).models:
        model = inventory.models.get(verdict.name)
        if verdict.healthy is None and model is not None and site.protects(verdict.name):
            look(site, inventory, model.manifest)


def _versions(site: Site) -> dict[ModelName, Digest]:
    """The newest version in the vault of each model."""
    versions: dict[ModelName, Digest] = {}
    for snapshot in site.vault.snapshots() if site.vault is not None else ():
        versions.setdefault(snapshot.model, snapshot.manifest)
    return versions


def _moved(site: Site, name: ModelName, old: Digest, new: Digest) -> Condition:
    pin = site.vault.protected().pins.get(name) if site.vault is not None else None
    held = f", although it is pinned to {pin.short}" if pin is not None and pin != new else ""
    return Condition(
        kind=Kind.TAG,
        subject=name.short,
        detail=f"the name means another version now: {old.short} became {new.short}{held}",
        next=f"modelward rollback {name.short} goes back to the version before",
    )
