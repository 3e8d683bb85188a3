"""Repair: observe, find, plan, carry out, prove again (R1-R5); a dry run stops after the plan."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from modelward.domain.chunks import CHUNK, Span, spans_of
from modelward.domain.digest import Digest
from modelward.domain.errors import BadName, RuntimeUnreachable, StorageError, UnknownModel
from modelward.domain.finding import ManifestDamaged, Missing, NotRegular
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action, RepairReport
from modelward.domain.plan import Means, Need, Offer, PatchBlob, PlaceBlob, Plan, TrySuspects, make_plan
from modelward.domain.reading import Level
from modelward.domain.receipt import LedgerChange
from modelward.domain.source import Wanted
from modelward.domain.verdict import Verdict
from modelward.scan import suspect_chunks
from modelward.services.expect import Expected, expected_models
from modelward.services.heal import Content, Healer, StoreBench
from modelward.services.identity import require_known, store_findings
from modelward.services.inspect import Inspection
from modelward.services.pulling import Puller
from modelward.services.site import Site
from modelward.services.verify import inspect_store, verify

_KEPT_IN_MEMORY = frozenset(
    f"application/vnd.ollama.image.{kind}" for kind in ("template", "prompt", "system", "params", "messages")
)


def repair(
    site: Site,
    asked: tuple[ModelName, ...],
    *,
    level: Level = Level.FULL,
    accepted: bool = False,
    dry_run: bool = False,
) -> RepairReport:
    """Find what is damaged and heal it from the sources. Raises StoreNotAccepted before anything is touched (I1)."""
    began = site.clock.monotonic()
    inventory = site.store.inventory()
    doubts = store_findings(site, inventory)
    expected = expected_models(site, inventory, asked, site.registry)
    inspection = inspect_store(site, inventory, expected, level, damaged=True)
    site.ledgers.update(site.store_key, inspection.change(int(site.clock.now().timestamp())))
    plan = plan_for(site, expected, inspection)
    if plan.models:
        require_known(doubts, accepted=accepted or dry_run)
    names = tuple(model.name for model in expected)
    puller = puller_of(site, expected)
    return finish(site, plan, contents_of(expected), names, began=began, dry_run=dry_run, puller=puller)


def plan_for(site: Site, expected: Sequence[Expected], inspection: Inspection) -> Plan:
    """The plan for what an inspection found."""
    needs = [need for model in expected if (need := _need(model, inspection)) is not None]
    wanted = wanted_of(expected, inspection.findings)
    chunked = chunked_of(site, wanted)
    offers = offers_of(site, wanted)
    means = Means(
        offers=offers,
        chunked=chunked,
        suspects=_suspects(site, inspection, [item for item in wanted if item.blob not in chunked], offers),
        file_system=site.store.identity().file_system,
    )
    plan = make_plan(needs, means)
    if not plan.unhealed:
        return plan
    puller = puller_of(site, expected)
    pullable = frozenset(model for model in {item.model for item in plan.unhealed} if puller.may_pull(model))
    return make_plan(needs, replace(means, pullable=pullable)) if pullable else plan


def puller_of(site: Site, expected: Iterable[Expected]) -> Puller:
    """The runtime as the last source; it can pull what the store has a manifest of."""
    present = {m.name: m.manifest for m in expected if m.manifest is not None and not m.origin}
    return Puller(site, present)


def wanted_of(expected: Iterable[Expected], findings: Iterable[Digest]) -> list[Wanted]:
    """The damaged blobs, each with all the models that name it."""
    damaged = set(findings)
    names: dict[Digest, list[ModelName]] = {}
    sizes: dict[Digest, int] = {}
    for model in expected:
        for blob in model.manifest.blobs if model.manifest is not None else ():
            if blob.digest in damaged:
                names.setdefault(blob.digest, []).append(model.name)
                sizes[blob.digest] = blob.size
    return [Wanted(blob, size, tuple(names[blob])) for blob, size in sizes.items()]


def chunked_of(site: Site, wanted: Iterable[Wanted]) -> frozenset[Digest]:
    """The blobs of which the vault has a chunk list that it can prove."""
    vault = site.vault
    if vault is None:
        return frozenset()
    return frozenset(i.blob for i in wanted if i.size > CHUNK and vault.chunk_list(i.blob) is not None)


def offers_of(site: Site, wanted: Iterable[Wanted]) -> dict[Digest, list[Offer]]:
    """What the sources have of each blob, the cheapest first; nobody is asked for what a cheaper one has whole."""
    offers: dict[Digest, list[Offer]] = {}
    left = list(wanted)
    for source in sorted(site.sources, key=lambda source: source.rank):
        for blob, bad in source.offers(left).items():
            offers.setdefault(blob, []).append(Offer(source.name, bad, source.local))
        left = [item for item in left if all(offer.bad for offer in offers.get(item.blob, ()))]
    return offers


def _suspects(
    site: Site, inspection: Inspection, unlisted: Iterable[Wanted], offers: Mapping[Digest, Sequence[Offer]]
) -> dict[Digest, tuple[Span, ...]]:
    """Chunks that look lost in blobs without a chunk list, where good bytes cost traffic."""
    found: dict[Digest, tuple[Span, ...]] = {}
    for blob, size, _ in unlisted:
        near = any(offer.local and not offer.bad for offer in offers.get(blob, ()))
        if near or size <= CHUNK or any(isinstance(f, Missing | NotRegular) for f in inspection.findings[blob]):
            continue
        fd = site.store.open_blob(blob)
        try:
            found[blob] = spans_of(suspect_chunks(fd, size, site.reading), size)
        finally:
            os.close(fd)
    return found


def _need(model: Expected, inspection: Inspection) -> Need | None:
    blobs = model.manifest.blobs if model.manifest is not None else ()
    findings = tuple(f for blob in blobs for f in inspection.findings.get(blob.digest, ()) if f.damage)
    back = bool(model.origin) and model.manifest is not None
    if not back and not findings and not model.findings:
        return None
    return Need(
        model=model.name,
        findings=(*findings, *(() if back else model.findings)),
        manifest=model.manifest.digest if back and model.manifest is not None else None,
        manifest_bytes=len(model.manifest.raw) if model.manifest is not None else 0,
        replaces_manifest=model.replaces or any(isinstance(finding, ManifestDamaged) for finding in model.findings),
        manifest_source=model.origin,
        snapshot=model.snapshot.id if model.snapshot is not None else "",
    )


def contents_of(expected: Iterable[Expected]) -> dict[ModelName, Content]:
    """The manifests that may have to be put back, with the owner that the record remembers."""
    return {
        model.name: Content(manifest=model.manifest, owner=model.owner)
        for model in expected
        if model.manifest is not None and model.origin
    }


def finish(  # noqa: PLR0913 - what repair and restore share from the plan on
    site: Site,
    plan: Plan,
    contents: dict[ModelName, Content],
    names: tuple[ModelName, ...],
    *,
    began: float,
    dry_run: bool,
    puller: Puller,
    verb: str = "repair",
    notes: tuple[str, ...] = (),
) -> RepairReport:
    """Carry out the plan, take healed models out of the runtime's memory, prove again, keep the audit."""
    actions: list[Action] = []
    if plan.models and not dry_run:
        actions = _carry_out(site, plan, contents, puller)
        notes = (*notes, *_after(site, plan, actions), *_keep_audit(site, actions, verb))
    return RepairReport(
        store=site.store.path,
        plan=plan,
        actions=tuple(actions),
        models=_verdicts(site, names),
        unhealed=plan.unhealed,
        notes=notes,
        bytes_moved=sum(action.bytes_moved for action in actions),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
        verb=verb,
    )


