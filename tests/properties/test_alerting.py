"""The alert engine under any sequence of flips, silences, waits and clock jumps."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.alert import EVENT_KINDS, Alert, Flip, Key, Kind, Notice, Silence, State, What
from modelward.domain.alerting import HIDES, Book, Rules, advance, next_wake
from modelward.domain.codec import decode, encode
from modelward.domain.timetable import Timetable

# Seconds to wait (a month or a second back: the clock jumps), what flips then, and perhaps a silence.
Step = tuple[float, list[tuple[Kind, str, bool]], tuple[str, str, int] | None]
BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
KINDS = (Kind.SERVICE, Kind.MODEL_MISSING, Kind.RESTORE, Kind.BACKUP, Kind.DISK, Kind.TAG)
FLIPS = st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "c"]), st.booleans())
SILENCES = st.tuples(st.sampled_from(["", *KINDS]), st.sampled_from(["*", "a"]), st.integers(1, 7200))
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 29.0, 31.0, 40.0, 600.0, 8_000.0, 2_592_000.0, -1.0, -2_592_000.0]),
        st.lists(FLIPS, max_size=4),
        st.none() | SILENCES,
    ),
    max_size=25,
)
RULES = st.builds(
    Rules,
    pending=st.sampled_from([timedelta(), timedelta(seconds=30)]),
    group=st.sampled_from([timedelta(), timedelta(seconds=10)]),
    reminder=st.sampled_from([timedelta(), timedelta(hours=6)]),
    healed=st.booleans(),
    quiet=st.none() | st.just(Timetable.parse("22:00-07:00")),
    pending_of=st.sampled_from([{}, {Kind.DISK: timedelta(minutes=15)}]),
)


@dataclass
class Life:
    """An engine that lives through steps, its book kept as JSON, and what is true of the world."""

    rules: Rules
    now: datetime = BEGIN
    book: Book = field(default_factory=Book)
    silences: list[Silence] = field(default_factory=list)
    bad: set[Key] = field(default_factory=set)
    told: list[Notice] = field(default_factory=list)

    def advance(self, *flips: Flip) -> None:
        """One call of the engine: the same twice, and the same from a book that was read back."""
        before = decode(encode(self.book), Book)
        first = advance(self.book, flips, self.silences, self.now, self.rules, self.now)
        assert advance(before, flips, self.silences, self.now, self.rules, self.now) == first
        self.book, notices = first
        self.told += notices
        groups = Counter((notice.what, alert.kind) for notice in notices for alert in notice.alerts[:1])
        assert max(groups.values(), default=0) <= 2  # a digest of the night, and one message of the kind beside it

    def run(self, seconds: float) -> None:
        """Wait, waking as the engine asks; a negative span sets the clock back."""
        end = self.now + timedelta(seconds=seconds)
        calls = 0
        while (wake := next_wake(self.book, self.rules, self.now)) is not None and wake < end:
            self.now = wake
            self.advance()
            calls += 1
            assert calls < 100_000, "the engine wants to be called without end"
        self.now = end

    def take(self, flips: list[tuple[Kind, str, bool]]) -> None:
        """Let these flip."""
        for kind, subject, bad in flips:
            if kind not in EVENT_KINDS:
                (self.bad.add if bad else self.bad.discard)((kind, subject))
        self.advance(*(Flip(self.now, kind, subject, bad, "detail") for kind, subject, bad in flips))


def _live(rules: Rules, steps: list[Step]) -> Life:
    life = Life(rules)
    for seconds, flips, quiet in steps:
        life.run(min(seconds, 40_000.0)) if abs(seconds) < 1_000_000 else life.run(0.0)
        life.now += timedelta(seconds=seconds) if abs(seconds) > 1_000_000 else timedelta()
        if quiet is not None:
            kind, subject, lasting = quiet
            life.silences.append(
                Silence(
                    id=str(len(life.silences)),
                    kind=kind,
                    subject=subject,
                    until=life.now + timedelta(seconds=lasting),
                    why="",
                    made_at=life.now,
                )
            )
        life.take(flips)
    return life


def _firings(notice: Notice) -> list[Alert]:
    """The alerts that a notice tells for the first time."""
    return [alert for alert in notice.alerts if alert.state is State.FIRING and alert.told_at is None]


@given(rules=RULES, steps=STEPS)
def test_every_told_firing_is_followed_by_one_resolved_or_is_open(rules: Rules, steps: list[Step]) -> None:
    """Whatever flips, is silenced or hidden, and whatever the clock does; healed is told of what was not told only."""
    life = _live(rules, steps)
    told: set[Key] = set()
    for notice in life.told:
        for alert in _firings(notice):
            assert alert.key not in told
            told.add(alert.key)
        for alert in notice.alerts:
            if alert.state is State.RESOLVED:
                told.remove(alert.key)
            elif alert.state is State.HEALED:
                assert alert.key not in told
    assert told == {alert.key for alert in life.book.alerts if alert.told_at is not None}


@given(rules=RULES, steps=STEPS)
def test_no_trouble_is_lost(rules: Rules, steps: list[Step]) -> None:
    """A night after the last flip all that is bad has been told, but for what is hidden by something bad."""
    life = _live(rules, steps)
    life.silences.clear()
    life.run(10 * 3600.0)
    causes = {kind for kind, _ in life.bad}
    hidden = frozenset[Kind]().union(*(HIDES.get(kind, frozenset()) for kind in causes))
    open_now = {alert.key: alert for alert in life.book.alerts}
    assert {key for key in life.bad if key not in open_now} == set()
    assert {key for key in life.bad if open_now[key].state is not State.FIRING and key[0] not in hidden} == set()
    assert {key for key in open_now if key not in life.bad} == set()


@given(rules=RULES, steps=STEPS)
def test_what_is_hidden_by_its_cause_is_never_told_for_the_first_time(rules: Rules, steps: list[Step]) -> None:
    """No first message on a missing model names one while the server is down in the same book."""
    life = Life(rules)
    life.take([(Kind.SERVICE, "server", True)])
    for seconds, flips, _ in steps:
        life.run(max(seconds, 0.0) % 40_000)
        life.take([each for each in flips if each[0] is not Kind.SERVICE])
    kinds = {alert.kind for notice in life.told for alert in notice.alerts}
    assert not kinds & {Kind.MODEL_MISSING, Kind.RESTORE}
    assert {notice.what for notice in life.told} <= set(What) - {What.TEST}


@given(rules=RULES, steps=STEPS)
def test_the_book_has_a_json_form(rules: Rules, steps: list[Step]) -> None:
    """What is kept and what is told read back as they were."""
    life = _live(rules, steps)
    assert decode(encode(life.book), Book) == life.book
    assert decode(encode(tuple(life.told)), tuple[Notice, ...]) == tuple(life.told)
