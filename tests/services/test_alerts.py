"""Alerts for people: the list, silences, the test of channels, and the delivery of notices."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from modelward.domain.alert import Flip, Kind, Notice, Severity, What
from modelward.domain.alerting import Book, Rules, advance
from modelward.domain.errors import BadSetting, DeliveryFailed, DiskFull, UnknownSilence
from modelward.domain.outbox import TRIES, Outbox
from modelward.services import alerts
from modelward.services.deliver import Post
from modelward.testing import FrozenClock, MemoryJournal
from tests.places import Notes

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTICE = Notice(id="1", at=NOW, what=What.FIRING, severity=Severity.CRITICAL, title="model missing: llama3")


class Channel:
    """A channel that remembers what it took; ``error`` is what it fails with."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.name, self.error = name, error
        self.took: list[str] = []

    def send(self, notice: Notice) -> None:
        """Take it, or fail."""
        if self.error is not None:
            raise self.error
        self.took.append(notice.id)

    def ping(self) -> None:
        """The sign of life, as a channel."""
        self.send(replace(NOTICE, id="ping"))


@pytest.fixture
def clock() -> FrozenClock:
    """Stands at noon."""
    return FrozenClock(NOW)


def down(why: str = "answered 500") -> DeliveryFailed:
    """What a channel that is down raises."""
    return DeliveryFailed(why, thing="webhook", next_step="check webhook_url")


def keep_book(journal: MemoryJournal, *kinds: Kind) -> None:
    """A book in which these kinds are bad and told."""
    flips = [Flip(NOW, kind, "llama3", bad=True, detail="it is bad", next="mend it") for kind in kinds]
    rules = Rules(pending=timedelta(), group=timedelta())
    journal.put(alerts.BOOK, advance(Book(), flips, (), NOW, rules, NOW)[0])


def test_the_list_shows_what_is_open_the_most_urgent_first(clock: FrozenClock) -> None:
    """With severity, since when, whether it was told, and what hides it."""
    journal = MemoryJournal()
    keep_book(journal, Kind.DISK, Kind.MODEL_MISSING, Kind.SERVICE)
    report = alerts.list_alerts(journal, clock)
    assert [(line.kind, line.severity, line.hidden_by) for line in report.alerts] == [
        (Kind.MODEL_MISSING, Severity.CRITICAL, "service unavailable"),
        (Kind.SERVICE, Severity.CRITICAL, ""),
        (Kind.DISK, Severity.WARNING, ""),
    ]
    assert [line.told_at for line in report.alerts] == [None, NOW, NOW]
    assert report.watched


def test_without_a_journal_nothing_is_watched(clock: FrozenClock) -> None:
    """Nothing open is not the same as nobody looking."""
    assert not alerts.list_alerts(None, clock).watched
    assert alerts.list_alerts(MemoryJournal(), clock).watched


def test_a_silence_is_kept_and_listed_until_it_runs_out(clock: FrozenClock) -> None:
    """Each has a number of its own; one that ran out is gone."""
    journal = MemoryJournal()
    first = alerts.silence(journal, clock, "backup-overdue", "llama*", HOUR, "moving disks").silence
    second = alerts.silence(journal, clock, "", "*", 2 * HOUR, "").silence
    assert (first.id, first.kind, first.subject, first.until) == ("1", "backup overdue", "llama*", NOW + HOUR)
    assert second.id == "2"
    assert alerts.list_alerts(journal, clock).silences == (first, second)
    clock.advance(hours=1)
    assert alerts.silences(journal, clock.now()) == (second,)
    assert alerts.silence(journal, clock, "Disk Filling", "", HOUR, "").silence.subject == "*"


def test_a_silence_can_be_ended(clock: FrozenClock) -> None:
    """By its number; one that is not there is an error that says how to find it."""
    journal = MemoryJournal()
    alerts.silence(journal, clock, "", "*", HOUR, "")
    assert alerts.unsilence(journal, clock, "1").ended
    assert alerts.silences(journal, NOW) == ()
    for name in ("1", ""):
        with pytest.raises(UnknownSilence, match="modelward alerts list"):
            alerts.unsilence(journal, clock, name)


@pytest.mark.parametrize(
    ("kind", "subject", "duration", "words"),
    [
        ("model mising", "*", HOUR, "write for example 'model missing'"),
        ("zzz", "*", HOUR, "no kind of alert"),
        ("", "", HOUR, "nothing named"),
        ("", "*", timedelta(), "no time at all"),
    ],
)
def test_a_silence_that_means_nothing_is_refused(
    clock: FrozenClock, kind: str, subject: str, duration: timedelta, words: str
) -> None:
    """With what to write instead, and nothing is kept."""
    journal = MemoryJournal()
    with pytest.raises(BadSetting, match=words):
        alerts.silence(journal, clock, kind, subject, duration, "")
    assert alerts.silences(journal, NOW) == ()


