"""Models as values, to be put into a vault by its writer without any store."""

import hashlib
import json
import tempfile
from dataclasses import dataclass

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot
from modelward.domain.store import Owner
from modelward.ports import VaultWriter

OWNER = Owner(1000, 1001, 0o640)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name, a manifest, and every blob's bytes."""

    name: ModelName
    manifest: Manifest
    blobs: dict[Digest, bytes]

    @property
    def largest(self) -> Digest:
        """The blob with the most bytes: the weights."""
        return max(self.blobs, key=lambda blob: len(self.blobs[blob]))


def digest_of(data: bytes) -> Digest:
    """The name that these bytes have as a blob."""
    return Digest(hashlib.sha256(data).hexdigest())


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes in which no two chunks are equal."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


def make_model(name: str = "llama3", *layers: bytes) -> Model:
    """A model of a small config and these layers; without any, of 2 MiB and a bit, and a template."""
    parts = layers or (pattern(2 * CHUNK + 5), b"{{ .Prompt }}")
    config, *others = ({"mediaType": "a/b", "digest": digest_of(data), "size": len(data)} for data in (b"c", *parts))
    raw = json.dumps({"schemaVersion": 2, "config": config, "layers": others}).encode()
    blobs = {digest_of(data): data for data in (b"c", *parts)}
    return Model(name=ModelName.parse(name), manifest=Manifest.parse(raw), blobs=blobs)


def add_blob(writer: VaultWriter, data: bytes, blob: Digest | None = None, size: int | None = None) -> int:
    """Offer a file with these bytes, as the blob that they are or as another; returns the bytes written."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        return writer.add_blob(file.fileno(), blob or digest_of(data), len(data) if size is None else size)


def add_model(writer: VaultWriter, model: Model, newest: Snapshot | None = None) -> Snapshot:
    """Add all blobs, then the snapshot: as backup does it."""
    for blob, data in model.blobs.items():
        add_blob(writer, data, blob)
    return writer.add_snapshot(model.name, model.manifest, "/store", OWNER, newest)
