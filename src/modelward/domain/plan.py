"""Findings become a plan: a frozen list of steps, made before anything is touched. Printing it is the dry run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypedDict

import msgspec

from modelward.domain import finding as f
from modelward.domain.chunks import CHUNK, Span, indices_of, spans_of, total
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName

# File systems on which files can share extents, by their names in mountinfo.
CLONING = frozenset({"btrfs", "xfs", "bcachefs", "ocfs2"})


class Method(StrEnum):
    """How damage inside a present blob is healed (R3)."""

    IN_PLACE = "patch in place"
    CLONE = "clone and patch"
    NEW_FILE = "new file from good chunks"


class Offer(NamedTuple):
    """What a source has of one blob: all but the spans known to be bad there. ``local``: it costs no traffic."""

    source: str
    bad: tuple[Span, ...] = ()
    local: bool = True


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The share of a step that one source gives."""

    source: str
    spans: tuple[Span, ...]


class PlaceBlob(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Bring a whole blob; ``parts`` says what comes from where when one source alone has not all of it."""

    blob: Digest
    size: int
    source: str
    replaces: bool
    parts: tuple[Part, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that come from the source."""
        return self.size


class PatchBlob(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Bring the damaged chunks of a blob; everything else stays. ``parts`` is as in PlaceBlob."""

    blob: Digest
    size: int
    spans: tuple[Span, ...]
    source: str
    method: Method
    parts: tuple[Part, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that come from the source."""
        return total(self.spans)


class TrySuspects(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Heal a blob without a chunk list: bring what looks lost in it, prove the whole, and only then bring all of it.

    ``spans`` are the chunks that hold a block of zeros, or lie behind the end of the file.
    """

    blob: Digest
    size: int
    spans: tuple[Span, ...]
    source: str

    @property
    def bytes(self) -> int:
        """Bytes that come from the source when the suspicion is right."""
        return total(self.spans)


class PullModel(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Let the runtime download ``blobs`` of the model again, after moving ``aside`` what stands in their way (R4)."""

    model: ModelName
    blobs: tuple[Digest, ...]
    aside: tuple[Digest, ...]
    bytes: int
    source: str = "runtime"


class PlaceManifest(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Put a manifest's exact bytes back, after all blobs that it names."""

    model: ModelName
    manifest: Digest
    bytes: int
    source: str
    replaces: bool
    snapshot: str


class FixOwner(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Give a blob the owner and mode that the runtime needs."""

    blob: Digest
    owner: tuple[int, int, int]
    source: str = "store"
    bytes: int = 0


class RemakeRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Put a record of the vault, which lies damaged at ``path``, in place anew."""

    path: str
    source: str = "the rest of the vault"
    bytes: int = 0


Step = PlaceBlob | PatchBlob | TrySuspects | PullModel | PlaceManifest | FixOwner | RemakeRecord


def target_of(step: Step) -> str:
    """What the step is about: a model's name, a record's path, or a blob."""
    match step:
        case PlaceManifest() | PullModel():
            return str(step.model)
        case RemakeRecord():
            return step.path
        case _:
            return str(step.blob)


class Unhealed(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan cannot heal, and why."""

    model: ModelName
    finding: f.Finding
    reason: str


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A model that needs healing: its blobs' findings, and the manifest to put back, if any."""

    model: ModelName
    findings: tuple[f.Finding, ...]
    manifest: Digest | None = None
    manifest_bytes: int = 0
    manifest_source: str = "vault"
    replaces_manifest: bool = False
    snapshot: str = ""


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The steps for one model, in the order in which they are carried out."""

    model: ModelName
    steps: tuple[Step, ...]

    @property
    def bytes(self) -> int:
        """Bytes that come from sources."""
        return sum(step.bytes for step in self.steps)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done, model by model, the smallest first; and what cannot be."""

    models: tuple[ModelPlan, ...] = ()
    unhealed: tuple[Unhealed, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes that come from sources."""
        return sum(model.bytes for model in self.models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What there is to heal with.

    ``offers`` holds what the sources have of each blob, the cheapest first; ``chunked`` the blobs with a chunk list;
    ``suspects`` the chunks that look lost in blobs without one; ``pullable`` the models that the runtime may
    download again. ``in_place`` is False where files are never written to again, as in a vault.
    """

    offers: Mapping[Digest, Sequence[Offer]]
    chunked: frozenset[Digest] = frozenset()
    suspects: Mapping[Digest, tuple[Span, ...]] = field(default_factory=dict)
    pullable: frozenset[ModelName] = frozenset()
    file_system: str = ""
    in_place: bool = True


def make_plan(needs: Sequence[Need], means: Means) -> Plan:
    """The plan for these needs. A blob that several models need is healed once, with the first of them."""
    if blocked := _unstable(needs):
        return Plan(unhealed=blocked)
    done: set[Digest] = set()
    plans: list[ModelPlan] = []
    unhealed: list[Unhealed] = []
    for need in sorted(needs, key=_cost):
        steps, left = _steps(need, means, done)
        if left and need.model in means.pullable:
            steps, left = _pull(need, steps, left), []
        unhealed += left
        if need.manifest is None:
            unhealed += [_no_source(need.model, lost) for lost in need.findings if isinstance(lost, f.ManifestDamage)]
        elif not left:
            steps.append(_manifest_step(need, need.manifest))
        if steps:
            plans.append(ModelPlan(model=need.model, steps=tuple(steps)))
    return Plan(models=tuple(plans), unhealed=tuple(unhealed))


def _pull(need: Need, steps: list[Step], left: Sequence[Unhealed]) -> list[Step]:
    """The other steps, and the download of what no source has, last."""
    findings = [item.finding for item in left]
    lost = {finding.blob: finding.size for finding in findings if isinstance(finding, f.BlobDamage)}
    gone = {finding.blob for finding in findings if isinstance(finding, f.Missing)}
    aside = tuple(sorted(lost.keys() - gone))
    return [*steps, PullModel(model=need.model, blobs=tuple(sorted(lost)), aside=aside, bytes=sum(lost.values()))]


def _unstable(needs: Sequence[Need]) -> tuple[Unhealed, ...]:
    """One unstable read stops every repair on this host: what we would write could be wrong as well (V1)."""
    if not any(isinstance(finding, f.UnstableRead) for need in needs for finding in need.findings):
        return ()
    reason = "two reads of the same bytes differ on this host; test its memory and cables before any repair"
    return tuple(
        Unhealed(model=need.model, finding=finding, reason=reason)
        for need in needs
        for finding in need.findings
        if finding.damage
    )


def _cost(need: Need) -> tuple[int, str]:
    spans = (getattr(finding, "spans", ()) for finding in need.findings)
    whole = (getattr(finding, "size", 0) for finding in need.findings if not getattr(finding, "spans", ()))
    return sum(map(total, spans)) + sum(whole), str(need.model)


def _steps(need: Need, means: Means, done: set[Digest]) -> tuple[list[Step], list[Unhealed]]:
    steps: list[Step] = []
    left: list[Unhealed] = []
    for blob, findings in _by_blob(need).items():
        content = tuple(finding for finding in findings if not isinstance(finding, f.WrongOwner))
        if blob in done:
            continue
        heal = _heal(blob, content, means) if content else None
        if content and heal is None:
            left += [_no_source(need.model, finding) for finding in content]
        else:
            steps += _and_own(heal, findings)
            done.add(blob)
    return steps, left


def _and_own(heal: Step | None, findings: Sequence[f.BlobDamage]) -> list[Step]:
    """Heal what is in the blob; its owner needs a step of its own where the file stays the same one (R5)."""
    stays = heal is None or (isinstance(heal, PatchBlob) and heal.method is Method.IN_PLACE)
    owners = [_owner_step(wrong) for wrong in findings if stays and isinstance(wrong, f.WrongOwner)]
    return [*([heal] if heal is not None else []), *owners]


def _by_blob(need: Need) -> dict[Digest, list[f.BlobDamage]]:
    grouped: dict[Digest, list[f.BlobDamage]] = {}
    for finding in need.findings:
        if isinstance(finding, f.BlobDamage):
            grouped.setdefault(finding.blob, []).append(finding)
    return grouped


def _no_source(model: ModelName, finding: f.Finding) -> Unhealed:
    return Unhealed(model=model, finding=finding, reason="no source has good bytes of it")


def _owner_step(finding: f.WrongOwner) -> FixOwner:
    return FixOwner(blob=finding.blob, owner=finding.expected)


def _heal(blob: Digest, findings: tuple[f.BlobDamage, ...], means: Means) -> Step | None:
    """The cheapest step that heals these findings; None when the sources do not have all that it needs."""
    size, offers = findings[0].size, means.offers.get(blob, ())
    gone = any(isinstance(finding, f.Missing | f.NotRegular) for finding in findings)
    replaces = not any(isinstance(finding, f.Missing) for finding in findings)
    if blob not in means.chunked or size <= CHUNK:
        return _heal_unlisted(blob, findings, offers, () if gone else means.suspects.get(blob, ()), replaces=replaces)
    spans = spans_of((index for finding in findings for index in indices_of(finding.spans)), size)
    parts = mix((Span(0, size),) if gone else spans, offers, size)
    if parts is None:
        return None
    if gone:
        return PlaceBlob(blob=blob, size=size, replaces=replaces, **_from(parts))
    return PatchBlob(blob=blob, size=size, spans=spans, method=_method(findings, means), **_from(parts))


def _heal_unlisted(
    blob: Digest,
    findings: tuple[f.BlobDamage, ...],
    offers: Sequence[Offer],
    suspects: tuple[Span, ...],
    *,
    replaces: bool,
) -> Step | None:
    """Without a chunk list a source has to have the whole blob: its SHA-256 decides. Too long a file needs none."""
    size, whole = findings[0].size, [offer for offer in offers if not offer.bad]
    if all(isinstance(finding, f.Oversized) for finding in findings):
        return TrySuspects(blob=blob, size=size, spans=(), source=whole[0].source if whole else "store")
    if not whole:
        return None
    if suspects and not whole[0].local:
        return TrySuspects(blob=blob, size=size, spans=suspects, source=whole[0].source)
    return PlaceBlob(blob=blob, size=size, source=whole[0].source, replaces=replaces)


def mix(spans: Sequence[Span], offers: Sequence[Offer], size: int) -> tuple[Part, ...] | None:
    """Which source gives which chunks of these spans: for each chunk the cheapest that has it; None if one has none.

    No chunks at all, as in a file that is only too long, need no source.
    """
    bad = [frozenset(indices_of(offer.bad)) for offer in offers]
    shares: dict[int, list[int]] = {}
    for index in indices_of(spans):
        chosen = next((number for number, lacks in enumerate(bad) if index not in lacks), None)
        if chosen is None:
            return None
        shares.setdefault(chosen, []).append(index)
    if not shares:
        return (Part(source=offers[0].source if offers else "store", spans=()),)
    return tuple(
        Part(source=offers[number].source, spans=spans_of(indices, size)) for number, indices in sorted(shares.items())
    )


class _Given(TypedDict):
    source: str
    parts: tuple[Part, ...]


def _from(parts: tuple[Part, ...]) -> _Given:
    return _Given(source="+".join(part.source for part in parts), parts=parts if len(parts) > 1 else ())


def _method(findings: tuple[f.BlobDamage, ...], means: Means) -> Method:
    if any(isinstance(finding, f.Unreadable) for finding in findings):
        return Method.NEW_FILE
    if means.file_system in CLONING:
        return Method.CLONE
    too_long = any(isinstance(finding, f.Oversized) for finding in findings)
    return Method.NEW_FILE if too_long or not means.in_place else Method.IN_PLACE


def _manifest_step(need: Need, manifest: Digest) -> PlaceManifest:
    return PlaceManifest(
        model=need.model,
        manifest=manifest,
        bytes=need.manifest_bytes,
        source=need.manifest_source,
        replaces=need.replaces_manifest,
        snapshot=need.snapshot,
    )
