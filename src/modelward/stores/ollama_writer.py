"""The right to change an Ollama store: everything of ours lies in ``.modelward`` beside ``blobs`` (G1).

Rules from Ollama's own start-up prune (PruneLayers): foreign names in ``blobs/`` are deleted, a temporary name
four levels below ``manifests/`` is listed as a model; anything else in the store's folder is left alone.
"""

import json
import os
from base64 import b32encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, count

import msgspec

from modelward.domain.chunks import CHUNK, Span, total
from modelward.domain.digest import Digest
from modelward.domain.errors import WriteFailed
from modelward.domain.name import ModelName
from modelward.domain.store import Owner
from modelward.durable import (
    Folder,
    Staged,
    keep_aside,
    locked,
    move,
    reading_errors,
    remove,
    require_space,
    set_owner,
    small_file,
    sync_file,
    tree_bytes,
    write_in_place,
)
from modelward.ports import Clock, StagedFile
from modelward.stores.kept import Kept, data_name

OWN_FOLDER = ".modelward"
KEPT_FOLDER = "incoming"
_UNDO_HEADER = 1 << 16
_STAMP = "%Y%m%dT%H%M%SZ"


class StoreLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for the store's lock (seconds) and how many bytes to leave free (D1)."""

    lock_wait: float = 10.0
    reserve: int = 64 << 20


