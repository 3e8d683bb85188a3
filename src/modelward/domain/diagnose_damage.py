"""Name the causes of damage from what was seen of it; UNKNOWN is said rather than a wrong certainty.

Facts of Ollama (when blobs are pruned, how manifests are written) were read in its source, v0.33.0-rc2.
"""

from collections.abc import Iterator

from modelward.domain.cause import Cause, Certainty, Kind
from modelward.domain.diagnose_blob import DENIED, MEDIUM, code_in, diagnose_blob, said
from modelward.domain.evidence import (
    BlobSeen,
    DamageEvidence,
    ManifestSeen,
    ModelSeen,
    OwnerSeen,
    PartialSeen,
    Sign,
    TagSeen,
)
from modelward.domain.finding import Truncated
from modelward.domain.name import ModelName
from modelward.domain.units import format_bytes
from modelward.domain.words import printable

GRACE = 3600  # seconds that the start-up prune spares a blob, by its mtime, from v0.21.0 on
_GRACE_SINCE = (0, 21)
_RUNNING = 600  # a download that wrote less than this many seconds ago may still be under way
_FULL_SHARE = 1000
_FULL_BYTES = 16 << 20
_SHOWN = 3


def diagnose_damage(evidence: DamageEvidence) -> tuple[Cause, ...]:
    """The causes, the most pressing first: what a start of the server makes worse, then the bytes, then the rest."""
    found = [
        *(_manifest(seen, evidence) for seen in evidence.manifests),
        *_lost(evidence),
        *(cause for seen in evidence.blobs for cause in diagnose_blob(seen, evidence.kernel)),
        *_disk_full(evidence),
        *(_owner(seen, evidence.store) for seen in evidence.owners),
        *(_partial(seen, evidence) for seen in evidence.partials),
        *(cause for seen in evidence.tags if (cause := _tag(seen)) is not None),
        *_twins(evidence),
    ]
    return tuple(_plain(cause) for cause in found)


def _plain(cause: Cause) -> Cause:
    """The cause with nothing in it that a terminal would obey."""
    return Cause(
        kind=cause.kind,
        thing=printable(cause.thing),
        evidence=tuple(printable(line) for line in cause.evidence),
        certainty=cause.certainty,
        next=printable(cause.next),
        model=cause.model,
    )


# Manifests.


def _manifest(seen: ManifestSeen, evidence: DamageEvidence) -> Cause:
    if seen.denied:
        return _denied(seen)
    if seen.reason:
        return _empty(seen, evidence) if seen.blank else _garbled(seen)
    lines = [
        f"no file at {seen.path}" if seen.model is not None else f"orphan {seen.path} is the config of a model",
        *_remains(seen),
        *_deadline(seen, evidence),
    ]
    if seen.model is None:
        todo = "modelward restore MODEL, or pull the model again before the server's next start"
    else:
        todo = _repair(seen) if seen.known else f"ollama pull {seen.model.short}"
    return Cause(
        kind=Kind.MANIFEST_LOST,
        thing=seen.path,
        evidence=tuple(lines),
        certainty=Certainty.PROVED if seen.model is not None else Certainty.LIKELY,
        next=f"do not restart the server first; {todo}" if seen.blobs.present else todo,
        model=seen.model,
    )


def _deadline(seen: ManifestSeen, evidence: DamageEvidence) -> Iterator[str]:
    """The time that is left before the start-up prune takes the blobs, by the rule of the server's version."""
    blobs = seen.blobs
    if not blobs.present:
        yield "blobs and manifest are gone: removed (ollama rm), or pruned at a start after the manifest was lost"
        return
    if blobs.present < blobs.total:
        yield "some of its blobs are gone already: a start of the server may have pruned them"
    yield from _rules(evidence.server, _old_rule(), _new_rule(blobs.youngest, evidence.now))
    damaged = next((other.path for other in evidence.manifests if other.reason), "")
    if damaged:
        yield f"while {damaged} is damaged, servers from v0.4.0 on skip that prune"


def _old_rule() -> str:
    return "before v0.21.0 the server's next start deletes them, whatever their age"


def _new_rule(youngest: int, now: int) -> str:
    left = youngest + GRACE - now
    if left > 0:
        return f"from v0.21.0 on a start in the next {_age(left)} spares the youngest, a later one deletes them all"
    return f"from v0.21.0 on the next start deletes what is older than 1 h: the youngest is {_age(now - youngest)} old"


def _rules(server: str, old: str, new: str) -> Iterator[str]:
    """The rule of the server's version; both where that is not known."""
    version = _version(server)
    if version is None:
        yield from (old, new)
    else:
        yield f"server {server}: {new if version >= _GRACE_SINCE else old}"


def _version(text: str) -> tuple[int, ...] | None:
    """Major and minor number of a server's version; None for one that says neither."""
    parts = text.removeprefix("v").split(".")[:2]
    return tuple(int(part) for part in parts) if len(parts) == 2 and all(part.isdecimal() for part in parts) else None


