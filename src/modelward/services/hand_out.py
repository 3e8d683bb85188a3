"""Hand out: a model of the vault as an OCI image layout, as loose GGUF files, or into another store.

Every byte is proved on its way, an existing file is never swapped for another one, and what other programs keep in
the same folder stays as it is. Layout facts: OCI image specification 1.1 (image-layout.md, annotations.md).
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from modelward.domain.codec import encode
from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting, BlobMissing, DamageError, HashMismatch, StoreNotAccepted
from modelward.domain.interchange import WRAPPER_LIMIT, HandOutReport
from modelward.domain.modelfile import MODELFILE, SMALL, WEIGHTS, left_out, loose_files, modelfile, stem_of
from modelward.domain.name import ModelName
from modelward.domain.snapshot import SnapshotContent
from modelward.domain.wrapper import ARTIFACT_TYPE, OCI_MANIFEST, Object
from modelward.durable import Folder, Staged, locked, put_small, remove, small_file
from modelward.scan import hash_whole
from modelward.services.objects import object_bytes
from modelward.services.push import chosen
from modelward.services.restore import restore
from modelward.services.site import Site

_OWN, _STAGING, _LOCK = ".modelward", "staging", "lock"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_INDEX_LIMIT = 16 << 20
_REF = "org.opencontainers.image.ref.name"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_WAIT = 10.0
_HEAL = "run: modelward repair --vault-copy, then the command again"


def hand_out(  # noqa: PLR0913 - what, in which version, where to, in which form
    site: Site, name: ModelName, snapshot: str, target: Path, form: str, *, dry_run: bool = False
) -> HandOutReport:
    """Write the snapshot (id or part of it; empty: the newest) to the folder ``target``, as oci, gguf or store.

    For ``store`` the site's store has to be the one at ``target``. Raises BadSetting for a folder that holds
    something else, HashMismatch for a rotten object of the vault; the target then lacks the model and no more.
    """
    began = site.clock.monotonic()
    if form == "store":
        report = _to_store(site, name, snapshot, target, dry_run=dry_run)
    else:
        content = chosen(site.the_vault(), name, snapshot)
        work = _Oci(site, content, target) if form == "oci" else _Gguf(site, content, target)
        report = work.plan() if dry_run else _audited(site, work)
    return msgspec.structs.replace(report, seconds=round(site.clock.monotonic() - began, 3), dry_run=dry_run)


def _audited(site: Site, work: "_Work") -> HandOutReport:
    snapshot = work.content.snapshot
    with site.audited("export", model=snapshot.model, snapshot=snapshot.id, target=str(work.target)) as told:
        report = work.run()
        told["bytes"] = report.bytes_moved
    return report


def _to_store(site: Site, name: ModelName, snapshot: str, target: Path, *, dry_run: bool) -> HandOutReport:
    if Path(site.store.path) != target.expanduser().resolve():
        raise StoreNotAccepted("not the store that was opened", thing=target, next_step="name it with --store")
    done = restore(site, name, snapshot, accepted=True, dry_run=dry_run)
    failed = [f"{action.step}: {action.error}" for action in done.actions if action.error]
    return HandOutReport(
        model=name,
        snapshot=snapshot or chosen(site.the_vault(), name, "").snapshot.id,
        form="store",
        target=site.store.path,
        reference=name.short,
        files=tuple(action.target for action in done.actions if not action.error),
        notes=(*done.notes, *failed),
        bytes_moved=done.bytes_moved,
        exit_code=done.exit_code,
    )


class _Work(ABC):
    """One model on its way into a folder."""

    form, reference = "", ""

    def __init__(self, site: Site, content: SnapshotContent, target: Path) -> None:
        self.site, self.vault, self.content = site, site.the_vault(), content
        self.target = target.expanduser().resolve()
        self.files: list[str] = []
        self.kept: list[str] = []
        self.notes: list[str] = []
        self.moved = 0

    @abstractmethod
    def wanted(self) -> dict[str, Object]:
        """The files to write: path below the target, and the vault's object that it is."""

    @abstractmethod
    def write(self, root: Folder, staging: Folder) -> None:
        """Write them."""

    def check(self, root: Folder) -> None:  # noqa: B027 - most folders are for anything
        """Raise BadSetting where the folder is not for this."""

    def plan(self) -> HandOutReport:
        """What would be written."""
        with suppress(BlobMissing), closing(Folder.open(self.target)) as root:
            self.check(root)
        for name, size in ((name, item.size) for name, item in self.wanted().items()):
            there = self.target / name
            if there.is_file() and there.stat().st_size == size:
                self.kept.append(name)
            else:
                self.files.append(name)
                self.moved += size
        return self.report()

    def run(self) -> HandOutReport:
        """Write it all, in a folder that is ours alone until then."""
        self.site.progress.begin("export", sum(item.size for item in self.wanted().values()))
        with closing(Folder.open(self.target, create=True, mode=_FOLDER_MODE)) as root:
            self.check(root)
            with staging_in(root, self.site) as staging:
                self.write(root, staging)
        return self.report()

    def report(self) -> HandOutReport:
        """What was done."""
        return HandOutReport(
            model=self.content.snapshot.model,
            snapshot=self.content.snapshot.id,
            form=self.form,
            target=str(self.target),
            reference=self.reference,
            files=tuple(self.files),
            kept=tuple(self.kept),
            notes=tuple(self.notes),
            bytes_moved=self.moved,
        )

    def put(self, staging: Folder, folder: Folder, path: str, item: Object) -> None:
        """One object as the last part of ``path``, proved; what stands there is compared first (W3)."""
        name, blob, size = path.rpartition("/")[2], item.digest, item.size
        if self._stands(folder, name, blob, size):
            self.kept.append(path)
            return
        staged = Staged(staging, size, direct=True)
        try:
            self._fill(staged, blob, size)
            staged.finish(_FILE_MODE)
            try:
                staged.publish(folder, name)
            except FileExistsError:
                self.in_the_way(staged, folder, name)
        finally:
            staged.discard()
        self.files.append(path)
        self.moved += size

    def in_the_way(self, staged: Staged, folder: Folder, name: str) -> None:  # noqa: ARG002 - one form replaces it
        """A file of other content has the name."""
        refuse(f"{folder.path}/{name}")

    def put_text(self, staging: Folder, folder: Folder, name: str, data: bytes) -> None:
        """A small file of our own making."""
        try:
            if folder.read(name, SMALL) == data:
                self.kept.append(name)
                return
            refuse(f"{folder.path}/{name}")
        except BlobMissing:
            pass
        staged = small_file(staging, data, _FILE_MODE)
        try:
            staged.publish(folder, name)
        except FileExistsError:
            refuse(f"{folder.path}/{name}")
        finally:
            staged.discard()
        self.files.append(name)
        self.moved += len(data)

    def _stands(self, folder: Folder, name: str, blob: Digest, size: int) -> bool:
        found = folder.stat(name)
        if found is None or found.st_size != size:
            return False
        fd = folder.open_file(name)
        try:
            return hash_whole(fd, size, self.site.reading.through_cache()).sha256 == blob.hex
        finally:
            os.close(fd)

    def _fill(self, staged: Staged, blob: Digest, size: int) -> None:
        fd, reading = self.vault.open_blob(blob), self.site.reading.through_cache()
        try:
            cloned = staged.clone_from(fd)
            found = hash_whole(staged.fd, size, reading) if cloned else hash_whole(fd, size, reading, sink=staged)
        finally:
            os.close(fd)
        if found.sha256 != blob.hex:
            raise HashMismatch("the vault's object is damaged", thing=self.vault.blob_path(blob), next_step=_HEAL)


