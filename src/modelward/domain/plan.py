"""Findings become a plan: a frozen list of steps, made before anything is touched. Printing it is the dry run."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

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


class PlaceBlob(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Bring a whole blob from a source."""

    blob: Digest
    size: int
    source: str
    replaces: bool

    @property
    def bytes(self) -> int:
        """Bytes that come from the source."""
        return self.size


class PatchBlob(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag=True):
    """Bring the damaged chunks of a blob from a source; everything else stays."""

    blob: Digest
    size: int
    spans: tuple[Span, ...]
    source: str
    method: Method

    @property
    def bytes(self) -> int:
        """Bytes that come from the source."""
        return total(self.spans)


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


Step = PlaceBlob | PatchBlob | PlaceManifest | FixOwner


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


def make_plan(
    needs: Sequence[Need],
    offers: Mapping[Digest, str],
    chunked: frozenset[Digest],
    *,
    file_system: str,
) -> Plan:
    """The plan for these needs.

    ``offers`` names the cheapest source of each blob that has one, ``chunked`` holds the blobs with a chunk
    list. A blob that several models need is healed once, with the first of them.
    """
    if blocked := _unstable(needs):
        return Plan(unhealed=blocked)
    done: set[Digest] = set()
    plans: list[ModelPlan] = []
    unhealed: list[Unhealed] = []
    for need in sorted(needs, key=_cost):
        steps, left = _steps(need, offers, chunked, file_system, done)
        unhealed += left
        if need.manifest is None:
            unhealed += [_no_source(need.model, lost) for lost in need.findings if isinstance(lost, f.ManifestDamage)]
        elif not left:
            steps.append(_manifest_step(need, need.manifest))
        if steps:
            plans.append(ModelPlan(model=need.model, steps=tuple(steps)))
    return Plan(models=tuple(plans), unhealed=tuple(unhealed))


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


def _steps(
    need: Need, offers: Mapping[Digest, str], chunked: frozenset[Digest], file_system: str, done: set[Digest]
) -> tuple[list[Step], list[Unhealed]]:
    steps: list[Step] = []
    left: list[Unhealed] = []
    for blob, findings in _by_blob(need).items():
        content = tuple(finding for finding in findings if not isinstance(finding, f.WrongOwner))
        source = offers.get(blob, "")
        if content and not source:
            left += [_no_source(need.model, finding) for finding in content]
        elif blob in done:
            continue
        else:
            steps += _heal_and_own(blob, findings, content, source, chunked=blob in chunked, file_system=file_system)
            done.add(blob)
    return steps, left


def _heal_and_own(  # noqa: PLR0913 - the one caller's loop variables
    blob: Digest,
    findings: Sequence[f.BlobDamage],
    content: tuple[f.BlobDamage, ...],
    source: str,
    *,
    chunked: bool,
    file_system: str,
) -> list[Step]:
    """Heal what is in the blob; its owner needs a step of its own where the file stays the same one (R5)."""
    steps: list[Step] = []
    if content:
        steps.append(_heal(blob, content, source, chunked=chunked, file_system=file_system))
    stays = not steps or (isinstance(steps[0], PatchBlob) and steps[0].method is Method.IN_PLACE)
    return steps + [_owner_step(wrong) for wrong in findings if stays and isinstance(wrong, f.WrongOwner)]


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


def _heal(blob: Digest, findings: tuple[f.BlobDamage, ...], source: str, *, chunked: bool, file_system: str) -> Step:
    size = findings[0].size
    gone = any(isinstance(finding, f.Missing | f.NotRegular) for finding in findings)
    if gone or not chunked or size <= CHUNK:
        replaces = not any(isinstance(finding, f.Missing) for finding in findings)
        return PlaceBlob(blob=blob, size=size, source=source, replaces=replaces)
    spans = spans_of((index for finding in findings for index in indices_of(finding.spans)), size)
    return PatchBlob(blob=blob, size=size, spans=spans, source=source, method=_method(findings, file_system))


def _method(findings: tuple[f.BlobDamage, ...], file_system: str) -> Method:
    if any(isinstance(finding, f.Unreadable) for finding in findings):
        return Method.NEW_FILE
    if file_system in CLONING:
        return Method.CLONE
    return Method.NEW_FILE if any(isinstance(finding, f.Oversized) for finding in findings) else Method.IN_PLACE


def _manifest_step(need: Need, manifest: Digest) -> PlaceManifest:
    return PlaceManifest(
        model=need.model,
        manifest=manifest,
        bytes=need.manifest_bytes,
        source="vault",
        replaces=need.replaces_manifest,
        snapshot=need.snapshot,
    )
