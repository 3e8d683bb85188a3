"""The vault heals itself: from the store, siblings and upstream, by the same plans as a store (R2, W3)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.finding import BlobDamage, Finding
from modelward.domain.name import ModelName
from modelward.domain.outcome import Action, RepairReport
from modelward.domain.plan import Means, ModelPlan, Need, Plan, RemakeRecord, make_plan
from modelward.domain.reading import Level
from modelward.domain.snapshot import Snapshot
from modelward.domain.source import Wanted
from modelward.domain.wrapper import Object
from modelward.services.derive import Derived, derive
from modelward.services.heal import Healer, VaultBench
from modelward.services.inspect import Inspection
from modelward.services.repair import chunked_of, keep, offers_of
from modelward.services.site import Site
from modelward.services.verify_vault import inspect_vault, named_objects, verify_vault

VERB = "repair --vault-copy"


def repair_vault(
    site: Site, asked: tuple[ModelName, ...], *, level: Level = Level.FULL, dry_run: bool = False
) -> RepairReport:
    """Find what is damaged in the vault's copies and bring it back; every byte is proved by its digest."""
    began = site.clock.monotonic()
    seen: set[Digest] = set()
    plan, actions = _round(site, asked, level, seen, dry_run=dry_run)
    done = actions
    # What a lost wrapper named is only known once it is made anew: then there may be more to look at, and to heal.
    while done and not dry_run:
        more, done = _round(site, asked, level, seen, dry_run=False)
        plan = Plan(models=(*plan.models, *more.models), unhealed=(*plan.unhealed, *more.unhealed))
        actions = [*actions, *done]
    after = verify_vault(site, asked, Level.QUICK)
    return RepairReport(
        store=site.the_vault().path,
        plan=plan,
        actions=tuple(actions),
        models=after.models,
        unhealed=plan.unhealed,
        bytes_moved=sum(action.bytes_moved for action in actions),
        seconds=round(site.clock.monotonic() - began, 3),
        dry_run=dry_run,
        of="vault",
    )


def _round(
    site: Site, asked: tuple[ModelName, ...], level: Level, seen: set[Digest], *, dry_run: bool
) -> tuple[Plan, list[Action]]:
    """Look at what was not ``seen`` before, plan and heal once."""
    named = named_objects(site.the_vault(), asked)
    sizes = {item.digest: item.size for items in named.values() for item in items if item.digest not in seen}
    seen.update(sizes)
    inspection = inspect_vault(site, sizes, level, damaged=True)
    derived = derive(site, named, frozenset(blob for blob in sizes if _damage(inspection, blob)))
    others = tuple(source for source in site.sources if source.name != "vault")
    near = (site.store_source,) if site.store_source is not None else ()
    bench_site = replace(site, sources=(derived, *near, *others))
    plan = _with_records(site, asked, _plan(bench_site, named, inspection, derived))
    return plan, _carry_out(bench_site, plan) if plan.models and not dry_run else []


def _with_records(site: Site, asked: tuple[ModelName, ...], plan: Plan) -> Plan:
    """The plan, with the records that are put in place anew in front."""
    rotted = [finding for finding in site.the_vault().damaged_records() if not asked or finding.model in asked]
    anew = [ModelPlan(model=found.model, steps=(RemakeRecord(path=found.path),)) for found in rotted]
    return msgspec.structs.replace(plan, models=(*anew, *plan.models))


def _plan(site: Site, named: Mapping[Snapshot, list[Object]], inspection: Inspection, derived: Derived) -> Plan:
    needs = [
        Need(model=name, findings=tuple(_sized(f, derived) for blob in blobs for f in _damage(inspection, blob)))
        for name, blobs in _by_model(named).items()
    ]
    wanted = _wanted(needs)
    return make_plan(
        [need for need in needs if need.findings],
        Means(
            offers=offers_of(site, wanted),
            chunked=chunked_of(site, wanted),
            file_system=site.the_vault().identity.file_system,
            in_place=False,
        ),
    )


def _by_model(named: Mapping[Snapshot, list[Object]]) -> dict[ModelName, dict[Digest, None]]:
    """The objects of each model, each once, in the order in which its snapshots name them."""
    found: dict[ModelName, dict[Digest, None]] = {}
    for snapshot, items in named.items():
        found.setdefault(snapshot.model, {}).update((item.digest, None) for item in items)
    return found


def _damage(inspection: Inspection, blob: Digest) -> list[BlobDamage]:
    return [found for found in inspection.findings.get(blob, ()) if isinstance(found, BlobDamage) and found.damage]


def _sized(finding: BlobDamage, derived: Derived) -> Finding:
    """A lost wrapper's size is on no record: it is that of the one that was made anew."""
    made = derived.objects.get(finding.blob)
    return msgspec.structs.replace(finding, size=len(made)) if made is not None else finding


def _wanted(needs: Iterable[Need]) -> list[Wanted]:
    models: dict[tuple[Digest, int], list[ModelName]] = {}
    for need in needs:
        for finding in [finding for finding in need.findings if isinstance(finding, BlobDamage)]:
            models.setdefault((finding.blob, finding.size), []).append(need.model)
    return [Wanted(blob, size, tuple(dict.fromkeys(names))) for (blob, size), names in models.items()]


def _carry_out(site: Site, plan: Plan) -> list[Action]:
    vault = site.the_vault()
    with vault.writing(VERB) as writer:
        actions = Healer(site, VaultBench(vault, writer), plan).carry_out()
        keep(site, VERB, actions)
    return actions
