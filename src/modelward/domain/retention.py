"""Which snapshots to forget and which objects to drop: pure, and unable to lose the last good version (S1)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from types import MappingProxyType

import msgspec

from modelward.domain.digest import Digest
from modelward.domain.errors import EmptyPolicy
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, Trashed, newest_first

GRACE = timedelta(hours=24)
_NO_TIME = timedelta()


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep of each model; a snapshot stays when any rule keeps it. Counts are of distinct versions."""

    keep_last: int = 5
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_within: timedelta | None = None

    def __post_init__(self) -> None:
        if min(self.keep_last, self.keep_daily, self.keep_weekly) < 0 or (self.keep_within or _NO_TIME) < _NO_TIME:
            raise EmptyPolicy("a policy with a negative number", next_step="give numbers from 0 up")
        if not (self.keep_last or self.keep_daily or self.keep_weekly or self.keep_within):
            raise EmptyPolicy(
                "the policy would keep nothing",
                next_step="keep at least one version, for example --keep-last 1; to stop protecting: modelward release",
            )


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that stays, and the rules that keep it."""

    snapshot: Snapshot
    reasons: tuple[str, ...]


class ForgetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What stays and what goes to the trash."""

    keep: tuple[Kept, ...]
    forget: tuple[Snapshot, ...]


def plan_forget(
    snapshots: Iterable[Snapshot],
    policy: Policy,
    now: datetime,
    sound: Callable[[Snapshot], bool],
    pins: Mapping[ModelName, Digest] = MappingProxyType({}),
) -> ForgetPlan:
    """Apply the policy to each model by itself; versions that models are pinned to stay.

    Only ``sound`` snapshots (whose bytes the vault still vouches for) count; a snapshot that is not sound fills
    no place, and stays while it would stay if it were sound: it may be healed. The newest sound one of each model
    always stays, and where none is sound, all stay.
    Snapshots dated after ``now`` stay: a clock that jumped must not cost a version.
    """
    by_model: dict[ModelName, list[Snapshot]] = {}
    for snapshot in snapshots:
        by_model.setdefault(snapshot.model, []).append(snapshot)
    kept: list[Kept] = []
    forgotten: list[Snapshot] = []
    for name, mine in by_model.items():
        reasons = _reasons(newest_first(tuple(mine)), policy, now, sound, pins.get(name))
        for snapshot in newest_first(tuple(mine)):
            if why := reasons.get(snapshot.id):
                kept.append(Kept(snapshot=snapshot, reasons=tuple(why)))
            else:
                forgotten.append(snapshot)
    return ForgetPlan(keep=tuple(kept), forget=tuple(forgotten))


def _reasons(
    snapshots: Sequence[Snapshot], policy: Policy, now: datetime, sound: Callable[[Snapshot], bool], pin: Digest | None
) -> dict[str, list[str]]:
    good = [snapshot for snapshot in snapshots if sound(snapshot)]
    if not good:
        return {snapshot.id: ["no sound version is left"] for snapshot in snapshots}
    reasons: dict[str, list[str]] = {good[0].id: ["the last sound version"]}
    _by_policy(reasons, good, policy, now)
    _add(reasons, [s for s in snapshots if s.created_at > now], "dated in the future")
    _add(reasons, [s for s in snapshots if s.manifest == pin], "pinned")
    healed: dict[str, list[str]] = {}
    _by_policy(healed, snapshots, policy, now)
    _add(reasons, [s for s in snapshots if s.id in healed and s not in good], "damaged: kept until it is healed")
    return reasons


def _by_policy(reasons: dict[str, list[str]], snapshots: Sequence[Snapshot], policy: Policy, now: datetime) -> None:
    _add(reasons, _firsts(snapshots, lambda s: s.wrapper.hex)[: policy.keep_last], "last")
    _add(reasons, _firsts(snapshots, lambda s: f"{s.created_at:%Y-%m-%d}")[: policy.keep_daily], "daily")
    _add(reasons, _firsts(snapshots, lambda s: f"{s.created_at:%G-%V}")[: policy.keep_weekly], "weekly")
    if policy.keep_within:
        _add(reasons, [s for s in snapshots if now - s.created_at < policy.keep_within], "within")


def _add(reasons: dict[str, list[str]], snapshots: Iterable[Snapshot], why: str) -> None:
    for snapshot in snapshots:
        reasons.setdefault(snapshot.id, []).append(why)


def _firsts(snapshots: Sequence[Snapshot], key: Callable[[Snapshot], str]) -> list[Snapshot]:
    """The first snapshot of each key, in the given order."""
    firsts: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        firsts.setdefault(key(snapshot), snapshot)
    return list(firsts.values())


class PrunePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Trashed records whose time is over, and objects that nothing names, with their bytes."""

    trashed: tuple[Trashed, ...]
    objects: tuple[Digest, ...]
    bytes: int


def plan_prune(
    trashed: Iterable[Trashed],
    named: Callable[[Iterable[Trashed]], AbstractSet[Digest]],
    objects: Mapping[Digest, tuple[int, datetime]],
    now: datetime,
    keep_trash: timedelta,
) -> PrunePlan:
    """What prune may drop.

    ``named`` gives every object that the live snapshots and the given trashed ones name; ``objects`` gives size
    and age of all that lie in the vault. An object that no record ever named stays for a day: a backup that was
    interrupted will want it.
    """
    kept = list(trashed)
    old = tuple(item for item in kept if now - item.forgotten_at >= keep_trash)
    rest = [item for item in kept if item not in old]
    ever, still = named([*rest, *old]), named(rest)
    dead = tuple(
        digest
        for digest, (_, made_at) in sorted(objects.items())
        if digest not in still and (digest in ever or made_at + GRACE <= now)
    )
    return PrunePlan(trashed=old, objects=dead, bytes=sum(objects[digest][0] for digest in dead))
