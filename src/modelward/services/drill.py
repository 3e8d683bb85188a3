"""Drill: rehearse a restore into a scratch folder, timed and proved, so that a backup is known to come back."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from stat import S_IMODE

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BlobMissing,
    DamageError,
    DiskFull,
    ModelwardError,
    StorageError,
    UnknownModel,
    WriteFailed,
)
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import DrillReport
from modelward.domain.plan import ModelPlan, PlaceBlob, Plan
from modelward.domain.receipt import Ledger
from modelward.domain.rehearsal import draw
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import BlobStat, Owner
from modelward.domain.words import describe
from modelward.durable import Folder, Staged, locked, remove, require_space
from modelward.ports import StagedFile
from modelward.scan import id_of
from modelward.services.heal import Healer
from modelward.services.inspect import Inspector, Shelf, whole_tasks
from modelward.services.site import Site
from modelward.services.verify import sizes_of

VERB = "drill"
_LOCK = "lock"


def drill(
    site: Site,
    state: Path,
    name: ModelName | None = None,
    *,
    reserve: int = 0,
    roll: Callable[[], float] = random.random,
) -> DrillReport:
    """Restore the newest snapshot of a model, or of one by chance, into scratch; prove every byte; take it away.

    The scratch lies in ``state``, or on the vault's disk where there is no room; ``roll`` gives numbers from 0 up to 1.
    The store is not touched, and a vault that cannot give a model back is a report. Raises UnknownModel where there is
    nothing to rehearse, DiskFull where there is no room, and Locked while another drill runs.
    """
    snapshot = _chosen(site, name, roll)
    places = (state / VERB, Path(site.the_vault().path) / "modelward" / VERB)
    _sweep(site, places)
    with _ground(site, places, snapshot.size, reserve) as folder:
        report = _rehearse(site, snapshot, folder)
    return _told(site, report)


def _chosen(site: Site, name: ModelName | None, roll: Callable[[], float]) -> Snapshot:
    newest: dict[ModelName, Snapshot] = {}
    for snapshot in site.the_vault().snapshots():
        newest.setdefault(snapshot.model, snapshot)
    known = {model: found for model, found in newest.items() if name in (None, model)}
    if name is None:
        known = {model: found for model, found in known.items() if site.protects(model)}
    if not known:
        raise UnknownModel(
            "the vault has no snapshot to rehearse",
            thing=name.short if name is not None else site.the_vault().path,
            next_step="make one with: modelward backup",
        )
    since = {model: found.created_at for model, found in known.items()}
    for entry in site.the_vault().audit_entries():
        since |= {model: entry.at for model in known if entry.action == VERB and entry.model == model}
    return known[draw(since, site.clock.now(), roll())]


# The scratch.


def _sweep(site: Site, places: Sequence[Path]) -> None:
    """Take away what a killed drill left, wherever it lies; raises Locked while another one runs."""
    for place in places:
        with suppress(BlobMissing), closing(Folder.open(place)) as folder, _held(site, folder):
            _empty(folder)


@contextmanager
def _ground(site: Site, places: Sequence[Path], size: int, reserve: int) -> Iterator[Folder]:
    """An empty folder on the first disk that has room; it is emptied again in the end."""
    refused: list[ModelwardError] = []
    for place in places:
        try:
            folder = Folder.open(place, create=True)
            require_space(folder, size, reserve)
        except (DamageError, DiskFull, WriteFailed) as error:
            refused.append(error)
            continue
        with closing(folder), _held(site, folder):
            try:
                yield folder
            finally:
                _empty(folder)
        return
    raise DiskFull(
        f"no disk has room for a rehearsal of {size:,} bytes ({refused[-1].what})",
        thing=" and ".join(str(place) for place in places),
        next_step="free some space, or name another folder with the setting state",
    )


def _held(site: Site, folder: Folder) -> AbstractContextManager[None]:
    return locked(folder, _LOCK, holder=VERB, clock=site.clock, wait=0)


def _empty(folder: Folder) -> None:
    remove(folder, *(name for name in folder.names() if name != _LOCK))


class _Scratch:
    """A bench for plans: blobs by their hex digest in one folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""
        return self._folder.open_file(blob.hex)

    def blob_path(self, blob: Digest) -> str:
        """The path for messages."""
        return f"{self._folder.path}/{blob.hex}"

    def stage(self, size: int, keep: Digest | None = None) -> Staged:  # noqa: ARG002 - the protocol's
        """A new file; scratch keeps none."""
        return Staged(self._folder, size, direct=True)

    def publish_blob(self, staged: StagedFile, blob: Digest) -> None:
        """fsync and name it: a rehearsal costs what a restore costs."""
        if not isinstance(staged, Staged):
            raise WriteFailed("not a file that was staged here", thing=blob)
        staged.finish(0o600)
        staged.publish(self._folder, blob.hex)

    def stats(self, blobs: Iterable[Digest]) -> dict[Digest, BlobStat]:
        """The folder entries of those that are there."""
        found = {blob: self._folder.stat(blob.hex) for blob in blobs}
        return {
            blob: BlobStat(file=id_of(stat), owner=Owner(stat.st_uid, stat.st_gid, S_IMODE(stat.st_mode)))
            for blob, stat in found.items()
            if stat is not None
        }


