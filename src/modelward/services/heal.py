"""Carry out a plan's steps on a store or a vault: fetch, prove, publish (R2, R3)."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from modelward.domain.chunks import CHUNK, ChunkList, count, indices_of
from modelward.domain.digest import Digest
from modelward.domain.errors import HashMismatch, Interrupted, ModelwardError, ReadFailed, SourceFailed, WriteFailed
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action
from modelward.domain.plan import (
    FixOwner,
    Method,
    ModelPlan,
    PatchBlob,
    PlaceBlob,
    PlaceManifest,
    Plan,
    PullModel,
    RemakeRecord,
    Step,
    TrySuspects,
    target_of,
)
from modelward.domain.receipt import Receipt
from modelward.domain.store import Owner
from modelward.ports import StagedFile, Store, StoreWriter, Vault, VaultWriter
from modelward.scan import BlobFile, Fill, check_chunks, copy_checked, file_id
from modelward.services.fetch import Fetcher, kept
from modelward.services.pulling import Puller
from modelward.services.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A manifest that a plan puts back: exact bytes, and the owner that the record remembers."""

    manifest: Manifest
    owner: Owner | None


class Bench(Protocol):
    """What a plan is carried out on: a store's blobs, or a vault's objects."""

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""

    def stage(self, size: int, keep: Digest | None = None) -> StagedFile:
        """A new file, or the kept one of an earlier run."""

    def publish_blob(self, staged: StagedFile, blob: Digest) -> None:
        """Put a staged file, whose bytes are proved, under the blob's name."""