def _verdicts(site: Site, names: tuple[ModelName, ...]) -> tuple[Verdict, ...]:
    """How the models stand now; one of which nothing has come yet has no verdict."""
    try:
        return verify(site, names, Level.QUICK).models
    except UnknownModel:
        return ()


def _carry_out(site: Site, plan: Plan, contents: dict[ModelName, Content], puller: Puller) -> list[Action]:
    with site.store.writing() as writer:
        bench = StoreBench(site.store, writer)
        healer = Healer(site, bench, plan, writer=writer, contents=contents, puller=puller)
        try:
            return healer.carry_out()
        finally:
            site.ledgers.update(site.store_key, LedgerChange(proved=healer.receipts))


def keep(site: Site, verb: str, actions: Iterable[Action]) -> None:
    """One entry of the audit log an action (A1)."""
    for action in actions:
        site.audit(
            verb,
            step=action.step,
            model=action.model,
            target=action.target,
            source=action.source,
            bytes=action.bytes_moved,
            error=action.error,
        )


def _keep_audit(site: Site, actions: Sequence[Action], verb: str) -> list[str]:
    """One entry an action. A vault that is mounted read-only heals all the same; that it cannot be told is said."""
    try:
        keep(site, verb, actions)
    except StorageError as error:
        return [f"what was done is not in the vault's audit log: {error}"]
    return []


def _after(site: Site, plan: Plan, actions: Sequence[Action]) -> list[str]:
    """Unload healed models that are in memory; say which small blobs the server may have cached (R3)."""
    done = {action.target for action in actions if not action.error}
    healed = [
        (model.model, step)
        for model in plan.models
        for step in model.steps
        if isinstance(step, PlaceBlob | PatchBlob | TrySuspects) and str(step.blob) in done
    ]
    pulled = {action.model for action in actions if action.step == "PullModel" and not action.error}
    return [
        *_unload(site, {model for model, _ in healed} | pulled),
        *_cached(site, {str(step.blob) for _, step in healed}),
    ]


def _unload(site: Site, models: set[ModelName]) -> list[str]:
    if site.runtime is None or not models or not _answers(site):
        return []
    try:
        loaded = [name for name in site.runtime.loaded() if _is_one_of(name, models)]
        for name in loaded:
            site.runtime.unload(name)
    except RuntimeUnreachable as error:
        return [f"a repaired model may still be in the server's memory with its old bytes ({error.what})"]
    return [f"{name} was taken out of the server's memory; its next request loads the repaired file" for name in loaded]


def _is_one_of(name: str, models: set[ModelName]) -> bool:
    """Whether the server's name is one of ours; a name that nobody could have is none."""
    try:
        return ModelName.parse(name) in models
    except BadName:
        return False


def _cached(site: Site, healed: set[str]) -> list[str]:
    """Models whose template or the like was replaced: a running server may have the old one in memory."""
    small = sorted(
        name.short
        for name, model in site.store.inventory().models.items()
        if any(layer.media_type in _KEPT_IN_MEMORY and str(layer.digest) in healed for layer in model.manifest.layers)
    )
    if not small or not _answers(site):
        return []
    what = "a template or parameter file was replaced; newer servers keep these in memory until they are restarted"
    return [f"{', '.join(small)}: {what}"]


def _answers(site: Site) -> bool:
    try:
        return site.runtime is not None and bool(site.runtime.version())
    except RuntimeUnreachable:
        return False
