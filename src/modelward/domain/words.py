"""Findings in words: one line that a person understands without the manual."""

from typing import assert_never

from modelward.domain import finding as f
from modelward.domain.chunks import Span


def printable(text: str) -> str:
    """The text on one line, with what is not printable shown escaped, never sent to a terminal (T19)."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )


def describe(finding: f.Finding) -> str:
    """What is wrong, in one line."""
    return printable(_describe(finding))


def _describe(finding: f.Finding) -> str:
    if isinstance(finding, f.Missing | f.Truncated | f.Oversized | f.Corrupt | f.Unreadable | f.UnstableRead):
        return f"blob {finding.blob.short} {_of_bytes(finding)}"
    if isinstance(finding, f.NotRegular | f.Changed | f.WrongOwner | f.Orphan):
        return f"blob {finding.blob.short} {_of_file(finding)}"
    if isinstance(finding, f.StoreEmpty | f.StoreMoved | f.StoreUnmounted | f.WrongStore):
        return _of_store(finding)
    return _of_manifest(finding)


def _of_bytes(
    finding: f.Missing | f.Truncated | f.Oversized | f.Corrupt | f.Unreadable | f.UnstableRead,
) -> str:
    match finding:
        case f.Missing():
            return f"is missing ({finding.size:,} bytes)"
        case f.Truncated():
            return f"is cut short: {finding.actual:,} of {finding.size:,} bytes"
        case f.Oversized():
            return f"is {finding.actual - finding.size:,} bytes too long"
        case f.Corrupt():
            return f"has wrong bytes {places(finding.spans) if finding.exact else 'somewhere'}"
        case f.Unreadable():
            return f"cannot be read ({finding.error}) {places(finding.spans)}"
        case f.UnstableRead():
            return f"reads differently each time {places(finding.spans)}: suspect memory, cable or controller"
        case _:
            assert_never(finding)


def _of_file(finding: f.NotRegular | f.Changed | f.WrongOwner | f.Orphan) -> str:
    match finding:
        case f.NotRegular():
            return f"is a {finding.what}, not a plain file"
        case f.Changed():
            return "changed while it was read: verify again"
        case f.WrongOwner():
            return f"belongs to {_owner(finding.actual)}, the store to {_owner(finding.expected)}"
        case f.Orphan():
            return f"belongs to no model ({finding.size:,} bytes): the runtime prunes it at its next start"
        case _:
            assert_never(finding)


def _of_store(finding: f.StoreFinding) -> str:
    match finding:
        case f.StoreEmpty():
            return f"the store {finding.path} is empty, but the vault knows {finding.known} model(s) of it"
        case f.StoreMoved():
            return f"{finding.path} is not the store that was recorded: {finding.reason}"
        case f.StoreUnmounted():
            return f"{finding.path} was on {finding.mount_source}, and that is not mounted at {finding.mount_point}"
        case f.WrongStore():
            return f"the server at {finding.server} reads another store than {finding.path}: {finding.reason}"
        case _:
            assert_never(finding)


def _of_manifest(
    finding: f.ManifestLost | f.ManifestDamaged | f.RecordDamaged | f.BadEntry | f.CaseTwin | f.Partial,
) -> str:
    match finding:
        case f.RecordDamaged():
            return f"the vault's record {finding.path} is damaged: {finding.reason}"
        case f.ManifestLost():
            return "the manifest is gone: the runtime prunes the blobs at its next start"
        case f.ManifestDamaged():
            return f"the manifest is damaged: {finding.reason}"
        case f.BadEntry():
            return f"{finding.path}: {finding.reason}"
        case f.CaseTwin():
            return "names that differ in case only: " + ", ".join(model.short for model in finding.models)
        case f.Partial():
            return f"unfinished download {finding.path} ({finding.bytes:,} bytes on disk)"
        case _:
            assert_never(finding)


def way_out(doubt: f.StoreFinding) -> str:
    """What to do about a store that is not as it was."""
    if isinstance(doubt, f.StoreEmpty):
        return (
            "mount or name the right store (--store); if this one is meant: modelward restore MODEL, or --accept-store"
        )
    if isinstance(doubt, f.WrongStore):
        return "name the store that the server reads (--store), or the right server (OLLAMA_HOST); or --accept-store"
    return "mount or name the right store (--store); if this one is meant, repeat with --accept-store"


def places(spans: tuple[Span, ...]) -> str:
    """Where the spans lie: the first three, then how many more."""
    shown = ", ".join(f"{span.offset:,}+{span.length:,}" for span in spans[:3])
    return f"at {shown}" + (f" and {len(spans) - 3} more places" if len(spans) > 3 else "")


def _owner(owner: tuple[int, int, int]) -> str:
    uid, gid, mode = owner
    return f"{uid}:{gid} mode {mode:04o}"
