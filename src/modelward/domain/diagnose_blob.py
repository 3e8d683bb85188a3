"""Name the causes of one blob's damage from its chunks: the half of the diagnosis that looks at bytes."""

import re
from collections.abc import Callable, Iterator, Sequence

from modelward.domain.cause import Cause, Certainty, Kind
from modelward.domain.chunks import Span, count, total
from modelward.domain.evidence import (
    BlobSeen,
    CacheSays,
    DiskHealth,
    KernelEvidence,
    KernelLine,
    Pattern,
    Place,
    Sign,
)
from modelward.domain.finding import NotRegular, Oversized, Truncated, Unreadable, UnstableRead
from modelward.domain.patterns import BLOCK, unit
from modelward.domain.words import describe, places

DENIED = frozenset({"EACCES", "EPERM"})
MEDIUM = frozenset({"EIO", "ENODATA", "EREMOTEIO", "EILSEQ"})
_CHECKSUM = frozenset({"EBADMSG", "EUCLEAN"})
_CODE = re.compile(r"(?:\A|\()(E[A-Z0-9]{2,})\)?\Z")
_SHOWN = 3
_Causes = Iterator[Cause]


def diagnose_blob(seen: BlobSeen, kernel: KernelEvidence) -> tuple[Cause, ...]:
    """The causes of one blob's damage; a blob that is gone has none here, its model's loss is told as one."""
    if seen.missing:
        return ()
    if found := tuple(_whole(seen)):
        return found
    parts: tuple[Callable[[BlobSeen, KernelEvidence], _Causes], ...] = (
        _cut_short,
        _unreadable,
        _cache,
        _zeroed,
        _sectors,
        _bits,
        _unstable,
    )
    found = tuple(cause for part in parts for cause in part(seen, kernel))
    return found or (_unknown(seen),)


def _cause(seen: BlobSeen, kind: Kind, certainty: Certainty, evidence: Sequence[str], todo: str = "") -> Cause:
    model = seen.models[0] if seen.models else None
    repair = f"modelward repair {model.short}" if model is not None else "modelward repair"
    return Cause(
        kind=kind,
        thing=seen.path,
        evidence=tuple(evidence),
        certainty=certainty,
        next=f"{repair}; {todo}" if todo else repair,
        model=model,
    )


# The file as a whole.


def _whole(seen: BlobSeen) -> _Causes:
    """What makes looking at chunks pointless: the file is something else."""
    odd = next((finding for finding in seen.findings if isinstance(finding, NotRegular)), None)
    if odd is not None:
        yield _cause(seen, Kind.WRONG_CONTENT, Certainty.PROVED, [f"it is a {odd.what}, not a plain file"])
    elif seen.content:
        lines = [f"it begins as {seen.content} does", f"it is {seen.actual:,} bytes long, the blob {seen.size:,}"]
        yield _cause(seen, Kind.WRONG_CONTENT, Certainty.PROVED, lines)
    elif seen.same_as == seen.blob:
        lines = [
            "the file is right: its SHA-256 is its name",
            f"the manifest gives it {seen.size:,} bytes, it has {seen.actual:,}",
        ]
        yield _cause(seen, Kind.MANIFEST_GARBLED, Certainty.PROVED, lines)
    elif seen.same_as is not None:
        lines = [f"its bytes are those of another blob, {seen.same_as}"]
        yield _cause(seen, Kind.WRONG_CONTENT, Certainty.PROVED, lines)
    elif _all_other(seen):
        compared = total(chunk.span for chunk in seen.chunks if chunk.compared)
        wrong = sum(place.wrong for chunk in seen.chunks if chunk.compared for place in chunk.places)
        lines = [
            f"{wrong:,} of the {compared:,} bytes that were compared are others",
            "another file under this name, or one that was encrypted",
        ]
        yield _cause(seen, Kind.WRONG_CONTENT, Certainty.LIKELY, lines)


def _all_other(seen: BlobSeen) -> bool:
    """Whether nearly every byte of a file that is longer than a few blocks differs from the good ones, unzeroed."""
    size = min(seen.size, seen.actual or 0)
    compared = [chunk for chunk in seen.chunks if chunk.compared]
    if size <= 16 * BLOCK or not compared or not _everywhere(seen):
        return False
    other = (Pattern.SECTORS, Pattern.OTHER)
    wrong = sum(place.wrong for chunk in compared for place in chunk.places if place.pattern in other)
    return 10 * wrong > 9 * total(chunk.span for chunk in compared)


