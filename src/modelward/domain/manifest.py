"""Read a runtime's manifest within hard limits, keeping its bytes exactly (T2)."""

import json
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import NoReturn, Self

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import BadDigest, BadManifest

MAX_BYTES = 4 << 20
MAX_LAYERS = 10_000
MAX_DEPTH = 32
MAX_SIZE = 1 << 50
_FEW = 8
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# Linear in time and constant in memory on any input: escapes go first, and an open string runs to the end. A backslash
# outside of a string ends every parser. No possessive patterns: they are broken before Python 3.11.5.
_ESCAPES = re.compile(r"\\.", re.DOTALL)
_STRINGS = re.compile(r'"[^"]*"?')
_BRACKETS = re.compile(r"[{}\[\]]")
_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,1024}\Z")
_MEDIA_TYPE = re.compile(r"[\x21-\x7e]{0,255}\Z")


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One blob that a manifest names: digest, size in bytes, what it holds, and a tensor's name."""

    digest: Digest
    size: int
    media_type: str
    name: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest's exact bytes and what they say; ``digest`` is the SHA-256 of the bytes."""

    raw: bytes
    digest: Digest
    config: Layer | None
    layers: tuple[Layer, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read manifest bytes; raises BadManifest with the reason in plain words."""
        document = _document(raw)
        config = document.get("config")
        layers = document.get("layers")
        if layers is None:
            layers = []
        if not isinstance(layers, list):
            _bad("layers is not a list")
        if len(layers) > MAX_LAYERS:
            _bad(f"{len(layers):,} layers, the limit is {MAX_LAYERS:,}")
        manifest = cls(
            raw=raw,
            digest=Digest(sha256(raw).hexdigest()),
            config=_layer(config, "config") if _present(config) else None,
            layers=tuple(_layer(item, f"layer {i}") for i, item in enumerate(layers)),
        )
        _one_size_each((*manifest.layers, *([manifest.config] if manifest.config else [])))
        return manifest

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob once, the config first, in the manifest's order."""
        named = ((self.config,) if self.config else ()) + self.layers
        return tuple({layer.digest: layer for layer in named}.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs, each counted once."""
        return sum(layer.size for layer in self.blobs)


def garbled_bytes(now: bytes, known: bytes) -> int:
    """How many bytes of a manifest were damaged since it was recorded; 0 when it is the same or another version.

    A manifest has no digest in the store, so a flipped bit may leave it well formed. Another version of a model
    changes a digest, which is about sixty of its bytes: eight at most, at equal length, are damage.
    """
    if len(now) != len(known):
        return 0
    different = sum(a != b for a, b in zip(now, known, strict=True))
    return different if different <= _FEW else 0


def _bad(why: str) -> NoReturn:
    raise BadManifest(why)


def _document(raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_BYTES:
        _bad(f"{len(raw):,} bytes, the limit is {MAX_BYTES:,}")
    if not raw.strip(b"\0 \t\r\n"):
        _bad("empty" if not raw else "nothing but zeros or blanks")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadManifest(f"not UTF-8 ({error.reason} at byte {error.start:,})") from error
    if _depth(text) > MAX_DEPTH:
        _bad(f"nested deeper than {MAX_DEPTH}")
    try:
        document = json.loads(text, object_pairs_hook=_no_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadManifest(f"not JSON ({str(error)[:120]})") from error
    if not isinstance(document, dict):
        _bad("not a JSON object")
    if document.get("schemaVersion") != 2 or not isinstance(document["schemaVersion"], int):
        _bad("schemaVersion is not 2")
    return document


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings, counted before any parser recurses."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", _ESCAPES.sub("", text))):
        depth += 1 if bracket[0] in "{[" else -1
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest


def _no_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        _bad("a key stands twice in one object")
    return document


def _no_constant(text: str) -> NoReturn:
    _bad(f"the number {text}")


def _present(config: object) -> bool:
    """Whether there is a config; a cloud model may leave it out, or give an empty digest."""
    if config is None:
        return False
    if not isinstance(config, dict):
        _bad("config is not an object")
    return bool(config) and config.get("digest") != ""


def _layer(item: object, where: str) -> Layer:
    if not isinstance(item, dict):
        _bad(f"{where} is not an object")
    size, digest = item.get("size"), item.get("digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        _bad(f"{where} has no valid size")
    if not isinstance(digest, str):
        _bad(f"{where} has no digest")
    try:
        parsed = Digest.parse(digest)
    except BadDigest as error:
        raise BadManifest(f"{where} has a bad digest {digest[:80]!r}") from error
    media_type, name = _text(item, "mediaType", _MEDIA_TYPE, where), _text(item, "name", _NAME, where)
    return Layer(digest=parsed, size=size, media_type=media_type, name=name)


def _text(item: dict[str, object], key: str, form: re.Pattern[str], where: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str) or not form.match(value):
        _bad(f"{where} has a bad {key}")
    return value


def _one_size_each(layers: Iterable[Layer]) -> None:
    sizes: dict[Digest, int] = {}
    for layer in layers:
        if sizes.setdefault(layer.digest, layer.size) != layer.size:
            _bad(f"two sizes for the blob {layer.digest}")
