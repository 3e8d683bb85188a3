"""The brake counts damage, not models that share it, and holds until a person lets go (G4)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.brake import Brake, Harm, Limits, harms_of, pressed
from modelward.domain.chunks import Span
from modelward.domain.digest import Digest
from modelward.domain.finding import Corrupt, Finding, ManifestLost, Missing
from modelward.domain.name import ModelName
from modelward.domain.verdict import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits()


def _name(number: int) -> ModelName:
    return ModelName.parse(f"model{number}")


def _verdict(number: int, *findings: Finding) -> Verdict:
    return Verdict(
        name=_name(number), healthy=not findings, recoverable=True, size=100, verified_at=None, findings=findings
    )


def _missing(number: int, size: int = 10) -> Missing:
    return Missing(path="blobs/x", blob=Digest(f"{number:064x}"), size=size)


def _harm(number: int, *, at: datetime = NOW, size: int = 10) -> Harm:
    return Harm(at=at, thing=f"{number:064x}", model=_name(number), bytes=size)


def test_a_shared_blob_is_one_damage() -> None:
    """G4: ten models on one bad blob are one damage, which the first of them stands for."""
    found = harms_of([_verdict(number, _missing(1)) for number in range(10)], NOW)
    assert [harm.model for harm in found] == [_name(0)]


def test_bytes_are_those_of_the_spans_where_they_are_known() -> None:
    """A wrong MiB in a large blob weighs a MiB, a missing blob all of it, a manifest nothing."""
    corrupt = Corrupt(path="b", blob=Digest("1" * 64), size=900, spans=(Span(0, 30), Span(60, 5)))
    lost = ManifestLost(path="m", model=_name(2))
    found = harms_of([_verdict(1, corrupt, _missing(7, 50)), _verdict(2, lost)], NOW)
    assert [harm.bytes for harm in found] == [35, 50, 0]


def test_three_models_are_healed_and_four_are_not() -> None:
    """G4: more than three models within the hour engage the brake."""
    three = pressed(Brake(), [_harm(number) for number in range(3)], 10**9, LIMITS, NOW)
    assert not three.engaged
    four = pressed(three, [_harm(number) for number in range(4)], 10**9, LIMITS, NOW)
    assert four.engaged
    assert "4 models" in four.why


def test_much_of_all_bytes_engages_it() -> None:
    """G4: more than five percent of all bytes, in two models, is too much."""
    assert pressed(Brake(), [_harm(1, size=26), _harm(2, size=26)], 1000, LIMITS, NOW).engaged
    assert not pressed(Brake(), [_harm(1, size=25), _harm(2, size=25)], 1000, LIMITS, NOW).engaged


def test_one_model_alone_never_engages_it() -> None:
    """A host with a single model gets it back, although its loss is all there is."""
    harms = [Harm(at=NOW, thing=str(number), model=_name(1), bytes=500) for number in range(9)]
    assert not pressed(Brake(), harms, 500, LIMITS, NOW).engaged
    assert not pressed(Brake(), [*harms, _harm(2, size=0)], 500, LIMITS, NOW).engaged


def test_harm_leaves_the_window() -> None:
    """What is older than the window counts no more; what is still damaged counts from when it was first seen."""
    brake = pressed(Brake(), [_harm(1), _harm(2), _harm(3)], 10**9, LIMITS, NOW)
    later = NOW + timedelta(minutes=61)
    assert not pressed(brake, [_harm(4, at=later)], 10**9, LIMITS, later).engaged
    half = NOW + timedelta(minutes=30)
    again = pressed(brake, [_harm(1, at=half)], 10**9, LIMITS, half)
    assert {harm.at for harm in again.harms} == {NOW}


def test_it_holds_until_it_is_released() -> None:
    """Time alone never lets go; a person does, and then the count begins anew."""
    brake = pressed(Brake(), [_harm(number) for number in range(5)], 10**9, LIMITS, NOW)
    held = pressed(brake, [], 10**9, LIMITS, NOW + timedelta(days=30))
    assert held.engaged
    assert held.since == NOW
    free = held.released()
    assert not free.engaged
    assert not pressed(free, [_harm(9)], 10**9, LIMITS, NOW).engaged


def test_what_a_person_knew_of_engages_it_no_more() -> None:
    """G4: what was damaged at the release is forgiven until it is healed; damaged once more it counts again."""
    harms = [_harm(number) for number in range(5)]
    free = pressed(Brake(), harms, 10**9, LIMITS, NOW).released()
    still = pressed(free, harms, 10**9, LIMITS, NOW)
    assert not still.engaged
    healed = pressed(still, [], 10**9, LIMITS, NOW)
    assert pressed(healed, harms, 10**9, LIMITS, NOW).engaged


def test_a_clock_that_was_set_back_keeps_harm() -> None:
    """Harm that is dated into the future counts as just seen."""
    brake = pressed(Brake(), [_harm(number) for number in range(3)], 10**9, LIMITS, NOW)
    before = NOW - timedelta(days=30)
    assert pressed(brake, [_harm(3, at=before)], 10**9, LIMITS, before).engaged


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 100), st.integers(0, 90)), max_size=30))
def test_more_harm_never_loosens_it(events: list[tuple[int, int, int]]) -> None:
    """Whatever comes after it engaged, it stays engaged."""
    brake = Brake()
    for model, size, minute in sorted(events, key=lambda event: event[2]):
        at = NOW + timedelta(minutes=minute)
        after = pressed(brake, [_harm(model, at=at, size=size)], 1000, LIMITS, at)
        assert after.engaged or not brake.engaged
        brake = after