class _Oci(_Work):
    """An OCI image layout: just this model's wrapper, beside whatever images lie there already."""

    form = "oci"

    def __init__(self, site: Site, content: SnapshotContent, target: Path) -> None:
        super().__init__(site, content, target)
        self.reference = str(content.snapshot.model)

    def wanted(self) -> dict[str, Object]:
        """Every object that the wrapper names, then the wrapper."""
        wrapper = self.content.snapshot.wrapper
        size = len(object_bytes(self.vault, wrapper, WRAPPER_LIMIT))
        objects = (*self.content.wrapper.objects, Object(digest=wrapper, size=size))
        return {f"blobs/sha256/{item.digest.hex}": item for item in objects}

    def check(self, root: Folder) -> None:
        """A new or empty folder, or an image layout that is not a vault."""
        names = [name for name in root.names() if name != _OWN]
        if "modelward" in names:
            refuse_folder(self.target, "it is a vault, which takes models by modelward import")
        if names and "oci-layout" not in names:
            refuse_folder(self.target, f"it holds other things ({names[0]}) and is no OCI image layout")

    def write(self, root: Folder, staging: Folder) -> None:
        """Objects first, the index that names them last (W2)."""
        if root.stat("oci-layout") is None:
            put_small(staging, root, "oci-layout", _LAYOUT, mode=_FILE_MODE)
        top = root.sub("blobs", create=True, mode=_FOLDER_MODE)
        blobs = top.sub("sha256", create=True, mode=_FOLDER_MODE)
        wanted = self.wanted()
        for path, item in wanted.items():
            self.put(staging, blobs, path, item)
        index = self._index(root, wanted.popitem()[1])
        put_small(staging, root, "index.json", index, mode=_FILE_MODE)

    def in_the_way(self, staged: Staged, folder: Folder, name: str) -> None:
        """Under a digest's name stands what does not have that digest: it is no good to anybody."""
        self.notes.append(f"a damaged object was replaced: {name}")
        staged.replace(folder, name)

    def _index(self, root: Folder, wrapper: Object) -> bytes:
        """The index with this model's name renewed; what others wrote into it stays word for word."""
        document = _read_index(root)
        others = [item for item in _manifests(document) if _ref(item) != self.reference]
        mine = {
            "mediaType": OCI_MANIFEST,
            "digest": str(wrapper.digest),
            "size": wrapper.size,
            "artifactType": ARTIFACT_TYPE,
            "annotations": {
                _REF: self.reference,
                "org.opencontainers.image.created": self.content.snapshot.created_at.isoformat(),
            },
        }
        return msgspec.json.format(encode({**document, "manifests": [*others, mine]}), indent=1)