def _empty(seen: ManifestSeen, evidence: DamageEvidence) -> Cause:
    content = "it is 0 bytes long" if not seen.size else f"its {seen.size:,} bytes are zeros"
    return Cause(
        kind=Kind.MANIFEST_EMPTY,
        thing=seen.path,
        evidence=(
            content,
            "the server writes manifests in place and without fsync",
            *_remains(seen),
            *said(evidence.kernel.about(Sign.CRASH, Sign.KILLED)),
        ),
        certainty=Certainty.LIKELY,
        next=_repair(seen),
        model=seen.model,
    )


def _denied(seen: ManifestSeen) -> Cause:
    """We could not look: then neither that it is gone nor that it is damaged is known."""
    code = code_in(seen.denied)
    kind = Kind.WRONG_OWNER if code in DENIED else Kind.BAD_SECTOR if code in MEDIUM else Kind.UNKNOWN
    return Cause(
        kind=kind,
        thing=seen.path,
        evidence=(f"it cannot be read: {seen.denied}", "whether it is there and whole is not known"),
        certainty=Certainty.POSSIBLE if kind is Kind.UNKNOWN else Certainty.LIKELY,
        next=f"run doctor as root or as the server's user; ls -l {seen.path}",
        model=seen.model,
    )


def _garbled(seen: ManifestSeen) -> Cause:
    return Cause(
        kind=Kind.MANIFEST_GARBLED,
        thing=seen.path,
        evidence=(seen.reason, *_remains(seen)),
        certainty=Certainty.PROVED,
        next=_repair(seen),
        model=seen.model,
    )


def _remains(seen: ManifestSeen) -> Iterator[str]:
    if seen.blobs.total:
        yield f"{seen.blobs.present} of its {seen.blobs.total} blobs are there ({format_bytes(seen.blobs.bytes)})"


def _repair(seen: ManifestSeen) -> str:
    name = seen.model.short if seen.model is not None else "MODEL"
    return f"modelward repair {name}" if seen.known else f"ollama pull {name} (the vault has no copy)"


# Blobs that are gone.


def _lost(evidence: DamageEvidence) -> Iterator[Cause]:
    """One cause for each model that misses blobs; those of a lost manifest are told with it."""
    told = {seen.model for seen in evidence.manifests if not seen.reason and not seen.blobs.present}
    gone = [seen for seen in evidence.blobs if seen.missing]
    for model in dict.fromkeys(model for seen in gone for model in seen.models):
        if model not in told:
            blobs = [seen for seen in gone if model in seen.models]
            near = next((seen for seen in blobs if seen.near_orphan is not None), None)
            yield _lost_of(model, blobs, evidence) if near is None else _misnamed(model, near)


def _lost_of(model: ModelName, blobs: list[BlobSeen], evidence: DamageEvidence) -> Cause:
    counts = next((seen for seen in evidence.models if seen.model == model), None)
    lines = [f"no file at {seen.path} ({format_bytes(seen.size)})" for seen in blobs[:_SHOWN]]
    if len(blobs) > _SHOWN:
        lines.append(f"and {len(blobs) - _SHOWN} more")
    lines += _why_lost(counts, partial=any(seen.partial for seen in blobs))
    if evidence.blobs_changed:
        lines.append(f"the blobs folder last changed {_age(evidence.now - evidence.blobs_changed)} ago")
    return Cause(
        kind=Kind.BLOB_LOST,
        thing=blobs[0].path,
        evidence=tuple(lines),
        certainty=Certainty.PROVED,
        next=f"modelward repair {model.short}",
        model=model,
    )


def _misnamed(model: ModelName, near: BlobSeen) -> Cause:
    """A blob that is gone, and an orphan of nearly the same name: the manifest has a wrong digit."""
    return Cause(
        kind=Kind.MANIFEST_GARBLED,
        thing=near.path,
        evidence=(
            f"the manifest names {near.blob}, and there is no such file",
            f"an orphan has nearly the same name: {near.near_orphan}",
        ),
        certainty=Certainty.LIKELY,
        next=f"modelward repair {model.short}",
        model=model,
    )


def _why_lost(seen: ModelSeen | None, *, partial: bool) -> Iterator[str]:
    if partial:
        yield "a partial download of it lies beside: the download was never finished, or began anew"
    if seen is None:
        return
    if seen.missing == seen.blobs:
        yield f"all {seen.blobs} blobs of the model are gone, the manifest is not"
        yield "pruned while the server could not read its manifests, removed by hand, or the copying of a store stopped"
    else:
        yield f"{seen.missing} of its {seen.blobs} blobs gone, the others are there: no prune at a start does that"
        yield "removed by hand, a virus scanner, fsck, or with a model that shared it; or a copy of the store stopped"


# The disk, owners, downloads, tags, names.