class Healer:
    """Carries out plans; keeps the receipts of what it proved.

    ``writer`` is the right to change the store, where the bench is one; ``puller`` lets the runtime download what no
    source gave, where that is allowed.
    """

    def __init__(  # noqa: PLR0913 - one call site for stores and one for vaults
        self,
        site: Site,
        bench: Bench,
        plan: Plan,
        *,
        writer: StoreWriter | None = None,
        contents: dict[ModelName, Content] | None = None,
        puller: Puller | None = None,
    ) -> None:
        self._site, self._bench, self._plan = site, bench, plan
        self._store_writer, self._contents, self._puller = writer, contents or {}, puller
        self._fetcher = Fetcher(site, _models_of(plan))
        self.receipts: dict[str, Receipt] = {}

    def carry_out(self) -> list[Action]:
        """Every step of every model; a model's first failed step ends that model, not the others."""
        self._site.progress.begin("heal", self._plan.bytes)
        return [action for model in self._plan.models for action in self._model(model)]

    def _model(self, model: ModelPlan) -> list[Action]:
        actions: list[Action] = []
        for step in model.steps:
            actions += self._with_last_way(model.model, step)
            if actions[-1].error:
                break
        return actions

    def _with_last_way(self, model: ModelName, step: Step) -> list[Action]:
        """The step, and where it failed what is tried instead; when that helped, the failure does not count."""
        action = self._step(model, step)
        if not action.error or (instead := self._instead(model, step)) is None:
            return [action]
        second = self._step(model, instead)
        return [action if second.error else msgspec.structs.replace(action, code=0), second]

    def _instead(self, model: ModelName, step: Step) -> PullModel | None:
        """The last way (R4): where every source failed on a blob, the runtime may still be able to download it."""
        if self._puller is None or not isinstance(step, PlaceBlob | PatchBlob | TrySuspects):
            return None
        if not self._puller.may_pull(model):
            return None
        stands = not isinstance(step, PlaceBlob) or step.replaces
        return PullModel(model=model, blobs=(step.blob,), aside=(step.blob,) if stands else (), bytes=step.size)

    def _step(self, model: ModelName, step: Step) -> Action:
        began, moved, source, error, code = self._site.clock.monotonic(), 0, step.source, "", 0
        try:
            moved, source = self._do(step)
        except Interrupted:
            raise
        except ModelwardError as problem:
            error, code = str(problem), problem.exit_code
        seconds = round(self._site.clock.monotonic() - began, 3)
        self._site.progress.say(
            "step", model=str(model), step=type(step).__name__, bytes=moved, seconds=seconds, error=error
        )
        return Action(
            step=type(step).__name__,
            model=model,
            target=target_of(step),
            source=source,
            bytes_moved=moved,
            seconds=seconds,
            error=error,
            code=code,
        )

    def _do(self, step: Step) -> tuple[int, str]:
        match step:
            case PlaceBlob():
                return self._place(step)
            case PatchBlob(method=Method.IN_PLACE):
                return self._patch_or_rebuild(step)
            case PatchBlob():
                return self._rebuild(step)
            case TrySuspects():
                return self._try_suspects(step)
            case RemakeRecord():
                return 0, step.source  # who takes the vault's lock has put it in place
            case _:
                return self._on_store(step)

    def _on_store(self, step: PullModel | PlaceManifest | FixOwner) -> tuple[int, str]:
        match step:
            case PullModel():
                return self._pull(step)
            case PlaceManifest():
                content = self._contents[step.model]
                self._require_blobs(content.manifest)
                self._writer.put_manifest(step.model, content.manifest.raw, content.owner)
                return step.bytes, step.source
            case _:
                self._writer.fix_owner(step.blob, Owner(*step.owner))
                return 0, step.source

    @property
    def _writer(self) -> StoreWriter:
        if self._store_writer is None:
            raise WriteFailed("a step for stores only", thing=self._site.store.path)
        return self._store_writer

    def _require_blobs(self, manifest: Manifest) -> None:
        """A manifest names only what is there: a blob that another model's step was to bring may have failed."""
        for blob in manifest.blobs:
            with self._opened(blob.digest) as fd:
                actual = file_id(fd).size
            if actual != blob.size:
                raise SourceFailed(
                    "a blob that the manifest names is not whole", thing=blob.digest, next_step="run: modelward repair"
                )

    # Whole blobs.

    def _place(self, step: PlaceBlob) -> tuple[int, str]:
        if cloned := self._clone(step):
            return 0, cloned
        chunk_list = self._chunk_list(step.blob, step.size)
        if chunk_list is None:
            return self._place_whole(step.blob, step.size)
        staged = self._bench.stage(step.size, None if self._fetcher.is_local(step.source) else step.blob)
        try:
            indices = tuple(range(count(step.size)))
            moved, source = self._fetcher.listed(chunk_list, indices, staged, step.parts, have=kept(staged))
            self._publish(staged, step.blob, self._now())
        finally:
            staged.discard()
        return moved, source

    def _clone(self, step: PlaceBlob) -> str:
        staged = self._bench.stage(step.size)
        try:
            cloned = self._fetcher.clone(step.blob, step.size, staged)
            if cloned is None:
                return ""
            source, proved_at = cloned
            self._site.progress.advance(step.size)
            self._publish(staged, step.blob, proved_at)
            return source
        finally:
            staged.discard()

    def _place_whole(self, blob: Digest, size: int) -> tuple[int, str]:
        staged, moved, source = self._fetcher.whole(blob, size, lambda keep: self._bench.stage(size, keep))
        try:
            self._publish(staged, blob, self._now())
        finally:
            staged.discard()
        return moved, source

    # Damage inside a blob.

    def _patch_or_rebuild(self, step: PatchBlob) -> tuple[int, str]:
        """A file that takes the patch badly, or is not read, is left; its good chunks go into a new one (W1, R3)."""
        try:
            return self._patch_in_place(step)
        except (HashMismatch, ReadFailed, WriteFailed) as problem:
            self._site.progress.say("patch_failed", blob=str(step.blob), error=str(problem))
            return self._rebuild(msgspec.structs.replace(step, method=Method.NEW_FILE))

    def _patch_in_place(self, step: PatchBlob) -> tuple[int, str]:
        """Overwrite the damaged chunks where they lie, after keeping what they were (R1, R3)."""
        chunk_list = self._listed(step)
        indices = tuple(indices_of(step.spans))
        fd = self._writer.open_for_patch(step.blob)
        try:
            self._writer.keep_undo(step.blob, fd, step.spans)
            moved, source = self._fetcher.listed(chunk_list, indices, _InPlace(self._writer, fd), step.parts)
            self._writer.sync(fd)
            self._prove(fd, chunk_list, indices)
            self.receipts[step.blob.hex] = Receipt(file_id(fd), self._now())
        finally:
            os.close(fd)
        return moved, source

    def _rebuild(self, step: PatchBlob) -> tuple[int, str]:
        """A new file from the good chunks of the damaged one (cloned where that works) and fetched others."""
        chunk_list = self._listed(step)
        bad = tuple(indices_of(step.spans))
        staged = self._bench.stage(step.size)
        try:
            with self._opened(step.blob) as fd:
                if step.method is Method.NEW_FILE or not staged.clone_from(fd):
                    bad = self._copy_good(fd, chunk_list, bad, staged)
                moved, source = self._fetcher.listed(chunk_list, bad, staged, step.parts)
                self._prove(staged.fd, chunk_list, bad)
            self._publish(staged, step.blob, self._now())
        finally:
            staged.discard()
        return moved, source

    def _copy_good(self, fd: int, chunk_list: ChunkList, bad: tuple[int, ...], staged: StagedFile) -> tuple[int, ...]:
        """Copy what is good in the damaged file; returns what has to be fetched: the bad, and what did not match."""
        good = tuple(sorted(set(range(len(chunk_list))) - set(bad)))
        failed = copy_checked(self._local(fd), chunk_list, staged, self._site.reading, only=good)
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

    def _try_suspects(self, step: TrySuspects) -> tuple[int, str]:
        """Bring what looks lost, prove the whole, and bring all of it when that was not enough."""
        with self._opened(step.blob) as fd:
            found = self._fetcher.suspects(
                step.blob, step.size, step.spans, self._local(fd), lambda keep: self._bench.stage(step.size, keep)
            )
        if found is None:
            return self._place_whole(step.blob, step.size)
        staged, moved, source = found
        try:
            self._publish(staged, step.blob, self._now())
        finally:
            staged.discard()
        return moved, source

    # The last way.

    def _pull(self, step: PullModel) -> tuple[int, str]:
        if self._puller is None:
            raise SourceFailed("there is no runtime to download it", thing=step.model)
        self.receipts |= self._puller.pull(self._writer, step)
        return step.bytes, step.source

    # Small things.

    @contextmanager
    def _opened(self, blob: Digest) -> Iterator[int]:
        fd = self._bench.open_blob(blob)
        try:
            yield fd
        finally:
            os.close(fd)

    def _local(self, fd: int) -> Fill:
        """The damaged file's own bytes; what the disk does not give is simply not there."""
        file = BlobFile(fd, self._site.reading.mode)

        def fill(view: memoryview, offset: int, length: int) -> int:
            try:
                return file.fill(view, offset, length)
            except OSError:
                return 0

        return fill

    def _publish(self, staged: StagedFile, blob: Digest, proved_at: int) -> None:
        self._bench.publish_blob(staged, blob)
        with self._opened(blob) as fd:
            self.receipts[blob.hex] = Receipt(file_id(fd), proved_at)

    def _chunk_list(self, blob: Digest, size: int) -> ChunkList | None:
        vault = self._site.vault
        return vault.chunk_list(blob) if vault is not None and size > CHUNK else None

    def _listed(self, step: PatchBlob) -> ChunkList:
        chunk_list = self._chunk_list(step.blob, step.size)
        if chunk_list is None:
            raise SourceFailed("its chunk list is gone", thing=step.blob, next_step="run: modelward repair")
        return chunk_list

    def _now(self) -> int:
        return int(self._site.clock.now().timestamp())


