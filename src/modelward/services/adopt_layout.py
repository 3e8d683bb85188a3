"""Models that lie in an OCI image layout: what it lists, every byte proved against the digests that name it."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelward.domain.chunks import ChunkList
from modelward.domain.codec import learned
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadDigest,
    BadName,
    BadObject,
    BadSetting,
    DamageError,
    HashMismatch,
)
from modelward.domain.interchange import WRAPPER_LIMIT, Adopted, Parcel
from modelward.domain.name import ModelName
from modelward.domain.wrapper import ARTIFACT_TYPE
from modelward.durable import Folder
from modelward.ports import VaultWriter
from modelward.services.site import Site
from modelward.services.take_in import Taken, Taker, bring_file, lacking, opened, refused, unpack

_INDEX_LIMIT = 256 << 20
_MOST = 10_000
_REF = "org.opencontainers.image.ref.name"
_CREATED = "org.opencontainers.image.created"
_NAME_IT = "give the name: --as-name NAME"


class _Item(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    artifact_type: str = ""
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class _Index(msgspec.Struct, frozen=True):
    manifests: tuple[_Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A wrapper that a layout lists, and the model that it is listed as."""

    name: ModelName
    wrapper: Digest
    created: str


class _Layout:
    """An image layout as a place that wrapped models lie in."""

    def __init__(self, site: Site, root: Folder) -> None:
        self._site, self._root = site, root
        self._blobs = root.sub("blobs").sub("sha256")

    def wrappers(self, name: ModelName | None) -> tuple[list[_Found], list[str]]:
        """What is listed, the oldest first and each version once; and notes on what was passed over."""
        found: dict[tuple[ModelName, Digest], _Found] = {}
        notes: list[str] = []
        for item in self._items():
            try:
                wrapper = Digest.parse(item.digest)
                listed = name or _listed_name(item)
            except (BadDigest, BadName) as error:
                notes.append(f"passed over: {error}")
                continue
            if self._is_ours(item, wrapper):
                found.setdefault((listed, wrapper), _Found(name=listed, wrapper=wrapper, created=_created(item)))
        return sorted(found.values(), key=lambda one: one.created), notes

    def _items(self) -> tuple[_Item, ...]:
        try:
            items = msgspec.json.decode(self._root.read("index.json", _INDEX_LIMIT), type=learned(_Index)).manifests
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadObject(f"its index cannot be read ({error})", thing=f"{self._root.path}/index.json") from error
        if len(items) > _MOST:
            raise BadObject(f"{len(items):,} images, the limit is {_MOST:,}", thing=f"{self._root.path}/index.json")
        return items

    def _is_ours(self, item: _Item, wrapper: Digest) -> bool:
        """Whether it is a model: as the index says, else (other tools leave the kind out) as its own bytes say."""
        if item.artifact_type:
            return item.artifact_type == ARTIFACT_TYPE
        try:
            return ARTIFACT_TYPE.encode() in self._blobs.read(wrapper.hex, WRAPPER_LIMIT)
        except DamageError:
            return False

    def raw(self, wrapper: Digest) -> bytes:
        """A wrapper's bytes, not proved yet."""
        return self._blobs.read(wrapper.hex, WRAPPER_LIMIT)

    def small(self, digest: Digest, size: int) -> bytes:
        """An object whole, not proved yet."""
        return self._blobs.read(digest.hex, size)

    def bring(self, writer: VaultWriter, blob: Digest, size: int, chunk_list: ChunkList | None) -> None:
        """Clone or copy the blob in, proved."""
        with opened(self._blobs, blob.hex) as fd:
            staged, checked = bring_file(writer, fd, size, self._site.reading)
        try:
            if checked.sha256 != blob.hex or (chunk_list is not None and chunk_list.hashes != checked.hashes):
                raise HashMismatch("the bytes are not those of its name", thing=f"{self._blobs.path}/{blob.hex}")
            writer.publish_blob(staged, blob, chunk_list)
        finally:
            staged.discard()


def _listed_name(item: _Item) -> ModelName:
    """The model's name in a reference ``name`` or ``name@snapshot``."""
    reference = item.annotations.get(_REF, "")
    if not reference:
        raise BadName("an image without a name", thing=item.digest[:80], next_step=_NAME_IT)
    return ModelName.parse(reference.partition("@")[0])


def _created(item: _Item) -> str:
    return item.annotations.get(_CREATED, "")


def from_layout(site: Site, path: Path, name: ModelName | None, dry_run: bool) -> Taken:  # noqa: FBT001 - one of three
    """Every model that the layout lists, and notes; raises BadSetting where there is none."""
    with closing(Folder.open(path)) as root:
        layout = _Layout(site, root)
        found, notes = layout.wrappers(name)
        if not found:
            why = f" ({notes[0]})" if notes else ""
            raise BadSetting(f"no model in this image layout{why}", thing=path, next_step=_NAME_IT)
        if name is not None and len(found) > 1:
            raise BadSetting(f"one name for {len(found)} versions", thing=path, next_step="leave --as-name out")
        if dry_run:
            return [_planned(site, layout, one) for one in found], notes
        with site.the_vault().writing("import") as writer:
            return [_take(site, writer, layout, one) for one in found], notes


def _planned(site: Site, layout: _Layout, one: _Found) -> Adopted:
    try:
        parcel = unpack(layout, layout.raw(one.wrapper), one.wrapper)
    except DamageError as error:
        return refused(one.name, str(one.wrapper), error)
    blobs = lacking(site.vault, parcel) if site.vault is not None else parcel.manifest.blobs
    moved = sum(blob.size for blob in blobs)
    outcome = "planned" if moved or _is_new(site, one.name, parcel) else "unchanged"
    size = parcel.manifest.size
    return Adopted(name=one.name, source=str(one.wrapper), outcome=outcome, size=size, bytes_moved=moved)


def _is_new(site: Site, name: ModelName, parcel: Parcel) -> bool:
    return site.vault is None or all(
        (kept.model, kept.wrapper) != (name, parcel.digest) for kept in site.vault.snapshots()
    )


def _take(site: Site, writer: VaultWriter, layout: _Layout, one: _Found) -> Adopted:
    vault = site.the_vault()
    try:
        parcel = unpack(layout, layout.raw(one.wrapper), one.wrapper)
        size = parcel.manifest.size
        if not _is_new(site, one.name, parcel) and not lacking(vault, parcel):
            return Adopted(name=one.name, source=str(one.wrapper), outcome="unchanged", size=size)
        taker = Taker(site, vault, writer)
        snapshot, new = taker.take(layout, parcel, one.name, f"oci {one.wrapper}")
        if new:
            site.audit("take in", model=one.name, snapshot=snapshot.id, source=f"oci {one.wrapper}")
    except DamageError as error:
        return refused(one.name, str(one.wrapper), error)
    return Adopted(
        name=one.name,
        source=str(one.wrapper),
        outcome="stored" if new else "unchanged",
        snapshot=snapshot.id,
        size=size,
        bytes_moved=taker.moved,
    )
