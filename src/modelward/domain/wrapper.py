"""The OCI manifest that wraps a model in the vault: a pure function of the model's bytes."""

import json
from collections.abc import Mapping
from hashlib import sha256

import msgspec

from modelward.domain.chunks import CHUNK_LIST_TYPE
from modelward.domain.codec import learned
from modelward.domain.digest import Digest
from modelward.domain.errors import BadDigest, BadObject
from modelward.domain.manifest import DOCKER_MANIFEST, Manifest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.modelward.model.v1"
EMPTY_CONFIG = b"{}"
EMPTY_DIGEST = Digest(sha256(EMPTY_CONFIG).hexdigest())
DESCRIBES = "dev.modelward.chunks-of"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_UNKNOWN_TYPE = "application/octet-stream"


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """One of the vault's objects as others name it: digest and size in bytes."""

    digest: Digest
    size: int


class Wrapper(msgspec.Struct, frozen=True, kw_only=True):
    """What a wrapper manifest names: the original manifest, the blobs, and the blobs' chunk lists.

    ``media_types`` says what each blob holds, in the order of ``blobs``.
    """

    manifest: Object
    blobs: tuple[Object, ...]
    media_types: tuple[str, ...]
    chunk_lists: dict[Digest, Object]

    @property
    def objects(self) -> tuple[Object, ...]:
        """Everything that the wrapper keeps alive, the empty config included."""
        empty = Object(digest=EMPTY_DIGEST, size=len(EMPTY_CONFIG))
        return (empty, self.manifest, *self.blobs, *self.chunk_lists.values())


def wrap(manifest: Manifest, chunk_lists: Mapping[Digest, Object]) -> bytes:
    """The wrapper's bytes: same model and chunk lists (by the blob that each describes), same bytes."""
    layers = [_descriptor(DOCKER_MANIFEST, manifest.digest, len(manifest.raw))]
    layers += [_descriptor(blob.media_type or _UNKNOWN_TYPE, blob.digest, blob.size) for blob in manifest.blobs]
    for blob in manifest.blobs:
        if found := chunk_lists.get(blob.digest):
            layers.append(_descriptor(CHUNK_LIST_TYPE, found.digest, found.size, {DESCRIBES: str(blob.digest)}))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": _descriptor(_EMPTY_TYPE, EMPTY_DIGEST, len(EMPTY_CONFIG)),
        "layers": layers,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()


def unwrap(raw: bytes) -> Wrapper:
    """Read a wrapper back; raises BadObject when it is not one of ours."""
    try:
        document = msgspec.json.decode(raw, type=learned(_RawWrapper))
        return _wrapper(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadDigest) as error:
        raise BadObject(f"not a wrapper manifest ({error})") from error


def _descriptor(kind: str, digest: Digest, size: int, notes: Mapping[str, str] | None = None) -> dict[str, object]:
    descriptor: dict[str, object] = {"mediaType": kind, "digest": str(digest), "size": size}
    return descriptor | ({"annotations": notes} if notes else {})


class _RawLayer(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class _RawWrapper(msgspec.Struct, frozen=True, rename="camel"):
    artifact_type: str
    layers: tuple[_RawLayer, ...]


def _wrapper(document: _RawWrapper) -> Wrapper:
    if document.artifact_type != ARTIFACT_TYPE or not document.layers:
        raise BadObject("not a wrapper manifest of a model")
    first, *others = document.layers
    # The annotation is ours alone: a model's manifest may give any media type to its blobs.
    blobs = [layer for layer in others if DESCRIBES not in layer.annotations]
    lists = {
        Digest.parse(layer.annotations[DESCRIBES]): _object(layer) for layer in others if DESCRIBES in layer.annotations
    }
    return Wrapper(
        manifest=_object(first),
        blobs=tuple(_object(layer) for layer in blobs),
        media_types=tuple(layer.media_type for layer in blobs),
        chunk_lists=lists,
    )


def _object(layer: _RawLayer) -> Object:
    if layer.size < 0:
        raise BadObject("a negative size in a wrapper manifest")
    return Object(digest=Digest.parse(layer.digest), size=layer.size)
