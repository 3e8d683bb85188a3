"""Let the runtime download a model again, in a way that works: the bad file out of its name first (R4).

A pull takes any file under a blob's name for good and prints success (github.com/ollama/ollama, server/download.go
of v0.24.0: a successful stat is a cache hit, and only what was downloaded is hashed).
"""

import os
from collections.abc import Mapping

from modelward.domain.digest import Digest
from modelward.domain.errors import (
    DamageError,
    HashMismatch,
    ModelwardError,
    RuntimeRefused,
    RuntimeUnreachable,
    TagMoved,
    Unreachable,
)
from modelward.domain.host import speaks_plain
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.plan import PullModel
from modelward.domain.receipt import Receipt
from modelward.ports import Runtime, StoreWriter
from modelward.scan import hash_whole
from modelward.services.site import Site


class Puller:
    """The runtime as the last source of models whose manifests are known."""

    def __init__(self, site: Site, manifests: Mapping[ModelName, Manifest]) -> None:
        self._site, self._manifests = site, manifests
        self._answers: dict[ModelName, bool] = {}

    def may_pull(self, model: ModelName) -> bool:
        """Whether the runtime is there, and upstream's tag still names this version, as far as can be known."""
        if model not in self._answers:
            self._answers[model] = model in self._manifests and self._runtime_answers() and not self._moved(model)
        return self._answers[model]

    def _runtime_answers(self) -> bool:
        try:
            return self._site.runtime is not None and bool(self._site.runtime.version())
        except RuntimeUnreachable:
            return False

    def _moved(self, model: ModelName) -> bool:
        """Whether a pull would bring another version; a registry that cannot be asked says nothing."""
        if self._site.registry is None:
            return False
        try:
            return self._site.registry.manifest(model).digest != self._manifests[model].digest
        except (Unreachable, DamageError):
            return False

    def pull(self, writer: StoreWriter, step: PullModel) -> dict[str, Receipt]:
        """Move the bad files away, download, prove; what could not be downloaded goes back under its name."""
        runtime = self._site.runtime
        if runtime is None:
            raise RuntimeRefused("there is no runtime to download it", thing=step.model)
        aside = {blob: writer.set_aside(blob) for blob in step.aside}
        try:
            self._download(runtime, step.model)
            return {blob.hex: self._proved(step.model, blob) for blob in step.blobs}
        except ModelwardError:
            for blob, place in aside.items():
                writer.put_back(blob, place)
            raise

    def _download(self, runtime: Runtime, model: ModelName) -> None:
        plain = speaks_plain(model.parts[0], self._site.plain_http)
        for line in runtime.pull(model.short, insecure=plain):
            self._site.reading.late()  # told to stop: the download ends, and what was moved away goes back
            self._site.progress.say("pull", model=str(model), status=line.status, completed=line.completed)
        pulled = self._site.store.read_manifest(model)
        if pulled.digest != self._manifests[model].digest:
            raise TagMoved(
                f"upstream's tag names another version now ({pulled.digest.short}), and the runtime has taken it",
                thing=model.short,
                next_step=f"modelward backup {model.short} keeps it, modelward rollback {model.short} goes back",
            )

    def _proved(self, model: ModelName, blob: Digest) -> Receipt:
        """The receipt of a blob that the runtime brought; raises HashMismatch when it is bad."""
        size = next(known.size for known in self._manifests[model].blobs if known.digest == blob)
        fd = self._site.store.open_blob(blob)
        try:
            checked = hash_whole(fd, size, self._site.reading)
        finally:
            os.close(fd)
        if checked.sha256 != blob.hex or checked.file.size != size:
            raise HashMismatch(
                "the runtime says success, and the file is bad",
                thing=blob,
                next_step="check the disk (dmesg, SMART)",
            )
        return Receipt(checked.file, int(self._site.clock.now().timestamp()))
