"""Collect what is to be seen of a store's damage: blobs, manifests, partial downloads, owners, tags, space."""

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modelward.domain.diagnose_blob import code_in
from modelward.domain.digest import Digest
from modelward.domain.errors import DamageError, ModelwardError, RegistryRefused, Unreachable
from modelward.domain.evidence import (
    BlobSeen,
    DamageEvidence,
    KernelEvidence,
    ManifestSeen,
    ModelSeen,
    OwnerSeen,
    PartialSeen,
    Remains,
    Room,
    TagSeen,
)
from modelward.domain.finding import (
    BadEntry,
    BlobFinding,
    CaseTwin,
    ManifestDamaged,
    ManifestLost,
    Missing,
    Orphan,
    Partial,
    WrongOwner,
)
from modelward.domain.manifest import MAX_BYTES, Manifest
from modelward.domain.name import ModelName
from modelward.domain.store import Inventory, Owner
from modelward.domain.verdict import Report
from modelward.durable import Folder
from modelward.evidence.blobs import Case, Examiner, Limits
from modelward.ports import Registry, Source, Store, Vault
from modelward.scan import Reading

_PARTIAL = re.compile(r"sha256-([0-9a-f]{64})-partial(?:-(\d{1,9}))?\Z")
_SIDECAR_BYTES = 4096
_CONFIG_BYTES = 1 << 16
_FEW_DIGITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Help:
    """Who else can say something: the vault, sources of good bytes, a registry, the kernel, and what was pinned.

    ``recalled`` are the manifests that a repair would put in place, of models whose own is lost or damaged.
    ``reader`` is the user that the server runs as, where that is known; ``server`` its version.
    """

    vault: Vault | None = None
    recalled: Mapping[ModelName, Manifest] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    registry: Registry | None = None
    pinned: Mapping[ModelName, Digest] = field(default_factory=dict)
    kernel: KernelEvidence = field(default_factory=KernelEvidence)
    reader: Owner | None = None
    server: str = ""


def collect(  # noqa: PLR0913 - the store, what was found in it, how to read, and who can help
    store: Store,
    inventory: Inventory,
    report: Report,
    reading: Reading,
    others: Help | None = None,
    *,
    limits: Limits | None = None,
) -> DamageEvidence:
    """All that is to be seen of the damage that a verify report found; reads only, and never more than the limits.

    Sources are asked for good bytes in the order of their rank. Raises Interrupted; what cannot be read, or does
    not answer, becomes a note.
    """
    return _Collector(store, inventory, report, reading, others or Help(), limits or Limits()).all()


class _Collector:
    def __init__(  # noqa: PLR0913, PLR0917 - made in one place, above
        self, store: Store, inventory: Inventory, report: Report, reading: Reading, others: Help, limits: Limits
    ) -> None:
        self._store, self._inventory, self._report = store, inventory, report
        self._reading, self._others, self._limits = reading, others, limits
        self._notes: list[str] = []
        self._manifests = _known_manifests(inventory, others.recalled)
        self._layers = {layer.digest: layer for manifest in self._manifests.values() for layer in manifest.blobs}
        self._root = _root(store)

    def all(self) -> DamageEvidence:
        """Everything, in the order of its cost."""
        return DamageEvidence(
            now=int(self._reading.clock.now().timestamp()),
            store=self._store.path,
            manifests=(*self._damaged_manifests(), *self._orphaned()),
            models=self._models(),
            partials=self._partials(),
            owners=self._owners(),
            tags=self._tags(),
            twins=tuple(finding for finding in self._inventory.findings if isinstance(finding, CaseTwin)),
            space=_space(self._store.path),
            kernel=self._others.kernel,
            server=self._others.server,
            blobs_changed=_changed(Path(self._store.path, "blobs")),
            blobs=self._blobs(),
            notes=tuple(self._notes),
        )

    # Blobs.

    def _blobs(self) -> tuple[BlobSeen, ...]:
        sizes = {blob: layer.size for blob, layer in self._layers.items()}
        examiner = Examiner(self._store, self._reading, self._others.vault, self._others.sources, sizes, self._limits)
        cases = self._cases()
        opened = [case for case in cases if not _gone(case)]
        if len(opened) > self._limits.blobs:
            self._notes.append(f"{len(opened)} blobs are damaged, {self._limits.blobs} of them were looked into")
        gone = [self._absent(case) for case in cases if _gone(case)]
        return (*gone, *(examiner.look(case) for case in opened[: self._limits.blobs]))

    def _cases(self) -> list[Case]:
        found: dict[Digest, list[BlobFinding]] = {}
        models: dict[Digest, list[ModelName]] = {}
        for verdict in self._report.models:
            for finding in verdict.findings:
                if finding.damage and isinstance(finding, BlobFinding) and not isinstance(finding, WrongOwner):
                    models.setdefault(finding.blob, []).append(verdict.name)
                    if finding not in found.setdefault(finding.blob, []):
                        found[finding.blob].append(finding)
        return [self._case(blob, findings, models[blob]) for blob, findings in found.items()]

    def _case(self, blob: Digest, findings: list[BlobFinding], models: list[ModelName]) -> Case:
        layer = self._layers.get(blob)
        return Case(
            blob=blob,
            size=findings[0].size,
            path=findings[0].path,
            findings=tuple(findings),
            models=tuple(dict.fromkeys(models)),
            media_type=layer.media_type if layer is not None else "",
        )

    def _absent(self, case: Case) -> BlobSeen:
        partials = {found.path for found in self._inventory.findings if isinstance(found, Partial)}
        return BlobSeen(
            blob=case.blob,
            path=case.path,
            size=case.size,
            models=case.models,
            findings=case.findings,
            partial=f"{case.path}-partial" in partials,
            near_orphan=next((blob for blob in self._orphans() if _near(blob.hex, case.blob.hex)), None),
        )

    def _orphans(self) -> tuple[Digest, ...]:
        return tuple(finding.blob for finding in self._inventory.findings if isinstance(finding, Orphan))

    def _models(self) -> tuple[ModelSeen, ...]:
        return tuple(
            ModelSeen(model=verdict.name, blobs=len(manifest.blobs), missing=len(missing))
            for verdict in self._report.models
            if (missing := {f.blob for f in verdict.findings if isinstance(f, Missing)})
            and (manifest := self._manifests.get(verdict.name)) is not None
        )

    # Manifests.

    def _damaged_manifests(self) -> list[ManifestSeen]:
        damaged = (ManifestLost, ManifestDamaged)
        findings = [f for verdict in self._report.models for f in verdict.findings if isinstance(f, damaged)]
        return [self._manifest(finding) for finding in findings]

    def _manifest(self, finding: ManifestLost | ManifestDamaged) -> ManifestSeen:
        raw = self._raw(finding.path) if isinstance(finding, ManifestDamaged) else None
        known = self._manifests.get(finding.model)
        denied = self._denied(finding)
        layers = known.blobs if known is not None else ()
        return ManifestSeen(
            path=finding.path,
            model=finding.model,
            size=len(raw) if raw is not None else None,
            blank=raw is not None and not raw.strip(b"\0"),
            reason=finding.reason if isinstance(finding, ManifestDamaged) else "",
            known=known is not None,
            denied=denied,
            blobs=self._remains([layer.digest for layer in layers]),
        )

    def _denied(self, finding: ManifestLost | ManifestDamaged) -> str:
        """Why the manifest cannot be looked at: an error of its own, or of a folder on the way to it."""
        if isinstance(finding, ManifestDamaged):
            return finding.reason if code_in(finding.reason) else ""
        ways = (f for f in self._inventory.findings if isinstance(f, BadEntry) and code_in(f.reason))
        return next((f.reason for f in ways if finding.path.startswith(f"{f.path}/")), "")

    def _remains(self, blobs: Sequence[Digest]) -> Remains:
        files = [self._inventory.blobs[blob].file for blob in blobs if blob in self._inventory.blobs]
        return Remains(
            total=len(blobs),
            present=len(files),
            bytes=sum(file.size for file in files),
            youngest=max((file.mtime_ns // 10**9 for file in files), default=0),
        )

    def _orphaned(self) -> list[ManifestSeen]:
        """Models that nobody remembers: an orphan that is a model's config and names other orphans as its layers."""
        orphans = set(self._orphans())
        needed = {blob for manifest in self._manifests.values() for blob in (x.digest for x in manifest.blobs)}
        seen: list[ManifestSeen] = []
        for blob in sorted(orphans - needed):
            layers = self._layers_of_config(blob)
            if any(layer in orphans for layer in layers):
                seen.append(ManifestSeen(path=self._store.blob_path(blob), blobs=self._remains([blob, *layers])))
        return seen

    def _layers_of_config(self, blob: Digest) -> list[Digest]:
        if self._root is None or self._inventory.blobs[blob].file.size > _CONFIG_BYTES:
            return []
        with suppress(DamageError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            document = json.loads(self._root.sub("blobs").read(f"sha256-{blob.hex}", _CONFIG_BYTES))
            if "model_format" in document:
                return [Digest.parse(digest) for digest in document["rootfs"]["diff_ids"][:10_000]]
        return []

    def _raw(self, path: str) -> bytes | None:
        """A small file of the store; None when it cannot be read."""
        if self._root is None:
            return None
        *folders, name = path.split("/")
        try:
            folder = self._root
            for part in folders:
                folder = folder.sub(part)
            return folder.read(name, MAX_BYTES)
        except DamageError:
            return None

    # Partial downloads.

    def _partials(self) -> tuple[PartialSeen, ...]:
        names: dict[str, list[tuple[str, str]]] = {}
        for finding in self._inventory.findings:
            name = finding.path.rpartition("/")[2] if isinstance(finding, Partial) else ""
            if (found := _PARTIAL.match(name)) is not None:
                names.setdefault(found[1], []).append((name, found[2] or ""))
        return tuple(self._partial(hex_digits, files) for hex_digits, files in sorted(names.items()))

    def _partial(self, hex_digits: str, files: list[tuple[str, str]]) -> PartialSeen:
        sidecars = {name: self._raw(f"blobs/{name}") for name, number in files if number}
        parts = {name: _part(raw) for name, raw in sidecars.items()}
        data = self._stat(f"sha256-{hex_digits}-partial")
        stats = [self._stat(name) for name, _ in files]
        spoken = sum(size for size, _ in (part for part in parts.values() if part is not None))
        layer = self._layers.get(Digest(hex_digits))
        total = max(spoken, data.st_size if data is not None else 0, layer.size if layer is not None else 0)
        return PartialSeen(
            path=f"blobs/sha256-{hex_digits}-partial",
            blob=hex_digits,
            done=sum(done for _, done in (part for part in parts.values() if part is not None)),
            total=total,
            modified=int(max((found.st_mtime for found in stats if found is not None), default=0)),
            sidecars=len(sidecars),
            empty=tuple(sorted(name for name, raw in sidecars.items() if raw is not None and not raw.strip(b"\0"))),
            garbled=tuple(sorted(n for n, raw in sidecars.items() if (raw or b"").strip(b"\0") and parts[n] is None)),
            gap=max(0, total - spoken),
            data=data is not None,
            models=self._inventory.users_of(Digest(hex_digits)),
        )

    def _stat(self, name: str) -> os.stat_result | None:
        with suppress(ModelwardError):
            return self._root.sub("blobs").stat(name) if self._root is not None else None
        return None

    # Owners.

    def _owners(self) -> tuple[OwnerSeen, ...]:
        """Files and folders that the server's user cannot read: what models are made of, and all on the way to it."""
        reader = self._others.reader or self._store.default_owner()
        root = PurePosixPath(self._store.path)
        folders = [*reversed(root.parents), root, root / "blobs", *_manifest_folders(root, self._inventory)]
        found = [(str(folder), owner, True) for folder in folders if (owner := _owner(folder)) is not None]
        found += [(_path(model.name), model.owner, False) for model in self._inventory.models.values()]
        found += [
            (self._store.blob_path(blob), self._inventory.blobs[blob].owner, False)
            for blob in self._layers
            if blob in self._inventory.blobs
        ]
        users = {self._store.blob_path(b): n for n, m in self._manifests.items() for b in (x.digest for x in m.blobs)}
        return tuple(
            OwnerSeen(
                path=path,
                owner=owner,
                reader=reader,
                known=self._others.reader is not None,
                folder=folder,
                models=(users[path],) if path in users else (),
            )
            for path, owner, folder in found
            if not may(owner, reader, 1 if folder else 4)
        )

    # Tags.

    def _tags(self) -> tuple[TagSeen, ...]:
        """Ask upstream for the tags of the models that were looked at; the first that is unreachable ends it."""
        registry = self._others.registry
        if registry is None:
            return ()
        names = [verdict.name for verdict in self._report.models if verdict.name in self._inventory.models]
        seen: list[TagSeen] = []
        for name in names[: self._limits.tags]:
            try:
                upstream = registry.manifest(name).digest
            except Unreachable as error:
                self._notes.append(f"upstream said nothing of {name.short}: {error.what}")
                if not isinstance(error, RegistryRefused):
                    break
                continue
            except ModelwardError as error:
                self._notes.append(f"upstream's manifest of {name.short} is none: {error.what}")
                continue
            seen.append(self._tag(name, upstream))
        return tuple(seen)

    def _tag(self, name: ModelName, upstream: Digest) -> TagSeen:
        recorded = self._others.pinned.get(name) or _recorded(self._others.vault, name)
        store = self._inventory.models[name].manifest.digest
        return TagSeen(model=name, store=store, upstream=upstream, recorded=recorded)


def may(owner: Owner, reader: Owner, right: int) -> bool:
    """Whether the user ``reader`` has this right (4 read, 1 enter) by owner, group or others."""
    if reader.uid == 0:
        return True
    if owner.uid == reader.uid:
        return bool(owner.mode & right << 6)
    if owner.gid == reader.gid:
        return bool(owner.mode & right << 3)
    return bool(owner.mode & right)


def _known_manifests(inventory: Inventory, recalled: Mapping[ModelName, Manifest]) -> dict[ModelName, Manifest]:
    """Manifests that can be read, the store's first; of those lost or damaged, what a repair would put in place."""
    damaged = {found.model for found in inventory.findings if isinstance(found, ManifestDamaged)}
    own = {name: model.manifest for name, model in inventory.models.items() if name not in damaged}
    return {**own, **recalled}


def _recorded(vault: Vault | None, name: ModelName) -> Digest | None:
    with suppress(ModelwardError):
        return next((s.manifest for s in vault.snapshots() if s.model == name), None) if vault is not None else None
    return None


def _root(store: Store) -> Folder | None:
    try:
        return Folder.open(Path(store.path))
    except DamageError:
        return None


def _gone(case: Case) -> bool:
    return any(isinstance(finding, Missing) for finding in case.findings)


def _near(one: str, other: str) -> bool:
    """Whether two digests differ in so few digits that one is the other, damaged."""
    return sum(a != b for a, b in zip(one, other, strict=True)) <= _FEW_DIGITS


def _part(raw: bytes | None) -> tuple[int, int] | None:
    """Size and bytes done of a sidecar (server/download.go of Ollama v0.24.0); None when it is not one."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(raw or b"")
        size, done = document["Size"], document["Completed"]
        if isinstance(size, int) and isinstance(done, int) and 0 <= done <= size:
            return size, done
    return None


def _manifest_folders(root: PurePosixPath, inventory: Inventory) -> list[PurePosixPath]:
    """Every folder on the way to a manifest, each once, outer ones first."""
    top = root / "manifests"
    ways = (top.joinpath(*name.parts[:depth]) for name in sorted(inventory.models) for depth in range(4))
    return list(dict.fromkeys([top, *ways]))


def _path(name: ModelName) -> str:
    return "/".join(("manifests", *name.parts))


def _owner(folder: PurePosixPath) -> Owner | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - the path may lead through links, as the server's does
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def _space(path: str) -> Room | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    return Room(
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        entries=found.f_favail if found.f_files else -1,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def _changed(path: Path) -> int:
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return 0
