"""What verify says of models: two axes of health, the findings, and the exit code that follows."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from modelward.domain import errors
from modelward.domain.finding import Finding, RecordDamaged, StoreFinding
from modelward.domain.name import ModelName


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One model's health, on two axes.

    ``healthy`` is None while its bytes were never proved; ``recoverable`` says whether a good copy exists of
    everything that is damaged, or, of a model without damage, that could come to be.
    """

    name: ModelName
    healthy: bool | None
    recoverable: bool
    size: int
    verified_at: datetime | None
    findings: tuple[Finding, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run of verify. ``findings`` are those of the store itself and of no model; sizes are in bytes.

    ``unread`` counts the bytes that the level or the time limit left out.
    """

    path: str
    of: str
    level: str
    read: str
    models: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    bytes_read: int
    unread: int
    seconds: float

    @property
    def damaged(self) -> tuple[Verdict, ...]:
        """The models with damage."""
        return tuple(verdict for verdict in self.models if verdict.healthy is False)

    @property
    def exit_code(self) -> int:
        """0 no damage, 1 damage that can be repaired, 3 damage that no source can repair."""
        told = any(isinstance(finding, StoreFinding | RecordDamaged) for finding in self.findings)
        return exit_code(self.models) or (errors.EXIT_DAMAGE if told else errors.EXIT_OK)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """The exit code for what is damaged among these models."""
    damaged = [verdict for verdict in verdicts if verdict.healthy is False]
    if any(not verdict.recoverable for verdict in damaged):
        return errors.EXIT_NOT_REPAIRABLE
    return errors.EXIT_DAMAGE if damaged else errors.EXIT_OK


def health(findings: Iterable[Finding], *, proved: bool) -> bool | None:
    """The first axis: False with any damage, True when every byte is vouched for, else unknown."""
    if any(finding.damage for finding in findings):
        return False
    return True if proved else None
