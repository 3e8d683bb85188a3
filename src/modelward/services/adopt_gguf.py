"""Models that lie in GGUF files: these have no digest, so the header has to fit the file, and the hash names it."""

import os
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadObject,
    BadSetting,
    DamageError,
)
from modelward.domain.gguf import GgufHeader, read_header
from modelward.domain.interchange import Adopted, model_of
from modelward.domain.manifest import Manifest
from modelward.domain.modelfile import ENDINGS, SMALL, WEIGHTS, build_manifest
from modelward.domain.name import ModelName
from modelward.durable import Folder, reading_errors
from modelward.ports import VaultWriter
from modelward.services.site import Site
from modelward.services.take_in import Taken, bring_file, list_of, newest_of, opened, refused

_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loose:
    """A GGUF file and the files beside it that belong to it: kind and file name."""

    name: ModelName
    files: tuple[tuple[str, str], ...]


def from_gguf(site: Site, path: Path, name: ModelName | None, dry_run: bool) -> Taken:  # noqa: FBT001 - one of three
    """Every model that the file or folder is, and notes; raises BadSetting where there is none."""
    single = not path.is_dir()
    with closing(Folder.open(path.parent if single else path)) as folder:
        names = frozenset(folder.names())
        stems = [path.name[: -len(_SUFFIX)] if path.name.lower().endswith(_SUFFIX) else path.name] if single else None
        found = [_loose(stem, names, path.name if single else "", name) for stem in stems or _stems(names)]
        if not found:
            raise BadSetting("no GGUF file in this folder", thing=path, next_step="name a .gguf file or its folder")
        if name is not None and len(found) > 1:
            raise BadSetting(f"one name for {len(found)} models", thing=path, next_step="import the files one by one")
        notes = [
            f"{one.name.short}: no template beside it; the server falls back to a plain prompt"
            for one in found
            if "template" not in dict(one.files)
        ]
        if dry_run:
            return [_planned_gguf(folder, one) for one in found], notes
        with site.the_vault().writing("import") as writer:
            return [_take_gguf(site, writer, folder, one) for one in found], notes


def _stems(names: frozenset[str]) -> list[str]:
    """The models among the files: every GGUF that is not the projector or adapter of another one."""
    stems = {name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX)}
    parts = {f"{stem}-{kind}" for stem in stems for kind in ("projector", "adapter")}
    return sorted(stems - parts)


def _loose(stem: str, names: frozenset[str], weights: str, name: ModelName | None) -> _Loose:
    files = {kind: f"{stem}{ending}" for kind, ending in ENDINGS.items()}
    files["model"] = weights or files["model"]
    there = tuple((kind, file) for kind, file in files.items() if file in names)
    return _Loose(name=model_of(stem, name), files=there)


def _planned_gguf(folder: Folder, one: _Loose) -> Adopted:
    try:
        _header(folder, one)
    except DamageError as error:
        return refused(one.name, one.files[0][1], error)
    sizes = [found.st_size for _, file in one.files if (found := folder.stat(file)) is not None]
    return Adopted(name=one.name, source=one.files[0][1], outcome="planned", size=sum(sizes), bytes_moved=sum(sizes))


def _header(folder: Folder, one: _Loose) -> GgufHeader:
    """The weights' header; every other GGUF beside it has to be whole too."""
    headers = [_read_header(folder, file) for kind, file in one.files if kind in WEIGHTS]
    if headers[0].parts > 1:
        raise BadObject(
            f"one of {headers[0].parts} parts of a split model",
            thing=one.files[0][1],
            next_step="join them first: llama-gguf-split --merge",
        )
    if not headers[0].architecture or headers[0].kind not in ("", "model"):
        raise BadObject(f"a {headers[0].kind or 'file without an architecture'}, not a model", thing=one.files[0][1])
    return headers[0]


def _read_header(folder: Folder, file: str) -> GgufHeader:
    with opened(folder, file) as fd, reading_errors(f"{folder.path}/{file}"):
        try:
            return read_header(lambda offset, length: os.pread(fd, length, offset), os.fstat(fd).st_size)
        except BadObject as error:
            raise BadObject(error.what, thing=f"{folder.path}/{file}", next_step="download the file again") from error


def _take_gguf(site: Site, writer: VaultWriter, folder: Folder, one: _Loose) -> Adopted:
    source = f"{folder.path}/{one.files[0][1]}"
    try:
        header = _header(folder, one)
        brought = _Bringer(site, writer, folder)
        layers = [(kind, *brought.file(kind, file)) for kind, file in one.files]
        config, raw = build_manifest(header, layers)
        brought.bytes(config)
    except DamageError as error:
        return refused(one.name, one.files[0][1], error)
    newest = newest_of(site.the_vault(), one.name)
    manifest, owner = Manifest.parse(raw), site.store.default_owner()
    snapshot = writer.add_snapshot(one.name, manifest, f"gguf {source}", owner, newest)
    new = newest is None or newest.id != snapshot.id
    if new:
        site.audit("take in", model=one.name, snapshot=snapshot.id, source=source)
    outcome = "stored" if new else "unchanged"
    return Adopted(
        name=one.name,
        source=one.files[0][1],
        outcome=outcome,
        snapshot=snapshot.id,
        size=manifest.size,
        bytes_moved=brought.moved,
    )


class _Bringer:
    """Brings files without a name of their own into the vault: their SHA-256 becomes it."""

    def __init__(self, site: Site, writer: VaultWriter, folder: Folder) -> None:
        self._site, self._writer, self._folder = site, writer, folder
        self._vault = site.the_vault()
        self.moved = 0

    def file(self, kind: str, name: str) -> tuple[Digest, int]:
        """Digest and size of a file, which is in the vault then."""
        with opened(self._folder, name) as fd:
            size = os.fstat(fd).st_size
            if kind not in WEIGHTS and size > SMALL:
                raise BadObject(f"{size:,} bytes, the limit is {SMALL:,}", thing=f"{self._folder.path}/{name}")
            staged, checked = bring_file(self._writer, fd, size, self._site.reading)
            blob = Digest(checked.sha256)
            try:
                if self._vault.intact(blob, size):
                    return blob, size
                self._writer.publish_blob(staged, blob, list_of(blob, size, checked))
            finally:
                staged.discard()
        self.moved += size
        return blob, size

    def bytes(self, data: bytes) -> None:
        """A small object of our own making."""
        blob = Digest(sha256(data).hexdigest())
        if self._vault.intact(blob, len(data)):
            return
        staged = self._writer.stage(len(data))
        try:
            staged.write_at(memoryview(data), len(data), 0)
            self._writer.publish_blob(staged, blob)
        finally:
            staged.discard()
        self.moved += len(data)