def _cut_short(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    found = next((finding for finding in seen.findings if isinstance(finding, Truncated)), None)
    if found is None:
        return
    lines = [f"{found.actual:,} of {found.size:,} bytes are there, {found.size - found.actual:,} are not"]
    if not found.actual:
        lines.append("it is empty: what was written never reached the disk, or somebody emptied it")
    elif found.actual % BLOCK == 0:
        lines.append(f"it ends on a border of {BLOCK:,} bytes, as a copy or download does that was stopped")
    if seen.compared_with and not _places(seen):
        lines.append(f"up to there its bytes are those of the {seen.compared_with}")
    lines += said(kernel.about(Sign.CRASH, Sign.KILLED))
    yield _cause(seen, Kind.CUT_SHORT, Certainty.PROVED, lines, "df -h")


# Reading.


def _unreadable(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    for found in seen.findings:
        if not isinstance(found, Unreadable):
            continue
        lines = [describe(found)]
        error = code_in(found.error)
        if error in DENIED:
            yield _cause(seen, Kind.WRONG_OWNER, Certainty.POSSIBLE, [*lines, "we may not read it"], "ls -l its folder")
            continue
        errors = kernel.about(Sign.IO, Sign.CHECKSUM)
        lines += [*said(errors), *_health(kernel.disks)]
        if error in MEDIUM:
            sure = error == "EIO" and any(line.ours and line.sign is Sign.IO for line in errors)
            certainty = Certainty.PROVED if sure else Certainty.LIKELY
            yield _cause(seen, Kind.BAD_SECTOR, certainty, lines, _ask_disk(kernel))
        elif error in _CHECKSUM:
            lines.append("the file system's own checksums do not fit: unmount it and let fsck, scrub or repair look")
            yield _cause(seen, Kind.BAD_SECTOR, Certainty.POSSIBLE, lines, _ask_disk(kernel))


def _cache(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    chunks = [chunk for chunk in seen.chunks if chunk.cache is not None]
    for says in dict.fromkeys(chunk.cache for chunk in chunks):
        alike = [chunk for chunk in chunks if chunk.cache is says]
        assert says is not None  # noqa: S101 - filtered above
        lines = [f"{says} {places(tuple(chunk.span for chunk in alike))}", _MEANS[says]]
        lines += said(kernel.about(Sign.MEMORY) if says is CacheSays.DISK_GOOD else kernel.about(Sign.IO, Sign.LINK))
        certainty = Certainty.POSSIBLE if says is CacheSays.NEITHER else Certainty.PROVED
        todo = _MEMTEST if says is CacheSays.DISK_GOOD else _ask_disk(kernel)
        yield _cause(seen, Kind.CACHE_DIFFERS, certainty, lines, todo)


_MEMTEST = "then test the memory (memtest86+ from the boot menu, or memtester)"
_MEANS = {
    CacheSays.CACHE_GOOD: "the server goes on with good bytes until they leave memory: heal before it restarts;"
    " the disk lost or garbled what was written",
    CacheSays.DISK_GOOD: "the disk is right and memory is not: sync; echo 1 > /proc/sys/vm/drop_caches brings the"
    " good bytes back, and the memory is suspect",
    CacheSays.NEITHER: "the file is being written, or both memory and disk are at fault",
}


def _unstable(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    if not any(isinstance(finding, UnstableRead) for finding in seen.findings) or any(c.cache for c in seen.chunks):
        return
    shaky = [chunk for chunk in seen.chunks if chunk.reads > 1]
    lines = [describe(finding) for finding in seen.findings if isinstance(finding, UnstableRead)]
    if shaky:
        lines.append(f"read again, {len(shaky)} chunk(s) gave up to {max(c.reads for c in shaky)} different contents")
    else:
        lines.append("read again now, it gives the same bytes each time")
    lines += [*said(kernel.about(Sign.MEMORY, Sign.LINK)), *_health(kernel.disks)]
    yield _cause(seen, Kind.BIT_FLIP, Certainty.LIKELY if shaky else Certainty.POSSIBLE, lines, _MEMTEST)


def code_in(text: str) -> str:
    """The name of the system's error at the end of a text, such as EIO; empty where there is none."""
    found = _CODE.search(text)
    return found[1] if found is not None else ""


# Wrong bytes.


def _zeroed(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    zeros = [place for place in _places(seen) if place.pattern is Pattern.ZEROS]
    if not zeros:
        return
    compared = any(chunk.compared for chunk in seen.chunks)
    spans = tuple(place.span for place in zeros)
    size = unit(tuple(zeros))
    if all(chunk.blank for chunk in seen.chunks) and _everywhere(seen):
        lines = ["every byte that was looked at is zero: a file whose blocks never reached the disk (ollama #17520)"]
    else:
        lines = [f"{len(zeros)} range(s) of zeros, with borders on multiples of {size:,} bytes: {_at(spans)}"]
    holes = [hole for hole in seen.holes if any(hole.offset < s.end and s.offset < hole.end for s in spans)]
    if holes:
        lines.append(f"{len(holes)} of the file's ranges were never allocated (holes): {_at(holes)}")
    lines.append(_compared(seen))
    # Zeros may belong to a model: without good bytes they count where the chunk is known to be bad, and its
    # zeros keep to whole blocks.
    sure = compared or (seen.exact and (size == BLOCK or bool(holes)))
    lines += said(kernel.about(Sign.CRASH))
    todo = "then look for a crash in: journalctl -b -1 -e"
    yield _cause(seen, Kind.ZEROED, Certainty.LIKELY if sure else Certainty.POSSIBLE, lines, todo)


def _everywhere(seen: BlobSeen) -> bool:
    """Whether every chunk that the file has is damaged, as far as was looked."""
    if seen.exact:
        return seen.damaged >= count(min(seen.size, seen.actual or 0))
    return len(seen.chunks) == seen.scanned


def _sectors(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    found = [place for place in _places(seen) if place.pattern is Pattern.SECTORS]
    if not found:
        return
    spans = tuple(place.span for place in found)
    lines = [
        f"{len(found)} range(s) of whole {unit(tuple(found)):,}-byte blocks hold other bytes: {_at(spans)}",
        "the disk reads them without an error: a write that was lost or went astray",
        _compared(seen),
    ]
    if moved := sum(chunk.moved for chunk in seen.chunks):
        lines.append(f"{moved} of them hold bytes that belong elsewhere in the blob")
    lines += [*said(kernel.about(Sign.IO, Sign.LINK, Sign.CHECKSUM)), *_health(kernel.disks)]
    yield _cause(seen, Kind.LOST_WRITE, Certainty.LIKELY, lines, _ask_disk(kernel))


def _bits(seen: BlobSeen, kernel: KernelEvidence) -> _Causes:
    """Single bits; beside bytes without any pattern they may be chance, and do not count."""
    muddled = (Pattern.OTHER, Pattern.LOOSE_ZEROS)
    clear = [
        chunk
        for chunk in seen.chunks
        if any(place.pattern is Pattern.BITS for place in chunk.places)
        and not any(place.pattern in muddled for place in chunk.places)
    ]
    found = [place for chunk in clear for place in chunk.places if place.pattern is Pattern.BITS]
    if not found:
        return
    bits, wrong = sum(place.bits for place in found), sum(place.wrong for place in found)
    lines = [
        f"{bits} bit(s) in {wrong} byte(s) of {len(clear)} chunk(s): {_at(tuple(place.span for place in found))}",
        _compared(seen),
        *said(kernel.about(Sign.MEMORY, Sign.LINK)),
        *_health(kernel.disks),
    ]
    yield _cause(seen, Kind.BIT_FLIP, Certainty.LIKELY if bits == wrong else Certainty.POSSIBLE, lines, _MEMTEST)


def _unknown(seen: BlobSeen) -> Cause:
    """Damage without a pattern, told as far as it goes."""
    lines = [describe(finding) for finding in seen.findings]
    found = _places(seen)
    if any(isinstance(finding, Oversized) for finding in seen.findings) and not found and seen.compared_with:
        lines.append(f"up to the blob's size its bytes are those of the {seen.compared_with}: something was appended")
    elif found and any(chunk.compared for chunk in seen.chunks):
        kinds = dict.fromkeys(place.pattern.value for place in found)
        lines.append(f"{len(found)} place(s), {' and '.join(kinds)}: {_at(tuple(place.span for place in found))}")
        lines.append("neither single bits nor whole sectors: a program wrote there, or several things went wrong")
    elif not seen.compared_with:
        lines.append("there are no good bytes to compare with: back the model up, or name other stores")
    return _cause(seen, Kind.UNKNOWN, Certainty.POSSIBLE, lines)


# Words.


def _places(seen: BlobSeen) -> list[Place]:
    """All wrong places; those that only the page cache has are memory's, and told apart."""
    return [place for chunk in seen.chunks if chunk.cache is not CacheSays.DISK_GOOD for place in chunk.places]


def _at(spans: Sequence[Span]) -> str:
    return places(tuple(spans)).removeprefix("at ")


def _compared(seen: BlobSeen) -> str:
    sampled = [chunk for chunk in seen.chunks if chunk.compared]
    if not sampled:
        return "not compared: there are no good bytes at hand"
    vouched = "" if all(chunk.proved for chunk in sampled) else ", which nothing vouches for"
    of = f"{len(sampled)} of {seen.damaged} damaged chunks" if seen.exact else f"{len(sampled)} chunks"
    return f"{of} compared with the {seen.compared_with}{vouched}"


def _ask_disk(kernel: KernelEvidence) -> str:
    device = kernel.devices[0] if kernel.devices else "DEVICE"
    return f"then ask the disk: smartctl -a /dev/{device.removeprefix('/dev/')}"


def _health(disks: Sequence[DiskHealth]) -> list[str]:
    """What the disks say of themselves, where that is not all well."""
    lines: list[str] = []
    for disk in disks:
        bad = {name: number for name, number in disk.counters.items() if number}
        if disk.passed is False:
            lines.append(f"{disk.device} says itself that it is failing (SMART)")
        if bad:
            lines.append(f"{disk.device}: " + ", ".join(f"{name} {number:,}" for name, number in bad.items()))
    return lines


def said(lines: Sequence[KernelLine]) -> list[str]:
    """Lines of the kernel's log as evidence: the first three, and how many more."""
    more = [f"kernel: {len(lines) - _SHOWN} more lines like these"] if len(lines) > _SHOWN else []
    return [f"kernel: {line.text}" for line in lines[:_SHOWN]] + more
