"""The alert engine: what is told, when, how often, and what is not."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import pytest
from msgspec.structs import replace

from modelward.domain.alert import Condition, Flip, Kind, Notice, Severity, Silence, State, What
from modelward.domain.alerting import Book, Rules, advance, differs, next_wake, open_of
from modelward.domain.codec import decode, encode
from modelward.domain.timetable import Timetable

DAY = datetime(2026, 1, 5, tzinfo=UTC)
NOON = DAY + timedelta(hours=12)
RULES = Rules(pending=timedelta(seconds=30), group=timedelta(seconds=10), reminder=timedelta(hours=24))
QUIET = replace(RULES, quiet=Timetable.parse("22:00-07:00"))
MONTH = timedelta(days=30)


def after(seconds: float = 0.0, *, begin: datetime = NOON) -> datetime:
    """So many seconds after noon."""
    return begin + timedelta(seconds=seconds)


def flip(kind: Kind, subject: str, *, bad: bool = True, at: datetime = NOON) -> Flip:
    """A change, in words that a reader of a notice can tell apart."""
    return Flip(at, kind, subject, bad, f"{kind} of {subject}", f"mend {subject}" if bad else "")


def clock(moment: datetime) -> str:
    """The time of day."""
    return f"{moment:%H:%M:%S}"


@dataclass
class Engine:
    """A guard in small: keeps the book as JSON, wakes when the engine asks for it, and collects what is told."""

    rules: Rules = RULES
    now: datetime = NOON
    silences: list[Silence] = field(default_factory=list)
    told: list[Notice] = field(default_factory=list)
    kept: bytes = encode(Book())

    @property
    def book(self) -> Book:
        """The book, read back as after a restart."""
        return decode(self.kept, Book)

    def take(self, *flips: Flip) -> tuple[Notice, ...]:
        """Advance now."""
        book, notices = advance(self.book, flips, self.silences, self.now, self.rules, self.now)
        self.kept = encode(book)
        self.told += notices
        return notices

    def run_to(self, moment: datetime) -> None:
        """Let time go by, and advance whenever the engine wants it."""
        while (wake := next_wake(self.book, self.rules, self.now)) is not None and wake <= moment:
            assert wake > self.now or self.book.seen_at != self.now, "the engine wants to be called without end"
            self.now = wake
            self.take()
        self.now = max(self.now, moment)

    def bad(self, kind: Kind, *subjects: str) -> tuple[Notice, ...]:
        """These go bad now."""
        return self.take(*(flip(kind, subject, at=self.now) for subject in subjects))

    def good(self, kind: Kind, *subjects: str) -> tuple[Notice, ...]:
        """These are good again now."""
        return self.take(*(flip(kind, subject, bad=False, at=self.now) for subject in subjects))

    def wait(self, **span: float) -> None:
        """Let a span of time go by."""
        self.run_to(self.now + timedelta(**span))

    def silence(self, kind: str, subject: str, **span: float) -> None:
        """Somebody wants to hear nothing of this for a time."""
        until = self.now + timedelta(**span)
        number = str(len(self.silences) + 1)
        self.silences.append(Silence(id=number, kind=kind, subject=subject, until=until, why="known", made_at=self.now))

    @property
    def titles(self) -> list[str]:
        """When what was told."""
        return [f"{clock(notice.at)} {notice.title}" for notice in self.told]


def test_a_trouble_is_told_when_it_has_lasted_and_its_group_is_collected() -> None:
    """30 s pending and 10 s for others of its kind; what and next step stand in the message."""
    engine = Engine()
    assert engine.bad(Kind.MODEL_MISSING, "llama3") == ()
    engine.wait(minutes=5)
    assert engine.titles == ["12:00:40 model missing: llama3"]
    notice = engine.told[0]
    assert (notice.what, notice.severity) == (What.FIRING, Severity.CRITICAL)
    assert notice.lines == ("llama3: model missing of llama3 (for 40 s)", "next: mend llama3")
    assert [(alert.state, alert.told_at) for alert in notice.alerts] == [(State.FIRING, None)]


def test_nothing_is_told_without_a_flip() -> None:
    """An empty book wants no wake-up and gives no notice."""
    engine = Engine()
    assert engine.take() == ()
    assert next_wake(engine.book, RULES, NOON) is None


def test_what_was_told_is_told_to_be_over_once() -> None:
    """When being good has lasted as long as the trouble had to, and with how long it was."""
    engine = Engine()
    engine.bad(Kind.SERVICE, "http://127.0.0.1:11434")
    engine.wait(minutes=5)
    engine.good(Kind.SERVICE, "http://127.0.0.1:11434")
    engine.wait(days=3)
    assert engine.titles == [
        "12:00:40 service unavailable: http://127.0.0.1:11434",
        "12:05:40 over: service unavailable: http://127.0.0.1:11434",
    ]
    notice = engine.told[1]
    assert (notice.what, notice.severity, notice.alerts[0].state) == (What.RESOLVED, Severity.INFO, State.RESOLVED)
    assert "over after 5 min 0 s" in notice.lines[0]
    assert engine.book.alerts == ()


def test_what_was_healed_before_it_had_to_be_told_is_told_as_healed_only() -> None:
    """One message that says that nothing has to be done."""
    engine = Engine()
    engine.bad(Kind.MODEL_MISSING, "llama3")
    engine.now = after(2)
    engine.good(Kind.MODEL_MISSING, "llama3")
    engine.wait(days=2)
    assert engine.titles == ["12:00:42 healed: model missing: llama3"]
    assert engine.told[0].lines == ("llama3: model missing of llama3 (healed after 2 s)",)
    assert engine.told[0].severity is Severity.INFO


def test_healing_may_be_left_untold() -> None:
    """Where the settings say so, and the book forgets it."""
    engine = Engine(rules=replace(RULES, healed=False))
    engine.bad(Kind.MODEL_MISSING, "llama3")
    engine.good(Kind.MODEL_MISSING, "llama3")
    engine.wait(days=2)
    assert engine.told == []
    assert engine.book.alerts == ()


def test_a_hundred_models_are_one_message() -> None:
    """With the first three in its title, twenty in its lines, and all of them for programs."""
    engine = Engine()
    names = [f"model-{number:03}" for number in range(100)]
    engine.bad(Kind.MODEL_MISSING, *names[:60])
    engine.now = after(9)
    engine.bad(Kind.MODEL_MISSING, *names[60:])
    engine.wait(minutes=5)
    assert engine.titles == ["12:00:40 model missing: model-000, model-001, model-002 and 97 more"]
    assert len(engine.told[0].alerts) == 100
    assert len(engine.told[0].lines) == 24  # twenty, "and 80 more", three next steps
    engine.good(Kind.MODEL_MISSING, *names)
    engine.wait(minutes=5)
    assert [len(notice.alerts) for notice in engine.told] == [100, 100]


def test_each_kind_has_a_message_of_its_own() -> None:
    """What one person has to do about is not mixed with what another has."""
    engine = Engine()
    engine.take(flip(Kind.DISK, "/models"), flip(Kind.INTEGRITY, "llama3"), flip(Kind.BACKUP, "llama3"))
    engine.wait(minutes=5)
    assert engine.titles == [
        "12:00:40 integrity failure: llama3",
        "12:00:40 disk filling: /models",
        "12:00:40 backup overdue: llama3",
    ]


def test_a_trouble_that_flutters_is_one_trouble() -> None:
    """Bad for 20 s and good for 10 s, over and over: told once, and over once."""
    engine = Engine()
    for _ in range(30):
        engine.bad(Kind.SERVICE, "server")
        engine.wait(seconds=20)
        engine.good(Kind.SERVICE, "server")
        engine.wait(seconds=10)
    engine.wait(hours=1)
    assert [notice.what for notice in engine.told] == [What.FIRING, What.RESOLVED]
    assert engine.told[0].at < after(120)
    assert "over after 14 min 50 s" in engine.told[1].lines[0]


def test_a_kind_may_have_a_pending_time_of_its_own() -> None:
    """A disk is not full in half a minute."""
    engine = Engine(rules=replace(RULES, pending_of={Kind.DISK: timedelta(minutes=15)}))
    engine.bad(Kind.DISK, "/models")
    engine.wait(hours=1)
    assert engine.titles == ["12:15:10 disk filling: /models"]


def test_without_any_waiting_it_is_told_at_once() -> None:
    """Pending and group times of zero."""
    engine = Engine(rules=replace(RULES, pending=timedelta(), group=timedelta()))
    assert [notice.what for notice in engine.bad(Kind.DISK, "/models")] == [What.FIRING]
    assert [notice.what for notice in engine.good(Kind.DISK, "/models")] == [What.RESOLVED]


def test_it_is_told_again_while_it_lasts() -> None:
    """All of a kind in one reminder, with how long each has lasted, and none after the end."""
    engine = Engine()
    engine.bad(Kind.BACKUP, "llama3")
    engine.wait(hours=10)
    engine.bad(Kind.BACKUP, "mini:1b")
    engine.wait(hours=40)
    engine.good(Kind.BACKUP, "llama3", "mini:1b")
    engine.wait(days=5)
    assert engine.titles == [
        "12:00:40 backup overdue: llama3",
        "22:00:40 backup overdue: mini:1b",
        "12:00:40 still backup overdue: llama3, mini:1b",
        "12:00:40 still backup overdue: llama3, mini:1b",
        "14:00:40 over: backup overdue: llama3, mini:1b",
    ]
    assert engine.told[2].what is What.REMINDER
    assert "(for 24 h 0 min)" in engine.told[2].lines[0]


def test_no_reminders_where_none_are_wanted() -> None:
    """A reminder of zero."""
    engine = Engine(rules=replace(RULES, reminder=timedelta()))
    engine.bad(Kind.BACKUP, "llama3")
    engine.wait(days=400)
    assert len(engine.told) == 1
    assert next_wake(engine.book, engine.rules, engine.now) is None


def test_what_is_repaired_one_after_the_other_is_over_in_few_messages() -> None:
    """A message every five minutes at most while others of the kind are bad still, and one after the last."""
    engine = Engine()
    names = [f"m{number}" for number in range(10)]
    engine.bad(Kind.INTEGRITY, *names)
    engine.wait(minutes=5)
    for name in names:
        engine.good(Kind.INTEGRITY, name)
        engine.wait(minutes=1)
    engine.wait(hours=1)
    over = [len(notice.alerts) for notice in engine.told if notice.what is What.RESOLVED]
    assert over == [6, 4]
    assert engine.told[-1].at == after(5 * 60 + 9 * 60 + 40)


def test_an_event_is_told_once_and_never_over() -> None:
    """Two of the same in one group are one; a good flip of an event means nothing."""
    engine = Engine()
    engine.bad(Kind.TAG, "llama3", "mini:1b")
    engine.now = after(3)
    engine.take(Flip(engine.now, Kind.TAG, "llama3", bad=True, detail="moved again"))
    engine.good(Kind.TAG, "llama3")
    engine.wait(days=3)
    assert engine.titles == ["12:00:10 moved tag: llama3, mini:1b"]
    assert engine.told[0].what is What.EVENT
    assert engine.told[0].lines[0] == "llama3: moved again"
    engine.bad(Kind.TAG, "llama3")
    engine.wait(hours=1)
    assert len(engine.told) == 2


def test_newer_words_of_an_open_trouble_are_the_ones_told() -> None:
    """A bad flip of what is bad already brings its words up to date, and begins nothing anew."""
    engine = Engine()
    engine.bad(Kind.DISK, "/models")
    engine.now = after(20)
    engine.take(Flip(engine.now, Kind.DISK, "/models", bad=True, detail="1 % free", next="make room now"))
    engine.wait(minutes=1)
    assert engine.titles == ["12:00:40 disk filling: /models"]
    assert engine.told[0].lines == ("/models: 1 % free (for 40 s)", "next: make room now")
    assert open_of(engine.book) == {
        (Kind.DISK, "/models"): Condition(Kind.DISK, "/models", "1 % free", "make room now")
    }


@pytest.mark.parametrize(
    ("cause", "hidden"),
    [
        (Kind.SERVICE, {Kind.MODEL_MISSING, Kind.RESTORE}),
        (Kind.STORE, {Kind.MODEL_MISSING, Kind.INTEGRITY, Kind.BACKUP, Kind.RESTORE, Kind.SERVICE}),
        (Kind.BRAKE, {Kind.RESTORE}),
        (Kind.DISK, set()),
    ],
)
def test_what_follows_from_another_trouble_is_not_told(cause: Kind, hidden: set[Kind]) -> None:
    """The table of what hides what."""
    engine = Engine()
    causes = {Kind.STORE, Kind.SERVICE, Kind.BRAKE} - ({Kind.SERVICE} if cause is Kind.STORE else set())
    others = [kind for kind in Kind if kind is not cause and kind not in causes]
    engine.take(*(flip(kind, "it") for kind in (*others, cause)))
    engine.wait(minutes=10)
    told = {alert.kind for notice in engine.told for alert in notice.alerts}
    assert told == {cause, *others} - hidden
    assert {alert.kind for alert in engine.book.alerts if alert.inhibited_by == cause.value} == hidden


def test_what_is_hidden_ends_unheard_with_its_cause() -> None:
    """The server comes back and the models with it: nobody hears that forty models were missing or healed."""
    engine = Engine()
    names = [f"model-{number}" for number in range(40)]
    engine.bad(Kind.SERVICE, "server")
    engine.bad(Kind.MODEL_MISSING, *names)
    engine.wait(minutes=10)
    engine.good(Kind.SERVICE, "server")
    engine.wait(seconds=5)
    engine.good(Kind.MODEL_MISSING, *names)
    engine.wait(days=2)
    assert [notice.what for notice in engine.told] == [What.FIRING, What.RESOLVED]
    assert engine.book.alerts == ()


def test_what_comes_and_goes_at_once_under_its_cause_is_not_told_as_healed() -> None:
    """Bad and good again in one call of the engine, while the server is down."""
    engine = Engine()
    engine.bad(Kind.SERVICE, "server")
    engine.take(flip(Kind.MODEL_MISSING, "llama3"), flip(Kind.MODEL_MISSING, "llama3", bad=False))
    engine.wait(hours=1)
    assert engine.titles == ["12:00:40 service unavailable: server"]


def test_looking_at_the_clock_is_nothing_to_keep() -> None:
    """A guard that looks every second writes only when something is told or moves on."""
    engine = Engine()
    engine.bad(Kind.SERVICE, "server")
    engine.bad(Kind.MODEL_MISSING, "llama3")
    engine.wait(minutes=10)
    writes = 0
    for _ in range(60):
        before, engine.now = engine.book, engine.now + timedelta(seconds=1)
        engine.take()
        writes += differs(before, engine.book)
    assert writes <= 5
    before = engine.book
    engine.good(Kind.SERVICE, "server")
    assert differs(before, engine.book)


def test_what_outlasts_its_cause_is_told() -> None:
    """Pending begins anew when nothing hides it any more."""
    engine = Engine()
    engine.bad(Kind.SERVICE, "server")
    engine.bad(Kind.MODEL_MISSING, "llama3")
    engine.wait(minutes=10, seconds=20)
    engine.good(Kind.SERVICE, "server")
    engine.wait(minutes=10)
    assert engine.titles[1:] == ["12:11:00 model missing: llama3", "12:11:00 over: service unavailable: server"]


def test_a_silence_hides_until_it_ends() -> None:
    """What is silenced stays open and is told when the silence runs out, without any flip."""
    engine = Engine()
    engine.silence("", "llama*", hours=2)
    engine.bad(Kind.MODEL_MISSING, "llama3", "mini:1b")
    engine.wait(hours=1)
    assert engine.titles == ["12:00:40 model missing: mini:1b"]
    assert [alert.inhibited_by for alert in engine.book.alerts if alert.subject == "llama3"] == ["silence 1"]
    engine.wait(hours=3)
    assert engine.titles[1].endswith("model missing: llama3")
    assert after(2 * 3600) < engine.told[1].at <= after(2 * 3600 + 120)


def test_a_silence_hides_healing_events_and_reminders_but_no_end() -> None:
    """What was told before the silence is told to be over all the same."""
    engine = Engine()
    engine.bad(Kind.BACKUP, "llama3")
    engine.wait(hours=1)
    engine.silence("", "*", days=400)
    engine.bad(Kind.DISK, "/models")
    engine.bad(Kind.TAG, "mini:1b")
    engine.good(Kind.DISK, "/models")
    engine.wait(days=3)
    engine.good(Kind.BACKUP, "llama3")
    engine.wait(days=3)
    assert [notice.title for notice in engine.told] == ["backup overdue: llama3", "over: backup overdue: llama3"]


def test_critical_alerts_go_through_quiet_hours() -> None:
    """At night the rest waits, and is told as one message in the morning."""
    engine = Engine(rules=QUIET, now=DAY + timedelta(hours=23))
    engine.bad(Kind.DISK, "/models")
    engine.bad(Kind.BACKUP, "llama3")
    engine.bad(Kind.TAG, "mini:1b")
    engine.bad(Kind.INTEGRITY, "llama3")
    engine.wait(hours=1)
    engine.good(Kind.INTEGRITY, "llama3")
    engine.good(Kind.BACKUP, "llama3")
    engine.wait(days=1)
    assert engine.titles == [
        "23:00:40 integrity failure: llama3",
        "00:00:40 over: integrity failure: llama3",
        "07:00:00 after quiet hours: 1 to look at, 1 to know, 1 healed",
    ]
    morning = engine.told[2]
    assert (morning.what, morning.severity) == (What.FIRING, Severity.WARNING)
    assert morning.lines == (
        "disk filling: /models: disk filling of /models (for 8 h 0 min)",
        "moved tag: mini:1b: moved tag of mini:1b",
        "backup overdue: llama3: backup overdue of llama3 (healed after 1 h 0 min)",
        "next: mend /models",
        "next: mend mini:1b",
    )


def test_one_kind_that_waited_for_the_morning_is_an_ordinary_message() -> None:
    """Nothing is summed up where there is one thing."""
    engine = Engine(rules=QUIET, now=DAY + timedelta(hours=23))
    engine.bad(Kind.DISK, "/models")
    engine.wait(days=1)
    assert engine.titles[0] == "07:00:00 disk filling: /models"


def test_an_end_at_night_waits_with_what_was_not_urgent() -> None:
    """Told in the evening, over at night: said in the morning, once."""
    engine = Engine(rules=QUIET, now=DAY + timedelta(hours=21))
    engine.bad(Kind.DISK, "/models")
    engine.wait(hours=3)
    engine.good(Kind.DISK, "/models")
    engine.wait(days=1)
    assert engine.titles == ["21:00:40 disk filling: /models", "07:00:00 over: disk filling: /models"]


@pytest.mark.parametrize("jump", [MONTH, -MONTH, timedelta(seconds=-1)])
@pytest.mark.parametrize("wait", [5, 35, 60, 100_000])
def test_a_clock_that_jumps_makes_no_storm_and_loses_nothing(jump: timedelta, wait: float) -> None:
    """A month in either direction, at any stage: what is bad is told once, reminded at most once, and over once."""
    engine = Engine()
    names = [f"model-{number}" for number in range(50)]
    engine.bad(Kind.INTEGRITY, *names)
    engine.wait(seconds=wait)
    engine.now += jump
    begin = engine.now
    engine.wait(minutes=2)
    whats = [notice.what for notice in engine.told]
    assert whats.count(What.FIRING) == 1
    assert whats.count(What.REMINDER) <= 2
    assert {alert.state for alert in engine.book.alerts} == {State.FIRING}
    engine.good(Kind.INTEGRITY, *names)
    engine.wait(minutes=2)
    assert [notice.what for notice in engine.told[len(whats) :]] == [What.RESOLVED]
    assert engine.told[-1].at < begin + timedelta(minutes=4)


def test_a_jump_there_and_back_keeps_the_rhythm_of_reminders() -> None:
    """A month on and a month back: one reminder at the jump, the next a day later by the clock that is right."""
    engine = Engine()
    engine.bad(Kind.BACKUP, "llama3")
    engine.wait(hours=1)
    engine.now += MONTH
    engine.wait(minutes=1)
    engine.now -= MONTH
    engine.wait(hours=23)
    assert [notice.what for notice in engine.told] == [What.FIRING, What.REMINDER]
    engine.wait(hours=2)
    assert [notice.what for notice in engine.told] == [What.FIRING, What.REMINDER, What.REMINDER]


def test_a_silence_from_a_clock_that_ran_ahead_hides_nothing() -> None:
    """Rather told than lost."""
    engine = Engine()
    engine.now += MONTH
    engine.silence("", "*", hours=1)
    engine.now -= MONTH
    engine.bad(Kind.DISK, "/models")
    engine.wait(minutes=5)
    assert engine.titles == ["12:00:40 disk filling: /models"]


def test_a_flip_dated_in_the_future_counts_from_now() -> None:
    """A clock that was set back between the flip and the engine does not delay it."""
    engine = Engine()
    engine.take(flip(Kind.DISK, "/models", at=NOON + MONTH))
    engine.wait(minutes=1)
    assert engine.titles == ["12:00:40 disk filling: /models"]


def test_the_same_thing_told_again_has_the_same_id() -> None:
    """A guard killed before it kept the book tells again, and receivers can see that."""
    one, two = Engine(), Engine()
    for engine, second in ((one, 40), (two, 55)):
        engine.bad(Kind.DISK, "/models")
        engine.now = after(30)
        engine.take()
        engine.now = after(second)
        engine.take()
    assert one.told[0].at != two.told[0].at
    assert one.told[0].id == two.told[0].id
    one.good(Kind.DISK, "/models")
    one.wait(minutes=1)
    assert len({notice.id for notice in one.told}) == 2


# A day of two hundred events.


def _night(day: "Day") -> None:
    """What can wait for the morning does."""
    day.at("01:00:00", Kind.DISK, "/models")
    day.at("01:30:00", Kind.SCRUB, "store")
    day.at("02:00:00", Kind.MODEL_MISSING, *MODELS[:2])
    day.over("02:00:03", Kind.MODEL_MISSING, *MODELS[:2])
    day.at("03:00:00", Kind.UNSTABLE, "host")
    day.over("04:00:00", Kind.SCRUB, "store")


def _morning(day: "Day") -> None:
    """All models are gone and repaired one after the other; then a server flutters, and then it is down."""
    day.at("08:00:00", Kind.MODEL_MISSING, *MODELS)
    for number, model in enumerate(MODELS):
        day.over(f"08:01:{number:02}", Kind.MODEL_MISSING, model)
    day.over("09:00:00", Kind.UNSTABLE, "host")
    for minute in range(12):
        day.at(f"10:{minute:02}:00", Kind.SERVICE, "server")
        day.over(f"10:{minute:02}:40", Kind.SERVICE, "server")
    day.at("11:00:00", Kind.SERVICE, "server")
    day.at("11:00:05", Kind.MODEL_MISSING, *MODELS)
    day.at("11:00:06", Kind.RESTORE, *MODELS[:3])
    day.over("11:20:00", Kind.SERVICE, "server")
    day.over("11:20:04", Kind.RESTORE, *MODELS[:3])
    day.over("11:20:05", Kind.MODEL_MISSING, *MODELS[1:])


def _afternoon(day: "Day") -> None:
    """One model stays away for long, the brake holds, tags move."""
    day.over("12:00:00", Kind.MODEL_MISSING, MODELS[0])
    day.at("13:00:00", Kind.INTEGRITY, *MODELS[:4])
    day.at("13:00:01", Kind.BRAKE, "repair")
    day.at("13:00:02", Kind.RESTORE, *MODELS[:4])
    day.over("14:00:00", Kind.BRAKE, "repair")
    day.over("14:00:00", Kind.RESTORE, *MODELS[:4])
    day.over("14:00:01", Kind.INTEGRITY, *MODELS[:4])
    for number in range(3):
        day.at(f"15:00:{3 * number:02}", Kind.TAG, MODELS[number])
    day.at("15:30:00", Kind.JOURNAL, "journal.db")


def _evening(day: "Day") -> None:
    """Two of four are silenced, and one of these is over before anybody had to hear of it."""
    day.engine.run_to(DAY + timedelta(hours=16))
    day.engine.silence(Kind.BACKUP.value, "m0*", hours=2)
    day.at("16:00:01", Kind.BACKUP, *MODELS[8:12])
    day.over("17:00:00", Kind.BACKUP, MODELS[8])
    day.over("19:00:00", Kind.BACKUP, *MODELS[9:12])
    day.at("20:00:00", Kind.MAINTENANCE, *MODELS[:6])
    day.over("20:00:15", Kind.MAINTENANCE, *MODELS[:6])
    day.over("22:30:00", Kind.DISK, "/models")
    day.engine.run_to(DAY + timedelta(hours=24))


MODELS = [f"m{number:02}" for number in range(30)]


@dataclass
class Day:
    """A day from midnight to midnight, and how many events it had."""

    engine: Engine = field(default_factory=lambda: Engine(rules=QUIET, now=DAY))
    events: int = 0

    def at(self, moment: str, kind: Kind, *subjects: str) -> None:
        """At this time of day these go bad."""
        self._run_to(moment, len(subjects))
        self.engine.bad(kind, *subjects)

    def over(self, moment: str, kind: Kind, *subjects: str) -> None:
        """At this time of day these are good again."""
        self._run_to(moment, len(subjects))
        self.engine.good(kind, *subjects)

    def _run_to(self, moment: str, events: int) -> None:
        self.engine.run_to(datetime.combine(DAY.date(), time.fromisoformat(moment), UTC))
        self.events += events

    def live(self) -> Engine:
        """All of it."""
        for part in (_night, _morning, _afternoon, _evening):
            part(self)
        return self.engine


def test_a_day_of_two_hundred_events() -> None:
    """Exactly these messages, at exactly these times."""
    day = Day()
    assert day.live().titles == EXPECTED
    assert day.events >= 200
    assert Day().live().told == day.engine.told


EXPECTED = [
    "03:00:40 unstable read: host",
    "07:00:00 after quiet hours: 1 to look at, 3 healed",
    "08:00:40 model missing: m00, m01, m02 and 27 more",
    "08:02:09 over: model missing: m00, m01, m02 and 27 more",
    "09:00:40 over: unstable read: host",
    "10:00:40 service unavailable: server",
    "10:12:20 over: service unavailable: server",
    "11:00:40 service unavailable: server",
    "11:20:40 model missing: m00",
    "11:20:40 over: service unavailable: server",
    "12:00:40 over: model missing: m00",
    "13:00:40 integrity failure: m00, m01, m02 and 1 more",
    "13:00:41 brake: repair",
    "14:00:40 over: brake: repair",
    "14:00:41 over: integrity failure: m00, m01, m02 and 1 more",
    "15:00:10 moved tag: m00, m01, m02",
    "15:30:10 journal begun anew: journal.db",
    "16:00:41 backup overdue: m10, m11",
    "18:00:10 backup overdue: m09",
    "19:00:40 over: backup overdue: m09, m10, m11",
    "20:00:55 healed: maintenance failure: m00, m01, m02 and 3 more",
]
