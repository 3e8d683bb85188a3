"""Know the store before touching it: is it the recorded one, is it there, and does the server read it (I1)."""

import msgspec

from modelward.domain.errors import RuntimeUnreachable, StoreNotAccepted
from modelward.domain.finding import StoreEmpty, StoreFinding, StoreMoved, StoreUnmounted, WrongStore
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KnownStore
from modelward.domain.store import Inventory, StoreIdentity
from modelward.domain.words import describe, way_out
from modelward.ports import Vault, VaultWriter
from modelward.services.site import Site


def store_findings(site: Site, inventory: Inventory) -> tuple[StoreFinding, ...]:
    """What speaks against this being the store that the vault protects and the server reads."""
    found = (_moved(site), _empty(site, inventory), _wrong(site, inventory))
    return tuple(finding for finding in found if finding is not None)


def require_known(findings: tuple[StoreFinding, ...], *, accepted: bool, named: bool = False) -> None:
    """Refuse to write into a store that is not the recorded one, unless the user accepted it.

    An empty store is also accepted by asking for models by ``named`` names.
    """
    doubts = [finding for finding in findings if not (named and isinstance(finding, StoreEmpty))]
    if doubts and not accepted:
        raise StoreNotAccepted(describe(doubts[0]), next_step=way_out(doubts[0]))


def record(site: Site, writer: VaultWriter, findings: tuple[StoreFinding, ...], *, accepted: bool) -> None:
    """Remember this store's identity; one that differs from the record replaces it only when accepted."""
    identity = site.store.identity()
    known = site.the_vault().known_store(identity.path)
    if known is not None and (_recorded(known.identity, identity) or (findings and not accepted)):
        return
    writer.know_store(KnownStore(identity=identity, recorded_at=site.clock.now(), server_version=_version(site)))


def _recorded(was: StoreIdentity, now: StoreIdentity) -> bool:
    """Whether the record says all that can be said now; a folder of blobs that is away takes nothing from it."""
    return was == msgspec.structs.replace(now, blobs_inode=now.blobs_inode or was.blobs_inode)


def _version(site: Site) -> str:
    try:
        return site.runtime.version() if site.runtime is not None else ""
    except RuntimeUnreachable:
        return ""


def _moved(site: Site) -> StoreMoved | StoreUnmounted | None:
    known = site.vault.known_store(site.store.path) if site.vault is not None else None
    if known is None:
        return None
    was, now = known.identity, site.store.identity()
    if was.mount_point != now.mount_point and was.mount_point.startswith(now.mount_point):
        return StoreUnmounted(path=now.path, mount_point=was.mount_point, mount_source=was.mount_source)
    if reason := _difference(was, now):
        return StoreMoved(path=now.path, reason=reason)
    return None


def _difference(was: StoreIdentity, now: StoreIdentity) -> str:
    if was.mount_point != now.mount_point:
        return f"it was on the mount {was.mount_point}, now on {now.mount_point}"
    if was.inode != now.inode:
        return f"another folder stands there (inode {was.inode} then, {now.inode} now)"
    return ""


def _empty(site: Site, inventory: Inventory) -> StoreEmpty | None:
    if inventory.models or inventory.blobs or inventory.odd or site.vault is None or _surely_recorded(site, site.vault):
        return None
    known = {snapshot.model for snapshot in site.vault.snapshots() if site.protects(snapshot.model)}
    return StoreEmpty(path=site.store.path, known=len(known)) if known else None


def _surely_recorded(site: Site, vault: Vault) -> bool:
    """Whether this is the recorded store down to its folder of blobs: then its models were removed from it."""
    known = vault.known_store(site.store.path)
    if known is None or not known.identity.blobs_inode:
        return False
    was, now = known.identity, site.store.identity()
    return not _difference(was, now) and was.blobs_inode == now.blobs_inode


def _wrong(site: Site, inventory: Inventory) -> WrongStore | None:
    """The server scans its manifests at every list: a name that it shows and we lack lies in another store."""
    if site.runtime is None:
        return None
    try:
        served = site.runtime.tags()
    except RuntimeUnreachable:
        return None
    ours = {model.manifest.digest.hex for model in inventory.models.values()}
    foreign = [model.name for model in served if model.digest not in ours]
    if served and len(foreign) == len(served):
        reason = f"it lists {', '.join(foreign[:3])}, and this store has no such model"
    elif not served and (sound := _sound(site, inventory)):
        reason = f"it lists no model, and {sound.short} is whole here"
    else:
        return None
    return WrongStore(path=site.store.path, server=site.runtime.url, reason=reason)


def _sound(site: Site, inventory: Inventory) -> ModelName | None:
    """A model whose every blob is proved and unchanged: one that any server on this store would list."""
    receipts = site.ledgers.ledger(site.store_key).receipts
    for name, model in inventory.models.items():
        found = [(inventory.blobs.get(blob.digest), receipts.get(blob.digest.hex)) for blob in model.manifest.blobs]
        if found and all(stat and receipt and receipt.holds_for(stat.file) for stat, receipt in found):
            return name
    return None
