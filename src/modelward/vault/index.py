"""What is derived from a vault's records: the OCI index, and the checksum file that ``sha256sum -c`` reads."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot
from modelward.domain.wrapper import ARTIFACT_TYPE, OCI_MANIFEST

NAME = "index.json"
CHECKSUMS = "model_checksums.sha256"
LIMIT = 256 << 20
_GENERATION = "dev.modelward.generation"
_REF = "org.opencontainers.image.ref.name"
_CREATED = "org.opencontainers.image.created"


class _Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str = OCI_MANIFEST
    digest: str
    size: int
    artifact_type: str = ARTIFACT_TYPE
    annotations: dict[str, str]


class _Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int = 2
    media_type: str = "application/vnd.oci.image.index.v1+json"
    manifests: list[_Descriptor]
    annotations: dict[str, str]


class _Head(msgspec.Struct, frozen=True):
    annotations: dict[str, str]


def generation(snapshots: Sequence[Snapshot], sums: bytes = b"") -> str:
    """A hash of which snapshots there are and of the checksum file: equal for the index made with them."""
    names = "\n".join(sorted(snapshot.id + str(snapshot.model) for snapshot in snapshots))
    return sha256(names.encode() + sha256(sums).digest()).hexdigest()


def generation_of(index: bytes) -> str:
    """The generation that an index says it was made for; empty when it cannot be read."""
    try:
        return msgspec.json.decode(index, type=_Head).annotations.get(_GENERATION, "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def build(snapshots: Sequence[Snapshot], sizes: Mapping[Digest, int], sums: bytes = b"") -> bytes:
    """The OCI index: the newest snapshot of a model under its full name, each also under ``name@id``."""
    manifests = []
    seen: set[ModelName] = set()
    for snapshot in snapshots:
        refs = [f"{snapshot.model}@{snapshot.id}"]
        if snapshot.model not in seen:
            refs.insert(0, str(snapshot.model))
            seen.add(snapshot.model)
        manifests += [_descriptor(snapshot, ref, sizes) for ref in refs]
    index = _Index(manifests=manifests, annotations={_GENERATION: generation(snapshots, sums)})
    return msgspec.json.format(msgspec.json.encode(index), indent=1)


def _descriptor(snapshot: Snapshot, ref: str, sizes: Mapping[Digest, int]) -> _Descriptor:
    notes = {_REF: ref, _CREATED: snapshot.created_at.isoformat()}
    return _Descriptor(digest=str(snapshot.wrapper), size=sizes.get(snapshot.wrapper, 0), annotations=notes)


def checksums(sizes: Mapping[Digest, int]) -> bytes:
    """One line an object, by name, as sha256sum writes them."""
    return b"".join(b"%b  blobs/sha256/%b\n" % (hex_, hex_) for hex_ in sorted(d.hex.encode() for d in sizes))
