"""Retention: whatever the policy, the clock and the history, the last good version of a model stays (S1)."""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain.digest import Digest
from modelward.domain.errors import EmptyPolicy
from modelward.domain.name import ModelName
from modelward.domain.retention import GRACE, ForgetPlan, Policy, PrunePlan, plan_forget, plan_prune
from modelward.domain.snapshot import Snapshot, Trashed, newest_first, snapshot_id
from modelward.domain.store import Owner
from tests.domain.strategies_domain import NOON, digest, policies

MODELS = tuple(ModelName.parse(name) for name in ("llama3", "mistral", "qwen3"))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def snapshot(made: datetime, wrapper: int, model: ModelName = MODELS[0]) -> Snapshot:
    """A record of this version of a model, made then."""
    return Snapshot(
        id=snapshot_id(made, model, digest(wrapper)),
        model=model,
        created_at=made,
        verified_at=made,
        wrapper=digest(wrapper),
        manifest=digest(1_000 + wrapper),
        size=1,
        store="/models",
        owner=Owner(0, 0, 0o644),
    )


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots in the order in which they were made, the ids of the sound ones, and the time now."""

    snapshots: tuple[Snapshot, ...]
    sound: frozenset[str]
    now: datetime

    def forget(self, policy: Policy) -> ForgetPlan:
        """The plan for this history."""
        return plan_forget(self.snapshots, policy, self.now, lambda item: item.id in self.sound)

    def good(self, model: ModelName) -> list[Snapshot]:
        """The sound snapshots of a model, the newest first."""
        mine = [item for item in self.snapshots if item.model == model and item.id in self.sound]
        return sorted(mine, key=lambda item: (item.created_at, item.id), reverse=True)


MONTH = 30 * 24
MOVES = (0, 1, 5, 11, 24, 24, 24, 30, 48, 7 * 24, -1, -24, -MONTH, MONTH)


def history(steps: list[int], jump: int) -> History:
    """What is left of some weeks of backups by a clock that may jump a month either way.

    A step is one number, because that is drawn fastest: how the clock moves, model, version, whether it is sound.
    """
    clock = NOON
    made: dict[str, Snapshot] = {}
    sound: set[str] = set()
    for step in steps:
        rest, move = divmod(step, len(MOVES))
        rest, model = divmod(rest, len(MODELS))
        good, wrapper = divmod(rest, 4)
        clock += MOVES[move] * HOUR
        item = snapshot(clock, wrapper, MODELS[model])
        made.setdefault(item.id, item)
        if good:
            sound.add(item.id)
    return History(snapshots=tuple(made.values()), sound=frozenset(sound), now=clock + jump * HOUR)


STEPS = st.lists(st.integers(0, len(MOVES) * len(MODELS) * 4 * 4 - 1), max_size=12)
HISTORIES = st.builds(history, STEPS, st.sampled_from([0, 1, 24, 7 * 24, -1, -MONTH, MONTH]))


def ids(items: Iterable[Snapshot]) -> set[str]:
    """The ids of these snapshots."""
    return {item.id for item in items}


@settings(max_examples=2_000, deadline=None)
@given(HISTORIES, policies())
def test_no_policy_no_clock_and_no_history_loses_a_good_version(past: History, policy: Policy) -> None:
    """The newest sound version stays, all stay where none is sound, the future stays, and nothing vanishes (S1)."""
    plan = past.forget(policy)
    kept, gone = ids(item.snapshot for item in plan.keep), ids(plan.forget)
    assert kept | gone == ids(past.snapshots)
    assert len(plan.keep) + len(plan.forget) == len(past.snapshots)
    assert all(item.reasons for item in plan.keep)
    assert all(item.created_at <= past.now for item in plan.forget)
    for model in MODELS:
        good = past.good(model)
        if good:
            assert good[0].id in kept
        else:
            assert not ids(item for item in past.snapshots if item.model == model) & gone
        versions = list(dict.fromkeys(item.wrapper for item in good))
        assert set(versions[: policy.keep_last]) <= {item.wrapper for item in good if item.id in kept}


def by_rule(past: History, policy: Policy, model: ModelName) -> set[str]:
    """Which snapshots of a model the policy keeps, said again in another way: rule by rule over a plain list."""
    good, mine = past.good(model), [item for item in newest_first(past.snapshots) if item.model == model]
    if not good:
        return ids(mine)
    kept = {good[0].id} | ids(s for s in mine if s.created_at > past.now) | ruled(good, past.now, policy)
    return kept | (ruled(mine, past.now, policy) - ids(good))


def ruled(items: Sequence[Snapshot], now: datetime, policy: Policy) -> set[str]:
    """What the rules name among these, the newest first."""
    rules = (
        (policy.keep_last, [item.wrapper for item in items]),
        (policy.keep_daily, [str(item.created_at.date()) for item in items]),
        (policy.keep_weekly, [str(item.created_at.isocalendar()[:2]) for item in items]),
    )
    kept = set[str]()
    for number, keys in rules:
        places = [at for at, key in enumerate(keys) if key not in keys[:at]]
        kept |= ids(items[at] for at in places[:number])
    if policy.keep_within is not None:
        kept |= ids(item for item in items if now - item.created_at < policy.keep_within)
    return kept


@settings(max_examples=100, deadline=None)
@given(HISTORIES, policies())
def test_exactly_what_a_rule_names_stays(past: History, policy: Policy) -> None:
    """Last, daily, weekly and within each keep what they say, and nothing else stays."""
    kept = ids(item.snapshot for item in past.forget(policy).keep)
    assert kept == set().union(*[by_rule(past, policy, model) for model in MODELS])


@settings(max_examples=50, deadline=None)
@given(HISTORIES, policies())
def test_forgetting_twice_forgets_nothing_more(past: History, policy: Policy) -> None:
    """What a policy leaves, the same policy at the same time leaves again."""
    left = tuple(item.snapshot for item in past.forget(policy).keep)
    again = History(snapshots=left, sound=past.sound, now=past.now).forget(policy)
    assert again.forget == ()


@settings(max_examples=50, deadline=None)
@given(HISTORIES, policies(), st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(past: History, policy: Policy, shuffler: random.Random) -> None:
    """A vault may list its records in any order."""
    mixed = list(past.snapshots)
    shuffler.shuffle(mixed)
    again = History(snapshots=tuple(mixed), sound=past.sound, now=past.now)
    assert ids(again.forget(policy).forget) == ids(past.forget(policy).forget)


@settings(max_examples=50, deadline=None)
@given(HISTORIES, policies(), policies())
def test_a_rule_more_never_forgets_more(past: History, one: Policy, other: Policy) -> None:
    """A snapshot stays when any rule keeps it, so the larger policy keeps what both keep."""
    within = [item for item in (one.keep_within, other.keep_within) if item is not None]
    both = Policy(
        keep_last=max(one.keep_last, other.keep_last),
        keep_daily=max(one.keep_daily, other.keep_daily),
        keep_weekly=max(one.keep_weekly, other.keep_weekly),
        keep_within=max(within) if within else None,
    )
    assert ids(past.forget(both).forget) <= ids(past.forget(one).forget) & ids(past.forget(other).forget)


# Rule by rule.


def kept_of(policy: Policy, *made: tuple[float, int], unsound: frozenset[int] = frozenset()) -> list[float]:
    """How many days old the kept ones are, of versions made so many days ago; ``unsound`` counts from 0."""
    items = [snapshot(NOON - days * DAY, wrapper) for days, wrapper in made]
    bad = {items[at].id for at in unsound}
    plan = plan_forget(items, policy, NOON, lambda item: item.id not in bad)
    return sorted((NOON - item.snapshot.created_at) / DAY for item in plan.keep)


def test_keep_last_counts_distinct_versions() -> None:
    """Five snapshots of one version take one place only, and the newest of them holds it."""
    made = [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 4)]
    assert kept_of(Policy(keep_last=3), *made) == [1, 4, 6]


def test_a_version_that_came_back_counts_once() -> None:
    """One, two, one again: that is two versions."""
    assert kept_of(Policy(keep_last=2), (1, 1), (2, 2), (3, 1), (4, 3)) == [1, 2]


def test_the_default_keeps_five_versions() -> None:
    """As the issue and the documents say."""
    assert kept_of(Policy(), *[(age, age) for age in range(1, 9)]) == [1, 2, 3, 4, 5]


def test_an_unsound_version_fills_no_place() -> None:
    """Two sound versions stay whatever else there is; an unsound one that would be too old if it were sound goes."""
    made = [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert kept_of(Policy(keep_last=2), *made, unsound=frozenset({1, 2})) == [1, 2, 4]


def test_an_unsound_version_stays_until_it_is_healed() -> None:
    """A bit that flipped in the copy of the newest version must not cost that version: the store may have it still."""
    assert kept_of(Policy(keep_last=3), (1, 1), (2, 2), unsound=frozenset({0})) == [1, 2]
    assert kept_of(Policy(keep_last=0, keep_daily=2), (1, 1), (2, 2), unsound=frozenset({0})) == [1, 2]
    assert kept_of(Policy(keep_last=1, keep_within=3 * DAY), (1, 1), (2, 2), (4, 3), unsound=frozenset({1})) == [1, 2]


def test_where_nothing_is_sound_everything_stays() -> None:
    """A damaged copy may be the best that there is (S1)."""
    assert kept_of(Policy(keep_last=1), (1, 1), (2, 2), unsound=frozenset({0, 1})) == [1, 2]


def test_keep_daily_keeps_the_newest_of_each_day() -> None:
    """Days without a snapshot take no place."""
    made = [(0.1, 1), (0.2, 2), (1.0, 3), (1.1, 4), (5.0, 5), (6.0, 6)]
    assert kept_of(Policy(keep_last=0, keep_daily=3), *made) == [0.1, 1.0, 5.0]


def test_keep_weekly_keeps_the_newest_of_each_week() -> None:
    """Weeks begin on Monday, also across the new year."""
    assert NOON.isoweekday() == 1
    made = [(0.1, 1), (1, 2), (2, 3), (5, 4), (7.1, 5), (8, 6), (20, 7)]
    assert kept_of(Policy(keep_last=0, keep_weekly=3), *made) == [0.1, 1, 8]


def test_keep_within_keeps_every_version_of_that_time() -> None:
    """However many there are, and none that is exactly as old."""
    made = [(0.5, 1), (1, 1), (13.9, 2), (14, 3), (15, 4)]
    assert kept_of(Policy(keep_last=0, keep_within=14 * DAY), *made) == [0.5, 1, 13.9]


def test_a_version_of_long_ago_stays_when_it_is_the_last() -> None:
    """A model that never changes is never forgotten (S1)."""
    assert kept_of(Policy(keep_last=0, keep_within=DAY), (900, 1), (901, 2)) == [900]


def test_a_snapshot_from_the_future_costs_no_version() -> None:
    """After the clock jumped back it is kept beside those that the rules keep."""
    assert kept_of(Policy(keep_last=1), (-30, 1), (-29, 2), (1, 3)) == [-30, -29]


def test_models_are_judged_each_by_itself() -> None:
    """One model's many versions take no place from another's few."""
    items = [snapshot(NOON - age * DAY, age, model) for model in MODELS for age in range(1, 4)]
    plan = plan_forget(items, Policy(keep_last=1), NOON, lambda _: True)
    assert [(item.snapshot.model, item.snapshot.wrapper) for item in plan.keep] == [(m, digest(1)) for m in MODELS]


def test_the_reasons_are_named() -> None:
    """A person sees why a snapshot stays."""
    items = [snapshot(NOON - HOUR, 1), snapshot(NOON + HOUR, 2)]
    plan = plan_forget(items, Policy(keep_last=2, keep_daily=1, keep_weekly=1, keep_within=DAY), NOON, lambda _: True)
    assert {item.snapshot.wrapper: item.reasons for item in plan.keep} == {
        digest(2): ("the last sound version", "last", "daily", "weekly", "within", "dated in the future"),
        digest(1): ("last", "within"),
    }


def test_an_empty_vault_has_nothing_to_forget() -> None:
    """And nothing to keep."""
    assert plan_forget([], Policy(), NOON, lambda _: True) == ForgetPlan(keep=(), forget=())


# Policies.


@pytest.mark.parametrize("within", [None, timedelta()])
def test_an_empty_policy_is_refused(within: timedelta | None) -> None:
    """It would keep nothing; the error says what to do instead (S1)."""
    with pytest.raises(EmptyPolicy) as caught:
        Policy(keep_last=0, keep_daily=0, keep_weekly=0, keep_within=within)
    assert "release" in caught.value.next_step


@pytest.mark.parametrize("rule", ["keep_last", "keep_daily", "keep_weekly"])
def test_a_negative_number_is_refused(rule: str) -> None:
    """Whatever else the policy keeps."""
    with pytest.raises(EmptyPolicy):
        msgspec.convert({"keep_last": 3, "keep_daily": 3} | {rule: -1}, Policy)


@pytest.mark.parametrize("number", [0, 3])
def test_a_negative_time_is_refused(number: int) -> None:
    """It keeps nothing, as a negative number does."""
    with pytest.raises(EmptyPolicy):
        Policy(keep_last=number, keep_within=-DAY)


@pytest.mark.parametrize("days", [800_000, 999_999_999])
def test_a_time_longer_than_the_calendar_keeps_all(days: int) -> None:
    """``keep_within`` of thousands of years is a way to say for ever."""
    assert kept_of(Policy(keep_last=1, keep_within=days * DAY), (1, 1), (900, 2)) == [1, 900]


# Prune.


class Vault(msgspec.Struct, frozen=True, kw_only=True):
    """Live and trashed records, the objects that each names, and size and age of what lies in the vault."""

    live: tuple[str, ...]
    trash: tuple[Trashed, ...]
    names: dict[str, frozenset[Digest]]
    objects: dict[Digest, tuple[int, datetime]]

    def named(self, trashed: Iterable[Trashed]) -> frozenset[Digest]:
        """What the live records and these trashed ones name."""
        records = [*self.live, *[item.snapshot.id for item in trashed]]
        return frozenset().union(*[self.names[record] for record in records])

    def prune(self, now: datetime, keep_trash: timedelta) -> PrunePlan:
        """The plan for this vault."""
        return plan_prune(iter(self.trash), self.named, self.objects, now, keep_trash)


OBJECTS = [digest(number) for number in range(12)]
AGES = st.integers(-72, 40 * 24).map(lambda hours: NOON - hours * HOUR)


@st.composite
def vaults(draw: st.DrawFn) -> Vault:
    """Records that share objects, in the vault and in its trash, and leftovers that no record names."""
    records = [snapshot(NOON - number * DAY, number) for number in range(draw(st.integers(0, 6)))]
    some = st.frozensets(st.sampled_from(OBJECTS), max_size=5)
    in_trash = [draw(st.booleans()) for _ in records]
    return Vault(
        live=tuple(item.id for item, out in zip(records, in_trash, strict=True) if not out),
        trash=tuple(
            Trashed(snapshot=item, forgotten_at=draw(AGES)) for item, out in zip(records, in_trash, strict=True) if out
        ),
        names={item.id: draw(some) for item in records},
        objects={blob: (draw(st.integers(0, 1 << 30)), draw(AGES)) for blob in draw(some)},
    )


@settings(max_examples=50, deadline=None)
@given(vaults(), st.integers(0, 30))
def test_prune_drops_only_what_nothing_needs(vault: Vault, days: int) -> None:
    """No object that a live or kept record names, no fresh leftover, no record before its time; all else goes (S1)."""
    plan = vault.prune(NOON, days * DAY)
    rest = [item for item in vault.trash if item not in plan.trashed]
    assert all(item.forgotten_at + days * DAY <= NOON for item in plan.trashed)
    assert all(item.forgotten_at + days * DAY > NOON for item in rest)
    needed, ever = vault.named(rest), vault.named(vault.trash)
    fresh = {blob for blob, (_, made) in vault.objects.items() if blob not in ever and made > NOON - GRACE}
    assert set(plan.objects) == set(vault.objects) - needed - fresh
    assert list(plan.objects) == sorted(plan.objects)
    assert plan.bytes == sum(vault.objects[blob][0] for blob in plan.objects)


def one_object(made: datetime, *, live: bool = False, forgotten: datetime | None = None) -> Vault:
    """A vault with one object, named by a live record, by a trashed one, or by none."""
    item = snapshot(NOON, 1)
    return Vault(
        live=(item.id,) if live else (),
        trash=(Trashed(snapshot=item, forgotten_at=forgotten),) if forgotten is not None else (),
        names={item.id: frozenset({OBJECTS[0]})},
        objects={OBJECTS[0]: (7, made)},
    )


WEEK = 7 * DAY
PRUNED = {
    "named by a live record": (one_object(NOON - WEEK, live=True), False),
    "named by a live and an old trashed record": (one_object(NOON - WEEK, live=True, forgotten=NOON - WEEK), False),
    "named by a fresh trashed record": (one_object(NOON - WEEK, forgotten=NOON - WEEK + HOUR), False),
    "named by an old trashed record": (one_object(NOON - WEEK, forgotten=NOON - WEEK), True),
    "trashed in the future": (one_object(NOON - WEEK, forgotten=NOON + DAY), False),
    "never named, a day old": (one_object(NOON - DAY), True),
    "never named, almost a day old": (one_object(NOON - DAY + timedelta(seconds=1)), False),
    "never named, from the future": (one_object(NOON + 30 * DAY), False),
}


@pytest.mark.parametrize(("vault", "gone"), PRUNED.values(), ids=PRUNED)
def test_what_prune_does_with_one_object(vault: Vault, *, gone: bool) -> None:
    """With a trash that is kept for a week (S1)."""
    plan = vault.prune(NOON, WEEK)
    assert plan.objects == ((OBJECTS[0],) if gone else ())
    assert plan.bytes == (7 if gone else 0)


def test_trash_that_is_kept_for_no_time_goes_at_once() -> None:
    """With the objects that only it names, however fresh they are."""
    vault = one_object(NOON, forgotten=NOON)
    assert vault.prune(NOON, timedelta()) == PrunePlan(trashed=vault.trash, objects=(OBJECTS[0],), bytes=7)


def test_trash_may_be_kept_for_ever() -> None:
    """A time longer than the calendar keeps every record."""
    assert one_object(NOON, forgotten=NOON).prune(NOON, timedelta(days=10_000_000)).trashed == ()


def test_the_day_that_a_leftover_stays_is_a_day() -> None:
    """An interrupted backup is run again within it."""
    assert timedelta(hours=24) == GRACE
