"""A manifest that rotted, written anew from its wrapper: each way that Ollama writes one, proved by the digest."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations, product
from math import comb

from modelward.domain.digest import Digest
from modelward.domain.manifest import DOCKER_MANIFEST
from modelward.domain.wrapper import Wrapper

# Go marshals the fields in the order of its struct, and ends the line where it encodes into a file.
# Source: ollama v0.24.0, manifest/manifest.go WriteManifest and manifest/layer.go Layer; server/images.go keeps what a
# registry sent, which others have written with the digest first.
_ORDERS = (("mediaType", "digest", "size"), ("digest", "mediaType", "size"))
_ENDS = (b"", b"\n")
_MOST = 4096
# What `ollama create` calls the origin of a layer: a model's short name, or the blob's path in the store that it saw.
_FROM = re.compile(rb'"from":"([^"\\]{1,512})"')
_BLOB = re.compile(r"sha256-[0-9a-f]{64}\Z")
_STORES = ("/root/.ollama/models", "/usr/share/ollama/.ollama/models")


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where layers came from: one name for all, or a folder in which each is called by its digest."""

    name: str

    def of(self, digest: Digest) -> str:
        return f"{self.name}/sha256-{digest.hex}" if self.name.endswith("/blobs") else self.name

    @property
    def length(self) -> int:
        """How many bytes it adds to each layer; the same for all, as digests have one length."""
        return len(json.dumps({"from": self.of(Digest("0" * 64))}, separators=(",", ":"))) - 1


def rewrite(wrapper: Wrapper, rest: Iterable[bytes] = (), names: Iterable[str] = (), store: str = "") -> bytes | None:
    """The manifest's bytes, which have the digest in the wrapper; None where none of the known ways gives them.

    ``rest`` are bytes that may tell where layers came from: what is left of this manifest, and other versions. So may
    the ``names`` of models and the path of the ``store``.
    """
    if not wrapper.blobs:
        return None
    for raw in _ways(wrapper, _origins(rest, names, store)):
        if len(raw) == wrapper.manifest.size and sha256(raw).hexdigest() == wrapper.manifest.digest.hex:
            return raw
    return None


def _origins(rest: Iterable[bytes], names: Iterable[str], store: str) -> dict[_Origin, None]:
    seen = [found.decode("utf-8", "replace") for raw in rest for found in _FROM.findall(raw)]
    folders = [f"{root}/blobs" for root in (store, *_STORES) if root]
    return dict.fromkeys(_Origin(_folder(name)) for name in (*seen, *folders, *names))


def _folder(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return folder if _BLOB.match(last) else name


def _ways(wrapper: Wrapper, origins: Iterable[_Origin]) -> Iterator[bytes]:
    for order, end in product(_ORDERS, _ENDS):
        yield (plain := _write(wrapper, order, {}) + end)
        for origin in origins:
            for chosen in _which(wrapper, wrapper.manifest.size - len(plain), origin):
                yield _write(wrapper, order, {digest: origin.of(digest) for digest in chosen}) + end


def _which(wrapper: Wrapper, more: int, origin: _Origin) -> Iterator[tuple[Digest, ...]]:
    """Which layers may have this origin, for the manifest to be ``more`` bytes longer than without any."""
    many = len(wrapper.blobs) - 1
    count, left = divmod(more, origin.length)
    if left or not 0 < count <= many or comb(many, count) > _MOST:
        return iter(())  # before the layers are looked at: there may be thousands of them, and of origins
    return combinations([blob.digest for blob in wrapper.blobs[1:]], count)


def _write(wrapper: Wrapper, order: Iterable[str], origins: dict[Digest, str]) -> bytes:
    config, *layers = (
        _layer(blob.digest, blob.size, kind, order, origins)
        for blob, kind in zip(wrapper.blobs, wrapper.media_types, strict=True)
    )
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _layer(digest: Digest, size: int, kind: str, order: Iterable[str], origins: dict[Digest, str]) -> dict[str, object]:
    fields: dict[str, object] = {"mediaType": kind, "digest": str(digest), "size": size}
    layer = {key: fields[key] for key in order}
    return layer | ({"from": origins[digest]} if digest in origins else {})
