"""Carry out a plan's steps on a store: fetch, prove, publish; the next source takes over when one fails (R2, R3)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from modelward.domain.chunks import CHUNK, ChunkList, count, indices_of
from modelward.domain.digest import Digest
from modelward.domain.errors import HashMismatch, Interrupted, ModelwardError, SourceFailed, WriteFailed
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action
from modelward.domain.plan import FixOwner, Method, ModelPlan, PatchBlob, PlaceBlob, PlaceManifest, Plan, Step
from modelward.domain.receipt import Receipt
from modelward.domain.source import Wanted
from modelward.domain.store import Owner
from modelward.ports import Source, StagedFile, StoreWriter
from modelward.scan import BlobFile, check_chunks, copy_checked, copy_whole, file_id
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A manifest that a plan puts back: exact bytes, and the owner that the record remembers."""

    manifest: Manifest
    owner: Owner | None


class Healer:
    """Carries out plans on one store; keeps the receipts of what it proved."""

    def __init__(self, site: Site, writer: StoreWriter, contents: dict[ModelName, Content]) -> None:
        self._site, self._writer, self._contents = site, writer, contents
        self._sources = sorted(site.sources, key=lambda source: source.rank)
        self.receipts: dict[str, Receipt] = {}

    def carry_out(self, plan: Plan) -> list[Action]:
        """Every step of every model; a model's first failed step ends that model, not the others."""
        self._site.progress.begin("heal", plan.bytes)
        return [action for model in plan.models for action in self._model(model)]

    def _model(self, model: ModelPlan) -> list[Action]:
        actions: list[Action] = []
        for step in model.steps:
            actions.append(self._step(model.model, step))
            if actions[-1].error:
                break
        return actions

    def _step(self, model: ModelName, step: Step) -> Action:
        began, moved, source, error, code = self._site.clock.monotonic(), 0, step.source, "", 0
        try:
            moved, source = self._do(step)
        except Interrupted:
            raise
        except ModelwardError as problem:
            error, code = str(problem), problem.exit_code
        seconds = round(self._site.clock.monotonic() - began, 3)
        self._site.progress.say("step", model=str(model), step=type(step).__name__, bytes=moved, error=error)
        return Action(
            step=type(step).__name__,
            model=model,
            target=_target(step),
            source=source,
            bytes_moved=moved,
            seconds=seconds,
            error=error,
            code=code,
        )

    def _do(self, step: Step) -> tuple[int, str]:
        match step:
            case PlaceBlob():
                return self._place(step.blob, step.size)
            case PatchBlob(method=Method.IN_PLACE):
                return self._patch_or_rebuild(step)
            case PatchBlob():
                return self._rebuild(step)
            case PlaceManifest():
                content = self._contents[step.model]
                self._require_blobs(content.manifest)
                self._writer.put_manifest(step.model, content.manifest.raw, content.owner)
                return step.bytes, step.source
            case FixOwner():
                self._writer.fix_owner(step.blob, Owner(*step.owner))
                return 0, step.source

    def _require_blobs(self, manifest: Manifest) -> None:
        """A manifest names only what is there: a blob that another model's step was to bring may have failed."""
        for blob in manifest.blobs:
            fd = self._site.store.open_blob(blob.digest)
            try:
                actual = file_id(fd).size
            finally:
                os.close(fd)
            if actual != blob.size:
                raise SourceFailed(
                    "a blob that the manifest names is not whole", thing=blob.digest, next_step="run: modelward repair"
                )

    # Whole blobs.

    def _place(self, blob: Digest, size: int) -> tuple[int, str]:
        staged = self._writer.stage(size)
        try:
            moved, source, proved_at = self._fill(staged, blob, size)
            self._publish(staged, blob, proved_at)
        finally:
            staged.discard()
        return moved, source

    def _fill(self, staged: StagedFile, blob: Digest, size: int) -> tuple[int, str, int]:
        """Clone, or copy with proof; returns bytes moved, the source's name and when the bytes were proved."""
        for source in self._offering(blob, size):
            if (proved_at := self._clone(staged, source, blob)) is not None:
                self._site.progress.advance(size)
                return 0, source.name, proved_at
        chunk_list = self._chunk_list(blob, size)
        if chunk_list is not None:
            moved, names = self._fetch(blob, chunk_list, tuple(range(count(size))), staged)
            return moved, names, self._now()
        return self._fetch_whole(staged, blob, size)

    def _clone(self, staged: StagedFile, source: Source, blob: Digest) -> int | None:
        """Share a local file's extents. The proof is the vault's receipt for that very file, and its time."""
        local = source.local_file(blob)
        if local is None:
            return None
        fd, receipt = local
        try:
            vouched = receipt is not None and receipt.holds_for(file_id(fd)) and staged.clone_from(fd)
            return receipt.verified_at if receipt is not None and vouched else None
        finally:
            os.close(fd)

    def _fetch_whole(self, staged: StagedFile, blob: Digest, size: int) -> tuple[int, str, int]:
        """Copy a blob that has no chunk list; its SHA-256 decides."""
        for source in self._offering(blob, size):
            if copy_whole(_Feed(source, blob), size, staged, self._site.reading) == blob.hex:
                return size, source.name, self._now()
            self._failed(source, blob)
        raise _nobody(blob)

    def _fetch(
        self, blob: Digest, chunk_list: ChunkList, indices: tuple[int, ...], sink: "StagedFile | _InPlace"
    ) -> tuple[int, str]:
        """Copy chunks that match the chunk list, from one source after the other; returns bytes and names."""
        if not indices:
            return 0, "store"
        names: list[str] = []
        wanted = sum(min(CHUNK, chunk_list.size - index * CHUNK) for index in indices)
        left = indices
        for source in self._offering(blob, chunk_list.size):
            before = left
            left = copy_checked(_Feed(source, blob), chunk_list, sink, self._site.reading, only=left)
            names += [source.name] if len(left) < len(before) else []
            if not left:
                return wanted, "+".join(names)
            self._failed(source, blob)
        raise _nobody(blob)

    # Damage inside a blob.

    def _patch_or_rebuild(self, step: PatchBlob) -> tuple[int, str]:
        """A file that took the patch badly is not written to again: its good chunks go into a new one (W1, R3)."""
        try:
            return self._patch_in_place(step)
        except (HashMismatch, WriteFailed) as problem:
            self._site.progress.say("patch_failed", blob=str(step.blob), error=str(problem))
            return self._rebuild(msgspec.structs.replace(step, method=Method.NEW_FILE))

    def _patch_in_place(self, step: PatchBlob) -> tuple[int, str]:
        """Overwrite the damaged chunks where they lie, after keeping what they were (R1, R3)."""
        chunk_list = self._listed(step)
        indices = tuple(indices_of(step.spans))
        fd = self._writer.open_for_patch(step.blob)
        try:
            self._writer.keep_undo(step.blob, fd, step.spans)
            moved, source = self._fetch(step.blob, chunk_list, indices, _InPlace(self._writer, fd))
            self._writer.sync(fd)
            self._prove(fd, chunk_list, indices)
            self._receive(step.blob, fd)
        finally:
            os.close(fd)
        return moved, source

    def _rebuild(self, step: PatchBlob) -> tuple[int, str]:
        """A new file from the good chunks of the damaged one (cloned where that works) and fetched others."""
        chunk_list = self._listed(step)
        bad = tuple(indices_of(step.spans))
        staged = self._writer.stage(step.size)
        fd = self._site.store.open_blob(step.blob)
        try:
            if step.method is Method.NEW_FILE or not staged.clone_from(fd):
                bad = self._copy_good(fd, chunk_list, bad, staged)
            moved, source = self._fetch(step.blob, chunk_list, bad, staged)
            self._prove(staged.fd, chunk_list, bad)
            self._publish(staged, step.blob, self._now())
        finally:
            os.close(fd)
            staged.discard()
        return moved, source

    def _copy_good(self, fd: int, chunk_list: ChunkList, bad: tuple[int, ...], staged: StagedFile) -> tuple[int, ...]:
        """Copy what is good in the damaged file; returns what has to be fetched: the bad, and what did not match."""
        good = tuple(sorted(set(range(len(chunk_list))) - set(bad)))
        file = BlobFile(fd, self._site.reading.mode)
        failed = copy_checked(file.fill, chunk_list, staged, self._site.reading, only=good)
        return tuple(sorted({*bad, *failed}))

    def _prove(self, fd: int, chunk_list: ChunkList, indices: Sequence[int]) -> None:
        """Read what was written back from the disk; it counts only when it is right there (V1)."""
        for first, last in _runs(indices):
            checked = check_chunks(fd, chunk_list, self._site.reading.from_disk(), first=first, last=last)
            if checked.bad or checked.unreadable or checked.unstable:
                raise HashMismatch(
                    "the repaired bytes do not read back right",
                    thing=chunk_list.blob,
                    next_step="check the disk (dmesg, SMART), then run: modelward repair",
                )

    # Small things.

    def _publish(self, staged: StagedFile, blob: Digest, proved_at: int) -> None:
        self._writer.publish_blob(staged, blob)
        fd = self._site.store.open_blob(blob)
        try:
            self.receipts[blob.hex] = Receipt(file_id(fd), proved_at)
        finally:
            os.close(fd)

    def _receive(self, blob: Digest, fd: int) -> None:
        self.receipts[blob.hex] = Receipt(file_id(fd), self._now())

    def _offering(self, blob: Digest, size: int) -> list[Source]:
        return [source for source in self._sources if blob in source.offers([Wanted(blob, size)])]

    def _chunk_list(self, blob: Digest, size: int) -> ChunkList | None:
        vault = self._site.vault
        return vault.chunk_list(blob) if vault is not None and size > CHUNK else None

    def _listed(self, step: PatchBlob) -> ChunkList:
        chunk_list = self._chunk_list(step.blob, step.size)
        if chunk_list is None:
            raise SourceFailed("its chunk list is gone", thing=step.blob, next_step="run: modelward repair")
        return chunk_list

    def _failed(self, source: Source, blob: Digest) -> None:
        self._site.progress.say("source_failed", source=source.name, blob=str(blob))

    def _now(self) -> int:
        return int(self._site.clock.now().timestamp())


class _Feed:
    """A source's bytes of one blob in the form that scan takes; after one failure it gives nothing more."""

    def __init__(self, source: Source, blob: Digest) -> None:
        self._source, self._blob, self._dead = source, blob, False

    def __call__(self, view: memoryview, offset: int, length: int) -> int:
        got = 0
        while not self._dead and got < length:
            try:
                step = self._source.read(self._blob, offset + got, view[got:length])
            except SourceFailed:
                self._dead = True
                break
            if not step:
                break
            got += step
        return got


class _InPlace:
    """A sink that patches an open blob."""

    def __init__(self, writer: StoreWriter, fd: int) -> None:
        self._writer, self._fd = writer, fd

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write proved bytes over damaged ones."""
        self._writer.patch(self._fd, offset, view[:length])


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring indices joined, as (first, one behind the last)."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _target(step: Step) -> str:
    return str(step.model) if isinstance(step, PlaceManifest) else str(step.blob)


def _nobody(blob: Digest) -> SourceFailed:
    return SourceFailed(
        "no source gave good bytes", thing=blob, next_step="back the model up from a good copy, or pull it again"
    )
