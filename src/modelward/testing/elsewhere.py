"""Sources and a registry in memory, for tests of what is healed from somewhere else than the vault."""

import threading
from collections.abc import Iterable, Mapping
from hashlib import sha256

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import RegistryRefused, SourceFailed
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.source import LocalFile, Wanted


class MemorySource:
    """Gives these blobs, and counts the bytes that were taken of it."""

    def __init__(self, blobs: Iterable[bytes], *, name: str = "upstream", rank: int = 20, local: bool = False) -> None:
        self.name, self.rank, self.local = name, rank, local
        self.blobs = {Digest(sha256(data).hexdigest()): data for data in blobs}
        self.taken = 0
        self.asked: list[Wanted] = []
        self._lock = threading.Lock()

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """Those that it has in the wanted size."""
        wanted = list(wanted)
        self.asked += wanted
        return {item.blob: () for item in wanted if len(self.blobs.get(item.blob, b"")) == item.size}

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view``; raises SourceFailed for a blob that it does not have."""
        if blob not in self.blobs:
            raise SourceFailed("not here", thing=blob, next_step="ask another source")
        part = self.blobs[blob][offset : offset + len(view)]
        view[: len(part)] = part
        with self._lock:
            self.taken += len(part)
        return len(part)

    def local_file(self, _: Digest) -> LocalFile | None:
        """None: it is in memory."""
        return None


class MemoryRegistry:
    """A registry of these manifests, by the models' names."""

    def __init__(self, manifests: Mapping[str, bytes]) -> None:
        self.manifests = {ModelName.parse(name): raw for name, raw in manifests.items()}

    def manifest(self, name: ModelName) -> Manifest:
        """The manifest that the name's tag names now; raises RegistryRefused."""
        if name not in self.manifests:
            raise RegistryRefused("no such model", thing=name.short, next_step="check the name")
        return Manifest.parse(self.manifests[name])
