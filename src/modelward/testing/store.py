"""Build a store on disk exactly as Ollama lays it out, without an Ollama.

Layout facts: manifest/, server/create.go, server/download.go and types/model/ of Ollama v0.24.0.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.ollama.image."
_DEFAULTS = ("registry.ollama.ai", "library")
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestInfo:
    """A model as it was written: its full ``name``, the manifest's file and bytes, and digests as 64 hex digits.

    ``layers`` are in the manifest's order and may name a blob twice.
    """

    name: str
    path: Path
    raw: bytes
    digest: str
    config: str
    layers: tuple[str, ...]

    @property
    def blobs(self) -> tuple[str, ...]:
        """Every blob of the model once, the config first."""
        return tuple(dict.fromkeys((self.config, *self.layers)))


class FakeStore:
    """The store in the folder ``root``, which is made when it is not there.

    Names are read with Ollama's defaults, ``[host/][namespace/]model[:tag]``. A blob that is there already stays
    as it is, and a manifest is written in place, as Ollama does it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.parent.mkdir(parents=True, exist_ok=True)
        for name in ("blobs", "manifests"):
            self._make_folders(root / name)

    def add_blob(self, data: bytes) -> str:
        """Write a blob; its SHA-256 as 64 hex digits."""
        digest = hashlib.sha256(data).hexdigest()
        if not self.blob_path(digest).exists():
            _write(self.blob_path(digest), data)
        return digest

    def add_orphan(self, data: bytes) -> str:
        """Write a blob without a manifest that names it; its SHA-256 as 64 hex digits."""
        return self.add_blob(data)

    def add_model(  # noqa: PLR0913 - one keyword for each kind of layer
        self,
        name: str,
        weights: bytes | Sequence[bytes],
        *,
        template: bytes | None = None,
        params: bytes | None = None,
        license: bytes | None = None,  # noqa: A002 - Ollama's word
        system: bytes | None = None,
        newline: bool = False,
        media_types: Sequence[str] = (),
    ) -> ManifestInfo:
        """Write a GGUF model: one layer for each of the weights, then those of the small layers that are given.

        ``media_types`` says what the weights are, one word each ("model", "projector", "adapter"; default all
        "model"). With ``newline`` the manifest ends like those that ``ollama create`` writes, without it like
        those that ``ollama pull`` gets from the registry. An existing model of this name is replaced.
        """
        parts = [weights] if isinstance(weights, bytes) else list(weights)
        words = list(media_types) or ["model"] * len(parts)
        layers = [self._layer(_LAYER_TYPE + word, data) for word, data in zip(words, parts, strict=True)]
        small = {"template": template, "system": system, "license": license, "params": params}
        layers += [self._layer(_LAYER_TYPE + word, data) for word, data in small.items() if data is not None]
        return self._add(name, _gguf_config(), layers, newline=newline)

    def add_cloud_model(
        self, name: str, remote_host: str, remote_model: str, *, null_layers: bool = False
    ) -> ManifestInfo:
        """Write a model that another server runs: a config, and layers that are empty, or null."""
        config = {**_gguf_config(), "model_format": "", "remote_host": remote_host, "remote_model": remote_model}
        return self._add(name, config, None if null_layers else [], newline=True)

    def add_tensor_model(self, name: str, n: int) -> ManifestInfo:
        """Write a safetensors model of ``n`` layers, each a small tensor with a name."""
        names = [f"model.layers.{number}.mlp.down_proj.weight" for number in range(n)]
        layers = [self._layer(f"{_LAYER_TYPE}tensor", tensor.encode() * 32, name=tensor) for tensor in names]
        return self._add(name, {**_gguf_config(), "model_format": "safetensors"}, layers, newline=True)

    def add_manifest(self, name: str, raw: bytes) -> Path:
        """Write a manifest of any bytes, in place."""
        path = self.manifest_path(name)
        self._make_folders(path.parent)
        _write(path, raw)
        return path

    def add_partial(self, size: int = 8 * _MIB, completed: int = _MIB) -> str:
        """Leave a download that stopped: a sparse file and its sidecar; the blob's digest as 64 hex digits."""
        names = (hashlib.sha256(f"partial {number}".encode()).hexdigest() for number in count())
        digest = next(name for name in names if not self._partial_path(name).exists())
        path = self._partial_path(digest)
        _write(path, b"\xa5" * completed)
        with path.open("r+b") as file:
            file.truncate(size)
        part = {"N": 0, "Offset": 0, "Size": size, "Completed": completed}
        _write(path.with_name(f"{path.name}-0"), _json(part) + b"\n")
        return digest

    def manifest_path(self, name: str) -> Path:
        """Where the model's manifest is, or would be."""
        return self.root.joinpath("manifests", *_segments(name))

    def blob_path(self, digest: str) -> Path:
        """Where the blob of these 64 hex digits is, or would be."""
        return self.root / "blobs" / f"sha256-{digest}"

    def delete_manifest(self, name: str) -> None:
        """Lose the model's manifest; its folders and blobs stay."""
        self.manifest_path(name).unlink()

    def delete_blob(self, digest: str) -> None:
        """Lose a blob; manifests that name it stay."""
        self.blob_path(digest).unlink()

    def models(self) -> tuple[str, ...]:
        """The full names of all models, sorted."""
        paths = (path.relative_to(self.root / "manifests") for path in self.root.glob("manifests/*/*/*/*"))
        return tuple(sorted(_full_name(path.parts) for path in paths))

    def _partial_path(self, digest: str) -> Path:
        return self.root / "blobs" / f"sha256-{digest}-partial"

    def _layer(self, media_type: str, data: bytes, *, name: str = "") -> dict[str, object]:
        layer = {"mediaType": media_type, "digest": f"sha256:{self.add_blob(data)}", "size": len(data)}
        return {**layer, "name": name} if name else layer

    def _add(
        self, name: str, config: Mapping[str, object], layers: list[dict[str, object]] | None, *, newline: bool
    ) -> ManifestInfo:
        digests = [str(layer["digest"]) for layer in layers or ()]
        root_fs = {"type": "layers", "diff_ids": digests}
        config_layer = self._layer(_CONFIG_TYPE, _json({**config, "rootfs": root_fs}) + b"\n")
        document = {"schemaVersion": 2, "mediaType": _MANIFEST_TYPE, "config": config_layer, "layers": layers}
        raw = _json(document) + (b"\n" if newline else b"")
        return ManifestInfo(
            name=_full_name(_segments(name)),
            path=self.add_manifest(name, raw),
            raw=raw,
            digest=hashlib.sha256(raw).hexdigest(),
            config=_hex(str(config_layer["digest"])),
            layers=tuple(_hex(digest) for digest in digests),
        )

    def _make_folders(self, path: Path) -> None:
        """Make what is missing from the root down, open to all readers whatever the umask says."""
        for folder in (*reversed(path.parents), path):
            if folder.is_relative_to(self.root) and not folder.exists():
                folder.mkdir()
                folder.chmod(_FOLDER_MODE)


def _gguf_config() -> dict[str, object]:
    """A config as ``ollama create`` writes it, but for the last key."""
    return {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "74K",
        "file_type": "F32",
        "architecture": "amd64",
        "os": "linux",
    }


def _segments(name: str) -> tuple[str, str, str, str]:
    """Host, namespace, model and tag; a colon behind the last slash begins the tag, any other a port."""
    *front, last = name.split("/")
    if len(front) > len(_DEFAULTS) or not all((*front, last)):
        raise ValueError(f"{name!r} is not [host/][namespace/]model[:tag]")
    model, _, tag = last.partition(":")
    host, namespace = (*_DEFAULTS[: len(_DEFAULTS) - len(front)], *front)
    return host, namespace, model, tag or "latest"


def _full_name(segments: Iterable[str]) -> str:
    host, namespace, model, tag = segments
    return f"{host}/{namespace}/{model}:{tag}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _json(document: Mapping[str, object]) -> bytes:
    """Compact, as Go's encoder writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(_FILE_MODE)
