"""Push: send a snapshot to an OCI registry, what it lacks only, the manifest last (W2)."""

import os
from collections.abc import Iterator
from hashlib import sha256

from modelward.domain.errors import RegistryRefused, UnknownModel
from modelward.domain.interchange import WRAPPER_LIMIT, PushReport, Reference
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, SnapshotContent, pick
from modelward.domain.wrapper import OCI_MANIFEST, Object
from modelward.ports import OciRegistry, Vault
from modelward.services.objects import object_bytes, proved
from modelward.services.site import Site


def push(  # noqa: PLR0913 - what, in which version, and where to
    site: Site, registry: OciRegistry, name: ModelName, wanted: str, target: Reference, *, dry_run: bool = False
) -> PushReport:
    """Send the snapshot ``wanted`` (id or part of it), else the newest, to ``target``.

    An object that the registry says it holds is not sent, so that a push that was cut off goes on where it was.
    Raises UnknownModel, UnknownSnapshot, HashMismatch for a rotten object, and what the registry raises.
    """
    began = site.clock.monotonic()
    vault = site.the_vault()
    content = chosen(vault, name, wanted)
    raw = object_bytes(vault, content.snapshot.wrapper, WRAPPER_LIMIT)
    objects = tuple({item.digest: item for item in content.wrapper.objects}.values())
    absent = [item for item in objects if not registry.has_blob(target.place, item.digest, item.size)]
    before = _before(registry, target, content.snapshot)
    if not dry_run:
        size = sum(item.size for item in absent)
        with site.audited("push", model=name, snapshot=content.snapshot.id, target=str(target), bytes=size):
            _send(site, registry, target, absent, raw)
    return PushReport(
        model=name,
        snapshot=content.snapshot.id,
        target=str(target),
        wrapper=content.snapshot.wrapper,
        sent=len(absent),
        present=len(objects) - len(absent),
        replaced=before,
        bytes_moved=sum(item.size for item in absent),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
    )


def chosen(vault: Vault, name: ModelName, wanted: str) -> SnapshotContent:
    """The named snapshot of a model, or its newest, with what it names; raises UnknownModel or UnknownSnapshot."""
    mine = tuple(snapshot for snapshot in vault.snapshots() if snapshot.model == name)
    if not mine:
        raise UnknownModel(
            "the vault has no snapshot of this model",
            thing=name.short,
            next_step=f"make one with: modelward backup {name.short}",
        )
    return vault.content(pick(mine, wanted) if wanted else mine[0])


def _before(registry: OciRegistry, target: Reference, snapshot: Snapshot) -> str:
    """The other manifest that the tag names by now; empty where there is none, or the same."""
    try:
        there = sha256(registry.manifest_bytes(target.place, target.reference)).hexdigest()
    except RegistryRefused:
        return ""
    return "" if there == snapshot.wrapper.hex else f"sha256:{there}"


def _send(site: Site, registry: OciRegistry, target: Reference, absent: list[Object], raw: bytes) -> None:
    vault = site.the_vault()
    site.progress.begin("push", sum(item.size for item in absent))
    for item in absent:
        fd = vault.open_blob(item.digest)
        try:
            registry.upload_blob(target.place, item.digest, item.size, _paced(site, proved(vault, fd, item)))
        finally:
            os.close(fd)
    registry.put_manifest(target.place, target.reference, raw, OCI_MANIFEST)


def _paced(site: Site, parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        site.reading.late()
        site.reading.pace.take(len(part))
        yield part
        site.progress.advance(len(part))
