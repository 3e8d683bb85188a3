"""What the gate says before a server starts: one word for each model, one for the store, and the exit code of it."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from modelward.domain import errors
from modelward.domain.finding import Finding
from modelward.domain.name import ModelName


class Passage(StrEnum):
    """How it stands with a model, or with the store as a whole; the worst comes last."""

    FRESH = "fresh"
    HEALTHY = "healthy"
    RECOVERED = "recovered"
    DOWNLOADED = "downloaded"
    UNPROVED = "unproved"
    DAMAGED = "damaged"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    BLOCKED = "blocked"
    REFUSED = "refused"

    @property
    def exit_code(self) -> int:
        """0 where models may be served; else the code that every verb gives for such an end."""
        return _CODES.get(self, errors.EXIT_OK)

    @property
    def meaning(self) -> str:
        """The word explained."""
        return _MEANINGS[self]


_CODES = {
    Passage.DAMAGED: errors.EXIT_DAMAGE,
    Passage.UNREACHABLE: errors.EXIT_UNREACHABLE,
    Passage.LOST: errors.EXIT_NOT_REPAIRABLE,
    Passage.BLOCKED: errors.EXIT_STORAGE,
    Passage.REFUSED: errors.EXIT_USAGE,
}
_MEANINGS = {
    Passage.FRESH: "there is no model, and none is expected",
    Passage.HEALTHY: "every byte is vouched for",
    Passage.RECOVERED: "it was damaged or lost, and was healed on this host",
    Passage.DOWNLOADED: "it was damaged or lost, and some of it came over the network",
    Passage.UNPROVED: "nothing wrong was seen, and the time did not suffice to read all of it",
    Passage.DAMAGED: "damage is left that can be repaired: a source failed, or the time was up",
    Passage.UNREACHABLE: "nobody here has good bytes of it, and the registry cannot be reached",
    Passage.LOST: "no source has good bytes of it",
    Passage.BLOCKED: "the disk takes no repair: it is full, read-only or not ours, or another process writes",
    Passage.REFUSED: "the store is not the recorded one, so nothing was touched",
}


def worst(passages: Iterable[Passage]) -> Passage:
    """The worst of them; fresh where there is none."""
    order = list(Passage)
    return max(passages, key=order.index, default=Passage.FRESH)


class GateLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model: how it stands now, what was found, and why it is no better where it is bad."""

    name: ModelName
    outcome: Passage
    findings: tuple[Finding, ...] = ()
    why: str = ""


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the gate. ``findings`` speak against the store; ``unread`` counts the bytes left out for the time."""

    store: str
    outcome: Passage
    models: tuple[GateLine, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_read: int = 0
    bytes_moved: int = 0
    unread: int = 0
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """The exit code of the outcome."""
        return self.outcome.exit_code