def test_the_test_goes_through_every_channel_and_says_what_each_answered(clock: FrozenClock) -> None:
    """One that fails does not keep the others from it, and makes the exit code 4."""
    good, bad, ping = Channel("log"), Channel("webhook", down()), Channel("dead-man ping")
    report = alerts.test([bad, good], ping, clock)
    assert [(tried.channel, tried.error) for tried in report.channels] == [
        ("webhook", "answered 500"),
        ("log", ""),
        ("dead-man ping", ""),
    ]
    assert report.exit_code == 4
    assert good.took == ["test-20260105T120000Z"]
    assert alerts.test([good], None, clock).exit_code == 0


def test_a_posted_notice_reaches_every_channel(clock: FrozenClock) -> None:
    """And then nothing waits."""
    one, two = Channel("log"), Channel("webhook")
    post = Post(MemoryJournal(), [one, two], clock, Notes())
    post.post([NOTICE, replace(NOTICE, id="2")])
    assert post.next_try() == NOW
    assert post.send_due() is None
    assert one.took == two.took == ["1", "2"]


def test_a_channel_that_is_down_gets_it_later_and_the_others_now(clock: FrozenClock) -> None:
    """The failure is logged, listed, and tried again after a break."""
    journal, notes = MemoryJournal(), Notes()
    good, bad = Channel("log"), Channel("webhook", down())
    post = Post(journal, [bad, good], clock, notes)
    post.post([NOTICE])
    assert post.send_due() == NOW + timedelta(seconds=10)
    assert good.took == ["1"]
    assert notes.events == [("alert_failed", {"channel": "webhook", "notice": "1", "error": "answered 500"})]
    [waiting] = alerts.list_alerts(journal, clock).waiting
    assert (waiting.channel, waiting.notices, waiting.error) == ("webhook", 1, "answered 500")
    bad.error = None
    assert post.send_due() == NOW + timedelta(seconds=10)
    clock.advance(seconds=10)
    assert post.send_due() is None
    assert (bad.took, good.took) == (["1"], ["1"])


def test_what_waits_survives_a_restart(clock: FrozenClock) -> None:
    """The outbox is in the journal before anything is sent, and another guard goes on with it."""
    journal = MemoryJournal()
    Post(journal, [Channel("webhook", down())], clock, Notes()).post([NOTICE])
    channel = Channel("webhook")
    assert Post(journal, [channel], clock, Notes()).send_due() is None
    assert channel.took == ["1"]
    assert Post(journal, [channel], clock, Notes()).send_due() is None
    assert channel.took == ["1"]


def test_a_notice_posted_again_after_a_crash_waits_once(clock: FrozenClock) -> None:
    """The same id is the same notice."""
    journal, channel = MemoryJournal(), Channel("webhook")
    Post(journal, [channel], clock, Notes()).post([NOTICE])
    post = Post(journal, [channel], clock, Notes())
    post.post([NOTICE])
    post.send_due()
    assert channel.took == ["1"]


def test_the_channels_can_be_others_while_it_runs(clock: FrozenClock) -> None:
    """The settings were read anew: what waited for a channel that is gone ends, what is new begins with the next."""
    one, two = Channel("webhook", down()), Channel("log")
    post = Post(MemoryJournal(), [one], clock, Notes())
    post.post([NOTICE])
    post.send_due()
    post.use([two])
    post.post([replace(NOTICE, id="2")])
    assert post.send_due() is None
    assert two.took == ["2"]


def test_a_journal_that_cannot_be_written_to_delays_nothing(clock: FrozenClock) -> None:
    """A full disk is when alerts matter most."""
    journal, notes, channel = MemoryJournal(), Notes(), Channel("webhook")
    post = Post(journal, [channel], clock, notes)
    journal.fail_with = DiskFull("no space", thing="journal.db")
    post.post([NOTICE])
    assert post.send_due() is None
    assert channel.took == ["1"]
    assert {event for event, _ in notes.events} == {"journal_failed"}


def test_a_fault_of_one_channel_does_not_silence_the_others(clock: FrozenClock) -> None:
    """Whatever a channel raises counts as its failure, and only the kind of error is told."""
    journal, notes = MemoryJournal(), Notes()
    good = Channel("log")
    post = Post(journal, [Channel("webhook", ZeroDivisionError("secret")), good], clock, notes)
    post.post([NOTICE])
    post.send_due()
    assert good.took == ["1"]
    assert notes.events[0][1]["error"] == "a fault of Modelward: ZeroDivisionError"


def test_what_is_given_up_is_logged(clock: FrozenClock) -> None:
    """After some days, by its title."""
    journal, notes = MemoryJournal(), Notes()
    post = Post(journal, [Channel("webhook", down("answered 400"))], clock, notes)
    post.post([NOTICE])
    for _ in range(TRIES):
        post.send_due()
        clock.advance(hours=1)
    assert notes.events[-1] == (
        "alert_lost",
        {"channel": "webhook", "title": "model missing: llama3", "error": "answered 400"},
    )
    assert (journal.get(alerts.OUTBOX, Outbox) or Outbox()).of("webhook").lost == 1
