"""A picture of a model's chunks: which are proved and when, which are damaged, and which nobody vouches for."""

from collections.abc import Iterable, Sequence

from modelward.domain.answer import BlobMap, ChunkMap, Run
from modelward.domain.chunks import CHUNK, Span, count, indices_of
from modelward.domain.errors import UnknownModel
from modelward.domain.finding import BlobDamage, Finding, Missing, NotRegular, Truncated, WrongOwner
from modelward.domain.manifest import Layer, Manifest
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.domain.receipt import Ledger
from modelward.domain.store import Inventory
from modelward.services.expect import expected_models
from modelward.services.site import Site
from modelward.services.verify import verify

GOOD, BAD, UNREAD, LOST = "good", "bad", "unread", "lost"
_State = tuple[str, int | None]


def chunk_map(site: Site, name: ModelName) -> ChunkMap:
    """The map of one model, by receipts and known damage alone: nothing is read. Raises UnknownModel."""
    inventory = site.store.inventory()
    report = verify(site, (name,), Level.QUICK, inventory=inventory)
    findings = [finding for verdict in report.models for finding in verdict.findings]
    manifest = _manifest(site, inventory, name)
    ledger = site.ledgers.ledger(site.store_key)
    blobs = tuple(_blob(layer, inventory, ledger, findings) for layer in manifest.blobs)
    return ChunkMap(model=name, chunk=CHUNK, blobs=blobs)


def _manifest(site: Site, inventory: Inventory, name: ModelName) -> Manifest:
    for model in expected_models(site, inventory, (name,)):
        if model.manifest is not None:
            return model.manifest
    raise UnknownModel(
        "nobody has a manifest of it", thing=name.short, next_step=f"bring it back: modelward restore {name.short}"
    )


def _blob(layer: Layer, inventory: Inventory, ledger: Ledger, findings: Iterable[Finding]) -> BlobMap:
    mine = [finding for finding in findings if isinstance(finding, BlobDamage) and finding.blob == layer.digest]
    mine = [finding for finding in mine if not isinstance(finding, WrongOwner)]
    states = _base(layer, inventory, ledger)
    for finding in mine:
        _mark(states, finding)
    bad = tuple(span for finding in mine for span in finding.spans)
    return BlobMap(blob=layer.digest, media_type=layer.media_type, size=layer.size, runs=runs_of(states), bad=bad)


def _base(layer: Layer, inventory: Inventory, ledger: Ledger) -> list[_State]:
    """What the receipts say: the whole blob proved, as much of it as a running pass has read, or nothing."""
    number, found = count(layer.size), inventory.blobs.get(layer.digest)
    if found is None:
        return [(LOST, None)] * number
    receipt, cursor = ledger.receipts.get(layer.digest.hex), ledger.cursor
    if receipt is not None and receipt.holds_for(found.file):
        return [(GOOD, receipt.verified_at)] * number
    done = 0
    if cursor is not None and cursor.blob == layer.digest and cursor.file == found.file:
        done = min(cursor.next_chunk, number)
    states: list[_State] = [(GOOD, None)] * done
    return states + [(UNREAD, None)] * (number - done)


def _mark(states: list[_State], finding: BlobDamage) -> None:
    """Draw a finding: a blob that is gone is lost whole, and so is what lies behind the end of a short one."""
    whole = (Span(0, finding.size),) if isinstance(finding, Missing | NotRegular) or not finding.spans else ()
    end = finding.actual // CHUNK if isinstance(finding, Truncated) else len(states)
    for index in indices_of(whole or finding.spans):
        if index < len(states):
            gone = isinstance(finding, Missing | NotRegular) or index >= end
            states[index] = (LOST if gone else BAD, None)


def runs_of(states: Sequence[_State]) -> tuple[Run, ...]:
    """Equal neighbours joined: a blob of five thousand good chunks is one run."""
    runs: list[Run] = []
    for state, moment in states:
        if runs and (runs[-1].state, runs[-1].verified_at) == (state, moment):
            runs[-1] = Run(count=runs[-1].count + 1, state=state, verified_at=moment)
        else:
            runs.append(Run(count=1, state=state, verified_at=moment))
    return tuple(runs)
