"""Recurring tasks: due by the last begin, caught up once, unmoved by clocks that jump."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.codec import decode, encode
from modelward.domain.schedule import Runs, Task, jitter, next_run

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TASK = Task(name="maintenance", every=HOUR)


def test_the_first_run_comes_after_its_first_wait() -> None:
    """A task that never ran is due a while after the start, or at once."""
    assert next_run(TASK, Runs(), NOW, NOW) == NOW
    later = Task(name="drill", every=HOUR, first=timedelta(minutes=5))
    assert next_run(later, Runs(), NOW, NOW + HOUR) == NOW + timedelta(minutes=5)


def test_the_next_run_comes_an_interval_after_the_last_begin() -> None:
    """It is the begin that counts: a long run does not push the others away."""
    runs = Runs().begin("maintenance", NOW).end("maintenance", NOW + timedelta(minutes=50), "done")
    assert next_run(TASK, runs, NOW, NOW + timedelta(minutes=55)) == NOW + HOUR


def test_what_was_missed_is_caught_up_once() -> None:
    """After a month of sleep a task is due once, and then an interval later."""
    runs, woken = Runs().begin("maintenance", NOW), NOW + timedelta(days=30)
    assert next_run(TASK, runs, NOW, woken) <= woken
    runs = runs.begin("maintenance", woken)
    assert next_run(TASK, runs, NOW, woken) == woken + HOUR


def test_a_clock_that_was_set_back_delays_by_an_interval_at_most() -> None:
    """A last run that lies in the future counts as just begun."""
    runs, back = Runs().begin("maintenance", NOW), NOW - timedelta(days=30)
    assert next_run(TASK, runs, NOW, back) == back + HOUR
    assert next_run(TASK, Runs(), NOW, back) == back


@given(st.text(min_size=1, max_size=20), st.integers(1, 10**6))
def test_jitter_is_small_and_the_same_each_time(seed: str, seconds: int) -> None:
    """Hosts spread by a twentieth of the interval to both sides, and a host keeps its place."""
    task = Task(name="x", every=timedelta(seconds=seconds))
    assert abs(jitter(task, seed)) <= task.every / 20
    assert jitter(task, seed) == jitter(task, seed)


def test_without_a_seed_there_is_no_jitter() -> None:
    """Tests, and whoever wants it exact, get it exact."""
    assert jitter(TASK, "") == timedelta()


@given(st.datetimes(timezones=st.just(UTC)), st.text(max_size=300))
def test_runs_survive_the_way_to_text_and_back(at: datetime, outcome: str) -> None:
    """What is kept over a restart is what was known."""
    runs = Runs().begin("a", at).end("a", at, outcome)
    assert decode(encode(runs), Runs) == runs
