"""The bundle, one portable file with a model in it: its header, records and end as values (docs/bundle.md)."""

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NoReturn, Self

import msgspec

from modelward.domain.chunks import CHUNK, ChunkList, count
from modelward.domain.codec import decode, encode
from modelward.domain.digest import Digest
from modelward.domain.errors import EXIT_OK, BadBundle, BadManifest, BadObject
from modelward.domain.interchange import Adopted
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.outcome import RepairReport
from modelward.domain.wrapper import Object

VERSION = 1
RAW, ZSTD = 0, 1
DOCUMENT_LIMIT = 16 << 20
LISTS_LIMIT = 64 << 20
MOST_MODELS = 1_000
CHECK = 8
_MAGIC, _END_MAGIC = b"MWBUNDLE", b"MWBUNEND"
_SEALED = struct.Struct("<8sIIQQ")
_RECORD = struct.Struct("<B3sI8s")
_HASH = 32
PREAMBLE_SIZE = _SEALED.size + _HASH
RECORD_SIZE = _RECORD.size
END_SIZE = len(_END_MAGIC) + _HASH
_AGAIN = "copy or export it again; modelward export goes on where it was"


class BundledModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's full name and its manifest's exact bytes."""

    name: ModelName
    manifest: bytes


class _Blob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    digest: Digest
    size: int


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[BundledModel, ...]
    blobs: tuple[_Blob, ...]


class Preamble(msgspec.Struct, frozen=True, kw_only=True):
    """The first 64 bytes: how long the document and the chunk lists are, in bytes, and the SHA-256 of the header."""

    document: int
    lists: int
    seal: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read them; raises BadBundle before anything is allocated for lengths that no bundle has."""
        if data[: len(_MAGIC)] != _MAGIC:
            raise BadBundle("not a bundle of Modelward", next_step="name a file that modelward export wrote")
        if len(data) != PREAMBLE_SIZE:
            raise BadBundle("cut short within its first bytes", next_step=_AGAIN)
        _, version, reserved, document, lists = _SEALED.unpack_from(data)
        if version > VERSION or (version == VERSION and reserved):
            raise BadBundle(f"written in format {version} by a newer Modelward", next_step="install a newer Modelward")
        if version != VERSION or not 0 < document <= DOCUMENT_LIMIT or lists > LISTS_LIMIT or lists % _HASH:
            _bad("its header cannot be that long")
        return cls(document=document, lists=lists, seal=data[_SEALED.size :])


class BundleHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds: models, their blobs in the order of the records, and chunk lists of the large ones.

    ``chunk_lists`` has one entry a blob: None for a blob of one chunk at most. ``seal`` is the header's SHA-256.
    """

    models: tuple[BundledModel, ...]
    manifests: tuple[Manifest, ...]
    blobs: tuple[Object, ...]
    chunk_lists: tuple[ChunkList | None, ...]
    raw: bytes
    seal: bytes

    @classmethod
    def make(cls, models: tuple[BundledModel, ...], chunk_lists: Iterable[ChunkList]) -> Self:
        """The header of these models; raises BadBundle where a list is lacking or something is past the limits."""
        lists = {found.blob: found for found in chunk_lists}
        manifests = tuple(Manifest.parse(model.manifest) for model in models)
        blobs = _blobs_of(manifests)
        named = tuple(_Blob(digest=blob.digest, size=blob.size) for blob in blobs)
        document = encode(_Document(models=models, blobs=named))
        hashes = b"".join(lists[blob.digest].hashes for blob in blobs if blob.size > CHUNK)
        sealed = _SEALED.pack(_MAGIC, VERSION, 0, len(document), len(hashes))
        seal = sha256(sealed + document + hashes).digest()
        return cls.parse(sealed + seal, document, hashes)

    @classmethod
    def parse(cls, preamble: bytes, document: bytes, hashes: bytes) -> Self:
        """Read a header whose parts have the lengths that its preamble says; raises BadBundle."""
        first = Preamble.parse(preamble)
        if sha256(preamble[: _SEALED.size] + document + hashes).digest() != first.seal:
            _bad("its header is damaged")
        try:
            found = decode(document, _Document)
            manifests = tuple(Manifest.parse(model.manifest) for model in found.models)
        except (BadObject, BadManifest) as error:
            raise BadBundle(f"its header does not parse: {error.what}", next_step=_AGAIN) from error
        blobs = tuple(Object(digest=blob.digest, size=blob.size) for blob in found.blobs)
        _require_fit(found.models, manifests, blobs, hashes)
        return cls(
            models=found.models,
            manifests=manifests,
            blobs=blobs,
            chunk_lists=tuple(_lists(blobs, hashes)),
            raw=preamble + document + hashes,
            seal=first.seal,
        )

    @property
    def size(self) -> int:
        """Bytes of all blobs, each counted once."""
        return sum(blob.size for blob in self.blobs)

    @property
    def names(self) -> str:
        """The models' names for a message."""
        first, more = self.models[0].name.short, len(self.models) - 1
        return f"{first} and {more} more" if more else first

    @property
    def end(self) -> bytes:
        """The last 40 bytes of the bundle."""
        return _END_MAGIC + self.seal


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before a chunk's stored bytes: raw or zstd, how many, and the start of their BLAKE3."""

    kind: int
    length: int
    check: bytes

    def encode(self) -> bytes:
        """The record's 16 bytes."""
        return _RECORD.pack(self.kind, bytes(3), self.length, self.check)

    @classmethod
    def parse(cls, data: bytes, chunk: int) -> Self:
        """Read the 16 bytes before a chunk of ``chunk`` bytes; raises BadBundle."""
        kind, blank, length, check = _RECORD.unpack(data)
        if kind not in (RAW, ZSTD) or any(blank):
            _bad("a chunk in a form that this program does not know")
        if length != chunk if kind == RAW else not 0 < length < chunk:
            _bad("a chunk with a length that it cannot have")
        return cls(kind=kind, length=length, check=check)


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """How one blob is stored: whether zstd is tried on all of it, and about how many bytes it will take."""

    pays: bool
    estimate: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's size in bytes, and how many of them an earlier run had written."""

    size: int
    resumed: int = 0


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model written to a bundle: ``outcome`` is written or planned; ``stored`` is the bundle's size in bytes.

    ``source`` is vault or store; ``resumed`` counts bytes of the bundle that an earlier run had written. A plan's
    ``stored`` is an estimate.
    """

    model: ModelName
    outcome: str
    source: str
    snapshot: str
    path: str
    blobs: int
    compressed: int
    size: int
    stored: int
    resumed: int = 0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    dry_run: bool = False


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle taken into the vault, and what was restored of it into the store.

    ``blobs`` came in and ``present`` were there; ``bytes_moved`` are the bytes that came in.
    """

    path: str
    vault: str
    models: tuple[Adopted, ...]
    blobs: int
    present: int
    size: int
    bytes_moved: int
    restored: tuple[RepairReport, ...] = ()
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """That of the restore, where there was one."""
        return max((report.exit_code for report in self.restored), default=EXIT_OK)


def _bad(why: str) -> NoReturn:
    raise BadBundle(why, next_step=_AGAIN)


def _blobs_of(manifests: Iterable[Manifest]) -> tuple[Object, ...]:
    """Every blob once, in the order in which the manifests first name it; raises BadBundle for two sizes of one."""
    sizes: dict[Digest, int] = {}
    for blob in (blob for manifest in manifests for blob in manifest.blobs):
        if sizes.setdefault(blob.digest, blob.size) != blob.size:
            _bad("its models name one blob in two sizes")
    return tuple(Object(digest=digest, size=size) for digest, size in sizes.items())


def _require_fit(
    models: tuple[BundledModel, ...], manifests: tuple[Manifest, ...], blobs: tuple[Object, ...], hashes: bytes
) -> None:
    if not 0 < len(models) <= MOST_MODELS:
        _bad(f"{len(models):,} models in it; one to {MOST_MODELS:,} are allowed")
    if len({model.name.twin_key for model in models}) != len(models):
        _bad("a model's name stands twice in it")
    if blobs != _blobs_of(manifests):
        _bad("its blobs are not those that its manifests name")
    if sum(count(blob.size) for blob in blobs if blob.size > CHUNK) * _HASH != len(hashes):
        _bad("its chunk lists do not fit its blobs")


def _lists(blobs: Iterable[Object], hashes: bytes) -> Iterator[ChunkList | None]:
    begin = 0
    for blob in blobs:
        if blob.size <= CHUNK:
            yield None
            continue
        end = begin + count(blob.size) * _HASH
        yield ChunkList(blob=blob.digest, size=blob.size, hashes=hashes[begin:end])
        begin = end
