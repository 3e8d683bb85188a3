"""A model as loose files and back: what each layer is called, the Modelfile text, and a manifest made anew.

Facts: parser/parser.go (quoting), server/create.go and types/model/config.go of Ollama v0.24.0.
"""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting
from modelward.domain.gguf import GgufHeader
from modelward.domain.manifest import DOCKER_MANIFEST, Layer, Manifest
from modelward.domain.name import ModelName

CONFIG = "application/vnd.docker.container.image.v1+json"
_IMAGE = "application/vnd.ollama.image."
# Kind of layer: how its file's name goes on behind the model's own.
ENDINGS = {
    "model": ".gguf",
    "projector": "-projector.gguf",
    "adapter": "-adapter.gguf",
    "template": ".template",
    "system": ".system",
    "license": ".license",
    "params": ".params.json",
    "messages": ".messages.json",
}
WEIGHTS = ("model", "projector", "adapter")
MODELFILE = ".Modelfile"
SMALL = 4 << 20
_OLD_WORDS = {"prompt": "template"}
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_ROLES = frozenset({"system", "user", "assistant"})


class LooseFile(msgspec.Struct, frozen=True, kw_only=True):
    """One layer as a file: its kind, its name in the folder, and the blob that it is."""

    kind: str
    name: str
    layer: Layer


def stem_of(model: ModelName) -> str:
    """What the files of a model begin with; made of segments of its name only, so that it is one plain name."""
    return f"{model.model}-{model.tag}"


def kind_of(layer: Layer) -> str:
    """The word for what a layer holds: ``model``, ``template`` ...; empty for what has no place among loose files."""
    word = layer.media_type.removeprefix(_IMAGE) if layer.media_type.startswith(_IMAGE) else ""
    word = _OLD_WORDS.get(word, word)
    return word if word in ENDINGS else ""


def loose_files(model: ModelName, manifest: Manifest) -> tuple[LooseFile, ...]:
    """The files that the model consists of; raises BadSetting for one that is not one file of weights."""
    stem, seen, files = stem_of(model), dict.fromkeys(ENDINGS, 0), []
    for layer in manifest.layers:
        if kind := kind_of(layer):
            seen[kind] += 1
            turn = f"-{seen[kind]}" if seen[kind] > 1 else ""
            front, dot, end = ENDINGS[kind].partition(".")
            files.append(LooseFile(kind=kind, name=f"{stem}{front}{turn}{dot}{end}", layer=layer))
    if seen["model"] != 1:
        raise BadSetting(
            f"its weights are {seen['model'] or 'not'} GGUF file{'s' if seen['model'] else 's of their own'}",
            thing=model.short,
            next_step="hand it out whole: modelward export MODEL TARGET --as oci (or store, or bundle)",
        )
    return tuple(files)


def left_out(manifest: Manifest) -> tuple[str, ...]:
    """Media types of the layers that loose files have no place for."""
    return tuple(sorted({layer.media_type or "unknown" for layer in manifest.layers if not kind_of(layer)}))


def modelfile(files: Sequence[LooseFile], texts: Mapping[Digest, bytes]) -> str:
    """The Modelfile that makes the model again by ``ollama create``; ``texts`` are the small layers' bytes.

    What cannot be said in a Modelfile (it knows no escapes) is named in a comment.
    """
    lines: list[str] = []
    for file in files:
        text = texts.get(file.layer.digest, b"").decode("utf-8", "replace")
        match file.kind:
            case "model" | "projector":
                lines.append(f"FROM ./{file.name}")
            case "adapter":
                lines.append(f"ADAPTER ./{file.name}")
            case "params":
                lines += _parameters(text, file.name)
            case "messages":
                lines += _messages(text, file.name)
            case _:
                lines.append(_line(file.kind.upper(), text, file.name))
    return "\n".join(lines) + "\n"


def build_manifest(header: GgufHeader, layers: Sequence[tuple[str, Digest, int]]) -> tuple[bytes, bytes]:
    """Config and manifest bytes of a GGUF model, as Ollama's ``create`` makes them; layers are kind, digest, size."""
    config = _json(
        {
            "model_format": "gguf",
            "model_family": header.architecture,
            "model_families": [header.architecture],
            "model_type": header.size_label,
            "file_type": header.file_type,
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [str(digest) for _, digest, _ in layers]},
        }
    )
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _layer(CONFIG, Digest(sha256(config).hexdigest()), len(config)),
        "layers": [_layer(_IMAGE + kind, digest, size) for kind, digest, size in layers],
    }
    return config, _json(document)


def _json(document: Mapping[str, object]) -> bytes:
    """Compact and with a newline, as Go's encoder writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _layer(kind: str, digest: Digest, size: int) -> dict[str, object]:
    return {"mediaType": kind, "digest": str(digest), "size": size}


def _line(word: str, text: str, file: str) -> str:
    quoted = _quoted(text)
    return f"{word} {quoted}" if quoted is not None else f"# {word}: see {file}; a Modelfile has no words for it"


def _quoted(text: str) -> str | None:
    """The text between three quotes, the one form that takes every text but one with three quotes in it."""
    if '"""' in text or text.endswith('"') or "\0" in text:
        return None
    return f'"""{text}"""'


def _parameters(text: str, file: str) -> list[str]:
    lines = []
    for key, value in _object(text).items():
        for item in value if isinstance(value, list) else [value]:
            if not _PARAMETER.match(key) or isinstance(item, dict | list | None):
                lines.append(f"# PARAMETER: see {file}; a Modelfile has no words for it")
            else:
                plain = item if isinstance(item, str) else json.dumps(item)
                simple = bool(plain) and plain.isprintable() and plain == plain.strip() and '"' not in plain
                lines.append(f"PARAMETER {key} {plain}" if simple else _line(f"PARAMETER {key}", plain, file))
    return lines


def _messages(text: str, file: str) -> list[str]:
    lines = []
    for item in _list(text):
        role, content = item.get("role"), item.get("content")
        if role in _ROLES and isinstance(content, str):
            lines.append(_line(f"MESSAGE {role}", content, file))
        else:
            lines.append(f"# MESSAGE: see {file}; a Modelfile has no words for it")
    return lines


def _object(text: str) -> dict[str, object]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(text: str) -> list[dict[str, object]]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []
