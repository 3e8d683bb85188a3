"""Snapshots and diff: which versions there are, and what differs between two."""

from modelward.domain.digest import Digest
from modelward.domain.manifest import Layer
from modelward.domain.name import ModelName
from modelward.domain.outcome import Difference, DiffReport, SnapshotLine
from modelward.domain.snapshot import Snapshot, pick
from modelward.domain.store import Protection
from modelward.mounts import protection
from modelward.services.site import Site
from modelward.services.sound import is_sound


def list_snapshots(site: Site, asked: tuple[ModelName, ...]) -> tuple[SnapshotLine, ...]:
    """The versions of the models asked for, or of all: live ones first, the newest first, then the trash."""
    vault = site.the_vault()
    live, trashed = vault.snapshots(), tuple(item.snapshot for item in vault.trashed())
    chosen = site.choose(asked, frozenset(snapshot.model for snapshot in (*live, *trashed)))
    level = protection(site.store.identity(), vault.identity)
    lines = [_line(site, snapshot, level, trashed=False) for snapshot in live if snapshot.model in chosen]
    return (*lines, *(_line(site, snapshot, level, trashed=True) for snapshot in trashed if snapshot.model in chosen))


def _line(site: Site, snapshot: Snapshot, level: Protection, *, trashed: bool) -> SnapshotLine:
    return SnapshotLine(
        id=snapshot.id,
        model=snapshot.model,
        created_at=snapshot.created_at,
        verified_at=snapshot.verified_at,
        manifest=snapshot.manifest,
        wrapper=snapshot.wrapper,
        size=snapshot.size,
        protection=level.value,
        sound=is_sound(site.the_vault(), snapshot),
        trashed=trashed,
    )


def diff(site: Site, first: str, second: str) -> DiffReport:
    """The two snapshots (by id or part of it) and the blobs in which they differ, by media type."""
    vault = site.the_vault()
    snapshots = (*vault.snapshots(), *(item.snapshot for item in vault.trashed()))
    a, b = pick(snapshots, first), pick(snapshots, second)
    before = {blob.digest: blob for blob in vault.content(a).manifest.blobs}
    after = {blob.digest: blob for blob in vault.content(b).manifest.blobs}
    gone = [blob for digest, blob in before.items() if digest not in after]
    new = [blob for digest, blob in after.items() if digest not in before]
    return DiffReport(before=a, after=b, differences=tuple(_pair(gone, new)))


def _pair(gone: list[Layer], new: list[Layer]) -> list[Difference]:
    """Pair what went with what came by media type: one that changed is one line, not two."""
    rest = list(new)
    found = []
    for blob in gone:
        match = next((other for other in rest if (other.media_type, other.name) == (blob.media_type, blob.name)), None)
        if match is not None:
            rest.remove(match)
        found.append(_difference(blob, match))
    return [*found, *(_difference(None, blob) for blob in rest)]


def _difference(before: Layer | None, after: Layer | None) -> Difference:
    change = "changed" if before and after else "removed" if before else "added"
    return Difference(
        change=change,
        media_type=(before or after or _NOTHING).media_type,
        before=before.digest if before else None,
        after=after.digest if after else None,
        size_before=before.size if before else 0,
        size_after=after.size if after else 0,
    )


_NOTHING = Layer(digest=Digest("0" * 64), size=0, media_type="")
