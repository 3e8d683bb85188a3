"""What goes out to and comes in from other tools: references, proofs of foreign wrappers, and the reports."""

import re
from hashlib import sha256
from typing import Self

import msgspec

from modelward.domain.chunks import CHUNK, ChunkList, count
from modelward.domain.digest import Digest
from modelward.domain.errors import EXIT_DAMAGE, EXIT_OK, BadDigest, BadName, BadObject, HashMismatch
from modelward.domain.manifest import MAX_BYTES, MAX_LAYERS, Manifest
from modelward.domain.name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName
from modelward.domain.wrapper import Object, Wrapper, unwrap, wrap

WRAPPER_LIMIT = 16 << 20
LIST_LIMIT = 64 << 20
_LIST_HEADER = 64
_HASH = 32

# The words of the OCI distribution specification 1.1 ("Pulling manifests"); hosts as in a URL, IPv6 in brackets.
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_REPOSITORY = re.compile(
    r"(?=.{1,255}\Z)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_FORM = "write host[:port]/repository[:tag], the repository in lower case"
_NOT_FOR_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a registry: ``host[:port]/repository:tag``, or ``@sha256:...`` for one version for ever."""

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, *, tag: str = DEFAULT_TAG) -> Self:
        """Read ``host[:port]/repository[:tag|@digest]``; ``tag`` is for a text without one. Raises BadName."""
        rest, at, pinned = text.strip().partition("@")
        host, slash, path = rest.partition("/")
        head, colon, named = path.rpartition(":")
        repository, tag = (head, named) if colon else (path, tag)
        digest = _digest(pinned) if at else None
        for rule, part, what in ((_HOST, host, "host"), (_REPOSITORY, repository, "repository"), (_TAG, tag, "tag")):
            if not slash or not rule.match(part):
                raise BadName(f"not a valid {what} of a registry", thing=repr(text[:300]), next_step=_FORM)
        return cls(host=host, repository=repository, tag="" if digest and not colon else tag, digest=digest)

    @property
    def place(self) -> str:
        """The repository with its host, as registries are asked by: ``host[:port]/repository``."""
        return f"{self.host}/{self.repository}"

    @property
    def reference(self) -> str:
        """What a registry is asked for: the digest, when there is one, else the tag."""
        return str(self.digest) if self.digest is not None else self.tag

    @property
    def model(self) -> ModelName:
        """The model that this is a copy of, as far as the place tells: the repository's last word, and the tag."""
        return ModelName(DEFAULT_HOST, DEFAULT_NAMESPACE, self.repository.rpartition("/")[2], self.tag or DEFAULT_TAG)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@{self.digest}" if self.digest is not None else "")


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A wrapper from elsewhere with its manifest, both proved: one that this program would have written."""

    raw: bytes
    digest: Digest
    wrapper: Wrapper
    manifest: Manifest


class HandOutReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model handed out: ``form`` is oci, gguf or store; ``files`` were written, ``kept`` were there already."""

    model: ModelName
    snapshot: str
    form: str
    target: str
    reference: str = ""
    files: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_moved: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    exit_code: int = EXIT_OK


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """One model taken in: ``outcome`` is stored, unchanged, planned (dry run) or refused with its ``reason``."""

    name: ModelName
    source: str
    outcome: str
    snapshot: str = ""
    size: int = 0
    bytes_moved: int = 0
    reason: str = ""


class AdoptReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken into the vault from a folder or file of another form: oci, gguf or store."""

    form: str
    path: str
    vault: str
    models: tuple[Adopted, ...]
    notes: tuple[str, ...] = ()
    bytes_moved: int = 0
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """1 when a model was refused, else 0."""
        return EXIT_DAMAGE if any(model.outcome == "refused" for model in self.models) else EXIT_OK


class PushReport(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot sent to a registry: objects sent, objects that were there, and what the tag named before."""

    model: ModelName
    snapshot: str
    target: str
    wrapper: Digest
    sent: int = 0
    present: int = 0
    replaced: str = ""
    bytes_moved: int = 0
    seconds: float = 0.0
    dry_run: bool = False


class FetchReport(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot fetched from a registry: ``outcome`` is stored, unchanged or planned (dry run)."""

    model: ModelName
    outcome: str
    source: str
    vault: str
    wrapper: Digest
    snapshot: str = ""
    size: int = 0
    fetched: int = 0
    present: int = 0
    bytes_moved: int = 0
    seconds: float = 0.0
    dry_run: bool = False


def open_wrapper(raw: bytes, expected: Digest | None = None) -> Wrapper:
    """A wrapper from elsewhere; raises HashMismatch, or BadObject for one of another kind or past the limits."""
    digest = Digest(sha256(raw).hexdigest())
    if expected is not None and digest != expected:
        raise HashMismatch("the bytes are not those of its name", thing=expected)
    if len(raw) > WRAPPER_LIMIT:
        raise BadObject(f"a wrapper of {len(raw):,} bytes, the limit is {WRAPPER_LIMIT:,}", thing=digest)
    wrapper = unwrap(raw)
    if len(wrapper.blobs) > MAX_LAYERS + 1 or len(wrapper.chunk_lists) > len(wrapper.blobs):
        raise BadObject(f"a wrapper of more than {MAX_LAYERS:,} layers", thing=digest)
    if wrapper.manifest.size > MAX_BYTES:
        raise BadObject(f"a model's manifest of {wrapper.manifest.size:,} bytes", thing=digest)
    return wrapper


def open_parcel(raw: bytes, manifest: bytes) -> Parcel:
    """Prove that the wrapper is the only one of this manifest: same layers, kinds and sizes, fitting chunk lists."""
    wrapper, digest = open_wrapper(raw), Digest(sha256(raw).hexdigest())
    if sha256(manifest).hexdigest() != wrapper.manifest.digest.hex or len(manifest) != wrapper.manifest.size:
        raise HashMismatch("the bytes are not those of its name", thing=wrapper.manifest.digest)
    model = Manifest.parse(manifest)
    large = {blob.digest: _LIST_HEADER + _HASH * count(blob.size) for blob in model.blobs if blob.size > CHUNK}
    if large != {blob: found.size for blob, found in wrapper.chunk_lists.items()}:
        raise BadObject("a wrapper whose chunk lists do not fit its blobs", thing=digest)
    if max(large.values(), default=0) > LIST_LIMIT:
        raise BadObject(f"a chunk list above {LIST_LIMIT:,} bytes", thing=digest)
    if wrap(model, wrapper.chunk_lists) != raw:
        raise BadObject("a wrapper that does not say what its model's manifest says", thing=digest)
    return Parcel(raw=raw, digest=digest, wrapper=wrapper, manifest=model)


def open_list(parcel: Parcel, blob: Digest, data: bytes) -> ChunkList:
    """The chunk list that the parcel names for a blob, proved; raises HashMismatch or BadObject."""
    named: Object = parcel.wrapper.chunk_lists[blob]
    if sha256(data).hexdigest() != named.digest.hex:
        raise HashMismatch("the bytes are not those of its name", thing=named.digest)
    chunk_list = ChunkList.parse(data)
    size = next(found.size for found in parcel.manifest.blobs if found.digest == blob)
    if (chunk_list.blob, chunk_list.size) != (blob, size):
        raise BadObject("a chunk list of another blob", thing=named.digest)
    return chunk_list


def model_of(stem: str, name: ModelName | None = None) -> ModelName:
    """The name for a model that a file's name without its ending tells; raises BadName where there is none in it."""
    if name is not None:
        return name
    word = _NOT_FOR_A_NAME.sub("-", stem).strip("-.").removesuffix(f"-{DEFAULT_TAG}")
    try:
        return ModelName(DEFAULT_HOST, DEFAULT_NAMESPACE, word, DEFAULT_TAG)
    except BadName as error:
        raise BadName(
            "no model's name follows from this file's name",
            thing=repr(stem[:100]),
            next_step="give one: --as-name NAME",
        ) from error


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except BadDigest as error:
        raise BadName("not a digest behind the @", thing=repr(text[:80]), next_step=_FORM) from error