# The rehearsal.


def _rehearse(site: Site, snapshot: Snapshot, folder: Folder) -> DrillReport:
    bench, began = _Scratch(folder), site.clock.monotonic()
    manifest, moved, why = _restore(site, snapshot, bench)
    restored = site.clock.monotonic()
    if manifest is not None and not why:
        why = _verify(site, manifest, bench)
    return DrillReport(
        model=snapshot.model,
        snapshot=snapshot.id,
        place=folder.path,
        bytes=moved,
        restore_seconds=round(restored - began, 3),
        verify_seconds=round(site.clock.monotonic() - restored, 3),
        ok=not why,
        why=why,
    )


def _restore(site: Site, snapshot: Snapshot, bench: _Scratch) -> tuple[Manifest | None, int, str]:
    """Every blob from the vault alone, by the steps of any restore; the manifest, the bytes, and what went wrong."""
    try:
        manifest = site.the_vault().content(snapshot).manifest
    except DamageError as error:
        return None, 0, str(error)
    only = tuple(source for source in site.sources if source.name == "vault")
    steps = tuple(PlaceBlob(blob=b.digest, size=b.size, source="vault", replaces=False) for b in manifest.blobs)
    plan = Plan(models=(ModelPlan(model=snapshot.model, steps=steps),))
    actions = Healer(replace(site, sources=only), bench, plan).carry_out()
    why = next((action.error for action in actions if action.error), "")
    return manifest, manifest.size if not why else 0, why


def _verify(site: Site, manifest: Manifest, bench: _Scratch) -> str:
    """Read every byte of the scratch from the disk, against hashes that did not come with it; what is wrong (V1)."""
    sizes = sizes_of([manifest])
    shelf = Shelf(blobs=bench, stats=bench.stats(sizes))
    inspector = Inspector(shelf, site.vault, Ledger(), site.reading.from_disk())
    inspector.quick(sizes)
    inspector.read(whole_tasks(inspector.candidates(sizes)))
    found = [describe(finding) for findings in inspector.result.findings.values() for finding in findings]
    if not found and inspector.result.proof_of(sizes)[0]:
        return ""
    return found[0] if found else "the time did not suffice to read it back"


def _told(site: Site, report: DrillReport) -> DrillReport:
    """The report, kept in the audit log; a vault that is mounted read-only can be rehearsed all the same."""
    seconds = f"{report.restore_seconds + report.verify_seconds:.3f}"
    try:
        site.audit(
            VERB,
            model=report.model,
            snapshot=report.snapshot,
            bytes=report.bytes,
            seconds=seconds,
            place=report.place,
            error=report.why,
        )
    except StorageError as error:
        return msgspec.structs.replace(report, notes=(f"the drill is not in the vault's audit log: {error}",))
    return report
