"""Bundles made of models that are values, and the same bundles damaged, for every test of them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
from blake3 import blake3

from modelward.bundles.reader import BundleReader
from modelward.bundles.writer import BundleFile
from modelward.domain.bundle import RAW, ZSTD, BundledModel, BundleHeader, Record, Written
from modelward.domain.chunks import CHUNK, ChunkList
from modelward.domain.digest import Digest
from modelward.services.site import Site
from modelward.testing import FakeStore, MemoryVault
from tests.models import Model, make_model
from tests.places import Place

HEAD = 32  # bytes of the preamble that the seal covers


class Shelf:
    """Blobs that a bundle is written from; ``lie`` has other bytes under a blob's name."""

    def __init__(self, model: Model, folder: Path, lie: dict[Digest, bytes] | None = None) -> None:
        self._folder = folder
        for blob, data in {**model.blobs, **(lie or {})}.items():
            (folder / blob.hex).write_bytes(data)

    def open_blob(self, blob: Digest) -> int:
        """A descriptor for reading."""
        return os.open(self._folder / blob.hex, os.O_RDONLY)

    def blob_path(self, blob: Digest) -> str:
        """What to call it."""
        return f"shelf/{blob.hex}"


def list_of(blob: Digest, data: bytes) -> ChunkList:
    """The chunk list of these bytes."""
    parts = (data[begin : begin + CHUNK] for begin in range(0, len(data), CHUNK))
    return ChunkList(blob=blob, size=len(data), hashes=b"".join(blake3(part).digest() for part in parts))


def header_of(*models: Model) -> BundleHeader:
    """The header of a bundle with these models."""
    named = tuple(BundledModel(name=model.name, manifest=model.manifest.raw) for model in models)
    return BundleHeader.make(named, [list_of(*item) for model in models for item in model.blobs.items()])


def write(path: Path, model: Model, place: Place, *, force: bool = False) -> Written:
    """Write the model's bundle with the real writer."""
    folder = path.parent / f"shelf of {model.manifest.digest.short}"
    folder.mkdir(exist_ok=True)
    shelf, header, target = Shelf(model, folder), header_of(model), BundleFile(str(path), force=force)
    return target.write(header, shelf, target.plan(header, shelf), place.reading())


def bundle_of(tmp_path: Path, model: Model) -> bytes:
    """The bytes of the model's bundle."""
    path = tmp_path / "made.bundle"
    write(path, model, Place(tmp_path), force=True)
    return path.read_bytes()


def small_model() -> Model:
    """One with a bundle of few bytes: two chunks of zeros, an empty blob, and one that does not get smaller."""
    return make_model("llama3", bytes(CHUNK + 5), b"", bytes(range(7)))


@contextmanager
def opened(data: bytes) -> Iterator[BundleReader]:
    """A reader of these bytes."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield BundleReader(file.fileno(), "test.bundle")


def site_with(place: Place, vault: MemoryVault | None = None) -> Site:
    """A site with a store that is empty and a vault in memory."""
    FakeStore(place.store)
    return replace(place.site(make_vault=False), vault=vault or MemoryVault(place.clock))


def sealed(document: object, hashes: bytes = b"") -> bytes:
    """A header with a right seal over a document that need not be right."""
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    head = b"MWBUNDLE" + (1).to_bytes(4, "little") + bytes(4)
    head += len(body).to_bytes(8, "little") + len(hashes).to_bytes(8, "little")
    return head + sha256(head + body + hashes).digest() + body + hashes


def raw_record(data: bytes) -> bytes:
    """A chunk stored raw."""
    return Record(kind=RAW, length=len(data), check=blake3(data).digest(length=8)).encode() + data


def zstd_record(stored: bytes) -> bytes:
    """A chunk that is said to be zstd, whatever it is."""
    return Record(kind=ZSTD, length=len(stored), check=blake3(stored).digest(length=8)).encode() + stored
