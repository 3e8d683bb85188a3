"""Repair: observe, find, plan, carry out, prove again (R1-R5); a dry run stops after the plan."""

from collections.abc import Iterable, Mapping, Sequence

from modelward.domain.digest import Digest
from modelward.domain.errors import BadName, RuntimeUnreachable, StorageError
from modelward.domain.finding import ManifestDamaged
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action, RepairReport
from modelward.domain.plan import Need, PatchBlob, PlaceBlob, Plan, make_plan
from modelward.domain.reading import Level
from modelward.domain.receipt import LedgerChange
from modelward.domain.source import Wanted
from modelward.services.expect import Expected, expected_models
from modelward.services.heal import Content, Healer
from modelward.services.identity import require_known, store_findings
from modelward.services.inspect import Inspection
from modelward.services.site import Site
from modelward.services.verify import inspect_store, sizes_of, verify

_SMALL = 1 << 20
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
    expected = expected_models(site, inventory, asked)
    inspection = inspect_store(site, inventory, expected, level)
    site.ledgers.update(site.store_key, inspection.change(int(site.clock.now().timestamp())))
    plan = plan_for(site, expected, inspection)
    if plan.models:
        require_known(doubts, accepted=accepted or dry_run)
    names = tuple(model.name for model in expected)
    return finish(site, plan, contents_of(expected), names, began=began, dry_run=dry_run)


def plan_for(site: Site, expected: Sequence[Expected], inspection: Inspection) -> Plan:
    """The plan for what an inspection found."""
    needs = [need for model in expected if (need := _need(model, inspection)) is not None]
    sizes = sizes_of(model.manifest for model in expected)
    vault = site.vault
    chunked = frozenset(
        blob
        for blob, size in sizes.items()
        if blob in inspection.findings and size > _SMALL and vault is not None and vault.chunk_list(blob) is not None
    )
    return make_plan(
        needs, _offers(site, inspection.findings, sizes), chunked, file_system=site.store.identity().file_system
    )


def _need(model: Expected, inspection: Inspection) -> Need | None:
    blobs = model.manifest.blobs if model.manifest is not None else ()
    findings = tuple(f for blob in blobs for f in inspection.findings.get(blob.digest, ()) if f.damage)
    back = model.snapshot is not None and model.manifest is not None
    if not back and not findings and not model.findings:
        return None
    return Need(
        model=model.name,
        findings=(*findings, *(() if back else model.findings)),
        manifest=model.manifest.digest if back and model.manifest is not None else None,
        manifest_bytes=len(model.manifest.raw) if model.manifest is not None else 0,
        replaces_manifest=model.replaces or any(isinstance(finding, ManifestDamaged) for finding in model.findings),
        snapshot=model.snapshot.id if model.snapshot is not None else "",
    )


def _offers(site: Site, findings: Iterable[Digest], sizes: Mapping[Digest, int]) -> dict[Digest, str]:
    """The cheapest source of each damaged blob that has one."""
    wanted = [Wanted(blob, sizes[blob]) for blob in findings if blob in sizes]
    offers: dict[Digest, str] = {}
    for source in sorted(site.sources, key=lambda source: source.rank):
        for blob in source.offers(wanted):
            offers.setdefault(blob, source.name)
    return offers


def contents_of(expected: Iterable[Expected]) -> dict[ModelName, Content]:
    """The manifests that may have to be put back, with the owner that the record remembers."""
    return {
        model.name: Content(manifest=model.manifest, owner=model.snapshot.owner)
        for model in expected
        if model.manifest is not None and model.snapshot is not None
    }


def finish(  # noqa: PLR0913 - what repair and restore share from the plan on
    site: Site,
    plan: Plan,
    contents: dict[ModelName, Content],
    names: tuple[ModelName, ...],
    *,
    began: float,
    dry_run: bool,
    verb: str = "repair",
    notes: tuple[str, ...] = (),
) -> RepairReport:
    """Carry out the plan, take healed models out of the runtime's memory, prove again, keep the audit."""
    actions: list[Action] = []
    if plan.models and not dry_run:
        actions = _carry_out(site, plan, contents)
        notes = (*notes, *_after(site, plan, actions), *_keep_audit(site, actions, verb))
    after = verify(site, names, Level.QUICK)
    return RepairReport(
        store=site.store.path,
        plan=plan,
        actions=tuple(actions),
        models=after.models,
        unhealed=plan.unhealed,
        notes=notes,
        bytes_moved=sum(action.bytes_moved for action in actions),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
        verb=verb,
    )


def _carry_out(site: Site, plan: Plan, contents: dict[ModelName, Content]) -> list[Action]:
    with site.store.writing() as writer:
        healer = Healer(site, writer, contents)
        try:
            return healer.carry_out(plan)
        finally:
            site.ledgers.update(site.store_key, LedgerChange(proved=healer.receipts))


def _keep_audit(site: Site, actions: Sequence[Action], verb: str) -> list[str]:
    """One entry an action. A vault that is mounted read-only heals all the same; that it cannot be told is said."""
    try:
        with site.the_vault().writing(verb) as vault:
            for action in actions:
                vault.audit(
                    verb,
                    step=action.step,
                    model=action.model,
                    target=action.target,
                    source=action.source,
                    bytes=action.bytes_moved,
                    error=action.error,
                )
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
        if isinstance(step, PlaceBlob | PatchBlob) and str(step.blob) in done
    ]
    return [*_unload(site, {model for model, _ in healed}), *_cached(site, {str(step.blob) for _, step in healed})]


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
