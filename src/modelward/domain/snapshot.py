"""The vault's records: snapshots, the vault's own description, and which models are protected."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import UnknownSnapshot
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.store import Owner, StoreIdentity
from modelward.domain.wrapper import Wrapper

FORMAT_VERSION = 1
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one model in the vault: an immutable record that names a wrapper.

    ``verified_at`` is when the model's bytes were proved; ``size`` counts the blobs' bytes once each.
    """

    version: int = FORMAT_VERSION
    id: str
    model: ModelName
    created_at: Moment
    verified_at: Moment
    wrapper: Digest
    manifest: Digest
    size: int
    store: str
    owner: Owner


class SnapshotContent(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot with what it names, read and proved against the record's digests."""

    snapshot: Snapshot
    manifest: Manifest
    wrapper: Wrapper


class VaultInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``modelward/vault.json``: which vault this is and how to read it."""

    id: str
    format: int
    chunk_size: int


class Trashed(msgspec.Struct, frozen=True, kw_only=True):
    """A forgotten snapshot: it can be brought back until prune drops it."""

    snapshot: Snapshot
    forgotten_at: Moment


class KnownStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store as it was when the vault last took something from it (I1)."""

    identity: StoreIdentity
    recorded_at: Moment
    server_version: str = ""


class KeptManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A model's manifest as it was last seen: its exact bytes, its file's owner, and when (G2).

    Kept before the blobs are backed up, so it may name what the vault does not have yet.
    """

    model: ModelName
    manifest: bytes
    owner: Owner
    seen_at: Moment


class Protected(msgspec.Struct, frozen=True, kw_only=True):
    """What the user decided: which models are released from protection (G3), and which manifest a model is held to."""

    released: tuple[ModelName, ...] = ()
    pins: dict[ModelName, Digest] = msgspec.field(default_factory=dict)


def snapshot_id(created_at: datetime, model: ModelName, wrapper: Digest) -> str:
    """The id: when, and a hash of which model and wrapper."""
    return f"{created_at:%Y%m%dT%H%M%SZ}-{sha256(f'{model} {wrapper}'.encode()).hexdigest()[:12]}"


def pick(snapshots: tuple[Snapshot, ...], wanted: str) -> Snapshot:
    """The one snapshot whose id, or id's hash part, begins with ``wanted``; raises UnknownSnapshot."""
    hits = [s for s in snapshots if s.id.startswith(wanted) or s.id.partition("-")[2].startswith(wanted)]
    if len(hits) == 1:
        return hits[0]
    what = "no such snapshot" if not hits else f"{len(hits)} snapshots begin like this"
    raise UnknownSnapshot(what, thing=wanted, next_step="list them with: modelward snapshots")


def newest_first(snapshots: tuple[Snapshot, ...]) -> tuple[Snapshot, ...]:
    """The snapshots by date, the newest first; equal dates by id."""
    return tuple(sorted(snapshots, key=lambda s: (s.created_at, s.id), reverse=True))
