"""The brake (G4): when much is damaged at once, something is at work that healing alone would only feed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from modelward.domain.finding import Finding, ManifestDamaged, ManifestLost
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Moment
from modelward.domain.status import ModelStatus
from modelward.domain.verdict import Verdict


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """One damaged thing: the blob (hex) or manifest, the first model that needs it, and how many bytes are bad."""

    at: Moment
    thing: str
    model: ModelName
    bytes: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """More than ``models`` models, or more than ``percent`` of all bytes in more than one model, within ``window``."""

    models: int = 3
    percent: float = 5.0
    window: timedelta = timedelta(hours=1)


class Brake(msgspec.Struct, frozen=True, kw_only=True):
    """The harm of the last window, and since when the brake is engaged; it stays so until a person releases it.

    ``forgiven`` names what a person knew of at the release and is not healed yet.
    """

    harms: tuple[Harm, ...] = ()
    forgiven: tuple[str, ...] = ()
    since: Moment | None = None
    why: str = ""

    @property
    def engaged(self) -> bool:
        """Whether repair and prune wait for a person."""
        return self.since is not None

    def released(self) -> "Brake":
        """The brake after a person looked: what was counted so far counts no more."""
        return Brake(forgiven=tuple(harm.thing for harm in self.harms))


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A person's wish to let the brake go: when, and who."""

    at: Moment
    by: str


class BrakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the brake stands; ``released`` says that it is let go with the running guard's next look."""

    brake: Brake
    released: bool = False

    @property
    def exit_code(self) -> int:
        """1 while it is engaged and was not released, else 0."""
        return int(self.brake.engaged and not self.released)


def harms_of(verdicts: Iterable[Verdict | ModelStatus], at: datetime) -> tuple[Harm, ...]:
    """What is damaged, each thing once: a blob that ten models share is one damage, not ten."""
    seen: dict[str, Harm] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            if finding.damage and (thing := _thing(finding)) not in seen:
                seen[thing] = Harm(at=at, thing=thing, model=verdict.name, bytes=_bytes(finding))
    return tuple(seen.values())


def pressed(brake: Brake, harms: Iterable[Harm], total_bytes: int, limits: Limits, now: datetime) -> Brake:
    """The brake after new harm: engaged when the window holds too much of it.

    A thing that is still damaged counts from when it was first seen. Bytes of one model alone never engage it, however
    many: on a host with one model every loss would be more than 5 %.
    """
    present = {harm.thing: harm for harm in harms}
    forgiven = tuple(thing for thing in brake.forgiven if thing in present)
    kept = {harm.thing: harm for harm in brake.harms if _recent(harm, limits, now)}
    for thing, harm in present.items():
        if thing not in forgiven:
            kept.setdefault(thing, harm)
    window = tuple(kept.values())
    why = "" if brake.engaged else _too_much(window, total_bytes, limits)
    if why:
        return Brake(harms=window, forgiven=forgiven, since=now, why=why)
    return msgspec.structs.replace(brake, harms=window, forgiven=forgiven)


def _recent(harm: Harm, limits: Limits, now: datetime) -> bool:
    """Within the window; what a clock that was set back dates into the future counts as just seen."""
    return now - harm.at < limits.window


def _too_much(harms: tuple[Harm, ...], total_bytes: int, limits: Limits) -> str:
    models = {harm.model for harm in harms}
    bad = sum(harm.bytes for harm in harms)
    hours = limits.window.total_seconds() / 3600
    if len(models) > limits.models:
        return f"{len(models)} models were damaged within {hours:g} h"
    several = len({harm.model for harm in harms if harm.bytes}) > 1
    if several and total_bytes and bad * 100 > limits.percent * total_bytes:
        return f"{bad * 100 / total_bytes:.1f} % of all bytes were damaged within {hours:g} h"
    return ""


def _thing(finding: Finding) -> str:
    match finding:
        case ManifestLost() | ManifestDamaged():
            return str(finding.model)
        case _:
            blob = getattr(finding, "blob", None)
            return blob.hex if blob is not None else finding.path


def _bytes(finding: Finding) -> int:
    """The bad bytes: of the spans where they are known, else the whole blob; a manifest counts none."""
    spans = getattr(finding, "spans", ())
    return sum(span.length for span in spans) or int(getattr(finding, "size", 0))