def _disk_full(evidence: DamageEvidence) -> Iterator[Cause]:
    """Said where something was cut short, stopped or emptied, or where the disk is full now."""
    space = evidence.space
    if space is None:
        return
    needs = [
        *(
            (f"{seen.path} lacks {format_bytes(seen.size - (seen.actual or 0))}", seen.size - (seen.actual or 0))
            for seen in evidence.blobs
            if any(isinstance(finding, Truncated) for finding in seen.findings) and not seen.content
        ),
        *((f"{s.path} lacks {format_bytes(s.total - s.done)}", s.total - s.done) for s in evidence.partials),
    ]
    full = space.free < max(_FULL_BYTES, 1) or space.free * _FULL_SHARE < space.total or space.entries == 0
    short = sum(need for _, need in needs) > space.free
    if not full and not short:
        return
    yield Cause(
        kind=Kind.DISK_FULL,
        thing="the store's file system",
        evidence=(
            f"{format_bytes(space.free)} of {format_bytes(space.total)} are free"
            + (", and no entry for another file" if space.entries == 0 else ""),
            *(line for line, _ in needs[:_SHOWN]),
        ),
        certainty=Certainty.PROVED if full else Certainty.LIKELY,
        next="df -h; df -i; free space (modelward space --reclaim), then repair",
    )


def _owner(seen: OwnerSeen, store: str) -> Cause:
    who = "the server's user" if seen.known else "the store's owner, whom we take for the server's user,"
    right = "enter" if seen.folder else "read"
    # The user may be in more groups than its own: then what the group may is not known for sure.
    grouped = bool(seen.owner.mode & (0o010 if seen.folder else 0o040))
    path = seen.path if seen.path.startswith("/") else f"{store}/{seen.path}"
    return Cause(
        kind=Kind.WRONG_OWNER,
        thing=seen.path,
        evidence=(
            f"it belongs to {seen.owner.uid}:{seen.owner.gid}, mode {seen.owner.mode:04o}",
            f"{who} {seen.reader.uid}:{seen.reader.gid} must {right} it",
        ),
        certainty=Certainty.PROVED if seen.known and not grouped else Certainty.LIKELY,
        next=f"chmod o+x {path}"
        if seen.folder
        else f"chown {seen.reader.uid}:{seen.reader.gid} {path}; chmod 644 {path}",
        model=seen.models[0] if seen.models else None,
    )


def _partial(seen: PartialSeen, evidence: DamageEvidence) -> Cause:
    age = max(0, evidence.now - seen.modified)
    share = f" ({100 * seen.done // seen.total} %)" if seen.total else ""
    lines = [
        f"{seen.done:,} of {seen.total:,} bytes are done{share}, {seen.sidecars} sidecar(s)",
        f"last written {_age(age)} ago",
    ]
    if seen.empty:
        lines.append(f"{len(seen.empty)} sidecar(s) are empty (disk full, or power cut): every later pull says EOF")
    if seen.garbled:
        lines.append(f"{len(seen.garbled)} sidecar(s) are damaged: every later pull fails on them")
    if seen.gap and seen.sidecars and not seen.empty and not seen.garbled:
        lines.append(
            f"no sidecar speaks for {seen.gap:,} bytes: one is lost, and the pull would end with a wrong digest"
        )
    if not seen.sidecars:
        lines.append("it has no sidecar: nothing says how far it came, the next pull begins anew")
    broken = bool(seen.empty or seen.garbled or not seen.data or (seen.gap and seen.sidecars))
    return Cause(
        kind=Kind.STUCK_PARTIAL,
        thing=seen.path,
        evidence=tuple(lines),
        certainty=Certainty.PROVED if age >= _RUNNING else Certainty.POSSIBLE,
        next=_resume(seen, evidence.store, broken=broken),
        model=seen.models[0] if seen.models else None,
    )


def _resume(seen: PartialSeen, store: str, *, broken: bool) -> str:
    name = seen.models[0].short if seen.models else "MODEL"
    return f"rm {store}/{seen.path}*; ollama pull {name}" if broken else f"ollama pull {name}"


def _tag(seen: TagSeen) -> Cause | None:
    if seen.upstream == seen.store:
        return None
    lines = [f"the store serves {seen.store.short}, upstream's tag names {seen.upstream.short}"]
    if seen.recorded == seen.store:
        lines.append("what is served is the recorded version: upstream changed, the store did not")
    elif seen.recorded is not None:
        lines.append(f"recorded was {seen.recorded.short}: the store changed too")
    return Cause(
        kind=Kind.TAG_MOVED,
        thing=seen.model.short,
        evidence=tuple(lines),
        certainty=Certainty.PROVED if seen.recorded == seen.store else Certainty.POSSIBLE,
        next=f"modelward pin {seen.model.short} to stay, modelward pull {seen.model.short} to follow",
        model=seen.model,
    )


def _twins(evidence: DamageEvidence) -> Iterator[Cause]:
    for twin in evidence.twins:
        names = ", ".join(model.short for model in twin.models)
        yield Cause(
            kind=Kind.CASE_TWIN,
            thing=twin.path,
            evidence=(f"{names}: one overwrites the other where upper and lower case are the same",),
            certainty=Certainty.PROVED,
            next=f"modelward backup; then move one of the manifests out of {evidence.store}/manifests",
            model=twin.models[0],
        )


def _age(seconds: int) -> str:
    """A time in the greatest unit that fits."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"
