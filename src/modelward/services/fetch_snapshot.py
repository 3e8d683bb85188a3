"""Fetch: bring a snapshot from an OCI registry into the vault, what it lacks only, every byte proved (R2)."""

from hashlib import sha256

from blake3 import blake3

from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, HashMismatch
from modelward.domain.interchange import FetchReport, Parcel, Reference
from modelward.domain.name import ModelName
from modelward.ports import OciRegistry, VaultWriter
from modelward.scan import copy_whole
from modelward.services.fetch import GROUP
from modelward.services.site import Site
from modelward.services.take_in import Taker, lacking, unpack

_WRONG = "fetch it from another registry, or push it there again"


def fetch(
    site: Site, registry: OciRegistry, source: Reference, name: ModelName | None = None, *, dry_run: bool = False
) -> FetchReport:
    """Bring what ``source`` names into the vault as a snapshot of ``name``, else of the model that it is named after.

    Raises BadObject for a manifest that is not one of ours, HashMismatch for bytes that are not what they are
    called, and what the registry raises. Nothing is recorded then.
    """
    began = site.clock.monotonic()
    vault, model = site.the_vault(), name or source.model
    there = _There(site, registry, source.place)
    parcel = _parcel(there, registry, source)
    wanted = lacking(vault, parcel)
    site.progress.begin("fetch", sum(blob.size for blob in wanted))
    outcome, identity, fetched, moved = "planned", "", len(wanted), sum(blob.size for blob in wanted)
    if not dry_run:
        with site.audited("fetch", model=model, source=str(source)) as told, vault.writing("fetch") as writer:
            taker = Taker(site, vault, writer)
            snapshot, new = taker.take(there, parcel, model, f"registry {source}")
            told |= {"snapshot": snapshot.id, "bytes": taker.moved}
        outcome, identity, fetched, moved = "stored" if new else "unchanged", snapshot.id, taker.fetched, taker.moved
    return FetchReport(
        model=model,
        outcome=outcome,
        source=str(source),
        vault=vault.path,
        wrapper=parcel.digest,
        snapshot=identity,
        size=parcel.manifest.size,
        fetched=fetched,
        present=len(parcel.manifest.blobs) - fetched,
        bytes_moved=moved,
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def _parcel(there: "_There", registry: OciRegistry, source: Reference) -> Parcel:
    """What the reference names, proved to be a version; an error says of which place, and what can be fetched."""
    try:
        return unpack(there, registry.manifest_bytes(source.place, source.reference), source.digest)
    except DamageError as error:
        advice = error.next_step or "check the name: only what modelward push has sent can be fetched"
        raise type(error)(error.what, thing=error.thing or source, next_step=advice) from error


class _There:
    """A repository of a registry, as a place that wrapped models lie in."""

    def __init__(self, site: Site, registry: OciRegistry, repository: str) -> None:
        self._site, self._registry, self._repository = site, registry, repository

    def small(self, digest: Digest, size: int) -> bytes:
        """An object whole, proved by its name."""
        data = bytearray(size)
        with memoryview(data) as view:
            got = self.fill(digest, view, 0, size)
        if got != size or sha256(data).hexdigest() != digest.hex:
            raise HashMismatch("the registry's bytes are not those of its name", thing=digest, next_step=_WRONG)
        return bytes(data)

    def bring(self, writer: VaultWriter, blob: Digest, size: int, chunk_list: ChunkList | None) -> None:
        """Stage the blob, proved, and publish it; a staged file that came to nothing is freed."""
        staged = writer.stage(size)
        try:
            if chunk_list is None:
                data = self.small(blob, size)
                staged.write_at(memoryview(data), size, 0)
            else:
                stream = _Stream(self, blob, chunk_list)
                if copy_whole(stream.fill, size, staged, self._site.reading, group=GROUP) != blob.hex:
                    raise HashMismatch("the registry's bytes are not those of its name", thing=blob, next_step=_WRONG)
            writer.publish_blob(staged, blob, chunk_list)
        finally:
            staged.discard()

    def fill(self, blob: Digest, view: memoryview, offset: int, length: int) -> int:
        """Ask until it is full; an answer of nothing ends it."""
        got = 0
        while got < length:
            step = self._registry.read_range(self._repository, blob, offset + got, view[got:length])
            if step <= 0:
                break
            got += step
        return got


class _Stream:
    """A blob that comes in by a few chunks, each compared with its list: wrong ones are asked for once more."""

    def __init__(self, there: _There, blob: Digest, chunk_list: ChunkList) -> None:
        self._there, self._blob, self._list = there, blob, chunk_list

    def fill(self, view: memoryview, offset: int, length: int) -> int:
        """Fill the view with proved bytes; raises HashMismatch."""
        came = self._there.fill(self._blob, view, offset, length)
        for start in range(0, length, CHUNK):
            piece, at = view[start : min(start + CHUNK, length)], offset + start
            if came >= start + len(piece) and self._right(piece, at):
                continue
            again = self._there.fill(self._blob, piece, at, len(piece))
            if again < len(piece) or not self._right(piece, at):
                what = f"the registry's bytes at {at:,} are not those of the blob"
                raise HashMismatch(what, thing=self._blob, next_step=_WRONG)
        return length

    def _right(self, piece: memoryview, offset: int) -> bool:
        return bool(blake3(piece).digest() == self._list[offset // CHUNK])