class _Gguf(_Work):
    """The weights as a GGUF file, the template and the like beside it, and a Modelfile."""

    form = "gguf"

    def __init__(self, site: Site, content: SnapshotContent, target: Path) -> None:
        super().__init__(site, content, target)
        self._loose = loose_files(content.snapshot.model, content.manifest)
        self.reference = stem_of(content.snapshot.model) + MODELFILE
        self.notes += [f"left out: {kind}" for kind in left_out(content.manifest)]

    def wanted(self) -> dict[str, Object]:
        """The layers that have a place among loose files."""
        return {file.name: Object(digest=file.layer.digest, size=file.layer.size) for file in self._loose}

    def write(self, root: Folder, staging: Folder) -> None:
        """The Modelfile, which names the others, comes last."""
        for path, item in self.wanted().items():
            self.put(staging, root, path, item)
        texts = {
            file.layer.digest: object_bytes(self.vault, file.layer.digest, SMALL)
            for file in self._loose
            if file.kind not in WEIGHTS
        }
        self.put_text(staging, root, self.reference, modelfile(self._loose, texts).encode())


@contextmanager
def staging_in(root: Folder, site: Site) -> Iterator[Folder]:
    """A folder of our own below the target, empty, held by a lock, and gone in the end."""
    own = root.sub(_OWN, create=True)
    try:
        with locked(own, _LOCK, holder="modelward export", clock=site.clock, wait=_WAIT):
            staging = own.sub(_STAGING, create=True)
            remove(staging, *staging.names())
            try:
                yield staging
            finally:
                staging.close()
                remove(root, _OWN)
    finally:
        own.close()


def refuse(path: str) -> NoReturn:
    """Nothing that is not ours is written over."""
    raise BadSetting("another file has this name already", thing=path, next_step="move it away, or give another folder")


def refuse_folder(path: Path, why: str) -> NoReturn:
    """The folder is somebody else's."""
    raise BadSetting(why, thing=path, next_step="give an empty or new folder, or an OCI image layout")


def _read_index(root: Folder) -> dict[str, object]:
    """The layout's index; an empty one where there is none."""
    blank: dict[str, object] = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
    try:
        document = msgspec.json.decode(root.read("index.json", _INDEX_LIMIT))
    except BlobMissing:
        return blank
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, DamageError) as error:
        raise BadSetting(
            f"its index cannot be read ({error})",
            thing=f"{root.path}/index.json",
            next_step="give another folder, or mend that file",
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("manifests", []), list):
        refuse_folder(Path(root.path), "its index.json is not that of an image layout")
    return document


def _manifests(document: dict[str, object]) -> list[object]:
    found = document.get("manifests", [])
    return found if isinstance(found, list) else []


def _ref(item: object) -> object:
    notes = item.get("annotations") if isinstance(item, dict) else None
    return notes.get(_REF) if isinstance(notes, dict) else None
