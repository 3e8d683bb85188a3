"""What is derived from a vault's records: the OCI index, and the checksum file that ``sha256sum -c`` reads."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256

import msgspec

from modelward.domain.codec import decode
from modelward.domain.digest import Digest
from modelward.domain.errors import BadDigest, BadObject
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot
from modelward.domain.wrapper import ARTIFACT_TYPE, OCI_MANIFEST

NAME = "index.json"
CHECKSUMS = "model_checksums.sha256"
LIMIT = 256 << 20
_GENERATION = "dev.modelward.generation"
_MARK = b'"dev.modelward.generation": "'
_OPEN = b"0" * 64  # stands where the seal will
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


def fits(index: bytes, snapshots: Sequence[Snapshot], sums: bytes = b"") -> bool:
    """Whether these bytes are, to the last one, an index made of these records and of this checksum file."""
    head, mark, rest = index.rpartition(_MARK)
    return bool(mark) and index == head + mark + _seal(head + mark + _OPEN + rest[64:], snapshots, sums) + rest[64:]


def _seal(index: bytes, snapshots: Sequence[Snapshot], sums: bytes) -> bytes:
    """A hash of the index without its seal, of which snapshots there are, and of the checksum file."""
    names = "\n".join(sorted(snapshot.id + str(snapshot.model) for snapshot in snapshots))
    parts = (index, names.encode(), sums)
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest().encode()


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
    index = _Index(manifests=manifests, annotations={_GENERATION: _OPEN.decode()})
    head, mark, rest = msgspec.json.format(msgspec.json.encode(index), indent=1).rpartition(_MARK)
    return head + mark + _seal(head + mark + rest, snapshots, sums) + rest[64:]


def listed(index: bytes) -> dict[str, Digest]:
    """Each reference in an index, with the wrapper that it names, as far as they can be read. Nobody vouches for it."""
    found: dict[str, Digest] = {}
    with suppress(BadObject):
        for entry in decode(index, _Index).manifests:
            with suppress(BadDigest):
                found[entry.annotations.get(_REF, "")] = Digest.parse(entry.digest)
    return found


def _descriptor(snapshot: Snapshot, ref: str, sizes: Mapping[Digest, int]) -> _Descriptor:
    notes = {_REF: ref, _CREATED: snapshot.created_at.isoformat()}
    return _Descriptor(digest=str(snapshot.wrapper), size=sizes.get(snapshot.wrapper, 0), annotations=notes)


def checksums(objects: Iterable[Digest]) -> bytes:
    """One line an object, by name, as sha256sum writes them."""
    return b"".join(b"%b  blobs/sha256/%b\n" % (hex_, hex_) for hex_ in sorted(d.hex.encode() for d in objects))
