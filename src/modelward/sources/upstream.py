"""Upstream as a source: any range of a blob, from the registries that the models which name it come from."""

import threading
from collections.abc import Iterable, Mapping
from typing import Protocol

from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError, SourceFailed
from modelward.domain.source import LocalFile, Wanted


class Blobs(Protocol):
    """What is needed of a registry's client."""

    def blob_size(self, repository: str, blob: Digest) -> int | None:
        """How many bytes the blob has there."""

    def read_range(self, repository: str, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from ``offset``."""


class UpstreamSource:
    """Gives what registries hold. The names of the models say where a blob may lie."""

    name = "upstream"
    rank = 20
    local = False

    def __init__(self, client: Blobs) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._repositories: dict[Digest, dict[str, None]] = {}
        self._sizes: dict[tuple[str, Digest], int | None] = {}

    def offers(self, wanted: Iterable[Wanted]) -> Mapping[Digest, tuple[Span, ...]]:
        """The blobs that one of their models' registries has in their size."""
        return {item.blob: () for item in wanted if self._learn(item)}

    def _learn(self, item: Wanted) -> bool:
        """Find the repositories that hold the blob; what was asked once is not asked again."""
        with self._lock:
            known = self._repositories.setdefault(item.blob, {})
        for name in item.models:
            repository = name.repository
            if self._size(repository, item.blob) == item.size:
                known.setdefault(repository)
        return bool(known)

    def _size(self, repository: str, blob: Digest) -> int | None:
        key = (repository, blob)
        if key not in self._sizes:
            try:
                self._sizes[key] = self._client.blob_size(repository, blob)
            except ModelwardError:
                return None
        return self._sizes[key]

    def read(self, blob: Digest, offset: int, view: memoryview) -> int:
        """Fill ``view`` from the first repository that gives the bytes."""
        problem = "nobody upstream has it"
        for repository in self._repositories.get(blob, {}):
            try:
                return self._client.read_range(repository, blob, offset, view)
            except ModelwardError as error:
                problem = str(error)
        raise SourceFailed(problem, thing=blob, next_step="check the network, then run the command again")

    def local_file(self, _: Digest) -> LocalFile | None:
        """None: it is far away."""
        return None