class StoreBench:
    """A store's blobs."""

    def __init__(self, store: Store, writer: StoreWriter) -> None:
        self.open_blob, self.stage, self.publish_blob = store.open_blob, writer.stage, writer.publish_blob


class VaultBench:
    """A vault's objects."""

    def __init__(self, vault: Vault, writer: VaultWriter) -> None:
        self.open_blob, self.publish_blob, self._stage = vault.open_blob, writer.publish_blob, writer.stage

    def stage(self, size: int, keep: Digest | None = None) -> StagedFile:  # noqa: ARG002 - the protocol's
        """A new file; a vault keeps none over a cut."""
        return self._stage(size)


class _InPlace:
    """A sink that patches an open blob."""

    def __init__(self, writer: StoreWriter, fd: int) -> None:
        self._writer, self._fd = writer, fd

    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Write proved bytes over damaged ones."""
        self._writer.patch(self._fd, offset, view[:length])


def _models_of(plan: Plan) -> dict[Digest, tuple[ModelName, ...]]:
    """The model that each blob is healed for: where upstream looks for it."""
    return {
        step.blob: (model.model,)
        for model in plan.models
        for step in model.steps
        if isinstance(step, PlaceBlob | PatchBlob | TrySuspects)
    }


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring indices joined, as (first, one behind the last)."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indices):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
