"""The vault's records on the disk: one small file a version, live or in the trash; one that rotted is made anew."""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from modelward.domain.errors import BadName, BadObject, BlobMissing, DamageError, ReadFailed, VaultUnreadable
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, Trashed, newest_first, snapshot_id
from modelward.domain.store import Owner
from modelward.durable import Folder
from modelward.vault import index
from modelward.vault.remade import Clues, origin, record
from modelward.vault.sealed import SMALL, unsealed

if TYPE_CHECKING:
    from modelward.vault.local import LocalVault

R = TypeVar("R", Snapshot, Trashed)
_ROT = frozenset({errno.EIO, errno.EBADMSG, 117})  # 117: EUCLEAN, a file system that finds its own data damaged
_NEXT = {
    "snapshots": "move that file away; the next backup records the model anew",
    "trash": "move the damaged file out of the trash",
}


class Remade(NamedTuple):
    """A record that lies damaged in ``folder`` under ``name``, why it is damaged, and what it has to be."""

    folder: Folder
    name: str
    why: str
    record: Snapshot | Trashed

    @property
    def place(self) -> str:
        """The folder's own name: ``snapshots`` or ``trash``."""
        return place_of(self.folder)

    @property
    def snapshot(self) -> Snapshot:
        """The version that it is of."""
        return self.record.snapshot if isinstance(self.record, Trashed) else self.record


class Records:
    """All records of a vault. What cannot be read is made anew in memory, so that rot in one stops nobody."""

    def __init__(self, vault: "LocalVault") -> None:
        self._vault, self._layout = vault, vault.layout

    def live(self) -> tuple[Snapshot, ...]:
        """The newest first; raises VaultUnreadable for one that is damaged and cannot be made anew."""
        sound, rotted = _read(self._layout.snapshots, _live)
        return newest_first((*sound, *(one.snapshot for one in self._anew(self._layout.snapshots, rotted))))

    def trashed(self) -> tuple[Trashed, ...]:
        """By id; raises VaultUnreadable for one that is damaged and cannot be made anew."""
        sound, rotted = _read(self._layout.trash, _trashed)
        anew = [one.record for one in self._anew(self._layout.trash, rotted) if isinstance(one.record, Trashed)]
        return tuple(sorted((*sound, *anew), key=lambda item: item.snapshot.id))

    def look(self) -> tuple[tuple[Snapshot, ...], tuple[Remade, ...]]:
        """The live records, the newest first, and every record that lies damaged, by one reading of each.

        Raises VaultUnreadable for one that cannot be made anew.
        """
        live, trash = self._layout.snapshots, self._layout.trash
        sound, rotted = _read(live, _live)
        anew = self._anew(live, rotted)
        more = self._anew(trash, _read(trash, _trashed)[1])
        return newest_first((*sound, *(one.snapshot for one in anew))), (*anew, *more)

    def _anew(self, folder: Folder, rotted: Mapping[str, DamageError]) -> list[Remade]:
        clues = self._clues() if rotted else None
        return [self._one(folder, name, why, clues) for name, why in rotted.items() if clues is not None]

    def _one(self, folder: Folder, name: str, why: DamageError, clues: Clues) -> Remade:
        identity = name.removesuffix(".json")
        found = origin(identity, folder.read_if_any(name, SMALL), clues) if identity != name else None
        try:
            if found is None:
                raise BadObject("nothing tells which version it was")
            snapshot = record(identity, *found, self._vault.wrapper(found[1]), clues)
        except DamageError as error:
            raise VaultUnreadable(
                f"a record of the vault is damaged: {why.what}; {error.what}",
                thing=f"{folder.path}/{name}",
                next_step=_NEXT[place_of(folder)],
            ) from error
        if folder is self._layout.snapshots:
            return Remade(folder, name, why.what, snapshot)
        return Remade(folder, name, why.what, Trashed(snapshot=snapshot, forgotten_at=self._changed_at(folder, name)))

    def _changed_at(self, folder: Folder, name: str) -> datetime:
        """When the entry was last written: it was forgotten then, or earlier, so nothing is dropped too soon."""
        found = folder.stat(name)
        if found is None:
            return self._vault.reading.clock.now()
        return datetime.fromtimestamp(int(found.st_mtime), UTC)

    def _clues(self) -> Clues:
        live, trashed = _read(self._layout.snapshots, _live)[0], _read(self._layout.trash, _trashed)[0]
        top = self._layout.own.stat("snapshots")
        return Clues(
            others=newest_first((*live, *(item.snapshot for item in trashed))),
            kept=self._vault.kept_manifests(),
            listed=index.listed(self._layout.root.read_if_any(index.NAME, index.LIMIT)),
            objects=tuple(self._vault.objects()),
            owner=Owner(top.st_uid, top.st_gid, 0o644) if top is not None else Owner(0, 0, 0o644),
            logged=self._logged,
        )

    def _logged(self, identity: str) -> Iterator[ModelName]:
        for entry in self._vault.audit_entries():
            if entry.keys.get("snapshot") == identity:
                with suppress(BadName):
                    yield ModelName.parse(entry.model)


def place_of(folder: Folder) -> str:
    """The folder's own name."""
    return folder.path.rpartition("/")[2]


def _read(folder: Folder, read: Callable[[Folder, str], R]) -> tuple[list[R], dict[str, DamageError]]:
    """What can be read, and what rotted and why, by name. What another process forgets meanwhile is in neither.

    Raises VaultUnreadable for what may not be read, or not now: that says nothing of what is there.
    """
    sound: list[R] = []
    rotted: dict[str, DamageError] = {}
    for name in folder.names():
        try:
            sound.append(_looked_at_twice(folder, name, read))
        except BlobMissing:
            continue
        except DamageError as error:
            if not _is_rot(error):
                what = f"a record of the vault cannot be read: {error.what}"
                raise VaultUnreadable(what, thing=error.thing, next_step=error.next_step) from error
            rotted[name] = error
    return sound, rotted


def _looked_at_twice(folder: Folder, name: str, read: Callable[[Folder, str], R]) -> R:
    """What is wrong only once was wrong on the way (V1)."""
    try:
        return read(folder, name)
    except BlobMissing:
        raise
    except DamageError:
        return read(folder, name)


def _is_rot(error: DamageError) -> bool:
    cause = error.__cause__
    return not isinstance(error, ReadFailed) or not isinstance(cause, OSError) or cause.errno in _ROT


def _live(folder: Folder, name: str) -> Snapshot:
    return _own_words(folder, name, unsealed(folder.read(name, SMALL), Snapshot))


def _trashed(folder: Folder, name: str) -> Trashed:
    trashed = unsealed(folder.read(name, SMALL), Trashed)
    _own_words(folder, name, trashed.snapshot)
    return trashed


def _own_words(folder: Folder, name: str, snapshot: Snapshot) -> Snapshot:
    """The record, when its name and id are those of what it says: an older one has no seal."""
    own = snapshot_id(snapshot.created_at, snapshot.model, snapshot.wrapper)
    if snapshot.id == own and name == f"{own}.json":
        return snapshot
    if snapshot.id == own and name[16:] == f"{own}.json"[16:]:
        # A sound record: made anew under this name it would be of another time, and perhaps the newest.
        raise VaultUnreadable(
            "its name is not that of the version it describes",
            thing=f"{folder.path}/{name}",
            next_step=f"rename that file to {own}.json",
        )
    raise BadObject("its name is not that of the version it describes")
