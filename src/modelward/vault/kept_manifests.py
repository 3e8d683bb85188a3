"""The newest manifest of each model, kept within seconds of a change and before its blobs are backed up (G2)."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from hashlib import sha256

from modelward.domain.errors import DamageError
from modelward.domain.manifest import MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KeptManifest
from modelward.domain.store import Owner
from modelward.durable import Folder, locked, put_many, remove
from modelward.ports import Clock
from modelward.vault.layout import MANIFESTS
from modelward.vault.sealed import sealed, unsealed

_WAIT = 10.0
_LIMIT = 2 * MAX_BYTES  # base64 makes four bytes of three
_LOCK = "lock"


class KeptManifests:
    """One small file a model, under a short lock of its own: nobody waits for a backup of minutes."""

    def __init__(self, own: Folder, clock: Clock) -> None:
        self._own, self._clock = own, clock

    def keep(self, newest: Iterable[tuple[ModelName, bytes, Owner]]) -> None:
        """Keep each manifest in the place of its model's older one; raises BadManifest and StorageError."""
        now = self._clock.now()
        files = {
            file_of(name): sealed(KeptManifest(model=name, manifest=Manifest.parse(raw).raw, owner=owner, seen_at=now))
            for name, raw, owner in newest
        }
        with (
            closing(self._own.sub(MANIFESTS, create=True)) as folder,
            locked(folder, _LOCK, holder="manifests", clock=self._clock, wait=_WAIT),
        ):
            remove(folder, *(left for left in folder.names() if left != _LOCK and not left.endswith(".json")))
            put_many(folder, files)

    def all(self) -> Mapping[ModelName, KeptManifest]:
        """Every kept manifest that can be read; a damaged one is none, as if the model had not been seen yet."""
        try:
            folder = self._own.sub(MANIFESTS)
        except DamageError:
            return {}
        with closing(folder):
            found = [_read(folder, name) for name in folder.names() if name.endswith(".json")]
        return {kept.model: kept for kept in found if kept is not None}


def file_of(name: ModelName) -> str:
    """The file that a model's manifest is kept in: a hash of the name, for a name may be longer than a file's."""
    return f"{sha256(str(name).encode()).hexdigest()[:32]}.json"


def _read(folder: Folder, name: str) -> KeptManifest | None:
    try:
        kept = unsealed(folder.read(name, _LIMIT), KeptManifest)
        Manifest.parse(kept.manifest)
    except DamageError:
        return None
    return kept if name == file_of(kept.model) else None