class OllamaWriter:
    """Made by ``OllamaStore.writing``."""

    def __init__(self, root: Folder, owner: Owner, clock: Clock, limits: StoreLimits) -> None:
        self._root, self._owner, self._clock, self._limits = root, owner, clock, limits
        as_owner = owner if os.geteuid() == 0 else None
        self._folder_owner = as_owner
        self._own = root.sub(OWN_FOLDER, create=True, mode=0o700, owner=as_owner)
        self.staging = self._own.sub("staging", create=True, owner=as_owner)
        self._quarantine = self._own.sub("quarantine", create=True, owner=as_owner)
        self._blobs = root.sub("blobs", create=True, mode=0o755, owner=as_owner)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock, with an empty staging folder."""
        try:
            with locked(self._own, "lock", holder="modelward", clock=self._clock, wait=self._limits.lock_wait):
                if left := self.staging.names():
                    remove(self.staging, *left)
                yield
        finally:
            for folder in (self._blobs, self._quarantine, self.staging, self._own):
                folder.close()

    # Blobs.

    def stage(self, size: int, keep: Digest | None = None) -> StagedFile:
        """A new file beside the store's blobs, or the kept one of an earlier run."""
        if keep is None or size <= CHUNK:
            return Staged(self.staging, size, reserve=self._limits.reserve, direct=True)
        kept = self._own.sub(KEPT_FOLDER, create=True, owner=self._folder_owner)
        return Kept(kept, size, keep, reserve=self._limits.reserve)

    def require_space(self, blobs: Mapping[Digest, int]) -> None:
        """Raise DiskFull unless these blobs fit beside the reserve; what an earlier run kept of them is there."""
        left = sum(
            max(0, size - tree_bytes(self._own, f"{KEPT_FOLDER}/{data_name(blob)}")) for blob, size in blobs.items()
        )
        require_space(self.staging, left, self._limits.reserve)

    def publish_blob(self, staged: StagedFile, blob: Digest) -> None:
        """Put the staged file under the blob's name; what stood there goes to quarantine."""
        if not isinstance(staged, Staged):
            raise WriteFailed("not a file that this store staged", thing=blob)
        staged.finish(self._owner.mode, self._folder_owner)
        name = _file(blob)
        try:
            staged.publish(self._blobs, name)
        except FileExistsError:
            keep_aside(self._blobs, name, self._quarantine, self._aside(name))
            staged.replace(self._blobs, name)

    def open_for_patch(self, blob: Digest) -> int:
        """A descriptor to read and write the blob in place."""
        return self._blobs.open_to_patch(_file(blob))

    def keep_undo(self, blob: Digest, fd: int, spans: Sequence[Span]) -> None:
        """Keep the bytes about to be replaced: a header (JSON, zeros up to a multiple of 64 KiB), then the bytes."""
        size = os.fstat(fd).st_size
        kept = [Span(span.offset, min(span.end, size) - span.offset) for span in spans if span.offset < size]
        header = json.dumps({"blob": str(blob), "size": size, "spans": kept}, separators=(",", ":")).encode()
        at = -(-len(header) // _UNDO_HEADER) * _UNDO_HEADER
        staged = Staged(self.staging, at + total(kept), reserve=self._limits.reserve)
        try:
            staged.write_at(memoryview(header), len(header), 0)
            with reading_errors(f"{self._blobs.path}/{_file(blob)}"):
                for span in kept:
                    at = _copy(fd, span, staged, at)
            staged.finish(0o600)
            staged.replace(self._quarantine, self._aside(_file(blob), ".undo"))
        finally:
            staged.discard()

    def patch(self, fd: int, offset: int, view: memoryview) -> None:
        """Write proved bytes over damaged ones in place."""
        write_in_place(fd, self._blobs.path, offset, view)

    def sync(self, fd: int) -> None:
        """fsync the patched file."""
        sync_file(fd, self._blobs.path)

    def fix_owner(self, blob: Digest, owner: Owner) -> None:
        """Give the blob the owner and mode that the runtime needs."""
        set_owner(self._blobs, _file(blob), owner)

    # The way of a pull by the runtime (R4).

    def set_aside(self, blob: Digest) -> str:
        """Move what stands under the blob's name to quarantine."""
        aside = self._aside(_file(blob))
        move(self._blobs, _file(blob), self._quarantine, aside)
        return aside

    def put_back(self, blob: Digest, aside: str) -> None:
        """Bring a file back from quarantine, unless something stands under the blob's name by now."""
        if self._blobs.stat(_file(blob)) is None:
            move(self._quarantine, aside, self._blobs, _file(blob))

    # Manifests.

    def put_manifest(self, name: ModelName, raw: bytes, owner: Owner | None) -> None:
        """Put the manifest's exact bytes in place, under the folders that its name needs."""
        mode = owner.mode if owner is not None and owner.mode & 0o400 else 0o644
        folder = self._root.sub("manifests", create=True, mode=0o755, owner=self._folder_owner)
        for part in name.parts[:-1]:
            _refuse_twin(folder, part, name)
            inner = folder.sub(part, create=True, mode=0o755, owner=self._folder_owner)
            folder.close()
            folder = inner
        _refuse_twin(folder, name.tag, name)
        staged = small_file(self.staging, raw, mode, self._folder_owner)
        try:
            if folder.stat(name.tag) is not None:
                keep_aside(folder, name.tag, self._quarantine, self._aside(f"manifest.{_plain(name)}"))
            staged.replace(folder, name.tag)
        finally:
            staged.discard()
            folder.close()

    # Space.

    def reclaim(self, blobs: Sequence[Digest], partials: Sequence[str], kept_before: int) -> int:
        """Remove orphan blobs, leftovers of downloads, and our own unfinished transfers that nobody went on with."""
        kept = self._own.sub(KEPT_FOLDER, create=True, owner=self._folder_owner)
        try:
            changed = {name: found.st_mtime for name in kept.names() if (found := kept.stat(name)) is not None}
            freed = remove(kept, *(name for name, moment in changed.items() if moment < kept_before))
        finally:
            kept.close()
        return freed + remove(self._blobs, *map(_file, blobs), *partials)

    # Quarantine.

    def release_quarantine(self, proved: Mapping[str, int]) -> int:
        """Drop what was set aside for blobs proved good since, and manifests set aside before the last proof."""
        last_proof = max(proved.values(), default=0)
        names = [name for name in self._quarantine.names() if _released(name, proved, last_proof)]
        return remove(self._quarantine, *names)

    def _aside(self, subject: str, ending: str = "") -> str:
        """A free name in quarantine: the subject, when it was set aside, and a number when that is taken."""
        stem = f"{subject}.{self._clock.now():{_STAMP}}"
        names = chain([f"{stem}{ending}"], (f"{stem}-{turn}{ending}" for turn in count(1)))
        return next(name for name in names if self._quarantine.stat(name) is None)


def _released(name: str, proved: Mapping[str, int], last_proof: int) -> bool:
    subject, _, rest = name.partition(".")
    stamp = rest.removesuffix(".undo").rpartition(".")[2].partition("-")[0]
    try:
        aside_at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    proof = last_proof if subject == "manifest" else proved.get(subject.removeprefix("sha256-"), 0)
    return proof > aside_at


def _copy(fd: int, span: Span, staged: Staged, at: int) -> int:
    for offset in range(span.offset, span.end, CHUNK):
        data = os.pread(fd, min(CHUNK, span.end - offset), offset)
        staged.write_at(memoryview(data), len(data), at)
        at += len(data)
    return at


def _refuse_twin(folder: Folder, part: str, name: ModelName) -> None:
    """Two names that differ in case only collide on other file systems: never make one (T1)."""
    if folder.stat(part) is not None:
        return
    if twin := next((other for other in folder.names() if other.casefold() == part.casefold()), None):
        raise WriteFailed(
            f"the store has {twin!r}, which differs from {part!r} in case only",
            thing=name,
            next_step="remove or rename the one in the store first",
        )


def _plain(name: ModelName) -> str:
    """The name as one file name of allowed length: base32 of its text, cut."""
    return b32encode(str(name).encode()).decode().rstrip("=").lower()[:150]


def _file(blob: Digest) -> str:
    return f"sha256-{blob.hex}"
