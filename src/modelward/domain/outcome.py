"""What the verbs that change something did, as values: the documents behind their tables and ``--json``."""

from datetime import datetime

import msgspec

from modelward.domain import errors
from modelward.domain.digest import Digest
from modelward.domain.finding import Finding
from modelward.domain.name import ModelName
from modelward.domain.plan import Plan, Unhealed
from modelward.domain.snapshot import Snapshot
from modelward.domain.verdict import Verdict, exit_code


class BackupResult(msgspec.Struct, frozen=True, kw_only=True):
    """One model: ``outcome`` is stored, unchanged, refused or planned (dry run); bytes count what was written."""

    name: ModelName
    outcome: str
    size: int
    bytes_moved: int = 0
    snapshot: str = ""
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    recoverable: bool = True


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of backup."""

    store: str
    vault: str
    protection: str
    models: tuple[BackupResult, ...]
    findings: tuple[Finding, ...]
    bytes_moved: int
    seconds: float
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """1 when a model was refused for damage that the vault can repair, 3 when it cannot, else 0."""
        refused = [result for result in self.models if result.outcome == "refused"]
        if any(not result.recoverable for result in refused):
            return errors.EXIT_NOT_REPAIRABLE
        return errors.EXIT_DAMAGE if refused else errors.EXIT_OK


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One step carried out: what, on which blob or manifest, from where, with how many bytes.

    ``error`` says why it failed, ``code`` is the exit code of that error; 0 where the next step did its work.
    """

    step: str
    model: ModelName
    target: str
    source: str
    bytes_moved: int
    seconds: float
    error: str = ""
    code: int = 0


class RepairReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of repair or restore: the plan, what was done, and the models' health afterwards."""

    store: str
    plan: Plan
    actions: tuple[Action, ...]
    models: tuple[Verdict, ...]
    unhealed: tuple[Unhealed, ...]
    notes: tuple[str, ...] = ()
    bytes_moved: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    verb: str = "repair"
    of: str = "store"

    @property
    def exit_code(self) -> int:
        """0 all healthy; 1 left that can be repaired (as after a dry run); 3 no source can repair it; 5 disk."""
        if self.dry_run:
            return _planned(self)
        if any(action.code == errors.EXIT_STORAGE for action in self.actions):
            return errors.EXIT_STORAGE
        if self.unhealed or any(action.code == errors.EXIT_NOT_REPAIRABLE for action in self.actions):
            return errors.EXIT_NOT_REPAIRABLE
        # A source that had the bytes and failed may give them the next time.
        return errors.EXIT_DAMAGE if any(action.code for action in self.actions) else exit_code(self.models)


class ViaReport(msgspec.Struct, frozen=True, kw_only=True):
    """One restore over a server's API: what was served, what it replaced (hex digest), bytes that went out."""

    model: ModelName
    server: str
    snapshot: str
    manifest: Digest
    size: int
    replaced: str = ""
    sent: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    dry_run: bool = False
    exit_code: int = errors.EXIT_OK

    def done(self, *, sent: int, seconds: float, notes: tuple[str, ...]) -> "ViaReport":
        """The report with what came of it."""
        return msgspec.structs.replace(self, sent=sent, seconds=seconds, notes=notes)


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsed restore of a snapshot into scratch: bytes and seconds, and ``why`` it failed where it did."""

    model: ModelName
    snapshot: str
    place: str
    bytes: int
    restore_seconds: float
    verify_seconds: float
    ok: bool
    why: str = ""
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 when the vault could not give back what it promises, else 0."""
        return errors.EXIT_OK if self.ok else errors.EXIT_DAMAGE


class PinReport(msgspec.Struct, frozen=True, kw_only=True):
    """The versions (manifest digests) that models are pinned to, and whether this run changed that."""

    pins: dict[ModelName, Digest]
    changed: bool = False


class ForgetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of forget: what stays and why, what went to the trash."""

    kept: tuple[tuple[Snapshot, tuple[str, ...]], ...]
    forgotten: tuple[Snapshot, ...]
    dry_run: bool = False


class PruneReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of prune: records and objects dropped, bytes freed in vault, trash and quarantine."""

    records: tuple[str, ...]
    objects: tuple[Digest, ...]
    bytes_freed: int
    quarantine_freed: int
    dry_run: bool = False


class SnapshotLine(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as listed: ``sound`` says whether the vault still vouches for all its bytes."""

    id: str
    model: ModelName
    created_at: datetime
    verified_at: datetime
    manifest: Digest
    wrapper: Digest
    size: int
    protection: str
    sound: bool
    trashed: bool = False


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One blob that two snapshots do not share, or that differs: ``change`` is added, removed or changed."""

    change: str
    media_type: str
    before: Digest | None
    after: Digest | None
    size_before: int
    size_after: int


class DiffReport(msgspec.Struct, frozen=True, kw_only=True):
    """Two snapshots and the blobs in which they differ."""

    before: Snapshot
    after: Snapshot
    differences: tuple[Difference, ...]


def _planned(report: RepairReport) -> int:
    if report.unhealed:
        return errors.EXIT_NOT_REPAIRABLE
    return errors.EXIT_DAMAGE if report.plan.models and report.verb == "repair" else errors.EXIT_OK
