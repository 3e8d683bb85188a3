"""Words and numbers of the pages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.name import ModelName
from modelward.domain.standing import JobState, ModelStanding
from modelward.web import words


def model(*, healthy: bool | None, recoverable: bool) -> ModelStanding:
    """A model on both axes."""
    return ModelStanding(
        name=ModelName.parse("llama3"),
        size=1,
        healthy=healthy,
        recoverable=recoverable,
        protected=True,
        policy="restore",
        verified_at=None,
    )


@pytest.mark.parametrize(
    ("healthy", "recoverable", "text"),
    [
        (True, True, "healthy"),
        (True, False, "healthy, no copy"),
        (False, True, "damaged, recoverable"),
        (False, False, "damaged, no copy"),
        (None, True, "not proved yet"),
        (None, False, "not proved yet"),
    ],
)
def test_both_axes_of_health_have_words(healthy: bool | None, recoverable: bool, text: str) -> None:  # noqa: FBT001
    """Every pair of the two axes has its words, and its own colour."""
    mark = words.HEALTH[words.health(model(healthy=healthy, recoverable=recoverable))]
    assert mark.text == text
    assert len({each.tone for each in words.HEALTH.values()}) == len(words.HEALTH)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0214, "21 ms"), (1.0, "1 s"), (75, "1 min 15 s"), (7200, "2 h 0 min"), (864_000, "10 days")],
)
def test_durations_go_from_milliseconds_to_days(seconds: float, text: str) -> None:
    """A duration is written with the units that a person would use."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 %"), (1.0, "100 %"), (0.5, "50.00 %"), (0.99999, "99.9990 %"), (0.9999999, "99.9999 %")],  # noqa: RUF001
)
def test_a_share_below_the_whole_is_never_shown_as_the_whole(value: float | None, text: str) -> None:
    """Nearly all the time is not all the time."""
    assert words.share(value) == text


@given(st.floats(min_value=0, max_value=1))
def test_only_nothing_and_everything_are_round(value: float) -> None:
    """0 % and 100 % stand for exactly these."""
    text = words.share(value)
    assert (text == "100 %") is (value * 100 == 100)
    assert (text == "0 %") is (value * 100 == 0)


def test_counts_have_their_noun() -> None:
    """One is singular, all else plural, thousands apart."""
    assert [words.count(number, "model") for number in (0, 1, 1000)] == ["0 models", "1 model", "1,000 models"]


def test_a_link_leads_to_the_short_name_and_is_safe_in_an_address() -> None:
    """Names keep their slashes and colons; what is no name is quoted."""
    assert words.link("registry.ollama.ai/library/llama3:latest") == "/models/llama3:latest"
    assert words.link("hf.co/user/model:Q4") == "/models/hf.co/user/model:Q4"
    assert words.link('"><script>') == "/models/%22%3E%3Cscript%3E"


def test_moments_are_utc() -> None:
    """A moment of another zone is shown in UTC, for people and for programs."""
    moment = datetime(2026, 1, 5, 13, 30, 5, tzinfo=UTC) + timedelta(microseconds=9)
    assert words.stamp(moment) == "2026-01-05 13:30 UTC"
    assert words.iso(moment) == "2026-01-05T13:30:05Z"


def test_a_job_that_leaves_damage_does_not_look_well() -> None:
    """Done is good; done with damage, or without a copy of it, is said and coloured."""
    assert words.job_mark(JobState.DONE) == words.Mark("good", "done")
    assert words.job_mark(JobState.DONE, 1).tone == "harm"
    assert words.job_mark(JobState.DONE, 3).tone == "loss"
    assert words.job_mark(JobState.DONE, 9).text == "done, exit code 9"
    assert {words.job_mark(state).text for state in JobState} == {state.value for state in JobState}


def test_what_is_not_printable_is_shown_escaped() -> None:
    """A subject that is no model's name cannot break a line."""
    assert words.short("a\nb") == "a\\nb"
    assert words.short("registry.ollama.ai/library/mini:1b") == "mini:1b"
